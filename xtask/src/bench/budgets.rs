//! The budgets: what an operation may cost at most, in instructions.
//!
//! Most are a row; a few are made of rows, as the price of a further entry in a batch. Xen's numbers
//! beside them in the report are measured, not remembered.

use system_tests::qemu::Hypervisor;

use super::sheet::Sheet;

/// One budget: a sum of rows over a divisor.
pub struct Budget {
    /// The operation, as a person says it.
    pub operation: &'static str,
    terms: &'static [(&'static str, f64)],
    divisor: f64,
    /// Zendo's instructions, at most.
    pub at_most: f64,
}

const fn row(operation: &'static str, row: &'static [(&'static str, f64)], most: f64) -> Budget {
    Budget { operation, terms: row, divisor: 1.0, at_most: most }
}

const fn part(of: Budget, divisor: f64) -> Budget {
    Budget { divisor, ..of }
}

/// All of them. A literal of one row is `&[(name, 1.0)]`.
pub const BUDGETS: &[Budget] = &[
    row("null hypercall", &[("hc_xen_version", 1.0)], 110.0),
    part(
        row(
            "multicall, each further null entry",
            &[("multicall_32_per_entry", 32.0), ("multicall_8_per_entry", -8.0)],
            60.0,
        ),
        24.0,
    ),
    row("mmu_update, one PTE, other frame", &[("mmu_update_1_change_frame", 1.0)], 420.0),
    row("mmu_update, batch of 128, each", &[("mmu_update_128_change_frame_per_entry", 1.0)], 200.0),
    row("update_va_mapping, no flush", &[("uvm_none", 1.0)], 380.0),
    row("update_va_mapping, INVLPG local", &[("uvm_invlpg_local", 1.0)], 420.0),
    row("direct write to a read-only L1 entry", &[("ptwr_mov_change_frame", 1.0)], 900.0),
    part(row("pin an L1 of 512 present entries, each", &[("pin_l1_full512", 1.0)], 60.0), 512.0),
    part(row("unpin the same, each", &[("unpin_l1_full512", 1.0)], 45.0), 512.0),
    row("MMUEXT_NEW_BASEPTR, other table", &[("new_baseptr_switch", 1.0)], 350.0),
    row(
        "context switch by a 7-entry multicall",
        &[("ctxswitch_composite_multicall7", 1.0)],
        1300.0,
    ),
    row("event: send to the handler", &[("evtchn_send_to_handler", 1.0)], 260.0),
    row("event: whole round trip", &[("evtchn_send_upcall_roundtrip", 1.0)], 420.0),
    row("grant map + unmap, one page", &[("gnt_map_unmap_1_pair", 1.0)], 1000.0),
    row("grant copy of 4096 bytes", &[("gnt_copy_4096B_1", 1.0)], 1000.0),
    row("page fault to the guest and back", &[("exc_pf_notpresent_read_roundtrip", 1.0)], 340.0),
    row("#UD to the guest and back", &[("exc_ud_roundtrip", 1.0)], 340.0),
    row("system call from user mode and back", &[("user_syscall_roundtrip_sysret", 1.0)], 320.0),
    row("emulated mov from CR0", &[("emul_mov_from_cr0", 1.0)], 650.0),
    row("emulated rdmsr", &[("emul_rdmsr_efer", 1.0)], 650.0),
    row("forced-emulation cpuid", &[("emul_fep_cpuid", 1.0)], 300.0),
    row("SCHEDOP_yield, nothing else to run", &[("schedop_yield", 1.0)], 500.0),
    row("timer set in the past, to the handler", &[("set_timer_past_to_handler", 1.0)], 550.0),
    row(
        "alloc + bind + close + close of channels",
        &[("evtchn_alloc_bind_close_close_cycle", 1.0)],
        900.0,
    ),
];

impl Budget {
    /// What the operation costs, if all its rows were measured.
    pub fn cost(&self, sheet: &Sheet, which: Hypervisor) -> Option<f64> {
        let each = |(row, times): &(&str, f64)| Some(sheet.instructions(which, row)? * times);
        let sum: f64 = self.terms.iter().map(each).sum::<Option<f64>>()?;
        Some(sum / self.divisor)
    }

    /// Whether a cost is within the budget, to a tenth: a repetition's thousand operations include
    /// reading the counter.
    pub fn holds(&self, cost: f64) -> bool {
        (cost * 10.0).round() <= self.at_most * 10.0
    }

    /// The budget that is this row's alone.
    pub fn of_row(name: &str) -> Option<&'static Budget> {
        let alone = |budget: &&Budget| {
            budget.divisor == 1.0 && matches!(budget.terms, [(row, _)] if *row == name)
        };
        BUDGETS.iter().find(alone)
    }

    /// Whether any of its rows was measured.
    pub fn concerns(&self, sheet: &Sheet) -> bool {
        let measured = |row: &str| sheet.lines.iter().any(|line| line.name == row);
        self.terms.iter().any(|(row, _)| measured(row))
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines;
    use super::*;

    #[test]
    fn a_further_entry_is_the_difference_of_two_batches() {
        let text = "calibration 1 1\nrow multicall_8_per_entry entry 8000 1888800 ok\n\
            row multicall_32_per_entry entry 32000 6761600 ok\n\
            row pin_l1_full512 hypercall 10 1056840 ok\n";
        let mut sheet = Sheet::default();
        sheet.take_instructions(Hypervisor::Xen, &lines::read(text).expect("good lines"));
        let cost = |at: usize| BUDGETS[at].cost(&sheet, Hypervisor::Xen);
        assert!((cost(1).expect("both rows") - 203.03).abs() < 0.01, "{:?}", cost(1));
        assert!((cost(7).expect("the row") - 206.4).abs() < 0.1, "{:?}", cost(7));
        assert_eq!(cost(0), None, "not measured");
        assert!(BUDGETS[1].concerns(&sheet) && !BUDGETS[0].concerns(&sheet));
    }

    #[test]
    fn reading_the_counter_is_no_part_of_an_operation() {
        assert!(BUDGETS[0].holds(110.004));
        assert!(!BUDGETS[0].holds(110.1));
    }

    #[test]
    fn a_budget_stands_beside_its_row_only_if_it_is_the_rows_own() {
        assert_eq!(Budget::of_row("uvm_none").map(|budget| budget.at_most), Some(380.0));
        assert!(Budget::of_row("pin_l1_full512").is_none());
        assert!(Budget::of_row("multicall_8_per_entry").is_none());
    }
}
