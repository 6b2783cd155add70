//! The timer queue against an ordered set.

use std::collections::BTreeSet;

use hv_core::timer::{NoRoom, TimerQueue};
use proptest::prelude::*;

const KEYS: usize = 12;
const ROOM: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(usize);

#[derive(Clone, Debug)]
enum Op {
    Arm(usize, u64),
    Cancel(usize),
    PopUpTo(u64),
}

fn op() -> impl Strategy<Value = Op> {
    // More keys than room; few deadlines, so that ties are common.
    let deadline = prop_oneof![0u64..8, Just(u64::MAX)];
    prop_oneof![
        4 => (0..KEYS, deadline.clone()).prop_map(|(key, at)| Op::Arm(key, at)),
        2 => (0..KEYS).prop_map(Op::Cancel),
        1 => deadline.prop_map(Op::PopUpTo),
    ]
}

fn armed_at(model: &BTreeSet<(u64, usize)>, key: usize) -> Option<u64> {
    model.iter().find(|(_, armed)| *armed == key).map(|(at, _)| *at)
}

fn step(queue: &mut TimerQueue<Key>, model: &mut BTreeSet<(u64, usize)>, op: &Op) {
    match *op {
        Op::Arm(key, at) if armed_at(model, key).is_some() || model.len() < ROOM => {
            assert_eq!(queue.arm(Key(key), at), Ok(()));
            model.retain(|(_, armed)| *armed != key);
            model.insert((at, key));
        }
        Op::Arm(key, at) => assert_eq!(queue.arm(Key(key), at), Err(NoRoom)),
        Op::Cancel(key) => {
            assert_eq!(queue.cancel(Key(key)), armed_at(model, key));
            model.retain(|(_, armed)| *armed != key);
        }
        Op::PopUpTo(now) => {
            let mut last = 0;
            while let Some((key, at)) = queue.pop_expired(now) {
                assert!(at >= last && at <= now, "expired out of order or too early");
                assert!(model.remove(&(at, key.0)), "expired without being armed");
                last = at;
            }
            assert!(model.iter().all(|(at, _)| *at > now), "an expired timer stayed");
        }
    }
}

proptest! {
    #[test]
    fn queue_equals_an_ordered_set(ops in proptest::collection::vec(op(), 1..200)) {
        let mut queue = TimerQueue::default();
        queue.reserve(ROOM).unwrap();
        let mut model = BTreeSet::new();
        for op in &ops {
            step(&mut queue, &mut model, op);
            prop_assert_eq!(queue.next_deadline(), model.first().map(|(at, _)| *at));
        }
        for key in 0..KEYS {
            prop_assert_eq!(queue.cancel(Key(key)), armed_at(&model, key));
        }
        prop_assert_eq!(queue.next_deadline(), None);
    }
}

#[test]
fn room_that_was_reserved_stays_and_can_grow_with_timers_armed() {
    let mut queue = TimerQueue::default();
    assert_eq!(queue.arm(Key(0), 1), Err(NoRoom));
    queue.reserve(1).unwrap();
    queue.arm(Key(0), 5).unwrap();
    assert_eq!(queue.arm(Key(2), 4), Err(NoRoom));
    queue.reserve(2).unwrap();
    queue.reserve(0).unwrap();
    queue.arm(Key(2), 4).unwrap();
    assert_eq!(queue.pop_expired(4), Some((Key(2), 4)));
    assert_eq!(queue.pop_expired(4), None);
    assert_eq!(queue.pop_expired(5), Some((Key(0), 5)));
    assert_eq!(queue.next_deadline(), None);
}
