//! `getpageframeinfo3`: what a domain's frames are used for.

use hv_core::page::{self, PageType};
use hypercall_abi::addr::Mfn;
use hypercall_abi::domctl::{pfinfo, GetPageFrameInfo3, XenDomctl, PFINFO_MAX};
use hypercall_abi::errno::Errno;

use super::domctl::{CmdResult, Reply};
use crate::domain::DomainRef;
use crate::guestmem;
use crate::host::Host;

/// `getpageframeinfo3`: at most 1024 frames, so one pass.
pub fn getpageframeinfo3(dom: &DomainRef, op: &mut XenDomctl) -> CmdResult {
    let wanted: GetPageFrameInfo3 = op.payload();
    if wanted.num > PFINFO_MAX {
        return Err(Errno::E2BIG);
    }
    let array = wanted.array.get();
    for index in 0..wanted.num {
        let raw: u64 = guestmem::read_at(array, index)?;
        guestmem::write_at(array, index, &u64::from(kind(dom, Mfn::new(raw))))?;
    }
    Ok(Reply::CopyBack)
}

fn kind(dom: &DomainRef, mfn: Mfn) -> u32 {
    let Some(info) = page::page_type_info(&Host, mfn).filter(|info| info.owner == dom.id) else {
        return pfinfo::XTAB;
    };
    let table = match info.page_type {
        PageType::L1 => pfinfo::L1TAB,
        PageType::L2 => pfinfo::L2TAB,
        PageType::L3 => pfinfo::L3TAB,
        PageType::L4 => pfinfo::L4TAB,
        _ => return pfinfo::NOTAB,
    };
    table | if info.is_pinned { pfinfo::LPINTAB } else { 0 }
}
