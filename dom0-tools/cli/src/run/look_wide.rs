//! Verbs that look at the machine: its hypervisor, its messages, its counts.

use super::Session;
use crate::command::Output;
use crate::{format as xl, json};
use alloc::format;
use alloc::string::{String, ToString};
use hypercall_abi::domctl;
use hypercall_abi::sysctl::{PhysCap, PhysInfo};
use hypercall_abi::EvtchnPort;
use zl_toolstack::client::{Hypervisor, PortState, VersionInfo};
use zl_toolstack::ToolError;

const PAGES_PER_MIB: u64 = 256;
/// Most ports that are looked at, a bound for a count that should be small.
const MOST_PORTS: u32 = 4096;

impl<H: Hypervisor + Clone> Session<'_, '_, H> {
    pub(super) fn physinfo(&self) -> Result<PhysInfo, ToolError> {
        self.stack.hypervisor().physinfo().map_err(|errno| {
            let advice = "this must run in the control domain";
            ToolError::hypercall("sysctl physinfo", format_args!("no argument"), errno, advice)
        })
    }

    pub(super) fn info(&mut self, output: Output) -> Result<(), ToolError> {
        let physical = self.physinfo()?;
        let version = self.stack.hypervisor().version();
        let scheduler = match self.stack.hypervisor().scheduler_id() {
            Ok(id) => scheduler_name(id),
            Err(_) => "unknown",
        };
        if output == Output::Json {
            self.line(&json::info(&version, &physical, scheduler));
            return Ok(());
        }
        self.info_about_machine(&physical);
        self.info_about_hypervisor(&version, scheduler);
        Ok(())
    }

    fn info_about_machine(&mut self, physical: &PhysInfo) {
        let caps = physical.hw_cap.map(|word| format!("{word:08x}")).join(":");
        let mib = |pages: u64| (pages / PAGES_PER_MIB).to_string();
        let lines = [
            ("host", "dom0".to_string()),
            ("release", env!("CARGO_PKG_VERSION").to_string()),
            ("version", "pvkernel".to_string()),
            ("machine", "x86_64".to_string()),
            ("nr_cpus", physical.nr_cpus.to_string()),
            ("max_cpu_id", physical.max_cpu_id.to_string()),
            ("nr_nodes", physical.nr_nodes.to_string()),
            ("cores_per_socket", physical.cores_per_socket.to_string()),
            ("threads_per_core", physical.threads_per_core.to_string()),
            ("cpu_mhz", format!("{}.{:03}", physical.cpu_khz / 1000, physical.cpu_khz % 1000)),
            ("hw_caps", caps),
            ("virt_caps", virt_caps(physical.capabilities)),
            ("total_memory", mib(physical.total_pages)),
            ("free_memory", mib(physical.free_pages)),
            ("sharing_freed_memory", "0".to_string()),
            ("sharing_used_memory", "0".to_string()),
            ("outstanding_claims", mib(physical.outstanding_pages)),
            ("free_cpus", "0".to_string()),
        ];
        for (label, value) in lines {
            self.line(&xl::info_line(label, &value));
        }
    }

    fn info_about_hypervisor(&mut self, version: &VersionInfo, scheduler: &str) {
        let VersionInfo { major, minor, extra, .. } = version;
        let lines = [
            ("xen_major", major.to_string()),
            ("xen_minor", minor.to_string()),
            ("xen_extra", extra.clone()),
            ("xen_version", format!("{major}.{minor}{extra}")),
            ("xen_caps", version.capabilities.clone()),
            ("xen_scheduler", scheduler.to_string()),
            ("xen_pagesize", version.page_size.to_string()),
            ("platform_params", format!("virt_start={:#x}", version.virt_start)),
            ("xen_changeset", version.changeset.clone()),
            ("xen_commandline", version.command_line.clone()),
            ("cc_compiler", version.compiler.clone()),
            ("cc_compile_by", version.compiled_by.clone()),
            ("cc_compile_domain", version.compile_domain.clone()),
            ("cc_compile_date", version.compile_date.clone()),
            ("xend_config_format", "4".to_string()),
        ];
        for (label, value) in lines {
            self.line(&xl::info_line(label, &value));
        }
    }

    pub(super) fn dmesg(&mut self, forget: bool) -> Result<(), ToolError> {
        let read = self.stack.hypervisor().read_messages(forget);
        let messages = read.map_err(|errno| {
            let argument = format_args!("clear={}", u8::from(forget));
            let advice = "this must run in the control domain";
            ToolError::hypercall("sysctl readconsole", argument, errno, advice)
        })?;
        self.print(&String::from_utf8_lossy(&messages));
        if messages.last().is_some_and(|last| *last != b'\n') {
            self.line("");
        }
        Ok(())
    }

    pub(super) fn debug_counts(&mut self) -> Result<(), ToolError> {
        let physical = self.physinfo()?;
        let domains = self.stack.list()?.len();
        let ports = self.open_ports();
        let local = self.place.counts();
        let lines = [
            ("total_frames", physical.total_pages),
            ("free_frames", physical.free_pages),
            ("domains", domains as u64),
            ("ports", ports),
            ("dom0_free_frames", local.free_frames),
            ("foreign_frames", local.foreign_frames),
            ("grant_frames", local.grant_frames),
            ("heap_bytes", local.heap_bytes),
        ];
        for (key, value) in lines {
            self.line(&format!("{key}={value}"));
            self.findings.counts.insert(key, value);
        }
        Ok(())
    }

    fn open_ports(&self) -> u64 {
        let hypervisor = self.stack.hypervisor();
        let states = (1..MOST_PORTS).map_while(|port| hypervisor.port_state(EvtchnPort::new(port)));
        states.filter(|state| *state == PortState::Open).count() as u64
    }
}

fn scheduler_name(id: u32) -> &'static str {
    match id {
        domctl::SCHEDULER_CREDIT => "credit",
        domctl::SCHEDULER_CREDIT2 => "credit2",
        domctl::SCHEDULER_ARINC653 => "arinc653",
        domctl::SCHEDULER_RTDS => "rtds",
        domctl::SCHEDULER_NULL => "null",
        _ => "unknown",
    }
}

fn virt_caps(capabilities: PhysCap) -> String {
    let names = [
        (PhysCap::PV, "pv"),
        (PhysCap::HVM, "hvm"),
        (PhysCap::HAP, "hap"),
        (PhysCap::SHADOW, "shadow"),
        (PhysCap::IOMMU_HAP_PT_SHARE, "iommu_hap_pt_share"),
        (PhysCap::VMTRACE, "vmtrace"),
        (PhysCap::VPMU, "vpmu"),
        (PhysCap::GNTTAB_V1, "gnttab-v1"),
        (PhysCap::GNTTAB_V2, "gnttab-v2"),
    ];
    let mut text = String::new();
    for (flag, name) in names {
        if capabilities.contains(flag) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(name);
        }
    }
    text
}
