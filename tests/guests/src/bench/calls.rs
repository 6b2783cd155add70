//! Hypercalls that do nothing, or little: what the way in and out costs.

use hypercall_abi::nr;
use test_guests::call::hypercall;

use crate::meter::{Meter, Row};

/// Runs the topic.
pub fn run(m: &mut Meter) {
    m.cost(
        Row::new("hc_xen_version", "hypercall"),
        0,
        |version| *version = hypercall(nr::XEN_VERSION, &[0, 0]),
        |version, _| *version >> 16 == 4,
    );
    m.cost(
        Row::new("hc_enosys_47", "hypercall"),
        0,
        |refused| *refused += u64::from(hypercall(47, &[]) < 0),
        |refused, made| *refused == made,
    );
}
