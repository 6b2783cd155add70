//! What the page is about: the wishes, the ways to get them, and which rows measure these.
//!
//! Names of rows stand here without their `versus_`. The texts are files in `text`, in the little
//! Markdown that `text` understands.

/// The kinds of ways, and the columns of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An instruction that faults, and the hypervisor's reading of it.
    Trap,
    /// A hypercall for one wish.
    Call,
    /// A hypercall for many wishes of a kind.
    Batch,
    /// A multicall: many hypercalls in one.
    Multi,
    /// Memory that both sides read and write.
    Memory,
    /// Without the hypervisor.
    Native,
}

impl Kind {
    /// The class of its colour.
    pub fn class(self) -> &'static str {
        match self {
            Kind::Trap => "trap",
            Kind::Call => "call",
            Kind::Batch => "batch",
            Kind::Multi => "multi",
            Kind::Memory => "memory",
            Kind::Native => "native",
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Trap => "trap",
            Kind::Call => "hypercall",
            Kind::Batch => "batch",
            Kind::Multi => "multicall",
            Kind::Memory => "shared memory",
            Kind::Native => "native",
        }
    }
}

/// One way to get a wish: a line of its table.
pub struct Way {
    /// The row that measures it.
    pub row: &'static str,
    /// What kind of way it is.
    pub kind: Kind,
    /// What the kernel does.
    pub label: &'static str,
}

/// A way that comes in batches: a line of its plot.
pub struct Curve {
    /// The rows, without the `_N`.
    pub rows: &'static str,
    /// What kind of way it is.
    pub kind: Kind,
    /// Its name in the plot.
    pub label: &'static str,
}

