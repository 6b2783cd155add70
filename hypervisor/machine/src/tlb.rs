//! Flushing translations on other CPUs, and the clock that tells which flushes can be saved.
//!
//! Every full flush of a CPU takes a new value of a global clock *before* it begins and records it
//! for that CPU when it is done. A frame whose last mapping went away at clock value `s` can still be
//! cached only by CPUs whose recorded value is not newer than `s`.
//!
//! Remote flushes go through one request slot: the requester holds `REQUESTS`, fills it, interrupts
//! the others and waits until each has answered. A CPU in the hypervisor has interrupts off; it
//! answers in `service`, which every waiting loop calls (also that of the locks).
//!
//! Values are compared modulo 2^32. That is right as long as no CPU's record is older than 2^31
//! flushes, so every 2^28th flush asks all CPUs to flush when they next come by.

use crate::cpu::asm;
use crate::irq::{self, VEC_TLB};
use crate::percpu::{self, CpuId, MAX_CPUS};
use crate::sync::Mutex;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use hv_core::bits;

/// What to flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Everything.
    All,
    /// The page of one address.
    Page(u64),
}

static CLOCK: AtomicU32 = AtomicU32::new(1);
static STAMPS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];
/// How often old records are renewed, in flushes.
const RENEWAL: u32 = 1 << 28;

/// Held while a request is under way.
static REQUESTS: Mutex<()> = Mutex::new(());
/// Bit per CPU that has not answered the present request.
static UNANSWERED: AtomicU64 = AtomicU64::new(0);
/// Page of the present request; all ones for everything, which no page is.
static PAGE: AtomicU64 = AtomicU64::new(EVERYTHING);
const EVERYTHING: u64 = u64::MAX;
/// Bit per CPU whose record has to be renewed.
static RENEW: AtomicU64 = AtomicU64::new(0);

/// The clock: what to record when the last mapping of a frame goes away.
#[inline]
pub fn stamp_now() -> u32 {
    // 0 means "never" to those who record it; 1 in its place asks for a flush too many at worst.
    CLOCK.load(Ordering::SeqCst).max(1)
}

/// The CPUs in `mask` that have not flushed since `stamp`.
#[inline]
pub fn filter(mask: u64, stamp: u32) -> u64 {
    let is_stale = |cpu: &u32| {
        let flushed = STAMPS[*cpu as usize % MAX_CPUS].load(Ordering::SeqCst);
        flushed.wrapping_sub(stamp) as i32 <= 0
    };
    bits(mask).filter(is_stale).fold(0, |stale, cpu| stale | 1 << cpu)
}

/// Loads a root table, which flushes everything on this CPU, and records that.
///
/// # Safety
/// As for `asm::write_cr3`.
#[inline]
pub(crate) unsafe fn load_root(cr3: u64) {
    let stamp = CLOCK.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
    if stamp.is_multiple_of(RENEWAL) {
        RENEW.store(percpu::online_mask(), Ordering::SeqCst);
    }
    // SAFETY: as required of the caller.
    unsafe { asm::write_cr3(cr3) };
    STAMPS[percpu::cpu_id().0 as usize % MAX_CPUS].store(stamp, Ordering::SeqCst);
}

/// Flushes everything on this CPU.
#[inline]
pub fn flush_local_all() {
    // SAFETY: the table that is loaded.
    unsafe { load_root(asm::read_cr3()) };
}

/// Flushes on all CPUs in `mask` and waits until it is done. Offline CPUs are left out.
pub fn flush_cpus(mask: u64, what: Flush) {
    let this = percpu::cpu_id();
    if mask & this.mask() != 0 {
        flush_local(what);
    }
    let others = mask & percpu::online_mask() & !this.mask();
    if others != 0 {
        flush_others(others, what);
    }
}

#[inline(never)]
fn flush_others(others: u64, what: Flush) {
    let _request = REQUESTS.lock();
    let page = if let Flush::Page(va) = what { va & !0xfff } else { EVERYTHING };
    PAGE.store(page, Ordering::SeqCst);
    UNANSWERED.store(others, Ordering::SeqCst);
    bits(others).for_each(|cpu| irq::send(CpuId(cpu), VEC_TLB));
    while UNANSWERED.load(Ordering::SeqCst) != 0 {
        core::hint::spin_loop();
    }
}

/// Flushes on this CPU.
#[inline]
pub fn flush_local(what: Flush) {
    match what {
        Flush::All => flush_local_all(),
        Flush::Page(va) => asm::invlpg(va),
    }
}

/// Answers a request to this CPU, if there is one; to be called in every loop that waits for
/// another CPU.
#[inline]
pub fn service() {
    let me = percpu::cpu_id().mask();
    if (UNANSWERED.load(Ordering::SeqCst) | RENEW.load(Ordering::Relaxed)) & me != 0 {
        answer(me);
    }
}

#[cold]
fn answer(me: u64) {
    if RENEW.fetch_and(!me, Ordering::SeqCst) & me != 0 {
        flush_local_all();
    }
    if UNANSWERED.load(Ordering::SeqCst) & me != 0 {
        let page = PAGE.load(Ordering::SeqCst);
        flush_local(if page == EVERYTHING { Flush::All } else { Flush::Page(page) });
        UNANSWERED.fetch_and(!me, Ordering::SeqCst);
    }
}
