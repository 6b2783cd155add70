//! `GNTTABOP_copy`: bytes between frames that grants, or the caller's ownership, give access to.

use core::mem::offset_of;
use hv_core::grant::{status_of, Access, CopyPlan, CopySide, GrantError, UseKinds};
use hv_machine::directmap;
use hypercall_abi::grant::GnttabCopy;
use hypercall_abi::Mfn;
use zerocopy::IntoBytes;

use super::grant::{each, hold, let_go, release, Entries};
use super::{Answer, Call};
use crate::current::Here;
use crate::domain::table;
use crate::guestmem;

/// `GNTTABOP_copy`.
#[inline(never)]
pub fn copy(call: &mut Call<'_>) -> Answer {
    let here = call.here;
    each::<GnttabCopy>(call, |at| copy_at(here, at))
}

#[inline(never)]
fn copy_at(here: &Here, at: u64) -> Answer {
    const ANSWER: usize = offset_of!(GnttabCopy, len);
    let mut op: GnttabCopy = guestmem::read(at)?;
    let plan = CopyPlan::decode(&op);
    op.status = status_of(&plan.and_then(|plan| plan.map_or(Ok(()), |p| copy_one(here, &p))));
    guestmem::write_bytes(at.wrapping_add(ANSWER as u64), &op.as_bytes()[ANSWER..])?;
    Ok(0)
}

fn copy_one(here: &Here, plan: &CopyPlan) -> Result<(), GrantError> {
    on_side(here, plan.source, Access::ReadOnly, |from| {
        on_side(here, plan.dest, Access::ReadWrite, |to| {
            directmap::copy_range(to, plan.dest_offset, from, plan.source_offset, plan.len);
            Ok(())
        })
    })
}

/// Does something with the frame of one side while it may be touched. A use of a grant lasts longer
/// than the page reference taken for it.
#[inline(always)]
fn on_side(
    here: &Here,
    side: CopySide,
    access: Access,
    act: impl FnOnce(Mfn) -> Result<(), GrantError>,
) -> Result<(), GrantError> {
    let (caller, mut granter) = (here.dom(), None);
    let (frame, owner, refusal) = match side {
        CopySide::Own { frame } if access == Access::ReadOnly => {
            (frame, caller.id, GrantError::NoFrame)
        }
        CopySide::Own { frame } => (frame, caller.id, GrantError::BadFrame),
        CopySide::Grant { dom, gref } => {
            let dom = table::named(here, dom).map_err(|_| GrantError::BadDomain)?;
            let frame =
                dom.grants.lock().acquire(&Entries, gref, caller.id, access, UseKinds::COPY)?;
            let owner = dom.id;
            granter = Some((dom, gref));
            (frame, owner, GrantError::BadFrame)
        }
    };
    let done = hold(frame, owner, access).map_err(|_| refusal).and_then(|_| {
        let done = act(frame);
        let_go(frame, access);
        done
    });
    if let Some((dom, gref)) = granter {
        release(&dom, gref, access, UseKinds::COPY);
    }
    done
}
