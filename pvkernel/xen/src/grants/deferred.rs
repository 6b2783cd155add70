//! Frames whose grants could not be ended because the other domain still has them.
//!
//! They wait here until it lets go, which is looked at whenever another one comes and, with growing
//! pauses, by a thread that exists only meanwhile. A peer that never lets go costs the frames it holds
//! and nothing else.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use hypercall_abi::{GrantRef, Pfn};
use pvkernel_core::sync::Lock;

use super::table;
use crate::{frames, thread};

const FIRST_PAUSE_NS: u64 = 100_000_000;
const LAST_PAUSE_NS: u64 = 10_000_000_000;

static WAITING: Lock<Vec<(GrantRef, Pfn)>> = Lock::new(Vec::new());
static RETRYING: AtomicBool = AtomicBool::new(false);

/// Ends a grant and frees its frame, now or when the peer lets go of it. The caller gives the frame up.
pub fn end_or_defer(gref: GrantRef, pfn: Pfn) {
    if table::end(gref).is_ok() {
        frames::free(pfn, 1);
        return;
    }
    defer(gref, pfn);
}

/// Keeps a frame until its grant can be ended.
pub(super) fn defer(gref: GrantRef, pfn: Pfn) {
    WAITING.lock().push((gref, pfn));
    if !RETRYING.swap(true, Ordering::Relaxed)
        && thread::spawn("grants", retry_until_empty).is_err()
    {
        // Without memory for a thread the next frame that comes here looks after all of them.
        RETRYING.store(false, Ordering::Relaxed);
    }
}

/// Frees what can be freed.
pub(super) fn retry() {
    WAITING.lock().retain(|(gref, pfn)| match table::end(*gref) {
        Ok(()) => {
            frames::free(*pfn, 1);
            false
        }
        Err(table::StillInUse) => true,
    });
}

fn retry_until_empty() {
    let mut pause_ns = FIRST_PAUSE_NS;
    while count() > 0 {
        thread::sleep_ns(pause_ns);
        pause_ns = (2 * pause_ns).min(LAST_PAUSE_NS);
        retry();
    }
    *WAITING.lock() = Vec::new();
    RETRYING.store(false, Ordering::Relaxed);
}

/// Frames that wait.
#[must_use]
pub fn count() -> usize {
    WAITING.lock().len()
}
