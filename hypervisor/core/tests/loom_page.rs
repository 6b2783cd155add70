//! All interleavings of two CPUs on one frame.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p hv-core --release --test loom_page`; without that
//! flag there is nothing in here.
#![cfg(loom)]

use hv_core::page::{FrameInfo, PageError, PageType, State, Taken};
use hypercall_abi::DomId;
use loom::sync::Arc;
use loom::thread;

const OWNER: DomId = DomId::new(1);

const FLUSH_THEN_READY: Taken = Taken { flush: true, validate: false };

fn take_typed(frame: &FrameInfo, want: PageType) -> Result<Taken, PageError> {
    frame.try_change(|state| state.take_typed(want))
}

fn live_frame() -> Arc<FrameInfo> {
    let frame = FrameInfo::default();
    frame.bring_alive(OWNER, State::ALLOCATED).expect("a new frame is dead");
    Arc::new(frame)
}

#[test]
fn writable_and_table_reference_are_never_held_together() {
    loom::model(|| {
        let frame = live_frame();
        let other = {
            let frame = frame.clone();
            thread::spawn(move || take_typed(&frame, PageType::Writable).is_ok())
        };
        let is_table = take_typed(&frame, PageType::L1).is_ok();
        let is_writable = other.join().expect("no panic");
        assert!(is_table != is_writable, "both or none");
        assert_eq!(frame.state().type_count(), 1);
        assert_eq!(frame.state().ref_count(), 1);
    });
}

#[test]
fn table_reference_may_follow_a_writable_one_but_finds_its_stamp() {
    loom::model(|| {
        let frame = live_frame();
        take_typed(&frame, PageType::Writable).expect("fresh");
        let other = {
            let frame = frame.clone();
            thread::spawn(move || frame.drop_typed(|| 7))
        };
        if let Ok(taken) = take_typed(&frame, PageType::L1) {
            assert_eq!(taken, Taken { flush: true, validate: true });
            assert_eq!(frame.stamp(), 7, "the flush would be missed");
        }
        assert!(!other.join().expect("no panic"));
    });
}

#[test]
fn last_of_two_droppers_releases_exactly_once() {
    loom::model(|| {
        let frame = live_frame();
        frame.try_change(State::take_ref).expect("live");
        take_typed(&frame, PageType::Writable).expect("fresh");
        frame.try_change(State::drop_allocation).expect("allocated");
        let other = {
            let frame = frame.clone();
            thread::spawn(move || frame.change(State::drop_ref))
        };
        let here = frame.drop_typed(|| 1);
        let there = other.join().expect("no panic");
        assert!(here != there, "released by both or by none");
        assert_eq!(frame.state(), State::DEAD);
    });
}

#[test]
fn theft_and_new_reference_exclude_each_other() {
    loom::model(|| {
        let frame = live_frame();
        let other = {
            let frame = frame.clone();
            thread::spawn(move || frame.try_change(State::take_ref).is_ok())
        };
        let is_stolen = frame.try_change(State::steal).is_ok();
        let is_held = other.join().expect("no panic");
        assert!(is_stolen != is_held, "both or none");
    });
}

#[test]
fn two_takers_of_a_former_table_both_flush_or_come_after_the_flush() {
    loom::model(|| {
        let frame = live_frame();
        take_typed(&frame, PageType::L1).expect("fresh");
        frame.change(State::validated);
        assert!(frame.change(State::drop_table));
        frame.drop_typed(|| 3);
        let take = |frame: &FrameInfo| {
            let taken = take_typed(frame, PageType::Writable).expect("memory");
            if taken == FLUSH_THEN_READY {
                // The flush would be here.
                frame.change(State::validated);
            }
            (taken, frame.state().is_validated())
        };
        let other = {
            let frame = frame.clone();
            thread::spawn(move || take(&frame))
        };
        let here = take(&frame);
        let there = other.join().expect("no panic");
        assert!(here.0 == FLUSH_THEN_READY || there.0 == FLUSH_THEN_READY);
        assert!(here.1 && there.1, "relied on before anybody has flushed");
    });
}
