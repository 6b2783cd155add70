//! Giving up the processor.

use hypercall_abi::{nr, sched};
use test_guests::call::hypercall;

use crate::meter::{Meter, Row};

/// Runs the topic.
pub fn run(m: &mut Meter) {
    m.cost(
        Row::new("schedop_yield", "hypercall"),
        0,
        |done| *done += u64::from(hypercall(nr::SCHED_OP, &[sched::YIELD.into(), 0]) == 0),
        |done, made| *done == made,
    );
}
