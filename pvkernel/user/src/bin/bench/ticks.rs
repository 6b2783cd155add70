//! The time stamp counter, the marks of a trace, and memory by the page. The unsafe code of the bench is here.

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

// Who follows the program looks for these addresses. Other programs have other code there: each mark begins
// with an instruction that nobody else has, so that it is not taken for theirs.
#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .text.bench_marks, \"ax\", @progbits",
    ".global bench_mark_start, bench_mark_stop",
    "bench_mark_start:",
    "    nop dword ptr [rax + 0x6b72616d]",
    "    ret",
    "bench_mark_stop:",
    "    nop dword ptr [rax + 0x6c72616d]",
    "    ret",
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

/// Runs something between the marks.
pub fn marked<T>(run: impl FnOnce() -> T) -> T {
    #[cfg(target_os = "none")]
    marks::bench_mark_start();
    let result = run();
    #[cfg(target_os = "none")]
    marks::bench_mark_stop();
    result
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
