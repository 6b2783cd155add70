//! How a row is measured: by the time stamp counter, or between marks for somebody who follows the program.
//!
//! With the counter the cost is the mean of many operations. Between marks nothing is counted here: a few
//! operations are run [`SAMPLES`] times, a pair of marks around each time, and the cost says how many they
//! were. Nothing is printed between the first mark and the last, because printing has its echo in interrupts.

use pvkernel_user::Result;

use crate::ticks::{marked, now};

/// Pairs of marks for each row.
pub const SAMPLES: u64 = 2;
/// Most operations between two marks.
const MARKED: u64 = 10;

/// What a row came to.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Ticks of all of them; nothing between marks.
    ticks: u64,
    /// Operations.
    units: u64,
}

impl Cost {
    /// Each of what was counted as one is so many.
    pub const fn each_is(self, parts: u64) -> Self {
        Self { units: self.units * parts, ..self }
    }

    /// Ticks for one.
    pub const fn mean(self) -> u64 {
        match self.units {
            0 => 0,
            units => self.ticks / units,
        }
    }

    /// Operations, in one pair of marks.
    pub const fn units(self) -> u64 {
        self.units
    }
}

/// How it is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Meter {
    /// By the counter.
    Counter,
    /// Between marks.
    Marks,
}

impl Meter {
    /// The mean of `count` operations, after a few that are not measured.
    pub fn mean(self, count: u64, mut run: impl FnMut() -> Result<()>) -> Result<Cost> {
        for _ in 0..(count / 10).max(2) {
            run()?;
        }
        if self == Self::Marks {
            return marked_mean((count / 10).clamp(1, MARKED), run);
        }
        let start = now();
        for _ in 0..count {
            run()?;
        }
        Ok(Cost { ticks: now() - start, units: count })
    }

    /// The mean of `count` parts, which `run` measures by the `Part` it is given.
    pub fn mean_of_parts(
        self,
        count: u64,
        mut run: impl FnMut(Part) -> Result<u64>,
    ) -> Result<Cost> {
        for _ in 0..2 {
            run(Part(Self::Counter))?;
        }
        let (times, units) = match self {
            Self::Counter => (count, count),
            Self::Marks => (SAMPLES, 1),
        };
        let mut ticks = 0;
        for _ in 0..times {
            ticks += run(Part(self))?;
        }
        Ok(Cost { ticks, units })
    }
}

fn marked_mean(units: u64, mut run: impl FnMut() -> Result<()>) -> Result<Cost> {
    for _ in 0..SAMPLES {
        marked(|| (0..units).try_for_each(|_| run()))?;
    }
    Ok(Cost { ticks: 0, units })
}

/// A part of an operation that is measured alone.
#[derive(Clone, Copy)]
pub struct Part(Meter);

impl Part {
    /// Runs it: its ticks, if those are what is measured.
    pub fn run(self, run: impl FnOnce()) -> u64 {
        if self.0 == Meter::Marks {
            marked(run);
            return 0;
        }
        let start = now();
        run();
        now() - start
    }
}
