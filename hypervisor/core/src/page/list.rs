//! An intrusive list of frames: the frames of a domain, or any other set each frame is on once.
//!
//! The links are in the frame table, so a list costs two words whatever its length. The owner of
//! the list guards it with a lock of its own; a frame is on at most one list at a time (the free
//! lists of the allocator use the same links).

use hypercall_abi::Mfn;

use super::frame::FrameInfo;

/// Both ends of a list linked through the frame table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageList {
    head: Option<Mfn>,
    tail: Option<Mfn>,
}

impl PageList {
    /// A list without frames.
    pub const fn new() -> Self {
        Self { head: None, tail: None }
    }

    /// The first frame.
    pub const fn head(&self) -> Option<Mfn> {
        self.head
    }

    /// Appends a frame that is on no list. A number outside the frame table is ignored.
    pub fn push_back(&mut self, frames: &[FrameInfo], mfn: Mfn) {
        self.insert(frames, self.tail, mfn, None);
    }

    /// Prepends a frame that is on no list. A number outside the frame table is ignored.
    pub fn push_front(&mut self, frames: &[FrameInfo], mfn: Mfn) {
        self.insert(frames, None, mfn, self.head);
    }

    fn insert(&mut self, frames: &[FrameInfo], prev: Option<Mfn>, mfn: Mfn, next: Option<Mfn>) {
        if FrameInfo::of(frames, mfn).is_some() {
            self.join(frames, prev, Some(mfn));
            self.join(frames, Some(mfn), next);
        }
    }

    /// Takes a frame that is on this list off it.
    pub fn remove(&mut self, frames: &[FrameInfo], mfn: Mfn) {
        let Some(frame) = FrameInfo::of(frames, mfn) else { return };
        self.join(frames, frame.prev(), frame.next());
        frame.set_next(None);
        frame.set_prev(None);
    }

    /// Makes one frame follow another. Nothing before a frame makes it the first one, nothing behind
    /// it the last one.
    fn join(&mut self, frames: &[FrameInfo], prev: Option<Mfn>, next: Option<Mfn>) {
        match prev.and_then(|prev| FrameInfo::of(frames, prev)) {
            Some(frame) => frame.set_next(next),
            None => self.head = next,
        }
        match next.and_then(|next| FrameInfo::of(frames, next)) {
            Some(frame) => frame.set_prev(prev),
            None => self.tail = prev,
        }
    }

    /// The frames in order.
    pub fn iter<'f>(&self, frames: &'f [FrameInfo]) -> impl Iterator<Item = Mfn> + 'f {
        core::iter::successors(self.head, |mfn| FrameInfo::of(frames, *mfn)?.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Back(u64),
        Front(u64),
        Remove(u64),
        RemoveFirst,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0..16u64).prop_map(Op::Back),
            (0..16u64).prop_map(Op::Front),
            (0..16u64).prop_map(Op::Remove),
            Just(Op::RemoveFirst),
        ]
    }

    proptest! {
        #[test]
        fn list_behaves_like_a_vector(ops in proptest::collection::vec(op(), 0..60)) {
            let frames: Vec<FrameInfo> = (0..16).map(|_| FrameInfo::default()).collect();
            let mut list = PageList::default();
            let mut model: Vec<u64> = Vec::new();
            for op in ops {
                match op {
                    Op::Back(n) if !model.contains(&n) => {
                        list.push_back(&frames, Mfn::new(n));
                        model.push(n);
                    }
                    Op::Front(n) if !model.contains(&n) => {
                        list.push_front(&frames, Mfn::new(n));
                        model.insert(0, n);
                    }
                    Op::Remove(n) if model.contains(&n) => {
                        list.remove(&frames, Mfn::new(n));
                        model.retain(|other| *other != n);
                    }
                    Op::RemoveFirst => {
                        prop_assert_eq!(list.head().map(Mfn::get), model.first().copied());
                        if let Some(head) = list.head() {
                            list.remove(&frames, head);
                            model.remove(0);
                        }
                    }
                    _ => {}
                }
                let listed: Vec<u64> = list.iter(&frames).map(Mfn::get).collect();
                prop_assert_eq!(&listed, &model);
                prop_assert_eq!(list.tail.map(Mfn::get), model.last().copied());
            }
        }
    }
}
