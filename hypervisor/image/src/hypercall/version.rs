//! `xen_version`: what this hypervisor claims to be.
//!
//! It claims to be Xen 4.17, because guests and toolstacks decide by that what they may ask for;
//! the extra version and the changeset tell who it really is. The bigger answers are functions of
//! their own, never inlined, so that the smallest one (the version, which guests use as the null
//! hypercall) pays for no stack frame.

use hypercall_abi::addr::HYPERVISOR_VIRT_START;
use hypercall_abi::errno::Errno;
use hypercall_abi::version::{
    self as cmd, xenfeat, XenCompileInfo, XenFeatureInfo, XEN_4_17 as VERSION,
};
use hypercall_abi::vm_assist;

use super::{Call, Outcome};
use crate::guestmem;

/// Appended to the version number.
const EXTRA_VERSION: &str = ".0-zendo";
/// What kinds of guests run.
pub const CAPABILITIES: &str = "xen-3.0-x86_64 ";
const PAGE_SIZE: i64 = 4096;

/// `xen_version(cmd, arg)`.
pub fn xen_version(call: &mut Call<'_>) -> Outcome {
    let [command, arg, ..] = call.args;
    match command as u32 {
        cmd::VERSION => Outcome::Done(i64::from(VERSION)),
        cmd::EXTRAVERSION => text::<16>(arg, EXTRA_VERSION),
        cmd::COMPILE_INFO => compile_info(arg),
        cmd::CAPABILITIES => text::<1024>(arg, CAPABILITIES),
        cmd::CHANGESET => text::<64>(arg, concat!("zendo-", env!("CARGO_PKG_VERSION"))),
        cmd::PLATFORM_PARAMETERS => platform_parameters(arg),
        cmd::GET_FEATURES => get_features(call, arg),
        cmd::PAGESIZE => page_size(arg),
        cmd::GUEST_HANDLE => guest_handle(call, arg),
        cmd::COMMANDLINE => command_line(call, arg),
        cmd::BUILD_ID => build_id(call),
        _ => unknown(),
    }
}

/// Copies a text out as a fixed array filled with zeros.
#[inline(never)]
fn text<const N: usize>(arg: u64, text: &str) -> Outcome {
    let mut bytes = [0u8; N];
    fill(&mut bytes, text);
    guestmem::write(arg, &bytes).into()
}

fn fill(bytes: &mut [u8], text: &str) {
    let room = bytes.len() - 1;
    bytes.iter_mut().zip(text.bytes().take(room)).for_each(|(to, from)| *to = from);
}

#[inline(never)]
fn unknown() -> Outcome {
    Errno::ENOSYS.into()
}

#[inline(never)]
fn platform_parameters(arg: u64) -> Outcome {
    guestmem::write(arg, &HYPERVISOR_VIRT_START).into()
}

#[inline(never)]
fn page_size(arg: u64) -> Outcome {
    if arg == 0 {
        Outcome::Done(PAGE_SIZE)
    } else {
        Errno::EINVAL.into()
    }
}

#[inline(never)]
fn guest_handle(call: &Call<'_>, arg: u64) -> Outcome {
    let handle = call.here.dom().control.lock().handle;
    guestmem::write(arg, &handle).into()
}

#[inline(never)]
fn compile_info(arg: u64) -> Outcome {
    let mut info = XenCompileInfo::default();
    fill(&mut info.compiler, "rustc");
    fill(&mut info.compile_by, "zendo");
    fill(&mut info.compile_date, env!("CARGO_PKG_VERSION"));
    guestmem::write(arg, &info).into()
}

#[inline(never)]
fn command_line(call: &Call<'_>, arg: u64) -> Outcome {
    if call.here.dom().privileged {
        text::<1024>(arg, crate::boot::command_line())
    } else {
        text::<1024>(arg, "<denied>")
    }
}

#[inline(never)]
fn build_id(call: &Call<'_>) -> Outcome {
    if call.here.dom().privileged {
        Errno::ENODATA.into()
    } else {
        Errno::EPERM.into()
    }
}

#[inline(never)]
fn get_features(call: &Call<'_>, arg: u64) -> Outcome {
    let info = guestmem::read::<XenFeatureInfo>(arg).and_then(|info| {
        if info.submap_idx == 0 {
            Ok(XenFeatureInfo { submap: features(call), ..info })
        } else {
            Err(Errno::EINVAL)
        }
    });
    info.and_then(|info| guestmem::write(arg, &info)).into()
}

/// The features of submap 0.
fn features(call: &Call<'_>) -> u32 {
    let dom = call.here.dom();
    let bit = |feature: u32| 1u32 << feature;
    let mut submap = bit(xenfeat::MMU_PT_UPDATE_PRESERVE_AD)
        | bit(xenfeat::HIGHMEM_ASSIST)
        | bit(xenfeat::GNTTAB_MAP_AVAIL_BITS)
        | bit(xenfeat::MEMORY_OP_VNODE_SUPPORTED)
        | bit(xenfeat::DIRECT_MAPPED);
    if dom.assisted(vm_assist::TYPE_PAE_EXTENDED_CR3) {
        submap |= bit(xenfeat::PAE_PGDIR_ABOVE_4GB);
    }
    if dom.privileged {
        submap |= bit(xenfeat::DOM0);
    }
    submap
}
