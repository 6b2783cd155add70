//! The scheduler against a slow model: a list of threads in the order they became ready.

use super::*;
use alloc::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Spawn,
    Yield,
    Wait(Option<u64>),
    Cancel,
    Wake(usize),
    Expire(u64),
    Exit,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        2 => Just(Op::Spawn),
        3 => Just(Op::Yield),
        3 => proptest::option::of(0u64..50).prop_map(Op::Wait),
        1 => Just(Op::Cancel),
        3 => (0usize..8).prop_map(Op::Wake),
        2 => (0u64..60).prop_map(Op::Expire),
        1 => Just(Op::Exit),
    ];
    proptest::collection::vec(op, 0..60)
}

/// What each thread is, by id; `None` once it exited.
#[derive(Default)]
struct Model {
    ready: Vec<u64>,
    blocked: Vec<(u64, Option<u64>)>,
    running: Option<u64>,
}

impl Model {
    fn wake(&mut self, id: u64, current: u64) {
        if let Some(at) = self.blocked.iter().position(|(b, _)| *b == id) {
            self.blocked.remove(at);
            if id == current {
                self.running = Some(id);
            } else {
                self.ready.push(id);
            }
        }
    }

    fn expire(&mut self, now: u64, current: u64) {
        let mut due: Vec<(u64, u64)> = self
            .blocked
            .iter()
            .filter_map(|(id, d)| d.filter(|d| *d <= now).map(|d| (d, *id)))
            .collect();
        due.sort_unstable();
        due.into_iter().for_each(|(_, id)| self.wake(id, current));
    }
}

proptest! {
    #[test]
    fn runs_threads_in_the_order_they_became_ready(ops in ops()) {
        let context = |id: u64| ContextId::new(id as usize);
        let mut sched = Scheduler::new("main", context(0));
        let mut model = Model { running: Some(0), ..Model::default() };
        let (mut current, mut spawned) = (0u64, 1u64);
        let mut ids = vec![sched.current()];
        for op in ops {
            match op {
                Op::Spawn => {
                    ids.push(sched.spawn("t", context(spawned)));
                    prop_assert_eq!(ids[spawned as usize].get(), spawned);
                    model.ready.push(spawned);
                    spawned += 1;
                }
                Op::Yield => {
                    sched.yield_current();
                    model.running = None;
                    model.ready.push(current);
                }
                Op::Wait(deadline) => {
                    sched.prepare_wait(deadline);
                    model.running = None;
                    model.blocked.push((current, deadline));
                }
                Op::Cancel => {
                    sched.cancel_wait();
                    model.wake(current, current);
                }
                Op::Wake(id) => {
                    // Also of threads that have exited, whose places others may have.
                    if let Some(named) = ids.get(id) {
                        sched.wake(*named);
                        model.wake(id as u64, current);
                    }
                }
                Op::Expire(now) => {
                    sched.expire(now);
                    model.expire(now, current);
                }
                Op::Exit => {
                    sched.exit_current();
                    model.running = None;
                }
            }
            // After a blocking step the kernel picks, idling until the next deadline if needed.
            let mut now = 0;
            let mut idle_rounds = 0;
            while model.running.is_none() {
                match sched.pick() {
                    Decision::Idle(deadline) => {
                        prop_assert!(model.ready.is_empty());
                        let next = model.blocked.iter().filter_map(|(_, d)| *d).min();
                        prop_assert_eq!(deadline, next);
                        let Some(next) = next else { return Ok(()) };
                        prop_assert!(idle_rounds == 0 || next > now);
                        (now, idle_rounds) = (next, idle_rounds + 1);
                        sched.expire(now);
                        model.expire(now, current);
                    }
                    decision => {
                        let next = model.ready.remove(0);
                        let stays = next == current;
                        current = next;
                        model.running = Some(next);
                        let expected =
                            if stays { Decision::Stay } else { Decision::Switch(context(next)) };
                        prop_assert_eq!(decision, expected);
                    }
                }
            }
            prop_assert_eq!(sched.current().get(), current);
            prop_assert_eq!(sched.pick(), Decision::Stay);
            let alive = model.ready.len() + model.blocked.len() + 1;
            prop_assert_eq!(sched.len(), alive);
        }
    }
}

#[test]
fn wake_between_prepare_and_switch_cancels_the_wait() {
    let mut sched = Scheduler::new("main", ContextId::new(0));
    sched.prepare_wait(Some(10));
    sched.wake(sched.current());
    assert_eq!(sched.pick(), Decision::Stay);
    sched.expire(20);
    assert_eq!(sched.pick(), Decision::Stay);
}

#[test]
fn contexts_of_exited_threads_are_handed_out_once() {
    let mut sched = Scheduler::new("main", ContextId::new(0));
    sched.spawn("other", ContextId::new(1));
    sched.exit_current();
    assert_eq!(sched.pick(), Decision::Switch(ContextId::new(1)));
    assert_eq!(sched.take_zombies(), [ContextId::new(0)]);
    assert!(sched.take_zombies().is_empty());
}
