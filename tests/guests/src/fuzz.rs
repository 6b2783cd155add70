//! `fuzz seed=N steps=N gentle=0|1`: makes hypercalls at random, with arguments that are nearly right.
//!
//! The numbers are drawn from pools of what such calls take: small numbers, edges, addresses of a
//! scratch area full of the same kind of numbers, frames of the domain, machine addresses of its
//! page-table entries. With `gentle=1` calls are left out after which a domain rarely lives long, so
//! that the others get their turn. The domain may die of it at any step; that is one of the right answers. What
//! must not happen is that anything else suffers, which is for whoever started it to check.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

use core::cell::UnsafeCell;

use hypercall_abi::{nr, sched, DomId, Pfn};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{hypercall, mmu, p2m, power, println};

pvkernel_xen::entry!(run);

/// Words of the scratch area.
const WORDS: usize = 2048;
/// Calls between two progress lines.
const REPORT_EVERY: u64 = 10_000;

/// Memory that hypercalls may read and write as they like.
#[repr(align(4096))]
struct Scratch(UnsafeCell<[u64; WORDS]>);

// SAFETY: the domain has one thread that uses it, and its content is never relied on.
unsafe impl Sync for Scratch {}

static SCRATCH: Scratch = Scratch(UnsafeCell::new([0; WORDS]));

fn scratch() -> u64 {
    SCRATCH.0.get() as u64
}

/// A generator of numbers that look random and can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // Marsaglia's xorshift; the state is never 0.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn frame(&mut self) -> u64 {
        let pfn = Pfn::new(self.below(p2m::count() as u64));
        match self.below(8) {
            0 => mmu::root().get(),
            _ => p2m::mfn(pfn).map_or(0, |mfn| mfn.get()),
        }
    }

    /// A number of one of the kinds that arguments have.
    fn argument(&mut self) -> u64 {
        match self.below(12) {
            0..=3 => self.below(40),
            4 => (1u64 << self.below(64)).wrapping_sub(self.below(2)),
            5 => {
                [u64::MAX, 1 << 63, 0xffff_8000_0000_0000, 0x7fff_ffff_f000][self.below(4) as usize]
            }
            6 | 7 => scratch() + self.below(WORDS as u64) * 8,
            8 => self.frame(),
            9 => self.frame() << 12 | self.below(512) << 3 | self.below(4),
            10 => self.frame() << 12 | self.below(1 << 12) | self.below(2) << 63,
            _ => {
                let ids = [DomId::SELF, DomId::IO, DomId::XEN, DomId::DOM0, DomId::new(1)];
                u64::from(ids[self.below(5) as usize].get())
            }
        }
    }

    fn fill_scratch(&mut self) {
        for _ in 0..16 {
            let at = scratch() + self.below(WORDS as u64) * 8;
            let value = self.argument();
            // SAFETY: within the scratch area, whose content means nothing.
            unsafe { (at as *mut u64).write_volatile(value) };
        }
    }

    /// The number of a hypercall, leaving out those after which nothing follows.
    fn number(&mut self) -> u64 {
        loop {
            let number = self.below(nr::DOMCTL + 8);
            if number != nr::IRET {
                return number;
            }
        }
    }
}

/// Calls that soon leave the domain without the means to go on: entry points, roots, descriptors.
const DEADLY: [u64; 7] = [
    nr::SET_TRAP_TABLE,
    nr::SET_CALLBACKS,
    nr::CALLBACK_OP,
    nr::SET_GDT,
    nr::MULTICALL,
    nr::MMUEXT_OP,
    nr::SET_SEGMENT_BASE,
];

/// Whether a call would put the domain to sleep or end it without having asked anything.
fn is_the_end(number: u64, args: &[u64; 5]) -> bool {
    let command = args[0] as u32;
    number == nr::SCHED_OP && matches!(command, sched::BLOCK | sched::SHUTDOWN | sched::POLL)
}

fn run(boot: &'static BootInfo) -> ! {
    let number = |key| boot.args().value(key).and_then(|text| text.parse::<u64>().ok());
    let steps = number("steps").unwrap_or(20_000);
    let mut random = Random(number("seed").unwrap_or(0).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let spare = number("gentle").unwrap_or(0) != 0;
    let mut refused = 0;
    for step in 1..=steps {
        random.fill_scratch();
        let nr = random.number();
        let args = [(); 5].map(|()| random.argument());
        if is_the_end(nr, &args) || spare && DEADLY.contains(&nr) {
            continue;
        }
        // SAFETY: not sound, and meant to be: the domain does not care what becomes of it.
        let result = unsafe { hypercall::raw(nr, args) };
        refused += u64::from(result < 0);
        if step % REPORT_EVERY == 0 {
            println!("fuzz: {step} calls, {refused} refused");
        }
    }
    println!("ZENDO-TEST fuzz SUCCESS {steps} calls, {refused} refused");
    power::poweroff()
}
