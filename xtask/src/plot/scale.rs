//! Logarithmic scales: from values to pixels, and where the ticks are.

/// A logarithmic scale.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Log {
    /// A scale that holds all values, between two positions. It begins and ends at 1, 2 or 5 times a
    /// power of ten; values below the first tick, as 0, are shown at it.
    pub fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Log {
        let positive = values.filter(|value| *value > 0.0 && value.is_finite());
        let (least, most) = positive
            .fold((f64::MAX, 0.0f64), |(least, most), value| (least.min(value), most.max(value)));
        match least <= most {
            true => Log { low: round_down(least), high: round_up(most), from, to },
            false => Log { low: 1.0, high: 10.0, from, to },
        }
    }

    /// A scale between two values.
    pub fn between(low: f64, high: f64, from: f64, to: f64) -> Log {
        Log { low, high, from, to }
    }

    /// Where a value is.
    pub fn at(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + share * (self.to - self.from)
    }

    /// The powers of ten on the scale; on a scale of few, 2 and 5 times them as well.
    pub fn ticks(&self) -> Vec<f64> {
        let factors: &[f64] = if self.high / self.low > 900.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let mut ticks = Vec::new();
        let mut power = 10f64.powf(self.low.log10().floor());
        while power <= self.high {
            ticks.extend(factors.iter().map(|factor| factor * power));
            power *= 10.0;
        }
        // A little room for rounding.
        ticks.retain(|tick| *tick >= self.low * 0.999 && *tick <= self.high * 1.001);
        ticks
    }
}

fn round_down(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let fits = |factor: &f64| factor * power <= value * 1.001;
    [5.0, 2.0].into_iter().find(fits).unwrap_or(1.0) * power
}

fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let fits = |factor: &f64| factor * power >= value * 0.999;
    // Never the same as the lower end.
    [2.0, 5.0].into_iter().find(fits).unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_begins_and_ends_at_round_numbers() {
        let scale = Log::around([6.6, 1822.0].into_iter(), 0.0, 300.0);
        assert_eq!((scale.low, scale.high), (5.0, 2000.0));
        assert!((scale.at(5.0), scale.at(2000.0)) == (0.0, 300.0));
        assert!(scale.at(100.0) > 100.0 && scale.at(100.0) < 200.0);
        assert_eq!(scale.ticks(), [5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0]);
    }

    #[test]
    fn a_long_scale_has_powers_of_ten_only() {
        let scale = Log::around([1.0, 20_000.0].into_iter(), 0.0, 100.0);
        assert_eq!(scale.ticks(), [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
    }

    #[test]
    fn nothing_and_nonsense_do_not_break_a_scale() {
        let scale = Log::around([0.0, f64::NAN].into_iter(), 0.0, 100.0);
        assert!(scale.at(0.0) == 0.0 && scale.at(1e9) == 100.0);
        let one = Log::around([10.0].into_iter(), 0.0, 100.0);
        assert!(one.high > one.low, "{one:?}");
    }
}
