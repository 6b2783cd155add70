//! `badfront WORD [seed=N]`: a guest that breaks the rules of the devices it was given.
//!
//! | word | what it does for ever |
//! |---|---|
//! | `blk-indices`, `net-indices` | publishes indices that cannot be |
//! | `blk-requests`, `net-requests` | random requests, changed again while they are read |
//! | `blk-endless`, `net-endless` | keeps the rings full of the largest requests |
//! | `blk-nodes`, `net-nodes` | garbage in the device's nodes, states in any order, nodes changed while connected |
//! | `store-garbage` | messages without meaning, indices that cannot be |
//! | `store-watches` | as many watches as it gets, and changes that each of them hears of |
//! | `store-transactions` | as many and as large transactions as it gets |
//! | `store-nodes` | as many, as large and as deep nodes as it gets |
//! | `store-deaf` | asks, and reads no answer |
//! | `events` | notifies all of its ports without end |
//! | `console-indices`, `console-endless` | indices that cannot be; output without end |
//!
//! It prints `badfront: WORD round N` now and then. What it is owed in spite of all (each request that
//! was taken is answered once, memory that is not granted stays as it is, quotas hold, a store that starts
//! over answers) it checks itself; it ends with `ZENDO-TEST badfront FAILURE` if that does not hold, and
//! never otherwise. What others are owed is for whoever started it to check.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

mod blk;
mod dice;
mod half;
mod line;
mod net;
mod nodes;
mod pages;
mod ports;
mod store;

use alloc::string::String;
use core::convert::Infallible;

use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{power, println, time};

use dice::Dice;

pvkernel_xen::entry!(run);

/// How long nothing is said after a line about the progress.
const QUIET_NS: u64 = 500_000_000;

/// For ever, or what was not as it has to be.
type Endless = Result<Infallible, String>;

/// Counts rounds and says so now and then.
struct Rounds {
    word: &'static str,
    count: u64,
    next_ns: u64,
}

impl Rounds {
    fn add(&mut self, note: &str) {
        self.count += 1;
        let now_ns = time::now_ns();
        if now_ns >= self.next_ns {
            self.next_ns = now_ns + QUIET_NS;
            println!("badfront: {} round {} {note}", self.word, self.count);
        }
    }
}

fn run(boot: &'static BootInfo) -> ! {
    let mut words = boot.cmdline.split_ascii_whitespace();
    let word = words.find(|word| !word.contains('=')).unwrap_or("");
    let mut dice = Dice::new(boot.args().number("seed").unwrap_or(1));
    let mut rounds = Rounds { word, count: 0, next_ns: 0 };
    let Err(why) = carry_out(word, boot, &mut dice, &mut rounds);
    println!("ZENDO-TEST badfront FAILURE {word}, round {}: {why}", rounds.count);
    power::poweroff()
}

fn carry_out(word: &str, boot: &'static BootInfo, dice: &mut Dice, rounds: &mut Rounds) -> Endless {
    match word {
        "blk-indices" => blk::indices(dice, rounds),
        "blk-requests" => blk::requests(dice, rounds),
        "blk-endless" => blk::endless(dice, rounds),
        "blk-nodes" => nodes::garbage("vbd", dice, rounds),
        "net-indices" => net::indices(dice, rounds),
        "net-requests" => net::requests(dice, rounds),
        "net-endless" => net::endless(rounds),
        "net-nodes" => nodes::garbage("vif", dice, rounds),
        "store-garbage" => store::garbage(dice, rounds),
        "store-watches" => store::watches(rounds),
        "store-transactions" => store::transactions(rounds),
        "store-nodes" => store::nodes(rounds),
        "store-deaf" => store::deaf(dice, rounds),
        "events" => ports::events(boot, rounds),
        "console-indices" => ports::console_indices(boot, dice, rounds),
        "console-endless" => ports::console_endless(rounds),
        _ => Err(String::from("no such word")),
    }
}
