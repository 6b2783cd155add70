//! Finds structures and constants of the sources that no table mentions.

use crate::table::Table;
use std::fs;
use std::path::Path;

/// Names without counterpart in the headers: limits and structures that Xen keeps to itself, and
/// numbers derived from others.
const NOT_IN_C: &[&str] = &[
    "addr::GUEST_LOW_END",
    "addr::PAGE_OFFSET_MASK",
    "addr::PAGE_SHIFT",
    "addr::PAGE_SIZE",
    "addr::ROOT_PAGETABLE_FIRST_XEN_SLOT",
    "addr::ROOT_PAGETABLE_LAST_XEN_SLOT",
    "block::SECTOR_SIZE",
    "block::SEGMENTS_PER_INDIRECT_FRAME",
    "console::OFFSET_IN_CONS",
    "console::OFFSET_IN_PROD",
    "console::OFFSET_OUT_CONS",
    "console::OFFSET_OUT_PROD",
    "cpuid::EMULATE_PREFIX",
    "cpuid::HYPERCALL_MSR_BASE",
    "cpuid::LEAF_HVM",
    "cpuid::LEAF_HYPERCALL",
    "cpuid::LEAF_PV",
    "cpuid::LEAF_TIME",
    "cpuid::LEAF_VERSION",
    "cpuid::TIME_HOST_TSC_RELIABLE",
    "cpuid::TIME_RDTSCP",
    "cpuid::TIME_TSC_EMULATED",
    "domctl::PFINFO_MAX",
    "domctl::SCHED_DEFAULT_WEIGHT",
    "domctl::TSC_MODE_ALWAYS_EMULATE",
    "domctl::TSC_MODE_DEFAULT",
    "domctl::TSC_MODE_NEVER_EMULATE",
    "e820::ACPI",
    "e820::NVS",
    "e820::RAM",
    "e820::RESERVED",
    "e820::UNUSABLE",
    "elfnote::NAME",
    "errno::MAX_ERRNO",
    "grant::V1_ENTRIES_PER_PAGE",
    "memf::ADDRESS_BITS_MASK",
    "memf::NODE_MASK",
    "memf::NODE_SHIFT",
    "memory::CMD_MASK",
    "memory::CMD_START_EXTENT_SHIFT",
    "memory::MAX_MEMORY_MAP_ENTRIES",
    "mmu::MMU_UPDATE_PREEMPTED",
    "nr::COUNT",
    "payload::PAYLOAD_SIZE",
    "physdev::MAX_IO_PORTS",
    "regs::HYPERVISOR_CS",
    "regs::HYPERVISOR_DS",
    "regs::MAX_LDT_ENTRIES",
    "ring::HEADER_SIZE",
    "runstate::COUNT",
    "sched::MAX_POLL_PORTS",
    "shared_info::OFFSET_EVTCHN_MASK",
    "shared_info::OFFSET_EVTCHN_PENDING",
    "shared_info::OFFSET_WC_VERSION",
    "shared_info::VCPU_INFO_SIZE",
    "start_info::MAGIC",
    "vcpu::MIN_PERIOD_NS",
    "version::GUEST_TYPE_PV64",
    "version::XEN_4_17",
    "vm_assist::VALID_MASK_PV64",
    "xen::MAX_VIRT_CPUS",
    "zendo::DOMCTL_COUNTERS",
    "zendo::DomainCounters",
];

/// Modules whose bits are the processor's, not the interface's.
const NOT_COMPARED_MODULES: &[&str] = &["pte"];

/// What the sources define and neither the tables nor the list above name.
pub fn missing(table: &Table) -> Vec<String> {
    let mut names = Vec::new();
    scan(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    assert!(names.len() > 500, "the scan of the sources found only {} names", names.len());
    names.retain(|name| {
        let module = name.split("::").next().unwrap_or_default();
        !table.covered.contains(name)
            && !NOT_IN_C.contains(&name.as_str())
            && !NOT_COMPARED_MODULES.contains(&module)
    });
    names
}

fn scan(dir: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("the sources are readable") {
        let path = entry.expect("the sources are readable").path();
        if path.is_dir() {
            scan(&path, names);
        } else if !path.ends_with("macros.rs") {
            scan_file(&path, names);
        }
    }
}

/// The module a file's names are seen in: private files of a directory re-export to it.
fn module_of(path: &Path) -> String {
    let text =
        |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let stem = text(path.file_stem());
    let dir = text(path.parent().and_then(Path::file_name));
    let own_name = matches!(dir.as_str(), "src" | "io") || stem == "cmd";
    match (own_name, stem.as_str(), dir.as_str()) {
        (true, "cmd", _) => format!("{dir}_cmd"),
        (true, ..) => stem,
        (false, ..) => dir,
    }
}

fn scan_file(path: &Path, names: &mut Vec<String>) {
    let source = fs::read_to_string(path).expect("the sources are readable");
    let file_module = module_of(path);
    let mut module = file_module.clone();
    let mut in_impl = false;
    let mut previous = String::new();
    for line in source.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let in_flags = previous.ends_with("abi_flags! {");
        let in_struct = previous.ends_with("abi_struct! {");
        in_impl |= line.trim_start().starts_with("impl ");
        match words.as_slice() {
            _ if line == "}" => {
                module.clone_from(&file_module);
                in_impl = false;
            }
            _ if in_impl => {}
            ["pub", "mod", name, "{"] => module = (*name).to_string(),
            ["pub", "const", "fn", ..] => {}
            ["pub", "const", name, ..] => {
                names.push(format!("{module}::{}", name.trim_end_matches(':')));
            }
            [name, "{"] if in_flags => {
                module = name.split('(').next().unwrap_or_default().to_string();
            }
            [name, "{"] if in_struct => names.push(format!("{module}::{name}")),
            [name, "=", .., last] if last.ends_with(';') && is_constant_name(name) => {
                names.push(format!("{module}::{name}"));
            }
            _ => {}
        }
        if !line.trim_start().starts_with("///") {
            previous = line.trim_end().to_string();
        }
    }
}

fn is_constant_name(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
