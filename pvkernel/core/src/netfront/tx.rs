//! Frames that are sent: their pages and their slots.

use alloc::vec;
use alloc::vec::Vec;

use hypercall_abi::io::net::{
    NetifExtraInfo, NetifTxRequest, EXTRA_TYPE_GSO, GSO_TYPE_TCPV4, TXF_CSUM_BLANK,
    TXF_DATA_VALIDATED, TXF_EXTRA_INFO, TXF_MORE_DATA,
};
use hypercall_abi::{GrantRef, PAGE_SIZE};
use pv_ring::TxSlot;

use crate::device::net::{Checksum, FrameMeta};

/// Most pages of a frame.
pub const MAX_SEND_PAGES: usize = 16;

/// The pages frames are sent from, each with the other half or free.
///
/// They are taken one behind the other, and come back mostly in that order.
#[derive(Debug)]
pub struct TxPages {
    is_busy: Vec<bool>,
    next: usize,
    busy: usize,
}

impl TxPages {
    /// All of `count` pages are free.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { is_busy: vec![false; count], next: 0, busy: 0 }
    }

    /// Takes `count` consecutive pages; returns the first.
    pub fn take(&mut self, count: usize) -> Option<usize> {
        let first = self.place(count)?;
        self.is_busy.get_mut(first..first + count)?.fill(true);
        self.next = first + count;
        self.busy += count;
        Some(first)
    }

    /// Whether `take` would succeed.
    #[must_use]
    pub fn has(&self, count: usize) -> bool {
        self.place(count).is_some()
    }

    /// Gives a page back; false when nobody had it.
    pub fn give(&mut self, page: usize) -> bool {
        let Some(is_busy) = self.is_busy.get_mut(page) else { return false };
        let had = core::mem::replace(is_busy, false);
        self.busy -= usize::from(had);
        had
    }

    /// Pages that are with the other half.
    #[must_use]
    pub const fn busy(&self) -> usize {
        self.busy
    }

    fn place(&self, count: usize) -> Option<usize> {
        let is_free = |first: usize| {
            let pages = self.is_busy.get(first..first + count);
            pages.is_some_and(|pages| pages.iter().all(|is_busy| !is_busy))
        };
        if count == 0 {
            return None;
        }
        // What does not fit before the end starts over at the beginning.
        [self.next, 0].into_iter().find(|first| is_free(*first))
    }
}

/// What stands in the ring for a frame of `len` bytes that begins with the first of its pages. The
/// number of a page names its slot in the answer. `gref` knows the grants.
pub fn request_slots(
    first: usize,
    len: usize,
    meta: FrameMeta,
    gref: impl Fn(usize) -> GrantRef,
) -> impl Iterator<Item = TxSlot> {
    let pages = len.div_ceil(PAGE_SIZE);
    let extra = (meta.segment != 0).then(|| {
        let u = [meta.segment, u16::from(GSO_TYPE_TCPV4), 0];
        TxSlot::of_extra(&NetifExtraInfo { kind: EXTRA_TYPE_GSO, flags: 0, u })
    });
    let mut parts = (0..pages).map(move |at| {
        let (size, first_flags) = match at {
            0 => (len, flags_of(meta)),
            _ => ((len - at * PAGE_SIZE).min(PAGE_SIZE), 0),
        };
        let more = if at + 1 < pages { TXF_MORE_DATA } else { 0 };
        TxSlot::of_request(&NetifTxRequest {
            gref: gref(first + at),
            offset: 0,
            flags: first_flags | more,
            id: (first + at) as u16,
            size: size as u16,
        })
    });
    let head = parts.next();
    head.into_iter().chain(extra).chain(parts)
}

const fn flags_of(meta: FrameMeta) -> u16 {
    let checksum = match meta.checksum {
        Checksum::Blank => TXF_CSUM_BLANK | TXF_DATA_VALIDATED,
        Checksum::Valid => TXF_DATA_VALIDATED,
        Checksum::Unknown => 0,
    };
    checksum | if meta.segment != 0 { TXF_EXTRA_INFO } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::{request_slots, TxPages, MAX_SEND_PAGES};
    use crate::device::net::{Checksum, FrameMeta};
    use hypercall_abi::io::net::{EXTRA_TYPE_GSO, TXF_CSUM_BLANK, TXF_EXTRA_INFO, TXF_MORE_DATA};
    use hypercall_abi::GrantRef;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn pages_are_with_one_owner_and_all_come_back(
            steps in proptest::collection::vec((any::<bool>(), 1..=MAX_SEND_PAGES, any::<usize>()), 1..200),
            count in 17usize..64,
        ) {
            let mut pages = TxPages::new(count);
            let mut taken: Vec<(usize, usize)> = Vec::new();
            let mut busy = BTreeSet::new();
            for (takes, wanted, which) in steps {
                if takes {
                    let can = pages.has(wanted);
                    let got = pages.take(wanted);
                    prop_assert_eq!(can, got.is_some());
                    if let Some(first) = got {
                        prop_assert!(first + wanted <= count);
                        prop_assert!((first..first + wanted).all(|page| busy.insert(page)));
                        taken.push((first, wanted));
                    } else {
                        prop_assert!(!taken.is_empty(), "a free ring takes any frame");
                    }
                } else if !taken.is_empty() {
                    let (first, wanted) = taken.remove(which % taken.len());
                    for page in first..first + wanted {
                        prop_assert!(pages.give(page));
                        busy.remove(&page);
                    }
                    prop_assert!(!pages.give(first), "only once");
                }
                prop_assert_eq!(pages.busy(), busy.len());
            }
        }

        #[test]
        fn slots_say_where_a_frame_lies(len in 14usize..=65535, segment in 0u16..3, blank in any::<bool>()) {
            let checksum = if blank { Checksum::Blank } else { Checksum::Unknown };
            let meta = FrameMeta { checksum, segment };
            let slots: Vec<_> = request_slots(5, len, meta, |page| GrantRef::new(page as u32 + 100)).collect();
            let head = slots[0].request();
            prop_assert_eq!(usize::from(head.size), len);
            prop_assert_eq!(head.flags & TXF_CSUM_BLANK != 0, blank);
            prop_assert_eq!(head.flags & TXF_EXTRA_INFO != 0, segment != 0);
            let mut rest = slots[1..].to_vec();
            if segment != 0 {
                let extra = rest.remove(0).extra();
                prop_assert_eq!((extra.kind, extra.flags, extra.u[0]), (EXTRA_TYPE_GSO, 0, segment));
            }
            let mut parts: Vec<_> = rest.iter().map(|slot| slot.request()).collect();
            let others: usize = parts.iter().map(|part| usize::from(part.size)).sum();
            prop_assert!(len - others <= 4096 && len > others);
            parts.insert(0, head);
            for (at, part) in parts.iter().enumerate() {
                prop_assert_eq!(part.gref.get() as usize, 105 + at);
                prop_assert_eq!(usize::from(part.id), 5 + at);
                prop_assert_eq!(part.flags & TXF_MORE_DATA != 0, at + 1 < parts.len());
                prop_assert!(part.size <= 4096 || at == 0);
            }
        }
    }
}
