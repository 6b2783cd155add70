//! Tests of the page operations on a [`super::testkit::FrameWorld`].
//!
//! `state` looks at every transition of the word, `rules`, `owners` and `updates` at single rules
//! of the interface, `model` runs random programs against a recount from scratch, `preempt` compares
//! small budgets with large ones.

mod fixture;
mod model;
mod owners;
mod preempt;
mod program;
mod recount;
mod rules;
mod state;
mod updates;