/// What the summary says of one kind of way.
pub enum Best {
    /// The row to show.
    Row(&'static str),
    /// There is no such way, for this reason in a few words.
    None(&'static str),
}

/// One wish.
pub struct Wish {
    /// Its place in the page, and the name of its files.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// Its explanation.
    pub text: &'static str,
    /// The lines of its table.
    pub ways: &'static [Way],
    /// The lines of its plot over the size of the batch, if it can be had in batches.
    pub curves: &'static [Curve],
    /// What the horizontal axis of that plot counts.
    pub below: &'static str,
    /// By trap, by hypercall, by batch of 128, by shared memory.
    pub summary: [Best; 4],
}

/// The headings of the summary.
pub const SUMMARY: [(&str, Kind); 4] = [
    ("trap", Kind::Trap),
    ("one hypercall", Kind::Call),
    ("batch of 128", Kind::Batch),
    ("shared memory", Kind::Memory),
];

/// The sizes of batches that are measured.
pub const SIZES: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

const fn way(row: &'static str, kind: Kind, label: &'static str) -> Way {
    Way { row, kind, label }
}

const fn curve(rows: &'static str, kind: Kind, label: &'static str) -> Curve {
    Curve { rows, kind, label }
}

/// All wishes, in the order of the page.
pub const WISHES: &[Wish] = &[
    Wish {
        id: "pte",
        title: "Change a page-table entry",
        unit: "entry",
        text: include_str!("text/pte.md"),
        ways: &[
            way("pte_trap", Kind::Trap, "store to the table"),
            way("pte_update", Kind::Call, "mmu_update of 1"),
            way("pte_mapping", Kind::Call, "update_va_mapping"),
            way("pte_updates_16", Kind::Batch, "mmu_update of 16"),
            way("pte_updates_128", Kind::Batch, "mmu_update of 128"),
            way("pte_multicall_16", Kind::Multi, "multicall of 16 mappings"),
            way("pte_multicall_128", Kind::Multi, "multicall of 128 mappings"),
            way("pte_filled_16", Kind::Memory, "16 stores, then pinned"),
            way("pte_filled_128", Kind::Memory, "128 stores, then pinned"),
        ],
        curves: &[
            curve("pte_updates", Kind::Batch, "mmu_update"),
            curve("pte_multicall", Kind::Multi, "multicall"),
            curve("pte_filled", Kind::Memory, "fill, then pin"),
        ],
        below: "entries at once",
        summary: [
            Best::Row("pte_trap"),
            Best::Row("pte_update"),
            Best::Row("pte_updates_128"),
            Best::Row("pte_filled_128"),
        ],
    },
    Wish {
        id: "cr3",
        title: "Switch the address space",
        unit: "switch",
        text: include_str!("text/cr3.md"),
        ways: &[
            way("cr3_trap", Kind::Trap, "mov to CR3"),
            way("cr3_call", Kind::Call, "mmuext_op NEW_BASEPTR"),
            way("cr3_process_calls", Kind::Call, "a process switch, 5 calls"),
            way("cr3_process_multicall", Kind::Multi, "the same 5 in a multicall"),
        ],
        curves: &[],
        below: "",
        summary: [
            Best::Row("cr3_trap"),
            Best::Row("cr3_call"),
            Best::None("only the last would count"),
            Best::None("hardware reads CR3 only"),
        ],
    },
    Wish {
        id: "mask",
        title: "Mask interrupts, and unmask them",
        unit: "pair",
        text: include_str!("text/mask.md"),
        ways: &[
            way("mask_trap", Kind::Trap, "cli, then sti"),
            way("mask_popf", Kind::Native, "popf, twice (no effect)"),
            way("mask_call", Kind::Call, "one port: bit, then unmask call"),
            way("mask_shared", Kind::Memory, "the mask byte, then a look"),
        ],
        curves: &[],
        below: "",
        summary: [
            Best::Row("mask_trap"),
            Best::Row("mask_call"),
            Best::None("must take effect at once"),
            Best::Row("mask_shared"),
        ],
    },
    Wish {
        id: "write",
        title: "Write a character",
        unit: "byte",
        text: include_str!("text/write.md"),
        ways: &[
            way("write_trap", Kind::Trap, "out to a port"),
            way("write_console_1", Kind::Call, "console_io of 1 byte"),
            way("write_console_16", Kind::Batch, "console_io of 16"),
            way("write_console_128", Kind::Batch, "console_io of 128"),
            way("write_ring_1", Kind::Memory, "ring, notice for each byte"),
            way("write_ring_128", Kind::Memory, "ring, notice for 128"),
            way("write_quiet_128", Kind::Memory, "ring of 128, nobody told"),
        ],
        curves: &[
            curve("write_console", Kind::Batch, "console_io"),
            curve("write_ring", Kind::Memory, "ring and notice"),
            curve("write_quiet", Kind::Native, "ring alone"),
        ],
        below: "bytes at once",
        summary: [
            Best::Row("write_trap"),
            Best::Row("write_console_1"),
            Best::Row("write_console_128"),
            Best::Row("write_ring_128"),
        ],
    },
    Wish {
        id: "clock",
        title: "Read a clock",
        unit: "reading",
        text: include_str!("text/clock.md"),
        ways: &[
            way("clock_rdmsr", Kind::Trap, "rdmsr of the counter"),
            way("clock_trap", Kind::Trap, "rdtsc with CR4.TSD set"),
            way("clock_call", Kind::Call, "vcpu_op get_runstate_info"),
            way("clock_page", Kind::Memory, "time page and rdtsc"),
            way("clock_rdtsc", Kind::Native, "rdtsc alone"),
        ],
        curves: &[],
        below: "",
        summary: [
            Best::Row("clock_trap"),
            Best::Row("clock_call"),
            Best::None("old by the time it comes"),
            Best::Row("clock_page"),
        ],
    },
    Wish {
        id: "ts",
        title: "Set TS, and clear it",
        unit: "pair",
        text: include_str!("text/ts.md"),
        ways: &[
            way("ts_trap", Kind::Trap, "mov to CR0, then clts"),
            way("ts_call", Kind::Call, "fpu_taskswitch, twice"),
            way("ts_multicall_1", Kind::Multi, "both in a multicall"),
            way("ts_multicall_128", Kind::Multi, "128 pairs in a multicall"),
        ],
        curves: &[curve("ts_multicall", Kind::Multi, "multicall")],
        below: "pairs at once",
        summary: [
            Best::Row("ts_trap"),
            Best::Row("ts_call"),
            Best::Row("ts_multicall_128"),
            Best::None("the FPU reads CR0 only"),
        ],
    },
    Wish {
        id: "timer",
        title: "Arm a timer",
        unit: "arming",
        text: include_str!("text/timer.md"),
        ways: &[
            way("timer_trap", Kind::Trap, "wrmsr of the deadline: refused"),
            way("timer_call", Kind::Call, "set_timer_op, far"),
            way("timer_singleshot", Kind::Call, "vcpu_op singleshot, far"),
            way("timer_near", Kind::Call, "read, arm for 1 ms, disarm"),
            way("timer_idle_calls", Kind::Call, "arm and poll, 2 calls"),
            way("timer_idle_multicall", Kind::Multi, "the same 2 in a multicall"),
        ],
        curves: &[],
        below: "",
        summary: [
            Best::None("refused: no such way"),
            Best::Row("timer_call"),
            Best::None("only the last would count"),
            Best::None("nobody watches the page"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wish_has_a_trap_and_a_call_and_its_own_rows() {
        for wish in WISHES {
            let kinds: Vec<Kind> = wish.ways.iter().map(|way| way.kind).collect();
            assert!(kinds.contains(&Kind::Trap) && kinds.contains(&Kind::Call), "{}", wish.id);
            let own = format!("{}_", wish.id);
            assert!(wish.ways.iter().all(|way| way.row.starts_with(&own)), "{}", wish.id);
            assert!(wish.curves.iter().all(|curve| curve.rows.starts_with(&own)), "{}", wish.id);
            assert_eq!(wish.curves.is_empty(), wish.below.is_empty(), "{}", wish.id);
            for best in &wish.summary {
                match best {
                    Best::Row(row) => assert!(wish.ways.iter().any(|way| way.row == *row), "{row}"),
                    Best::None(why) => assert!(!why.is_empty() && why.len() < 30, "{why}"),
                }
            }
        }
    }
}
