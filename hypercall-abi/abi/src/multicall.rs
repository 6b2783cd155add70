//! Several hypercalls in one: the entry of `multicall`.

use crate::macros::abi_struct;

abi_struct! {
    /// One call; only `result` is written back.
    MulticallEntry {
        /// Number of the hypercall.
        op: u64,
        /// Out: what it returned.
        result: i64,
        /// Its arguments.
        args: [u64; 6],
    }
}
