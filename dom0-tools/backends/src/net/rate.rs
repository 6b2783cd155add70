//! How much a guest may send in a time.
//!
//! A bucket of bytes that is filled anew in each interval. It holds at least one largest packet, so
//! that a small rate delays packets instead of stopping them.

use hypercall_abi::io::net::MAX_TX_SIZE;

/// Bytes per interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bytes that each interval adds.
    pub bytes: u64,
    /// Length of an interval.
    pub interval_ns: u64,
}

impl Rate {
    /// Reads what the toolstack writes into the store: `BYTES,MICROSECONDS`. None when it says nothing
    /// that could be kept.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (bytes, micros) = text.trim().split_once(',')?;
        let (bytes, micros): (u64, u64) = (bytes.trim().parse().ok()?, micros.trim().parse().ok()?);
        let interval_ns = micros.checked_mul(1000).filter(|ns| *ns > 0)?;
        (bytes > 0).then_some(Self { bytes, interval_ns })
    }
}

/// The bucket of one card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    rate: Rate,
    credit: u64,
    /// Begin of the interval whose bytes are in the bucket.
    since_ns: u64,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: Rate, now_ns: u64) -> Self {
        Self { rate, credit: capacity(&rate), since_ns: now_ns }
    }

    /// Takes the bytes of a packet, or says when to come back.
    ///
    /// # Errors
    /// The time at which there will be enough.
    pub fn take(&mut self, bytes: usize, now_ns: u64) -> Result<(), u64> {
        self.fill(now_ns);
        let bytes = (bytes as u64).min(capacity(&self.rate));
        if let Some(left) = self.credit.checked_sub(bytes) {
            self.credit = left;
            return Ok(());
        }
        let intervals = (bytes - self.credit).div_ceil(self.rate.bytes.max(1));
        let wait_ns = intervals.saturating_mul(self.rate.interval_ns);
        Err(self.since_ns.saturating_add(wait_ns))
    }

    fn fill(&mut self, now_ns: u64) {
        let interval_ns = self.rate.interval_ns.max(1);
        let passed = now_ns.saturating_sub(self.since_ns) / interval_ns;
        self.since_ns = self.since_ns.saturating_add(passed.saturating_mul(interval_ns));
        let added = self.rate.bytes.saturating_mul(passed);
        self.credit = self.credit.saturating_add(added).min(capacity(&self.rate));
    }
}

fn capacity(rate: &Rate) -> u64 {
    rate.bytes.max(u64::from(MAX_TX_SIZE))
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Rate};
    use proptest::prelude::*;

    #[test]
    fn the_stores_text_is_read() {
        let rate = Rate { bytes: 62_500, interval_ns: 50_000_000 };
        assert_eq!(Rate::parse("62500,50000"), Some(rate));
        for wrong in ["", "1", "0,1", "1,0", "x,1", "1,y", "-1,1", "1,18446744073709551615"] {
            assert_eq!(Rate::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_passes_stays_below_the_rate_and_everything_passes_at_last(
            bytes in 1u64..200_000, interval_ns in 1u64..1_000_000,
            sizes in proptest::collection::vec(14usize..65536, 1..100), start in 0u64..1_000_000,
        ) {
            let mut now = start;
            let mut bucket = Bucket::new(Rate { bytes, interval_ns }, now);
            let mut sent = 0;
            for size in sizes {
                let mut waits = 0;
                while let Err(at) = bucket.take(size, now) {
                    prop_assert!(at > now);
                    now = at;
                    waits += 1;
                    prop_assert!(waits == 1, "the time that was said was enough");
                }
                sent += size as u64;
                let allowed = ((now - start) / interval_ns + 1) * bytes + bytes.max(65535);
                prop_assert!(sent <= allowed);
            }
        }
    }
}
