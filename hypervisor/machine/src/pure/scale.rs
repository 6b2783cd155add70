//! From counter ticks to nanoseconds, in the form Xen's ABI gives to guests.
//!
//! `ns = ((ticks << shift) * mul) >> 32`, with a right shift for a negative `shift`. Pure.

/// How the time stamp counter relates to nanoseconds since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TscScale {
    /// Multiplier, a fraction of 2^32.
    pub mul: u32,
    /// Power of two to apply before multiplying.
    pub shift: i8,
    /// Rate of the counter in kHz.
    pub khz: u32,
    /// Value of the counter at time 0.
    pub base_tsc: u64,
}

impl TscScale {
    /// The scale for a counter of `khz` kHz that stands at `base_tsc` at time 0.
    pub fn new(khz: u32, base_tsc: u64) -> Self {
        // One tick is 10^6 / khz ns. The multiplier is brought into [2^31, 2^32); dividing last
        // keeps all bits.
        let per_tick =
            |shift: i8| ((1_000_000_u128 << 64) / u128::from(khz.max(1))) >> (32 + shift);
        let shift = (-31..32).find(|shift| per_tick(*shift) < 1 << 32).unwrap_or(31);
        Self { mul: per_tick(shift) as u32, shift, khz, base_tsc }
    }

    /// Nanoseconds that `ticks` ticks last.
    pub fn ticks_to_ns(&self, ticks: u64) -> u64 {
        let scaled = if self.shift >= 0 { ticks << self.shift } else { ticks >> -self.shift };
        ((u128::from(scaled) * u128::from(self.mul)) >> 32) as u64
    }

    /// Nanoseconds since boot when the counter stands at `tsc`.
    pub fn ns_at(&self, tsc: u64) -> u64 {
        self.ticks_to_ns(tsc.saturating_sub(self.base_tsc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_second_is_a_second(khz in 100_000_u32..10_000_000) {
            let scale = TscScale::new(khz, 0);
            let ns = scale.ticks_to_ns(u64::from(khz) * 1000);
            prop_assert!(ns.abs_diff(1_000_000_000) < 10, "{} at {}", ns, khz);
            prop_assert!(scale.mul >= 1 << 31);
        }

        #[test]
        fn time_never_goes_back(khz in 100_000_u32..10_000_000, at in 0_u64..1 << 50, step in 0_u64..1 << 20) {
            let scale = TscScale::new(khz, 0);
            prop_assert!(scale.ticks_to_ns(at + step) >= scale.ticks_to_ns(at));
        }
    }

    #[test]
    fn one_tick_per_nanosecond_is_exact() {
        let scale = TscScale::new(1_000_000, 0);
        assert_eq!((scale.mul, scale.shift), (1 << 31, 1));
        assert_eq!(scale.ticks_to_ns(123_456_789), 123_456_789);
    }
}
