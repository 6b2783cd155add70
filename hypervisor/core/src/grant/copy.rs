//! The arguments of `GNTTABOP_copy`: where the bytes come from and go to.
//!
//! The image decodes each entry into a [`CopyPlan`], acquires the two sides, takes page references
//! and copies. A range that leaves its page never gets that far, and a copy of no bytes has no plan
//! at all: it must not even look at its sides.

use hypercall_abi::grant::{GnttabCopy, GnttabCopyPtr, GNTCOPY_DEST_GREF, GNTCOPY_SOURCE_GREF};
use hypercall_abi::{DomId, GrantRef, Mfn, PAGE_SIZE};

use super::GrantError;

/// One side of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopySide {
    /// An entry of a granter.
    Grant {
        /// The granter, as named by the caller.
        dom: DomId,
        /// Its entry.
        gref: GrantRef,
    },
    /// A frame of the caller; that it is one is checked when the reference is taken.
    Own {
        /// The frame.
        frame: Mfn,
    },
}

/// A copy whose arguments were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyPlan {
    /// Where the bytes are.
    pub source: CopySide,
    /// Offset of the first byte in its page.
    pub source_offset: usize,
    /// Where they go.
    pub dest: CopySide,
    /// Offset of the first byte in its page.
    pub dest_offset: usize,
    /// How many, at least one; neither range leaves its page.
    pub len: usize,
}

impl CopyPlan {
    /// Checks the arguments of one copy; `None` for a copy of no bytes, which succeeds at once.
    ///
    /// # Errors
    /// `ForeignFrame`, `CopyRange`.
    pub fn decode(op: &GnttabCopy) -> Result<Option<Self>, GrantError> {
        let len = usize::from(op.len);
        if len == 0 {
            return Ok(None);
        }
        let source = decode_side(&op.source, op.flags & GNTCOPY_SOURCE_GREF != 0)?;
        let dest = decode_side(&op.dest, op.flags & GNTCOPY_DEST_GREF != 0)?;
        let source_offset = usize::from(op.source.offset);
        let dest_offset = usize::from(op.dest.offset);
        // Offsets and length are 16 bits wide, so the sums cannot wrap.
        if source_offset + len > PAGE_SIZE || dest_offset + len > PAGE_SIZE {
            return Err(GrantError::CopyRange);
        }
        Ok(Some(Self { source, source_offset, dest, dest_offset, len }))
    }
}

fn decode_side(side: &GnttabCopyPtr, is_gref: bool) -> Result<CopySide, GrantError> {
    if is_gref {
        Ok(CopySide::Grant { dom: side.domid, gref: side.gref() })
    } else if side.domid == DomId::SELF {
        Ok(CopySide::Own { frame: side.gmfn() })
    } else {
        Err(GrantError::ForeignFrame)
    }
}
