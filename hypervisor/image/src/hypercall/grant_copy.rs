//! `GNTTABOP_copy`: bytes between frames that grants, or the caller's ownership, give access to.

use hv_core::grant::{status_of, Access, CopyPlan, CopySide, GrantError, UseKinds};
use hv_machine::directmap;
use hypercall_abi::grant::GnttabCopy;
use hypercall_abi::{GrantRef, Mfn};

use super::grant::{acquire, each, hold, let_go, release};
use super::{Answer, Call};
use crate::current::Here;
use crate::domain::table::{self, Named};

/// `GNTTABOP_copy`.
pub fn copy(call: &mut Call<'_>) -> Answer {
    let here = call.here;
    each(call, |op: &mut GnttabCopy| {
        let plan = CopyPlan::decode(op);
        op.status = status_of(&plan.and_then(|plan| plan.map_or(Ok(()), |p| copy_one(here, &p))));
    })
}

fn copy_one(here: &Here, plan: &CopyPlan) -> Result<(), GrantError> {
    let source = open(here, plan.source, Access::ReadOnly)?;
    let dest = open(here, plan.dest, Access::ReadWrite)?;
    let (to, from) = ((dest.frame, plan.dest_offset), (source.frame, plan.source_offset));
    directmap::copy_range(to.0, to.1, from.0, from.1, plan.len);
    Ok(())
}

/// A side of a copy: its frame may be touched until the side is dropped.
struct Side<'a> {
    frame: Mfn,
    access: Access,
    _grant: Option<Use<'a>>,
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        let_go(self.frame, self.access);
    }
}

/// A use of a grant, which lasts longer than the page reference taken for it.
struct Use<'a> {
    granter: Named<'a>,
    gref: GrantRef,
    access: Access,
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        release(&self.granter, self.gref, self.access, UseKinds::COPY);
    }
}

fn open(here: &Here, side: CopySide, access: Access) -> Result<Side<'_>, GrantError> {
    let caller = here.dom().id;
    let (frame, owner, grant) = match side {
        CopySide::Own { frame } => (frame, caller, None),
        CopySide::Grant { dom, gref } => {
            let granter = table::named(here, dom).map_err(|_| GrantError::BadDomain)?;
            let frame = acquire(&granter, gref, caller, access, UseKinds::COPY)?;
            (frame, granter.id, Some(Use { granter, gref, access }))
        }
    };
    let refusal = match (&grant, access) {
        (None, Access::ReadOnly) => GrantError::NoFrame,
        _ => GrantError::BadFrame,
    };
    hold(frame, owner, access).map_err(|_| refusal)?;
    Ok(Side { frame, access, _grant: grant })
}
