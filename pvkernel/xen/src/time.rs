//! System time and wall-clock time from the shared page.
//!
//! The hypervisor publishes a recent point in time, the time stamp counter at that point, and a
//! scale; the rest is arithmetic (`VcpuTimeInfo::system_time_at`). A version number that is odd or
//! changes while we read means that the hypervisor was writing: read again.

use core::mem::offset_of;
use core::sync::atomic::{fence, AtomicU64, Ordering};

use hypercall_abi::shared_info::{VcpuInfo, VcpuTimeInfo, OFFSET_WC_VERSION};

use crate::event::{shared_info, vcpu_info};
use crate::shared::SharedMemory;

const TIME: usize = offset_of!(VcpuInfo, time);

/// The latest time anybody was told; keeps the clock from running backwards across updates.
static LATEST: AtomicU64 = AtomicU64::new(0);

/// The time stamp counter.
#[must_use]
#[inline]
pub fn tsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a counter; the domain may use it unless CR4.TSD is set, in which case the
    // instruction is emulated.
    unsafe {
        core::arch::asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// A copy of the published point in time, which may be half of one and half of another.
fn read_time(page: &SharedMemory) -> VcpuTimeInfo {
    let words: [u64; size_of::<VcpuTimeInfo>() / 8] = page.load_words(TIME);
    zerocopy::transmute!(words)
}

/// Nanoseconds since the hypervisor started; never runs backwards.
#[must_use]
pub fn now_ns() -> u64 {
    let page = vcpu_info();
    loop {
        let version = page.u32_at(TIME).load(Ordering::Acquire);
        let info = read_time(page);
        let now_tsc = tsc();
        fence(Ordering::Acquire);
        if version & 1 == 0 && page.u32_at(TIME).load(Ordering::Relaxed) == version {
            let now = info.system_time_at(now_tsc);
            return LATEST.fetch_max(now, Ordering::Relaxed).max(now);
        }
        core::hint::spin_loop();
    }
}

/// Seconds and nanoseconds since 1970.
#[must_use]
pub fn wall_clock() -> (u64, u32) {
    let page = shared_info();
    let word = |index: usize| page.u32_at(OFFSET_WC_VERSION + 4 * index).load(Ordering::Relaxed);
    loop {
        let version = page.u32_at(OFFSET_WC_VERSION).load(Ordering::Acquire);
        let start_s = u64::from(word(3)) << 32 | u64::from(word(1));
        let start_ns = u64::from(word(2));
        fence(Ordering::Acquire);
        if word(0) == version && version & 1 == 0 {
            let total_ns = start_ns + now_ns();
            let seconds = start_s + total_ns / 1_000_000_000;
            return (seconds, (total_ns % 1_000_000_000) as u32);
        }
        core::hint::spin_loop();
    }
}
