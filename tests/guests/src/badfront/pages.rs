//! Pages with which requests are made: granted, granted for reading only, and not granted at all.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use hypercall_abi::{DomId, GrantRef, PAGE_SIZE};
use pvkernel_xen::grants::GrantedPages;

use crate::dice::Dice;

/// Pages of each kind.
const COUNT: usize = 24;
/// What stands in pages nobody may write.
const PATTERN: u8 = 0xa7;
/// No grant of this guest has such a number. A request that names its own ring has dom0 write over the
/// ring, as it was told to, and then the ring is at its end.
const FAR: u32 = 1 << 12;

/// A hand of grants, good and bad.
pub struct Hand {
    /// Pages dom0 may use as it likes.
    pub open: GrantedPages,
    /// Pages dom0 may only read.
    sealed: GrantedPages,
    /// Pages granted to somebody else.
    others: GrantedPages,
    /// References that were ended before anybody used them.
    ended: Vec<GrantRef>,
}

impl Hand {
    /// Takes the memory.
    pub fn new() -> Result<Self, String> {
        let pages = |peer, writable| {
            GrantedPages::new(peer, COUNT, writable)
                .map_err(|errno| format!("pages cannot be granted: {}", errno.name()))
        };
        // What was given back last is taken first: these are not used later, not for a ring either.
        let many = GrantedPages::new(DomId::DOM0, 600, true);
        let ended = many.map(|many| many.refs()[..100].to_vec()).unwrap_or_default();
        let hand = Self {
            open: pages(DomId::DOM0, true)?,
            sealed: pages(DomId::DOM0, false)?,
            others: pages(DomId::new(0x7123), true)?,
            ended,
        };
        for pages in [&hand.sealed, &hand.others] {
            (0..COUNT)
                .for_each(|page| pages.memory().write(page * PAGE_SIZE, &[PATTERN; PAGE_SIZE]));
        }
        Ok(hand)
    }

    /// A reference: mostly a good one.
    pub fn gref(&self, dice: &mut Dice) -> GrantRef {
        let at = dice.below(COUNT as u64) as usize;
        match dice.below(12) {
            0 => self.sealed.refs()[at],
            1 => self.others.refs()[at],
            2 if !self.ended.is_empty() => dice.pick(&self.ended),
            3 => GrantRef::new(dice.next() as u32),
            4 => GrantRef::new(FAR + dice.below(1 << 16) as u32),
            _ => self.open.refs()[at],
        }
    }

    /// Fails if somebody wrote to pages that were not granted for that.
    pub fn check(&self) -> Result<(), String> {
        let mut bytes = [0; 512];
        for (what, pages) in [("read-only", &self.sealed), ("somebody else's", &self.others)] {
            for at in (0..COUNT * PAGE_SIZE).step_by(bytes.len()) {
                pages.memory().read(at, &mut bytes);
                if bytes.iter().any(|byte| *byte != PATTERN) {
                    return Err(format!("{what} page {} was written to", at / PAGE_SIZE));
                }
            }
        }
        Ok(())
    }
}
