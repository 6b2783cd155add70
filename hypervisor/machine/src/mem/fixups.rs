//! The two lists the assembler makes of places in the code: instructions that may fault, and those
//! that open or close user pages to the hypervisor.
//!
//! Exception table: an instruction that may fault is listed beside it by [`on_fault!`] with the place
//! to go on at. `hv_trap_ring0` goes on there with r8 = [`FAILED`]; whoever uses the macro passes a 0 in
//! r8 and looks at what comes back. Faults are rare, so the search is linear.

use crate::cpu;

extern "C" {
    static hv_extable_start: [Resumption; 0];
    static hv_extable_end: [Resumption; 0];
    static hv_smap_start: [u64; 0];
    static hv_smap_end: [u64; 0];
}

/// Address of an instruction that may fault, and of the one to go on with.
type Resumption = [u64; 2];

/// What r8 holds after a fault.
pub(crate) const FAILED: u64 = 1;
/// A three-byte instruction that does nothing.
const NOP3: [u8; 3] = [0x0f, 0x1f, 0x00];

/// In `asm!`: a fault of the instruction at the label goes on at label 3 with r8 = 1.
macro_rules! on_fault {
    ($label:literal) => {
        concat!(".pushsection .hv_extable, \"a\"\n.quad ", $label, ", 3b\n.popsection")
    };
}
pub(crate) use on_fault;

/// The entries between two symbols of the link script.
fn entries<T>(start: *const [T; 0], end: *const [T; 0]) -> &'static [T] {
    let count = (end.addr() - start.addr()) / size_of::<T>();
    // SAFETY: the link script puts such entries, which are never written, between the symbols of the
    // two lists, and only those are passed here.
    unsafe { core::slice::from_raw_parts(start.cast(), count) }
}

/// Where to go on after a fault at `rip`, if the instruction there is one that may fault.
pub(crate) fn after_fault(rip: u64) -> Option<u64> {
    let table = entries(&raw const hv_extable_start, &raw const hv_extable_end);
    table.iter().find(|entry| entry[0] == rip).map(|entry| entry[1])
}

/// Removes `stac` and `clac` from the code, unless the CPU has them. Called once by the boot
/// processor, before the code is mapped read-only and before other CPUs run.
pub(crate) fn remove_smap_switches() {
    if cpu::features().cr4_available & cpu::cr4::SMAP != 0 {
        return;
    }
    for &site in entries(&raw const hv_smap_start, &raw const hv_smap_end) {
        let place = core::ptr::with_exposed_provenance_mut::<[u8; 3]>(site as usize);
        // SAFETY: each entry is the address of a three-byte `stac` or `clac`, still writable now;
        // no other CPU runs, and this one is not between the bytes.
        unsafe { place.write_volatile(NOP3) };
    }
}
