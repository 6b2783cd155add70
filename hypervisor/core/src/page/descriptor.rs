//! Segment descriptors: which ones a guest may have, and the pages that hold them.
//!
//! A guest runs in ring 3, so a descriptor must not lead anywhere else: descriptor privilege is
//! raised to 3, and of the system descriptors only call gates are kept, in a form that traps when
//! used and can be emulated. A page of descriptors is a frame type of its own, so that its content
//! cannot be written except through `update_descriptor`.
//!
//! Called by `set_gdt`, `update_descriptor` and the LDT fault path, under the owner's page-table
//! lock. Loading the GDT or LDT of a CPU is the caller's work.

use crate::ensure;
use hypercall_abi::Mfn;

use super::error::{PageError, Progress};
use super::host::PageHost;
use super::refs;
use super::state::State;
use super::tables::PageTables;
use super::types::{PageType, ENTRIES};
use super::walk::MmuState;

const PRESENT: u64 = 1 << 47;
const DPL_SHIFT: u32 = 45;
const DPL_MASK: u64 = 3 << DPL_SHIFT;
const CODE_OR_DATA: u64 = 1 << 44;
const TYPE_SHIFT: u32 = 40;
const SYSTEM_RESERVED: u64 = 0;
const SYSTEM_CALL_GATE: u64 = 0xc;
const GATE_RESERVED_MASK: u64 = 0xff << 32;
const GATE_SELECTOR_SHIFT: u32 = 16;
const GATE_RPL_MASK: u64 = 3 << GATE_SELECTOR_SHIFT;

/// Selectors of the GDT from here on are the hypervisor's.
const FIRST_RESERVED_SELECTOR: u64 = 0xe000;
/// The code segment the hypervisor gives to kernels.
const FLAT_KERNEL_CS: u64 = 0xe033;
/// Set in a selector of the LDT.
const SELECTOR_LDT: u64 = 4;

/// Checks one 8-byte descriptor and returns what is stored in its place. Checking the result
/// again changes nothing.
///
/// # Errors
/// A system descriptor other than an acceptable call gate.
const fn check(descriptor: u64) -> Result<u64, PageError> {
    if descriptor & PRESENT == 0 {
        return Ok(descriptor);
    }
    let raised = descriptor | DPL_MASK;
    if descriptor & CODE_OR_DATA != 0 {
        return Ok(raised);
    }
    match (descriptor >> TYPE_SHIFT) & 0xf {
        SYSTEM_RESERVED => Ok(raised),
        SYSTEM_CALL_GATE if is_harmless_gate(descriptor) => {
            // The guest's idea of the privilege moves to the selector; privilege 0 makes every
            // use from ring 3 trap, so that it can be emulated.
            Ok((raised & !DPL_MASK) | GATE_RPL_MASK)
        }
        _ => Err(PageError::BadDescriptor),
    }
}

const fn is_harmless_gate(gate: u64) -> bool {
    let selector = (gate >> GATE_SELECTOR_SHIFT) & 0xffff;
    let is_guest_selector = selector < FIRST_RESERVED_SELECTOR
        || selector & SELECTOR_LDT != 0
        || selector == FLAT_KERNEL_CS;
    gate & GATE_RESERVED_MASK == 0 && is_guest_selector
}

