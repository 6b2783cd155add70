//! How a row is measured, and what is printed about it.
//!
//! A row is a loop of operations, run `REPETITIONS` times; its cost is that of the cheapest
//! repetition, so that an interrupt which strikes one of them does not count. Upcalls are masked and
//! periodic timers stopped. Lines, one per row, fields separated by blanks:
//!
//! - `calibration INSTRUCTIONS TICKS`: what the counter shows for a loop of so many instructions.
//! - `clock MUL SHIFT`: the scale from counter ticks to nanoseconds, as in `vcpu_time_info`.
//! - `row NAME UNIT UNITS TICKS ok|BAD`: counter ticks for so many units; the last word is what the
//!   row's proof says, a check after the loop that the operations really happened.
//! - `absent NAME WHY`: a row that cannot be measured here.
//! - `trace SAMPLES NAME:UNITS...`: in trace mode, before the marks of these rows. Then follow
//!   SAMPLES times one pair of marks per name, in this order.
//!
//! The marks are the addresses of `bench_mark_start` and of every symbol whose name begins with
//! `bench_mark_stop`: what is executed between the two is the operation.

use hypercall_abi::shared_info::{VcpuInfo, VcpuTimeInfo};
use hypercall_abi::VcpuId;
use pvkernel_core::cmdline::CommandLine;
use pvkernel_xen::hypercall::vcpu;
use pvkernel_xen::{console, event, println, time};
use zerocopy::FromBytes;

const ROUNDS: u64 = 1000;
const REPETITIONS: usize = 7;
/// Instructions of the calibration loop.
const CALIBRATION: u64 = 1_000_000;
/// Operations before the first mark, and pairs of marks per row, in trace mode.
const WARM_UP: u64 = 2;
const SAMPLES: u64 = 2;

#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .text.bench_marks, \"ax\"",
    ".global bench_mark_start, bench_mark_stop",
    "bench_mark_start: ret",
    "bench_mark_stop: ret",
    ".popsection",
);

#[cfg(target_os = "none")]
mod marks {
    // SAFETY: defined above; both only return.
    unsafe extern "C" {
        pub safe fn bench_mark_start();
        pub safe fn bench_mark_stop();
    }
}

/// On a host the guest does not run; the names only have to exist.
#[cfg(not(target_os = "none"))]
mod marks {
    pub fn bench_mark_start() {}
    pub fn bench_mark_stop() {}
}

/// One row: its name and how its loop is made.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    name: &'static str,
    unit: &'static str,
    per: u64,
    rounds: u64,
    period: u64,
}

impl Row {
    /// A row of 1000 operations of one unit each.
    pub const fn new(name: &'static str, unit: &'static str) -> Row {
        Row { name, unit, per: 1, rounds: ROUNDS, period: 2 }
    }

    /// Each operation is `units` units, as a batch of so many.
    pub const fn per(self, units: u64) -> Row {
        Row { per: units, ..self }
    }

    /// Operations in one repetition; fewer for long ones. A multiple of the period.
    pub const fn rounds(self, rounds: u64) -> Row {
        Row { rounds, ..self }
    }

    /// After how many operations they repeat: 2 (usual) where two directions take turns.
    pub const fn period(self, period: u64) -> Row {
        Row { period, ..self }
    }
}

/// Where one operation made of several measured parts stands.
pub struct Parts<'a> {
    ticks: &'a mut [u64],
    mark: bool,
}

