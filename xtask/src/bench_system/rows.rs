//! The rows of `bench system`: what each counts, and what is required.
//!
//! The figures that bound a row, and those of the usual toolstack on Xen, are requirements of this
//! project and are written down here only.

/// What a row may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// No requirement.
    Free,
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

impl Bound {
    /// Whether a value is as required.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Bound::Free => true,
            Bound::AtMost(limit) => value <= limit,
            Bound::AtLeast(limit) => value >= limit,
        }
    }

    /// For a table.
    pub fn text(self) -> String {
        match self {
            Bound::Free => String::new(),
            Bound::AtMost(limit) => format!("<= {}", number(limit)),
            Bound::AtLeast(limit) => format!(">= {}", number(limit)),
        }
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name, also in the files.
    pub name: &'static str,
    /// What it counts.
    pub unit: &'static str,
    /// What is required.
    pub bound: Bound,
    /// The figure of the usual system of Xen, Linux and `xl`, where there is one.
    pub usual: &'static str,
}

/// Hypervisor's memory at `mib` of RAM, in KiB: at most 1 MiB and 0.78 % of it.
const fn memory_bound(mib: u32) -> Bound {
    Bound::AtMost(1024.0 + 0.0078 * 1024.0 * mib as f64)
}

const fn row(name: &'static str, unit: &'static str, bound: Bound) -> Spec {
    Spec { name, unit, bound, usual: "" }
}

const fn usual(spec: Spec, usual: &'static str) -> Spec {
    Spec { usual, ..spec }
}

const INSTRUCTIONS: &str = "instructions";
const MS: &str = "ms";
const KIB: &str = "KiB";

/// All rows, in the order of the report.
pub const ROWS: &[Spec] = &[
    usual(
        row("entry_to_dom0", INSTRUCTIONS, Bound::AtMost(8e6)),
        "55 million, 255 million with calibration",
    ),
    usual(row("entry_to_dom0_wall", MS, Bound::AtMost(80.0)), "430 to 2300"),
    row("power_on_to_prompt", MS, Bound::AtMost(1500.0)),
    row("create", INSTRUCTIONS, Bound::Free),
    row("create_to_first_instruction", INSTRUCTIONS, Bound::AtMost(6e6)),
    row("create_1st_of_100", INSTRUCTIONS, Bound::Free),
    row("create_100th_of_100", INSTRUCTIONS, Bound::Free),
    row("create_spread_over_100", "%", Bound::AtMost(10.0)),
    usual(row("create_wall", MS, Bound::AtMost(20.0)), "360, 2200 for the 188th"),
    row("create_wall_first", MS, Bound::Free),
    row("destroy", INSTRUCTIONS, Bound::Free),
    usual(row("destroy_wall", MS, Bound::AtMost(10.0)), "200"),
    row("list", INSTRUCTIONS, Bound::Free),
    usual(row("list_wall", MS, Bound::AtMost(2.0)), "110"),
    row("pause", INSTRUCTIONS, Bound::Free),
    usual(row("pause_wall", MS, Bound::AtMost(2.0)), "110"),
    row("unpause", INSTRUCTIONS, Bound::Free),
    usual(row("unpause_wall", MS, Bound::AtMost(2.0)), "110"),
    row("switch_between_domains", INSTRUCTIONS, Bound::Free),
    row("memory_at_256_mib", KIB, memory_bound(256)),
    row("memory_at_512_mib", KIB, memory_bound(512)),
    usual(row("memory_at_1024_mib", KIB, memory_bound(1024)), "13.0 MiB"),
    row("memory_at_2048_mib", KIB, memory_bound(2048)),
    row("memory_at_4096_mib", KIB, memory_bound(4096)),
    row("memory_per_domain", KIB, Bound::Free),
    row("memory_per_domain_in_dom0", KIB, Bound::Free),
    usual(row("dom0_memory", "MiB", Bound::AtMost(32.0)), "1024"),
    usual(row("dom0_memory_used", "MiB", Bound::Free), "54"),
    usual(row("image_hypervisor", "bytes", Bound::AtMost(500_000.0)), "2,562,336"),
    row("image_dom0", "bytes", Bound::Free),
    row("density_8_mib_in_1_gib", "domains", Bound::Free),
    row("density_8_mib_in_1_gib_wall", MS, Bound::Free),
    usual(row("density_16_mib_in_4_gib", "domains", Bound::AtLeast(235.0)), "188"),
    usual(row("density_16_mib_in_4_gib_wall", MS, Bound::AtMost(5000.0)), "197,000"),
];

/// A number for reading: whole from a hundred on, with commas.
pub fn number(value: f64) -> String {
    if value < 100.0 {
        let text = format!("{value:.2}");
        return text.trim_end_matches('0').trim_end_matches('.').to_string();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let cases =
            [(0.0, "0"), (2.5, "2.5"), (99.999, "100"), (1234.4, "1,234"), (8e6, "8,000,000")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_bound_includes_its_limit() {
        assert!(Bound::AtMost(10.0).holds(10.0) && !Bound::AtMost(10.0).holds(10.1));
        assert!(Bound::AtLeast(235.0).holds(235.0) && !Bound::AtLeast(235.0).holds(234.0));
        assert_eq!(memory_bound(1024), Bound::AtMost(1024.0 + 8178.8928));
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
