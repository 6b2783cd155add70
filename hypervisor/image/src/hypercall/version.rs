//! `xen_version`: what this hypervisor claims to be.
//!
//! It claims to be Xen 4.17, because guests and toolstacks decide by that what they may ask for;
//! the extra version and the changeset tell who it really is. All answers but the smallest one are
//! behind a call that is never inlined, so that the version, which guests use as the null hypercall,
//! pays for no stack frame.

use hypercall_abi::addr::HYPERVISOR_VIRT_START;
use hypercall_abi::version::{self as abi, xenfeat};
use hypercall_abi::{vm_assist, Errno, PAGE_SIZE};

use super::{ensure, Answer, Call};
use crate::domain::Domain;
use crate::{boot, guestmem};

/// Appended to the version number.
const EXTRA_VERSION: &str = ".0-zendo";
/// What kinds of guests run.
pub const CAPABILITIES: &str = "xen-3.0-x86_64 ";
/// Identification of the sources.
const CHANGESET: &str = concat!("zendo-", env!("CARGO_PKG_VERSION"));

/// `xen_version(cmd, arg)`.
pub fn xen_version(call: &mut Call<'_>) -> Answer {
    match call.args[0] as u32 {
        abi::VERSION => Ok(i64::from(abi::XEN_4_17)),
        command => details(call, command),
    }
}

#[inline(never)]
fn details(call: &Call<'_>, command: u32) -> Answer {
    let arg = call.args[1];
    let dom = call.here.dom();
    match command {
        abi::EXTRAVERSION => guestmem::write(arg, &text::<16>(EXTRA_VERSION))?,
        abi::COMPILE_INFO => guestmem::write(arg, &compile_info())?,
        abi::CAPABILITIES => guestmem::write(arg, &text::<1024>(CAPABILITIES))?,
        abi::CHANGESET => guestmem::write(arg, &text::<64>(CHANGESET))?,
        abi::PLATFORM_PARAMETERS => guestmem::write(arg, &HYPERVISOR_VIRT_START)?,
        abi::GET_FEATURES => guestmem::update(arg, |info: &mut abi::XenFeatureInfo| {
            ensure(info.submap_idx == 0, Errno::EINVAL)?;
            info.submap = features(dom);
            Ok(())
        })?,
        abi::PAGESIZE if arg == 0 => return Ok(PAGE_SIZE as i64),
        abi::PAGESIZE => return Err(Errno::EINVAL.into()),
        abi::GUEST_HANDLE => {
            let handle = dom.control.lock().handle;
            guestmem::write(arg, &handle)?;
        }
        abi::COMMANDLINE => {
            let line = if dom.privileged { boot::boot_info().cmdline } else { "<denied>" };
            guestmem::write(arg, &text::<1024>(line))?;
        }
        abi::BUILD_ID => {
            call.privileged()?;
            return Err(Errno::ENODATA.into());
        }
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

/// A text as an array that ends with zeros, at least one.
fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.iter_mut().zip(text.bytes().take(N - 1)).for_each(|(to, from)| *to = from);
    bytes
}

fn compile_info() -> abi::XenCompileInfo {
    abi::XenCompileInfo {
        compiler: text("rustc"),
        compile_by: text("zendo"),
        compile_date: text(env!("CARGO_PKG_VERSION")),
        ..Default::default()
    }
}

/// The features of submap 0.
fn features(dom: &Domain) -> u32 {
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
