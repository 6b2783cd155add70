//! An intrusive list of frames: the frames of a domain, or any other set each frame is on once.
//!
//! The links are in the frame table, so a list costs three words whatever its length. The owner of
//! the list guards it with a lock of its own; a frame is on at most one list at a time (the free
//! lists of the allocator use the same links).

use hypercall_abi::Mfn;

use super::frame::FrameInfo;

/// Head, tail and length of a list linked through the frame table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageList {
    head: Option<Mfn>,
    tail: Option<Mfn>,
    len: u64,
}

fn at(frames: &[FrameInfo], mfn: Mfn) -> Option<&FrameInfo> {
    usize::try_from(mfn.get()).ok().and_then(|index| frames.get(index))
}

impl PageList {
    /// A list without frames.
    #[must_use]
    pub const fn new() -> Self {
        Self { head: None, tail: None, len: 0 }
    }

    /// Number of frames.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// There are no frames.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first frame.
    #[must_use]
    pub const fn head(&self) -> Option<Mfn> {
        self.head
    }

    /// Appends a frame that is on no list. A number outside the frame table is ignored.
    pub fn push_back(&mut self, frames: &[FrameInfo], mfn: Mfn) {
        let Some(frame) = at(frames, mfn) else { return };
        frame.set_next(None);
        frame.set_prev(self.tail);
        match self.tail.and_then(|tail| at(frames, tail)) {
            Some(tail) => tail.set_next(Some(mfn)),
            None => self.head = Some(mfn),
        }
        self.tail = Some(mfn);
        self.len += 1;
    }

    /// Prepends a frame that is on no list. A number outside the frame table is ignored.
    pub fn push_front(&mut self, frames: &[FrameInfo], mfn: Mfn) {
        let Some(frame) = at(frames, mfn) else { return };
        frame.set_prev(None);
        frame.set_next(self.head);
        match self.head.and_then(|head| at(frames, head)) {
            Some(head) => head.set_prev(Some(mfn)),
            None => self.tail = Some(mfn),
        }
        self.head = Some(mfn);
        self.len += 1;
    }

    /// Takes a frame that is on this list off it.
    pub fn remove(&mut self, frames: &[FrameInfo], mfn: Mfn) {
        let Some(frame) = at(frames, mfn) else { return };
        let (prev, next) = (frame.prev(), frame.next());
        match prev.and_then(|prev| at(frames, prev)) {
            Some(prev) => prev.set_next(next),
            None => self.head = next,
        }
        match next.and_then(|next| at(frames, next)) {
            Some(next) => next.set_prev(prev),
            None => self.tail = prev,
        }
        frame.set_next(None);
        frame.set_prev(None);
        self.len = self.len.saturating_sub(1);
    }

    /// Takes the first frame off.
    pub fn pop_front(&mut self, frames: &[FrameInfo]) -> Option<Mfn> {
        let head = self.head?;
        self.remove(frames, head);
        Some(head)
    }

    /// The frames in order.
    pub fn iter<'f>(&self, frames: &'f [FrameInfo]) -> impl Iterator<Item = Mfn> + 'f {
        core::iter::successors(self.head, |mfn| at(frames, *mfn).and_then(FrameInfo::next))
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
        Pop,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0..16u64).prop_map(Op::Back),
            (0..16u64).prop_map(Op::Front),
            (0..16u64).prop_map(Op::Remove),
            Just(Op::Pop),
        ]
    }

    proptest! {
        #[test]
        fn list_behaves_like_a_vector(ops in proptest::collection::vec(op(), 0..60)) {
            let frames: Vec<FrameInfo> = (0..16).map(|_| FrameInfo::new()).collect();
            let mut list = PageList::new();
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
                    Op::Pop => {
                        let expected = (!model.is_empty()).then(|| model.remove(0));
                        prop_assert_eq!(list.pop_front(&frames).map(Mfn::get), expected);
                    }
                    _ => {}
                }
                let listed: Vec<u64> = list.iter(&frames).map(Mfn::get).collect();
                prop_assert_eq!(&listed, &model);
                prop_assert_eq!(list.len(), model.len() as u64);
            }
        }
    }
}
