//! The time as the hypervisor publishes it in the shared page.
//!
//! It is a recent point in time, the time stamp counter at that point, and a scale; the rest is arithmetic
//! (`VcpuTimeInfo::system_time_at`). A version number that is odd or changes while we read means that the
//! hypervisor was writing: read again.

use core::mem::offset_of;
use core::sync::atomic::{fence, Ordering};

use hypercall_abi::shared_info::{VcpuInfo, VcpuTimeInfo, OFFSET_WC_VERSION};

use crate::shared::SharedMemory;
use crate::time::tsc;
use crate::vcpu_info::{shared_info, vcpu_info};

const TIME: usize = offset_of!(VcpuInfo, time);

/// A copy of the published point in time, which may be half of one and half of another.
fn read_time(page: &SharedMemory) -> VcpuTimeInfo {
    let words: [u64; size_of::<VcpuTimeInfo>() / 8] = page.load_words(TIME);
    zerocopy::transmute!(words)
}

/// Nanoseconds since the hypervisor started.
#[inline]
pub(crate) fn now_ns() -> u64 {
    let page = vcpu_info();
    loop {
        let version = page.u32_at(TIME).load(Ordering::Acquire);
        let info = read_time(page);
        let now_tsc = tsc();
        fence(Ordering::Acquire);
        if version & 1 == 0 && page.u32_at(TIME).load(Ordering::Relaxed) == version {
            return info.system_time_at(now_tsc);
        }
        core::hint::spin_loop();
    }
}

/// Nanoseconds since 1970 when the hypervisor started.
pub(crate) fn start_ns() -> u128 {
    let page = shared_info();
    let word = |index: usize| page.u32_at(OFFSET_WC_VERSION + 4 * index).load(Ordering::Relaxed);
    loop {
        let version = page.u32_at(OFFSET_WC_VERSION).load(Ordering::Acquire);
        let seconds = u64::from(word(3)) << 32 | u64::from(word(1));
        let ns = word(2);
        fence(Ordering::Acquire);
        if word(0) == version && version & 1 == 0 {
            return u128::from(seconds) * 1_000_000_000 + u128::from(ns);
        }
        core::hint::spin_loop();
    }
}
