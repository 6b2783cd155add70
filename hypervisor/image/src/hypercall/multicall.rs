//! `multicall`: several calls in one entry.
//!
//! Entries run in order, each result is stored in its entry, and the list is copied in piecewise.
//! After a bounded number of entries the call restarts behind those that are done. An entry that
//! must be continued gets its rewritten arguments stored, so that the guest's list describes the
//! rest. An entry that leaves kernel mode ends the sequence.

use hypercall_abi::errno::Errno;
use hypercall_abi::multicall::MulticallEntry;
use hypercall_abi::nr;

use super::{dispatch, Call, Outcome};
use crate::guestmem;

/// Entries carried out before the guest gets a chance to take an interrupt.
const ENTRIES_PER_PASS: u64 = 64;
/// Offset of `result` in an entry.
const RESULT_OFFSET: u64 = 8;
/// Offset of the arguments in an entry.
const ARGS_OFFSET: u64 = 16;

/// `multicall(entries, count)`.
pub fn multicall(call: &mut Call<'_>) -> Outcome {
    let [list, count, ..] = call.args;
    let count = u64::from(count as u32);
    for index in 0..count {
        if index == ENTRIES_PER_PASS {
            return again(call, list, count, index);
        }
        match one(call, list, index) {
            Ok(Step::Next) => {}
            Ok(Step::Preempted) => return again(call, list, count, index),
            Ok(Step::LeftKernel) => return Outcome::Gone,
            Err(errno) => return errno.into(),
        }
    }
    Outcome::Done(0)
}

/// How an entry ended.
enum Step {
    Next,
    Preempted,
    LeftKernel,
}

fn again(call: &mut Call<'_>, list: u64, count: u64, done: u64) -> Outcome {
    match guestmem::element::<MulticallEntry>(list, done) {
        Ok(rest) => {
            call.args[0] = rest;
            call.args[1] = count - done;
            Outcome::Again
        }
        Err(errno) => errno.into(),
    }
}

fn one(call: &mut Call<'_>, list: u64, index: u64) -> Result<Step, Errno> {
    let at = guestmem::element::<MulticallEntry>(list, index)?;
    let entry: MulticallEntry = guestmem::read(at)?;
    let [a, b, c, d, e, _] = entry.args;
    let mut inner = Call { args: [a, b, c, d, e], here: call.here, regs: &mut *call.regs };
    let outcome = if entry.op == u64::from(nr::MULTICALL) {
        Outcome::Done(Errno::EINVAL.to_ret())
    } else {
        dispatch(entry.op, &mut inner)
    };
    match outcome {
        Outcome::Done(value) => {
            guestmem::write(at.wrapping_add(RESULT_OFFSET), &value)?;
            Ok(Step::Next)
        }
        Outcome::Again => {
            let args = inner.args;
            guestmem::write(at.wrapping_add(ARGS_OFFSET), &args)?;
            Ok(Step::Preempted)
        }
        Outcome::Gone => Ok(Step::LeftKernel),
    }
}
