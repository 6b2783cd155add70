//! Hypercalls versus traps: the same wish, by each way there is to get it.
//!
//! Rows are called `versus_WISH_WAY`, and `versus_WISH_WAY_N` where N wishes are granted at once; the
//! page that `cargo xtask report versus` makes says what each of them shows. `cpu` has the
//! interrupt mask and TS, `clock` the timer as well.

mod clock;
mod cpu;
mod cr3;
mod pte;
mod write;

use alloc::vec::Vec;
use hypercall_abi::multicall::MulticallEntry;
use hypercall_abi::nr;
use test_guests::call::hypercall;

use crate::meter::{Meter, Row};

/// The largest batch.
const MOST: usize = 128;

/// The rows of one way, one for each size of the batch; each is per wish, not per batch.
macro_rules! batch {
    ($name:literal, $unit:literal) => {
        $crate::versus::batch!($name, $unit, 1 "1", 2 "2", 4 "4", 8 "8", 16 "16", 32 "32",
            64 "64", 128 "128")
    };
    ($name:literal, $unit:literal, $($size:literal $suffix:literal),+) => {
        [$(($size, $crate::meter::Row::new(concat!($name, "_", $suffix), $unit).per($size))),+]
    };
}
use batch;

/// Runs the topic.
pub fn run(m: &mut Meter) {
    pte::run(m);
    cr3::run(m);
    cpu::run(m);
    write::run(m);
    clock::run(m);
}

/// Batches in one repetition: few of the large ones, or a timer of the hypervisor strikes in each.
const fn rounds(size: usize) -> u64 {
    4 * (MOST / size) as u64
}

/// Whether any row of a batch is asked for.
fn wanted(m: &Meter, rows: &[(usize, Row)]) -> bool {
    rows.iter().any(|(_, row)| m.wants(&[*row]))
}

/// An entry of a multicall.
fn entry(op: u64, args: &[u64]) -> MulticallEntry {
    let mut entry = MulticallEntry { op, ..Default::default() };
    entry.args[..args.len()].copy_from_slice(args);
    entry
}

/// Makes the calls of a list at once; what the multicall itself returns.
fn multicall(entries: &mut [MulticallEntry]) -> i64 {
    hypercall(nr::MULTICALL, &[entries.as_mut_ptr() as u64, entries.len() as u64])
}

/// Whether every entry was carried out; entries begin with another result.
fn all_done(entries: &[MulticallEntry]) -> bool {
    entries.iter().all(|entry| entry.result == 0)
}

/// Entries whose results do not yet look like success.
fn unanswered(entries: impl Iterator<Item = MulticallEntry>) -> Vec<MulticallEntry> {
    entries.map(|entry| MulticallEntry { result: -1, ..entry }).collect()
}
