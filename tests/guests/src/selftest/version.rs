//! `xen_version`.

use crate::harness::{hypercall, Report};
use hypercall_abi::version::{self as abi, xenfeat, GUEST_TYPE_PV64, XEN_4_17};
use hypercall_abi::{nr, Errno};
use pvkernel_xen::hypercall::version;

fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Runs the topic.
pub fn run(t: &mut Report) {
    t.eq("version", XEN_4_17, version::version());
    t.check("extraversion-is-text", version::extraversion().is_ok_and(|x| text(&x)[0] == b'.'));
    t.check("compile-info", version::compile_info().is_ok_and(|x| !text(&x.compiler).is_empty()));
    let capabilities = version::capabilities().unwrap_or([0; 1024]);
    let mut words = text(&capabilities).split(|byte| *byte == b' ');
    t.check("capabilities-name-pv64", words.any(|word| word == GUEST_TYPE_PV64.as_bytes()));
    t.check("changeset", version::changeset().is_ok());
    let hole = version::platform_parameters().map(|p| p.virt_start);
    t.eq("virt-start", Ok(0xffff_8000_0000_0000), hole);
    t.eq("pagesize", Ok(4096), version::pagesize());
    features(t);
    t.check("guest-handle", version::guest_handle().is_ok());
    t.check("commandline", version::commandline().is_ok());
    errors(t);
}

fn features(t: &mut Report) {
    let word = version::features(0).unwrap_or(0);
    let has = |bit: u32| word & 1 << bit != 0;
    t.check("feature-preserve-ad", has(xenfeat::MMU_PT_UPDATE_PRESERVE_AD));
    t.check("feature-map-avail-bits", has(xenfeat::GNTTAB_MAP_AVAIL_BITS));
    t.check("feature-highmem-assist", has(xenfeat::HIGHMEM_ASSIST));
    t.eq("feature-dom0", t.is_dom0, has(xenfeat::DOM0));
    t.check("feature-not-writable-page-tables", !has(xenfeat::WRITABLE_PAGE_TABLES));
    t.check("feature-not-translated", !has(xenfeat::AUTO_TRANSLATED_PHYSMAP));
    t.check("feature-not-supervisor", !has(xenfeat::SUPERVISOR_MODE_KERNEL));
    t.eq("features-submap-1", Err(Errno::EINVAL), version::features(1));
}

fn errors(t: &mut Report) {
    let call = |cmd: u32, arg: u64| hypercall(nr::XEN_VERSION, &[u64::from(cmd), arg]);
    t.ret("version-ignores-pointer", u64::from(XEN_4_17), call(abi::VERSION, 1));
    t.errno("pagesize-refuses-pointer", Errno::EINVAL, call(abi::PAGESIZE, 1));
    t.errno("unknown-command", Errno::ENOSYS, call(11, 0));
    t.errno("unknown-command-large", Errno::ENOSYS, call(u32::MAX, 0));
    t.errno("extraversion-null", Errno::EFAULT, call(abi::EXTRAVERSION, 0));
    t.errno("features-null", Errno::EFAULT, call(abi::GET_FEATURES, 0));
    let mut id = [0u8; 64];
    let build_id = version::build_id(&mut id);
    if t.is_dom0 {
        t.check("build-id", build_id == Ok(20) || build_id == Err(Errno::ENODATA));
    } else {
        t.eq("build-id-needs-privilege", Err(Errno::EPERM), build_id);
    }
}
