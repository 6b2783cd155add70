//! The exception table: instructions that may fault, and where to go on when they do.
//!
//! Entries are made beside the instructions (section `.hv_extable`). Faults are rare, so the search
//! is linear; the table has a few dozen entries.

/// Address of the instruction, address of its fix-up.
type Entry = [u64; 2];

extern "C" {
    static hv_extable_start: [Entry; 0];
    static hv_extable_end: [Entry; 0];
}

/// The fix-up of the instruction at `rip`, if it is one that may fault.
pub(crate) fn lookup(rip: u64) -> Option<u64> {
    let start = &raw const hv_extable_start;
    let count = ((&raw const hv_extable_end).addr() - start.addr()) / size_of::<Entry>();
    // SAFETY: the link script puts the table, which is never written, between the two symbols.
    let table = unsafe { core::slice::from_raw_parts(start.cast::<Entry>(), count) };
    table.iter().find(|entry| entry[0] == rip).map(|entry| entry[1])
}