impl<H: PageHost> PageTables<'_, H> {
    /// Takes a reference on a frame of the owner as a page of descriptors, checking (and fixing up
    /// in place) all of them if that has not been done since the frame was last something else.
    ///
    /// # Errors
    /// Not the owner's, in use otherwise, or a bad descriptor.
    pub fn get_descriptor_page(
        &self,
        mmu: &mut MmuState,
        mfn: Mfn,
        budget: &mut u32,
    ) -> Progress<()> {
        self.quiet(mmu, budget)?;
        Ok(self.acquire_checked(mfn, PageType::SegDesc)?)
    }

    /// Drops a reference taken by [`Self::get_descriptor_page`].
    pub fn put_descriptor_page(&self, mfn: Mfn) {
        refs::release(self.host, mfn, PageType::SegDesc);
    }

    /// Takes a reference of type `want`; a new page of descriptors is checked.
    fn acquire_checked(&self, mfn: Mfn, want: PageType) -> Result<(), PageError> {
        if want == PageType::SegDesc && self.acquire_usual(self.owner, mfn, PageType::SegDesc) {
            return Ok(());
        }
        if !refs::acquire(self.host, mfn, self.owner, want)?.validate {
            return Ok(());
        }
        let page = self.host.page(mfn);
        for index in 0..ENTRIES {
            let descriptor = self.host.load(page, index);
            let fixed = check(descriptor).inspect_err(|_| self.put_descriptor_page(mfn))?;
            if fixed != descriptor {
                self.host.store(page, index, fixed);
            }
        }
        self.host.frame(mfn)?.change(State::validated);
        Ok(())
    }

    /// Replaces a descriptor in a frame of the owner that is a page of descriptors or plain memory.
    ///
    /// # Errors
    /// Not the owner's, in use as a table, or a bad descriptor.
    pub fn update_descriptor(
        &self,
        mmu: &mut MmuState,
        mfn: Mfn,
        index: usize,
        descriptor: u64,
        budget: &mut u32,
    ) -> Progress<()> {
        self.quiet(mmu, budget)?;
        let fixed = check(descriptor)?;
        ensure(index < ENTRIES, PageError::BadFrame)?;
        if self.acquire_usual(self.owner, mfn, PageType::SegDesc) {
            self.host.store(self.host.page(mfn), index, fixed);
            refs::release(self.host, mfn, PageType::SegDesc);
            return Ok(());
        }
        Ok(self.store_in_any(mfn, index, fixed)?)
    }

    /// Stores a checked descriptor in a frame that is not in use as a page of descriptors.
    #[cold]
    fn store_in_any(&self, mfn: Mfn, index: usize, fixed: u64) -> Result<(), PageError> {
        let is_descriptors = self.host.frame(mfn)?.state().is_valid_table(PageType::SegDesc);
        let want = if is_descriptors { PageType::SegDesc } else { PageType::Writable };
        // It may have stopped being a page of descriptors a moment ago: then it is checked.
        self.acquire_checked(mfn, want)?;
        self.host.store(self.host.page(mfn), index, fixed);
        refs::release(self.host, mfn, want);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CODE: u64 = PRESENT | CODE_OR_DATA | (0xa << TYPE_SHIFT);

    fn gate(selector: u64) -> u64 {
        PRESENT | (SYSTEM_CALL_GATE << TYPE_SHIFT) | (selector << GATE_SELECTOR_SHIFT)
    }

    #[test]
    fn absent_descriptor_is_left_alone() {
        assert_eq!(check(0), Ok(0));
        assert_eq!(check(!PRESENT), Ok(!PRESENT));
    }

    #[test]
    fn privilege_of_code_and_data_is_raised() {
        for dpl in 0..4 {
            assert_eq!(check(CODE | (dpl << DPL_SHIFT)), Ok(CODE | DPL_MASK));
        }
    }

    #[test]
    fn system_descriptors_other_than_gates_are_refused() {
        for system_type in (1..16).filter(|system_type| *system_type != SYSTEM_CALL_GATE) {
            assert_eq!(check(PRESENT | (system_type << TYPE_SHIFT)), Err(PageError::BadDescriptor));
        }
        assert!(check(PRESENT).is_ok());
    }

    #[test]
    fn call_gate_may_only_lead_to_guest_code() {
        for selector in [0x0008, 0xdfff, 0xe004, FLAT_KERNEL_CS] {
            let fixed = check(gate(selector)).expect("harmless");
            assert_eq!(fixed & DPL_MASK, 0);
            assert_eq!((fixed >> GATE_SELECTOR_SHIFT) & 3, 3);
        }
        for selector in [0xe000, 0xe008, 0xe030, 0xe03b, 0xfff8] {
            assert_eq!(
                check(gate(selector)),
                Err(PageError::BadDescriptor),
                "selector {selector:#x}"
            );
        }
        assert_eq!(check(gate(8) | (1 << 32)), Err(PageError::BadDescriptor));
    }

    proptest! {
        #[test]
        fn checked_descriptor_passes_unchanged_and_never_names_ring_0_code(raw: u64) {
            if let Ok(fixed) = check(raw) {
                prop_assert_eq!(check(fixed), Ok(fixed));
                let is_segment = fixed & (PRESENT | CODE_OR_DATA) == PRESENT | CODE_OR_DATA;
                prop_assert!(!is_segment || fixed & DPL_MASK == DPL_MASK);
            }
        }
    }
}
