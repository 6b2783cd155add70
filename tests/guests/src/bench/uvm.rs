//! `update_va_mapping`: a live mapping changes between two pages, or between two rights.

use hypercall_abi::mmu::{pte, uvmf};
use hypercall_abi::multicall::MulticallEntry;
use hypercall_abi::nr;
use pvkernel_xen::mmu::{self, KERNEL_RO, KERNEL_RW};
use test_guests::call::{address, hypercall};
use test_guests::pages::{Page, STORED_KERNEL};

use crate::meter::{Meter, Row};

/// Calls in the multicall.
const CALLS: usize = 16;
/// Repetitions of the multicall in a loop.
const BATCHES: u64 = 200;

/// Runs the topic.
pub fn run(m: &mut Meter) {
    let frames = |slot: &Page, other: &Page| [other.entry(KERNEL_RW), slot.entry(KERNEL_RW)];
    let rights = |slot: &Page, _: &Page| [slot.entry(KERNEL_RO), slot.entry(KERNEL_RW)];
    let (flush, page) = (uvmf::TLB_FLUSH, uvmf::INVLPG);
    remap(m, "uvm_none", uvmf::NONE, frames);
    remap(m, "uvm_invlpg_local", page | uvmf::LOCAL, frames);
    remap(m, "uvm_invlpg_all", page | uvmf::ALL, frames);
    remap(m, "uvm_tlbflush_local", flush | uvmf::LOCAL, frames);
    remap(m, "uvm_tlbflush_all", flush | uvmf::ALL, frames);
    remap(m, "uvm_rw_ro_invlpg", page | uvmf::LOCAL, rights);
    multicall(m);
}

/// A mapping and the two entries it gets in turn.
struct Remap {
    va: u64,
    values: [u64; 2],
    flags: u64,
    next: usize,
    failed: u64,
}

impl Remap {
    fn go(&mut self) {
        let value = self.values[self.next];
        self.next ^= 1;
        let ret = hypercall(nr::UPDATE_VA_MAPPING, &[self.va, value, self.flags]);
        self.failed += u64::from(ret != 0);
    }

    /// The entry is the one stored last.
    fn shows(&self) -> bool {
        mmu::lookup(self.va) == Some(self.values[self.next ^ 1] | STORED_KERNEL)
    }
}

fn remap(m: &mut Meter, name: &'static str, flags: u64, values: fn(&Page, &Page) -> [u64; 2]) {
    let (slot, other) = (Page::new(), Page::new());
    // Each page holds its own address.
    [&slot, &other].into_iter().for_each(|page| page.write(0, page.mfn.maddr()));
    let values = values(&slot, &other);
    let state = Remap { va: slot.va, values, flags, next: 0, failed: 0 };
    m.cost(Row::new(name, "hypercall"), state, Remap::go, |remap, _| {
        let last = remap.shows();
        let both = (0..2).all(|_| {
            remap.go();
            // Without a flush the page that is seen may be either.
            let seen = slot.read(0) == pte::mfn(remap.values[remap.next ^ 1]).maddr();
            remap.shows() && (seen || flags == uvmf::NONE)
        });
        last && both && remap.failed == 0
    });
}

/// A list of calls for each turn.
struct Lists {
    lists: [[MulticallEntry; CALLS]; 2],
    next: usize,
    failed: u64,
}

impl Lists {
    fn go(&mut self) {
        let list = &mut self.lists[self.next];
        self.next ^= 1;
        self.failed += u64::from(hypercall(nr::MULTICALL, &[address(list), CALLS as u64]) != 0);
    }
}

fn multicall(m: &mut Meter) {
    let slots: [Page; CALLS] = core::array::from_fn(|_| Page::new());
    let other = Page::new();
    let value = |turn: usize, slot: &Page| [&other, slot][turn].entry(KERNEL_RW);
    let list = |turn| {
        core::array::from_fn(|at| {
            let args = [slots[at].va, value(turn, &slots[at]), uvmf::NONE, 0, 0, 0];
            MulticallEntry { op: nr::UPDATE_VA_MAPPING, result: -1, args }
        })
    };
    let state = Lists { lists: [0, 1].map(list), next: 0, failed: 0 };
    let row =
        Row::new("multicall_16_uvm_none_per_entry", "entry").per(CALLS as u64).rounds(BATCHES);
    m.cost(row, state, Lists::go, |state, _| {
        let both = (0..2).all(|turn| {
            state.lists[turn].iter_mut().for_each(|entry| entry.result = -1);
            state.go();
            let done = state.lists[turn].iter().all(|entry| entry.result == 0);
            let stored = |slot| Some(value(turn, slot) | STORED_KERNEL);
            done && slots.iter().all(|slot| mmu::lookup(slot.va) == stored(slot))
        });
        both && state.failed == 0
    });
}
