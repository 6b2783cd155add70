//! What the builder of this domain left: the start page, the boot module, and room behind the boot stack.
//!
//! The hypervisor or a toolstack loaded the image, made the first page tables and put what the kernel has to
//! know into one page. `boot` asks here; on the bare machine the boot loader's words are in `loader`.

use hypercall_abi::start_info::{Sif, StartInfo};
use pvkernel_core::cmdline;
use pvkernel_core::direct::Plan;

use crate::boot::BootInfo;
use crate::layout::{direct_va, Pfn, PAGE, VIRT_BASE};

/// What this kernel was started with.
pub(crate) fn read(start: StartInfo, entry_tsc: u64) -> BootInfo {
    BootInfo {
        nr_pages: start.nr_pages as usize,
        is_dom0: start.flags.contains(Sif::INITDOMAIN),
        flags: start.flags,
        cmdline: cmdline::keep(start.cmd_line()),
        ramdisk: ramdisk(&start),
        console_mfn: start.console_mfn,
        console_evtchn: start.console_evtchn,
        store_mfn: start.store_mfn,
        store_evtchn: start.store_evtchn,
        start_info: start,
        entry_tsc,
    }
}

/// The plan of the direct map: tables behind the boot stack.
pub(crate) fn plan(start: &StartInfo, boot_stack: u64) -> Plan {
    let frame = |va: u64| ((va - VIRT_BASE) / PAGE) as usize;
    let tables = frame(start.pt_base);
    let tables = tables..tables + start.nr_pt_frames as usize;
    Plan::new(start.nr_pages as usize, tables, frame(boot_stack))
}

fn ramdisk(start: &StartInfo) -> Option<&'static [u8]> {
    if start.mod_start == 0 || start.mod_len == 0 {
        return None;
    }
    let address = if start.flags.contains(Sif::MOD_START_PFN) {
        direct_va(Pfn::new(start.mod_start))
    } else {
        start.mod_start
    };
    let data = core::ptr::with_exposed_provenance::<u8>(address as usize);
    // SAFETY: the builder put `mod_len` bytes there; they lie below the boot stack and are never
    // given to the frame allocator.
    Some(unsafe { core::slice::from_raw_parts(data, start.mod_len as usize) })
}
