//! The rows of `bench io`: what is required, and what the usual system gives.
//!
//! The figures of Xen are those of Xen 4.17 with a Linux 6.1 dom0 in the same kind of machine: QEMU's
//! TCG with 2 CPUs.

/// What is required of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Nothing: it is told.
    Told,
    /// Not more.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
}

impl Bound {
    /// Whether a value satisfies it.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Bound::Told => true,
            Bound::AtMost(limit) => value <= limit,
            Bound::AtLeast(limit) => value >= limit,
        }
    }

    /// For the table.
    pub fn text(self) -> String {
        match self {
            Bound::Told => String::new(),
            Bound::AtMost(limit) => format!("<= {limit}"),
            Bound::AtLeast(limit) => format!(">= {limit}"),
        }
    }
}

/// One row.
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// What it is, for people.
    pub what: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Xen 4.17 with Linux.
    pub usual: &'static str,
    /// What is required.
    pub bound: Bound,
}

const fn row(
    name: &'static str,
    what: &'static str,
    unit: &'static str,
    usual: &'static str,
    bound: Bound,
) -> Spec {
    Spec { name, what, unit, usual, bound }
}

use Bound::{AtLeast, AtMost, Told};

/// All rows.
pub const ROWS: &[Spec] = &[
    row("ram_4k_dom0", "4 KiB read from a RAM disk by dom0 itself", "us", "45", Told),
    row("ram_4k_guest", "the same by a guest, one at a time", "us", "250", Told),
    row("ram_4k_added", "time the guest adds to dom0's own read", "us", "205", AtMost(60.0)),
    row("ram_4k_many", "4 KiB read by a guest, 16 in flight, each", "us", "", Told),
    row("ram_read_share", "1 MiB reads by a guest, share of dom0's rate", "", "0.24", AtLeast(0.6)),
    row("ram_read_rate", "the same as a rate", "MB/s", "404", Told),
    row(
        "ram_write_share",
        "1 MiB writes by a guest, share of dom0's rate",
        "",
        "0.45",
        AtLeast(0.7),
    ),
    row("ram_write_rate", "the same as a rate", "MB/s", "298", Told),
    row("virtio_4k_dom0", "4 KiB read from the virtio disk by dom0 itself", "us", "", Told),
    row(
        "virtio_4k_share",
        "4 KiB reads by a guest, share of dom0's rate",
        "",
        "0.48",
        AtLeast(0.7),
    ),
    row("virtio_read_share", "large reads by a guest, share of dom0's rate", "", "", Told),
    row("virtio_write_share", "large writes by a guest, share of dom0's rate", "", "", Told),
    row("ram_4k_count", "4 KiB read by a guest, one CPU", "instructions", "", Told),
    row("ram_1m_count", "1 MiB read by a guest, one CPU", "instructions", "", Told),
    row("ping_dom0", "ping once a while, guest to dom0", "ms", "3 to 4", AtMost(0.4)),
    row("ping_guest", "ping once a while, guest to guest", "ms", "3 to 4", AtMost(0.4)),
    row("flood_dom0", "ping flood, dom0 to guest", "ms", "0.27", AtMost(0.15)),
    row("flood_guest", "ping flood, guest to guest", "ms", "0.82", AtMost(0.25)),
    row("tcp_to_dom0", "TCP guest to dom0, large segments", "Mbit/s", "965", AtLeast(1500.0)),
    row("tcp_from_dom0", "TCP dom0 to guest, large segments", "Mbit/s", "1220", AtLeast(1500.0)),
    row("tcp_guests", "TCP guest to guest, large segments", "Mbit/s", "1050", AtLeast(1500.0)),
    row("tcp_small_to_dom0", "TCP guest to dom0, MTU 1500", "Mbit/s", "", AtLeast(400.0)),
    row("tcp_small_from_dom0", "TCP dom0 to guest, MTU 1500", "Mbit/s", "", AtLeast(400.0)),
    row("tcp_small_guests", "TCP guest to guest, MTU 1500", "Mbit/s", "", AtLeast(400.0)),
    row("create", "create with one disk and one net, to running", "ms", "3900", AtMost(60.0)),
    row("destroy", "destroy of the same", "ms", "1900", AtMost(30.0)),
    row("idle_hypercalls", "dom0 idle, two guests with disk and net", "hypercalls/s", "", Told),
    row("idle_time", "dom0's processor time, the same", "us/s", "", Told),
];

/// A number as people like it: few digits, and all that matter.
pub fn number(value: f64) -> String {
    match value.abs() {
        x if x >= 1000.0 => format!("{value:.0}"),
        x if x >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
