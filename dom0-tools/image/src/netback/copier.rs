//! Copying frames to and from guests' pages: grant copies, many with one hypercall.

use alloc::vec::Vec;
use pvkernel_xen::grants::CopyQueue;
use zl_backends::net::{Copier, CopyIn, CopyOut};

/// Memory for the lists of copies, used again and again.
pub struct GrantCopier {
    queue: CopyQueue,
}

impl GrantCopier {
    /// With empty lists.
    pub const fn new() -> Self {
        Self { queue: CopyQueue::new() }
    }
}

impl Copier for GrantCopier {
    fn copy_in<'a>(&mut self, pieces: impl Iterator<Item = CopyIn<'a>>, verdicts: &mut Vec<bool>) {
        let mut batch = self.queue.batch();
        for CopyIn { peer, gref, offset, to } in pieces {
            batch.from_peer(peer, gref, offset, to);
        }
        verdicts.extend(batch.run().iter().map(Result::is_ok));
    }

    fn copy_out<'a>(
        &mut self,
        pieces: impl Iterator<Item = CopyOut<'a>>,
        verdicts: &mut Vec<bool>,
    ) {
        let mut batch = self.queue.batch();
        for CopyOut { peer, gref, from } in pieces {
            batch.to_peer(from, peer, gref, 0);
        }
        verdicts.extend(batch.run().iter().map(Result::is_ok));
    }
}
