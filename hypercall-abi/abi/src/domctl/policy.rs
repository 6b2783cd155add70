//! What the CPU shows to a domain.

use crate::addr::GuestVa;
use crate::macros::abi_struct;

abi_struct! {
    /// `cmd::GET_CPU_POLICY` and `cmd::SET_CPU_POLICY`.
    CpuPolicy {
        /// In: room for leaves. Out: leaves.
        nr_leaves: u32,
        /// In: room for registers. Out: registers.
        nr_msrs: u32,
        /// Address of `xen::XenCpuidLeaf` entries.
        leaves: GuestVa,
        /// Address of `xen::XenMsrEntry` entries.
        msrs: GuestVa,
        /// Out: the leaf that was refused.
        err_leaf: u32,
        /// Out: its subleaf.
        err_subleaf: u32,
        /// Out: the register that was refused.
        err_msr: u32,
        /// Padding.
        _pad: u32,
    }
}
