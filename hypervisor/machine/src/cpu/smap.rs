//! Removes `stac` and `clac` from the code where the CPU has no SMAP.
//!
//! Called once by the boot processor, before the code is mapped read-only and before other CPUs run.
//! The list of places is made by the assembler (section `.hv_smap`).

extern "C" {
    static hv_smap_start: [u64; 0];
    static hv_smap_end: [u64; 0];
}

/// A three-byte instruction that does nothing.
const NOP3: [u8; 3] = [0x0f, 0x1f, 0x00];

/// Replaces each listed instruction, unless the CPU has them.
pub(crate) fn patch() {
    if super::features().smap {
        return;
    }
    let start = &raw const hv_smap_start;
    let count = ((&raw const hv_smap_end).addr() - start.addr()) / size_of::<u64>();
    // SAFETY: the link script puts the list between the two symbols.
    let sites = unsafe { core::slice::from_raw_parts(start.cast::<u64>(), count) };
    for &site in sites {
        let place = core::ptr::with_exposed_provenance_mut::<[u8; 3]>(site as usize);
        // SAFETY: each entry is the address of a three-byte `stac` or `clac`, still writable now;
        // no other CPU runs, and this one is not between the bytes.
        unsafe { place.write_volatile(NOP3) };
    }
}