impl Parts<'_> {
    /// Measures part number `index`. In trace mode parts must come in the order of their rows,
    /// each exactly once.
    #[inline]
    pub fn time<R>(&mut self, index: usize, part: impl FnOnce() -> R) -> R {
        if self.mark {
            marks::bench_mark_start();
            let result = part();
            marks::bench_mark_stop();
            return result;
        }
        let start = time::tsc();
        let result = part();
        self.ticks[index] += time::tsc() - start;
        result
    }

    /// Measures a part that ends in a handler, which reads the counter itself and leaves what it
    /// read where `stamp` finds it. In trace mode the handler's `bench_mark_stop...` label ends it.
    #[inline]
    pub fn until(&mut self, index: usize, part: impl FnOnce(), stamp: impl FnOnce() -> u64) {
        if self.mark {
            marks::bench_mark_start();
            part();
            return;
        }
        self.since(index, time::tsc(), part, stamp);
    }

    /// As [`Parts::until`], but counted from another moment, for instance a deadline that `part`
    /// waits for. In trace mode the wait is in the trace.
    #[inline]
    pub fn since(
        &mut self,
        index: usize,
        start: u64,
        part: impl FnOnce(),
        stamp: impl FnOnce() -> u64,
    ) {
        if self.mark {
            marks::bench_mark_start();
            return part();
        }
        part();
        self.ticks[index] += stamp().wrapping_sub(start);
    }
}

/// Measures rows and prints them.
pub struct Meter {
    only: Option<&'static str>,
    trace: bool,
    rows: u32,
    bad: u32,
}

impl Meter {
    /// Reads the words of the command line.
    pub fn new(args: &CommandLine<'static>) -> Meter {
        Meter { only: args.value("rows"), trace: args.has("trace"), rows: 0, bad: 0 }
    }

    /// Silences the machine and shows what the counter counts.
    pub fn begin(&self) {
        event::mask_upcalls();
        // Xen starts vCPUs with a periodic timer, Zendo without: either answer is fine.
        let _ = vcpu::stop_periodic_timer(VcpuId::new(0));
        if self.trace {
            println!("trace ready");
            while console::read_byte().is_none() {}
            // The byte came with an event: while it is pending, each way back here looks at it.
            event::enable_upcalls();
            event::mask_upcalls();
            return;
        }
        println!("calibration {CALIBRATION} {}", calibrate());
        let (mul, shift) = scale();
        println!("clock {mul} {shift}");
    }

    /// Whether any of these rows is asked for; set-up that nobody needs can be left out.
    pub fn wants(&self, rows: &[Row]) -> bool {
        rows.iter().any(|row| self.selects(row.name))
    }

    fn selects(&self, name: &str) -> bool {
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        };
        self.only.is_none_or(|only| only.split('+').any(matches))
    }

    /// Measures a loop of one operation on `state`. `proof` gets the state and the number of
    /// operations made since the row began, and says whether they all happened.
    pub fn cost<S>(
        &mut self,
        row: Row,
        mut state: S,
        mut operation: impl FnMut(&mut S),
        proof: impl FnOnce(&mut S, u64) -> bool,
    ) {
        if !self.selects(row.name) {
            return;
        }
        let mut op = || operation(&mut state);
        let (made, ticks) = match self.trace {
            true => (trace_loop(row, &mut op), 0),
            false => (row.rounds * REPETITIONS as u64, cheapest(row.rounds, &mut op)),
        };
        let good = proof(&mut state, made);
        self.finish(row, ticks, good);
    }

    /// Measures the parts of an operation, one row for each part. All rows have the rounds and the
    /// period of the first. `proof` as in [`Meter::cost`].
    pub fn parts<S, const N: usize>(
        &mut self,
        rows: [Row; N],
        mut state: S,
        mut operation: impl FnMut(&mut S, &mut Parts),
        proof: impl FnOnce(&mut S, u64) -> bool,
    ) {
        if !self.wants(&rows) {
            return;
        }
        let mut op = |parts: &mut Parts| operation(&mut state, parts);
        let (made, ticks) = match self.trace {
            true => (trace_parts(&rows, &mut op), [0; N]),
            false => (rows[0].rounds * REPETITIONS as u64, cheapest_parts(rows[0].rounds, &mut op)),
        };
        let good = proof(&mut state, made);
        for (row, ticks) in rows.into_iter().zip(ticks) {
            self.finish(row, ticks, good);
        }
    }

    /// Measures an operation that reads the counter at its own beginning and end, out of reach of
    /// the marks, and returns the difference. `proof` gets the number of operations made.
    pub fn timed(
        &mut self,
        row: Row,
        mut operation: impl FnMut() -> u64,
        proof: impl FnOnce(u64) -> bool,
    ) {
        if self.trace {
            return self.absent(row, "begins where no mark can be");
        }
        let measure = |(): &mut (), parts: &mut Parts| parts.ticks[0] += operation();
        self.parts([row], (), measure, |(), made| proof(made));
    }

    /// A row that cannot be measured here.
    pub fn absent(&self, row: Row, why: &str) {
        if self.selects(row.name) {
            println!("absent {} {why}", row.name);
        }
    }

    fn finish(&mut self, row: Row, ticks: u64, good: bool) {
        self.rows += 1;
        self.bad += u32::from(!good);
        let proof = if good { "ok" } else { "BAD" };
        match self.trace {
            true if good => {}
            true => println!("bad {}", row.name),
            false => {
                println!("row {} {} {} {ticks} {proof}", row.name, row.unit, row.rounds * row.per)
            }
        }
    }

    /// The word of the last line.
    pub fn verdict(&self) -> &'static str {
        match (self.rows, self.bad) {
            (0, _) => "ERROR",
            (_, 0) => "SUCCESS",
            _ => "FAILURE",
        }
    }
}

