//! `GNTTABOP_copy`: bytes between frames that grants, or the caller's ownership, give access to.

use hv_core::grant::{status_of, Access, CopyPlan, CopySide, GrantError, UseKinds};
use hv_machine::directmap;
use hypercall_abi::grant::GnttabCopy;
use hypercall_abi::Mfn;

use super::grant::{acquire, each, hold, let_go, release};
use super::{Answer, Call};
use crate::current::Here;
use crate::domain::table;

/// `GNTTABOP_copy`.
#[inline(never)]
pub fn copy(call: &mut Call<'_>) -> Answer {
    let here = call.here;
    each(call, |op: &mut GnttabCopy| {
        let plan = CopyPlan::decode(op);
        op.status = status_of(&plan.and_then(|plan| plan.map_or(Ok(()), |p| copy_one(here, &p))));
    })
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
            let frame = acquire(&dom, gref, caller.id, access, UseKinds::COPY)?;
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
