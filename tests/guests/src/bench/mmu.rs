//! `mmu_update`: entries of a leaf table, alone and in batches, and the machine-to-physical table.
//!
//! Every operation gives its entries one of two values, in turn, so that each has work to do.

use hypercall_abi::mmu::{
    pte, MmuUpdate, MMU_MACHPHYS_UPDATE, MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_PRESERVE_AD,
};
use hypercall_abi::{nr, DomId};
use pvkernel_xen::mmu::{KERNEL_RO, KERNEL_RW};
use test_guests::call::{address, hypercall};
use test_guests::pages::{m2p, Page, Table, STORED_KERNEL};

use crate::meter::{Meter, Row};

/// A bit of an entry that means nothing to the hypervisor.
const FREE_BIT: u64 = 1 << 10;
/// Repetitions of a batch in a loop.
const BATCHES: u64 = 100;

/// Runs the topic.
pub fn run(m: &mut Meter) {
    let (table, a, b) = (Table::new(1), Page::new(), Page::new());
    let frames = [a.entry(KERNEL_RW), b.entry(KERNEL_RW)];
    let one = |name| Row::new(name, "update");
    let normal = MMU_NORMAL_PT_UPDATE;
    let protect = [a.entry(KERNEL_RW), a.entry(KERNEL_RO)];
    let flag = [a.entry(KERNEL_RW), a.entry(KERNEL_RW | FREE_BIT)];
    leaf::<1>(m, one("mmu_update_1_change_frame"), &table, normal, frames);
    leaf::<1>(m, one("mmu_update_1_rw_ro"), &table, normal, protect);
    leaf::<1>(m, one("mmu_update_1_flags_fastpath"), &table, normal, flag);
    leaf::<1>(m, one("mmu_update_1_map_unmap"), &table, normal, [frames[0], 0]);
    leaf::<1>(m, one("mmu_update_1_same_value"), &table, normal, [frames[0]; 2]);
    let preserve = one("mmu_update_1_preserve_ad");
    leaf::<1>(m, preserve, &table, MMU_PT_UPDATE_PRESERVE_AD, frames);
    let batch = |name, size| one(name).per(size).rounds(BATCHES);
    leaf::<16>(m, batch("mmu_update_16_change_frame_per_entry", 16), &table, normal, frames);
    leaf::<64>(m, batch("mmu_update_64_change_frame_per_entry", 64), &table, normal, frames);
    leaf::<128>(m, batch("mmu_update_128_change_frame_per_entry", 128), &table, normal, frames);
    let map_unmap = batch("mmu_update_128_map_unmap_per_entry", 128);
    leaf::<128>(m, map_unmap, &table, normal, [frames[0], 0]);
    physical::<1>(m, one("mmu_update_machphys_1"));
    physical::<16>(m, batch("mmu_update_machphys_16_per_entry", 16));
}

/// Two lists of requests that take turns.
struct Turns<const N: usize> {
    lists: [[MmuUpdate; N]; 2],
    next: usize,
    failed: u64,
}

impl<const N: usize> Turns<N> {
    fn new(lists: [[MmuUpdate; N]; 2]) -> Self {
        Turns { lists, next: 0, failed: 0 }
    }

    fn go(&mut self) {
        let list = &mut self.lists[self.next];
        self.next ^= 1;
        let args = [address(list), N as u64, 0, u64::from(DomId::SELF.get())];
        self.failed += u64::from(hypercall(nr::MMU_UPDATE, &args) != 0);
    }

    /// All calls succeeded, and after the last one and two more the entries are as `shows` wants
    /// them after the list of that number.
    fn worked(&mut self, shows: impl Fn(usize) -> bool) -> bool {
        let last = shows(self.next ^ 1);
        let both = (0..2).all(|_| {
            self.go();
            shows(self.next ^ 1)
        });
        last && both && self.failed == 0
    }
}

/// What is stored for an entry of the kernel.
fn stored(value: u64) -> u64 {
    if value & pte::PRESENT == 0 {
        value
    } else {
        value | STORED_KERNEL
    }
}

/// A row for the first `N` entries of a leaf table.
fn leaf<const N: usize>(m: &mut Meter, row: Row, table: &Table, cmd: u64, values: [u64; 2]) {
    let list =
        |value| core::array::from_fn(|index| MmuUpdate::new(cmd, table.page.maddr(index), value));
    let shows = |turn: usize| (0..N).all(|index| table.get(index) == stored(values[turn]));
    m.cost(row, Turns::<N>::new(values.map(list)), Turns::go, |turns, _| turns.worked(shows));
    (0..N).for_each(|index| assert_eq!(table.set(index, 0), 0, "an entry can be cleared"));
}

/// A row for the numbers of `N` frames.
fn physical<const N: usize>(m: &mut Meter, row: Row) {
    let pages: [Page; N] = core::array::from_fn(|_| Page::new());
    let number = |page: &Page, turn| page.pfn.get() ^ turn;
    let list = |turn| {
        let request =
            |page: &Page| MmuUpdate::new(MMU_MACHPHYS_UPDATE, page.mfn.maddr(), number(page, turn));
        core::array::from_fn(|at| request(&pages[at]))
    };
    let shows = |turn| pages.iter().all(|page| m2p(page.mfn) == number(page, turn as u64));
    // The lists begin with the wrong numbers and end, after any pair, with the right ones.
    m.cost(row, Turns::<N>::new([1, 0].map(list)), Turns::go, |turns, _| {
        turns.worked(|turn| shows(turn ^ 1))
    });
}
