//! `GNTTABOP_copy`: bytes between frames that grants, or the caller's ownership, give access to.

use hv_core::grant::{status_of, Access, CopyPlan, CopySide, GrantError, MapKinds, Usage};
use hv_core::page;
use hv_machine::directmap;
use hypercall_abi::addr::Mfn;
use hypercall_abi::grant::GnttabCopy;
use hypercall_abi::ids::{DomId, GrantRef};

use super::grant::{self, acquire, release};
use super::{Call, Outcome};
use crate::current::Here;
use crate::domain::{table, DomainRef};
use crate::host::Host;

/// `GNTTABOP_copy`.
pub fn copy(call: &mut Call<'_>, count: u64) -> Outcome {
    grant::each(call, count, |here, op: &mut GnttabCopy| {
        let result = CopyPlan::decode(op).and_then(|plan| match plan {
            Some(plan) => copy_one(here, &plan),
            None => Ok(()),
        });
        op.status = status_of(&result);
    })
}

/// A side whose frame may be touched.
struct Side {
    frame: Mfn,
    access: Access,
    grant: Option<(DomainRef, GrantRef)>,
}

fn copy_one(here: &Here, plan: &CopyPlan) -> Result<(), GrantError> {
    let source = open(here, plan.source, Access::ReadOnly)?;
    match open(here, plan.dest, Access::ReadWrite) {
        Ok(dest) => {
            directmap::copy_range(
                dest.frame,
                plan.dest_offset,
                source.frame,
                plan.source_offset,
                plan.len,
            );
            close(dest);
            close(source);
            Ok(())
        }
        Err(error) => {
            close(source);
            Err(error)
        }
    }
}

fn open(here: &Here, side: CopySide, access: Access) -> Result<Side, GrantError> {
    let caller = here.dom();
    let (frame, owner, grant) = match side {
        CopySide::Own { frame } => (frame, caller.id, None),
        CopySide::Grant { dom, gref } => {
            let granter = granter(here, dom)?;
            let frame = acquire(&granter, gref, caller.id, access, Usage::Copy)?;
            (frame, granter.id, Some((granter, gref)))
        }
    };
    let side = Side { frame, access, grant };
    match reference(frame, owner, access) {
        Ok(()) => Ok(side),
        Err(_) => {
            end_grant(&side);
            let own = side.grant.is_none() && access == Access::ReadOnly;
            Err(if own { GrantError::NoFrame } else { GrantError::BadFrame })
        }
    }
}

fn granter(here: &Here, id: DomId) -> Result<DomainRef, GrantError> {
    if id == DomId::SELF {
        return Ok(here.dom().clone());
    }
    table::get(id).ok_or(GrantError::BadDomain)
}

fn reference(frame: Mfn, owner: DomId, access: Access) -> Result<(), page::PageError> {
    match access {
        Access::ReadOnly => page::get_page(&Host, frame, owner).map(|held| {
            let _ = held.into_raw();
        }),
        Access::ReadWrite => page::get_writable(&Host, frame, owner).map(|held| {
            let _ = held.into_raw();
        }),
    }
}

fn close(side: Side) {
    match side.access {
        Access::ReadOnly => page::put_page(&Host, page::PageRef::from_raw(side.frame)),
        Access::ReadWrite => page::put_writable(&Host, page::WritableRef::from_raw(side.frame)),
    }
    end_grant(&side);
}

fn end_grant(side: &Side) {
    if let Some((granter, gref)) = &side.grant {
        release(granter, *gref, side.access, MapKinds::HOST);
    }
}
