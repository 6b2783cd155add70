//! `multicall`: several calls in one entry.
//!
//! Entries run in order, each result is stored in its entry, and the list is copied in piecewise.
//! After a bounded number of entries the call restarts behind those that are done. An entry that
//! must be continued gets its rewritten arguments stored, so that the guest's list describes the
//! rest. An entry that leaves kernel mode ends the sequence.

use hypercall_abi::multicall::MulticallEntry;
use hypercall_abi::{nr, Errno};

use super::{dispatch, Answer, Call, End};
use crate::guestmem;

/// Entries carried out before the guest gets a chance to take an interrupt.
const ENTRIES_PER_PASS: u64 = 64;
/// Offset of `result` in an entry.
const RESULT_OFFSET: u64 = 8;
/// Offset of the arguments in an entry.
const ARGS_OFFSET: u64 = 16;

/// `multicall(entries, count)`.
pub fn multicall(call: &mut Call<'_>) -> Answer {
    let [list, count, ..] = call.args;
    let count = u64::from(count as u32);
    // No address of an entry wraps.
    guestmem::element::<MulticallEntry>(list, count)?;
    let mut at = list;
    let mut inner = Call { args: [0; 5], here: call.here, regs: &mut *call.regs };
    for index in 0..count {
        let end = if index == ENTRIES_PER_PASS { Err(End::AGAIN) } else { one(&mut inner, at) };
        if let Err(end) = end {
            if end == End::AGAIN {
                (call.args[0], call.args[1]) = (at, count - index);
            }
            return Err(end);
        }
        at = at.wrapping_add(size_of::<MulticallEntry>() as u64);
    }
    Ok(0)
}

/// Carries out the entry at an address.
#[inline(always)]
fn one(inner: &mut Call<'_>, at: u64) -> Result<(), End> {
    let entry: MulticallEntry = guestmem::read(at)?;
    let [a, b, c, d, e, _] = entry.args;
    inner.args = [a, b, c, d, e];
    let answer = if entry.op == nr::MULTICALL {
        Err(Errno::EINVAL.into())
    } else {
        dispatch(entry.op, inner)
    };
    let value = match answer {
        Err(End::AGAIN) => {
            guestmem::write(at.wrapping_add(ARGS_OFFSET), &inner.args)?;
            return Err(End::AGAIN);
        }
        Err(End::GONE) => return Err(End::GONE),
        Ok(value) | Err(End(value)) => value,
    };
    Ok(guestmem::write(at.wrapping_add(RESULT_OFFSET), &value)?)
}