/// Ticks of the cheapest repetition.
fn cheapest(rounds: u64, op: &mut impl FnMut()) -> u64 {
    let one = |_| {
        let start = time::tsc();
        for _ in 0..rounds {
            op();
        }
        time::tsc() - start
    };
    (0..REPETITIONS).map(one).min().unwrap_or(0)
}

fn cheapest_parts<const N: usize>(rounds: u64, op: &mut impl FnMut(&mut Parts)) -> [u64; N] {
    let mut best = [u64::MAX; N];
    for _ in 0..REPETITIONS {
        let mut ticks = [0; N];
        for _ in 0..rounds {
            op(&mut Parts { ticks: &mut ticks, mark: false });
        }
        best = core::array::from_fn(|part| best[part].min(ticks[part]));
    }
    best
}

fn trace_loop(row: Row, op: &mut impl FnMut()) -> u64 {
    println!("trace {SAMPLES} {}:{}", row.name, row.period * row.per);
    (0..WARM_UP * row.period).for_each(|_| op());
    for _ in 0..SAMPLES {
        marks::bench_mark_start();
        (0..row.period).for_each(|_| op());
        marks::bench_mark_stop();
    }
    (WARM_UP + SAMPLES) * row.period
}

fn trace_parts(rows: &[Row], op: &mut impl FnMut(&mut Parts)) -> u64 {
    let (period, samples) = (rows[0].period, SAMPLES * rows[0].period);
    pvkernel_core::print!("trace {samples}");
    rows.iter().for_each(|row| pvkernel_core::print!(" {}:{}", row.name, row.per));
    println!();
    for round in 0..WARM_UP * period + samples {
        // Ticks of a traced operation mean nothing; there is room for those of any row.
        op(&mut Parts { ticks: &mut [0; 16], mark: round >= WARM_UP * period });
    }
    WARM_UP * period + samples
}

/// Ticks of the calibration loop.
fn calibrate() -> u64 {
    let one = |_| {
        let start = time::tsc();
        // SAFETY: counts a register down; two instructions per round.
        unsafe {
            core::arch::asm!("2: dec {0}", "jnz 2b", inout(reg) CALIBRATION / 2 => _,
                options(nomem, nostack));
        }
        time::tsc() - start
    };
    (0..REPETITIONS).map(one).min().unwrap_or(0)
}

/// Multiplier and shift from ticks to nanoseconds.
fn scale() -> (u32, i8) {
    let mut raw = [0; size_of::<VcpuTimeInfo>()];
    event::vcpu_info().read(core::mem::offset_of!(VcpuInfo, time), &mut raw);
    let info = VcpuTimeInfo::read_from_bytes(&raw).ok();
    info.map_or((0, 0), |info| (info.tsc_to_system_mul, info.tsc_shift))
}
