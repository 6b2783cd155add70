//! `ping`: a line for each answer, and the sums at the end, as ping(8) prints them.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::net::Ipv4Addr;

use super::ms;
use crate::net::{NetError, Pinger, Stack};

/// What to ping and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Whom.
    pub to: Ipv4Addr,
    /// How often; 0 is for ever.
    pub count: u64,
    /// Time between requests.
    pub interval_ns: u64,
    /// How long an answer may take.
    pub timeout_ns: u64,
    /// Bytes in a request.
    pub len: usize,
    /// The next request goes out when the last was answered, and answers have no line each.
    pub is_flood: bool,
}

impl Plan {
    /// One request a second, as people expect.
    #[must_use]
    pub const fn new(to: Ipv4Addr, count: u64) -> Self {
        let second = 1_000_000_000;
        Self { to, count, interval_ns: second, timeout_ns: second, len: 56, is_flood: false }
    }
}

/// The sums over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Requests sent.
    pub sent: u64,
    /// Answers.
    pub received: u64,
    /// From the first request to the last answer.
    pub took_ns: u64,
    /// The shortest time of an answer.
    pub min_ns: u64,
    /// The longest.
    pub max_ns: u64,
    total_ns: u64,
    squares: u128,
}

impl Sums {
    /// Counts an answer.
    pub fn add(&mut self, ns: u64) {
        self.min_ns = if self.received == 0 { ns } else { self.min_ns.min(ns) };
        self.max_ns = self.max_ns.max(ns);
        self.received += 1;
        self.total_ns = self.total_ns.saturating_add(ns);
        self.squares = self.squares.saturating_add(u128::from(ns) * u128::from(ns));
    }

    /// The average time of an answer.
    #[must_use]
    pub const fn average_ns(&self) -> u64 {
        match self.total_ns.checked_div(self.received) {
            Some(average) => average,
            None => 0,
        }
    }

    /// How much the times differ: their standard deviation.
    #[must_use]
    pub fn deviation_ns(&self) -> u64 {
        let average = u128::from(self.average_ns());
        let mean_square = self.squares / u128::from(self.received.max(1));
        mean_square.saturating_sub(average * average).isqrt() as u64
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = (self.sent - self.received.min(self.sent)) * 100;
        write!(
            f,
            "{} packets transmitted, {} received, {}% packet loss, time {} ms",
            self.sent,
            self.received,
            lost.checked_div(self.sent).unwrap_or(0),
            self.took_ns / 1_000_000
        )?;
        if self.received == 0 {
            return Ok(());
        }
        let [min, average, max, deviation] =
            [self.min_ns, self.average_ns(), self.max_ns, self.deviation_ns()].map(ms);
        write!(f, "\nrtt min/avg/max/mdev = {min}/{average}/{max}/{deviation} ms")
    }
}

/// Pings until the count is reached or `is_over` says so; prints lines, returns the sums.
///
/// # Errors
/// What prevents sending.
pub fn run(
    stack: &'static Stack,
    plan: &Plan,
    is_over: &dyn Fn() -> bool,
    print: &mut dyn FnMut(&str),
) -> Result<Sums, NetError> {
    let pinger = Pinger::open(stack, plan.len)?;
    let kernel = stack.kernel();
    let mut sums = Sums::default();
    let begin_ns = kernel.now_ns();
    while (plan.count == 0 || sums.sent < plan.count) && !is_over() {
        let next_ns = kernel.now_ns().saturating_add(plan.interval_ns);
        let sequence = sums.sent as u16;
        sums.sent += 1;
        let line = match pinger.ping(plan.to, sequence, plan.timeout_ns) {
            Ok(echo) => {
                sums.add(echo.took_ns);
                answered(echo.len, plan, sequence, echo.took_ns)
            }
            Err(NetError::TimedOut) => {
                let timeout_ms = plan.timeout_ns / 1_000_000;
                format!("no answer to seq={sequence} within {timeout_ms} ms")
            }
            Err(error) => return Err(error),
        };
        sums.took_ns = kernel.now_ns() - begin_ns;
        if !plan.is_flood {
            print(&line);
            if plan.count == 0 || sums.sent < plan.count {
                kernel.sleep_until(next_ns);
            }
        }
    }
    Ok(sums)
}

fn answered(len: usize, plan: &Plan, sequence: u16, took_ns: u64) -> String {
    format!("{len} bytes from {}: seq={sequence} time={} ms", plan.to, ms(took_ns))
}

#[cfg(test)]
mod tests {
    use super::Sums;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn sums_read_as_ping_prints_them() {
        let mut sums = Sums { sent: 4, took_ns: 3_004_000_000, ..Sums::default() };
        [400_000, 200_000, 300_000].into_iter().for_each(|ns| sums.add(ns));
        assert_eq!(
            sums.to_string(),
            "4 packets transmitted, 3 received, 25% packet loss, time 3004 ms\n\
             rtt min/avg/max/mdev = 0.200/0.300/0.400/0.081 ms"
        );
        assert_eq!(
            Sums::default().to_string(),
            "0 packets transmitted, 0 received, 0% packet loss, time 0 ms"
        );
    }

    proptest! {
        #[test]
        fn any_times_have_sums(times in proptest::collection::vec(any::<u64>(), 0..40)) {
            let mut sums = Sums { sent: 40, ..Sums::default() };
            times.iter().for_each(|ns| sums.add(*ns));
            prop_assert_eq!(sums.received, times.len() as u64);
            prop_assert_eq!(sums.max_ns, times.iter().copied().max().unwrap_or(0));
            prop_assert_eq!(sums.min_ns, times.iter().copied().min().unwrap_or(0));
            let _ = sums.to_string();
        }

        #[test]
        fn average_and_deviation_are_those_of_the_times(
            times in proptest::collection::vec(0u64..1_000_000_000, 1..40),
        ) {
            let mut sums = Sums::default();
            times.iter().for_each(|ns| sums.add(*ns));
            let n = times.len() as f64;
            let mean = times.iter().map(|ns| *ns as f64).sum::<f64>() / n;
            let var = times.iter().map(|ns| (*ns as f64 - mean).powi(2)).sum::<f64>() / n;
            prop_assert!((sums.average_ns() as f64 - mean).abs() <= 1.0);
            // The average is whole nanoseconds, which the squares magnify.
            let limit = 2.0 + (2.0 * mean).sqrt();
            prop_assert!((sums.deviation_ns() as f64 - var.sqrt()).abs() <= limit);
        }
    }
}
