//! The time stamp counter, memory by the page, and means. The unsafe code of the bench is here.

use pvkernel_user::abi::PAGE_SIZE;
use pvkernel_user::{sys, Result};

/// The counter now.
#[must_use]
pub fn now() -> u64 {
    #[cfg(target_os = "none")]
    // SAFETY: it reads a counter that programs may read.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_os = "none"))]
    0
}

/// The mean of `count` operations, after a few that are not measured.
pub fn mean(count: u64, mut run: impl FnMut() -> Result<()>) -> Result<u64> {
    for _ in 0..(count / 10).max(2) {
        run()?;
    }
    let start = now();
    for _ in 0..count {
        run()?;
    }
    Ok((now() - start) / count.max(1))
}

/// The mean of `count` parts that are measured inside `run`.
pub fn mean_of_parts(count: u64, mut run: impl FnMut() -> Result<u64>) -> Result<u64> {
    for _ in 0..2 {
        run()?;
    }
    let mut sum = 0;
    for _ in 0..count {
        sum += run()?;
    }
    Ok(sum / count.max(1))
}

/// Pages of memory from the end of the heap.
pub struct Pages {
    start: u64,
    count: u64,
}

impl Pages {
    /// Takes them from the kernel.
    pub fn new(count: u64) -> Result<Self> {
        // A whole page more, so that the first begins inside.
        let start = sys::grow((count + 1) * PAGE_SIZE)?.next_multiple_of(PAGE_SIZE);
        Ok(Self { start, count })
    }

    /// Writes to each.
    pub fn touch(&self, byte: u8) {
        for page in 0..self.count {
            // SAFETY: `new` got this memory, and nobody else knows of it.
            unsafe { ((self.start + page * PAGE_SIZE) as *mut u8).write_volatile(byte) };
        }
    }

    /// Gives them back. They must be the last that were taken.
    pub fn give_back(self) -> Result<()> {
        // SAFETY: they end with `self`, and are the end of the heap: nothing took memory since.
        unsafe { sys::shrink((self.count + 1) * PAGE_SIZE) }.map(|_| ())
    }
}
