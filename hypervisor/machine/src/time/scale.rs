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
    /// Value of the counter at `base_ns`.
    pub base_tsc: u64,
    /// Nanoseconds since boot at `base_tsc`.
    pub base_ns: u64,
}

impl TscScale {
    /// The scale for a counter of `khz` kHz that stands at `base_tsc` at time 0.
    #[must_use]
    pub fn new(khz: u32, base_tsc: u64) -> Self {
        // One tick is 10^6 / khz ns. The multiplier is brought into [2^31, 2^32); dividing last
        // keeps all bits.
        let per_tick = |shift: i8| {
            let numerator = 1_000_000_u128 << 32;
            let khz = u128::from(khz.max(1));
            if shift >= 0 {
                numerator / (khz << shift)
            } else {
                (numerator << -shift) / khz
            }
        };
        let mut shift = 0;
        while shift < 31 && per_tick(shift) >= 1 << 32 {
            shift += 1;
        }
        while shift > -31 && per_tick(shift) < 1 << 31 {
            shift -= 1;
        }
        let fraction = per_tick(shift);
        Self { mul: fraction as u32, shift, khz, base_tsc, base_ns: 0 }
    }

    /// Nanoseconds that `ticks` ticks last.
    #[must_use]
    pub fn ticks_to_ns(&self, ticks: u64) -> u64 {
        ticks_to_ns(ticks, u64::from(self.mul), self.shift)
    }
}

/// Nanoseconds that `ticks` ticks last.
#[inline]
#[must_use]
pub fn ticks_to_ns(ticks: u64, mul: u64, shift: i8) -> u64 {
    let scaled = if shift >= 0 { ticks << shift } else { ticks >> -shift };
    ((u128::from(scaled) * u128::from(mul)) >> 32) as u64
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
