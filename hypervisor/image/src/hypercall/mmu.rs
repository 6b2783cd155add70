//! `mmu_update`: a list of changes to page-table entries and to the machine-to-physical table.
//!
//! Requests are copied in by the chunk and carried out in order; the first that fails ends the
//! call, and what was done before stays. The page-table lock of the tables' owner is held for one
//! chunk at a time.

use core::sync::atomic::Ordering;
use hv_core::page::{self, EntryUpdate, MmuState, PageTables, Stop, UpdateMode};
use hv_machine::{frames, tlb};
use hypercall_abi::addr::Mfn;
use hypercall_abi::errno::Errno;
use hypercall_abi::ids::DomId;
use hypercall_abi::mmu::{
    ForeignDom, MmuUpdate, MMU_MACHPHYS_UPDATE, MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_NO_TRANSLATE,
    MMU_PT_UPDATE_PRESERVE_AD, MMU_UPDATE_PREEMPTED,
};
use zerocopy::IntoBytes;

use super::{Call, Outcome};
use crate::current::Here;
use crate::domain::{table, Domain, DomainRef};
use crate::guestmem;
use crate::host::Host;

/// Units of page-table work per entry of the hypervisor: entries looked at.
pub const BUDGET: u32 = 8192;
/// Requests copied in at a time.
const CHUNK: usize = 16;
/// Requests carried out per entry of the hypervisor.
const REQUESTS_PER_PASS: u32 = 512;

/// Whose tables are changed, and whose frames may be mapped.
pub struct Parties {
    /// Owner of the tables; `None` for the caller.
    tables: Option<DomainRef>,
    /// Owner of the frames.
    pub frames: DomId,
}

impl Parties {
    /// Owner of the tables.
    #[inline]
    pub fn tables<'a>(&'a self, here: &'a Here) -> &'a DomainRef {
        self.tables.as_ref().unwrap_or_else(|| here.dom())
    }
}

/// Makes sense of a `foreigndom` argument.
///
/// # Errors
/// `ESRCH` for domains that do not exist and for the caller by its number, `EPERM`.
#[inline]
pub fn parties(here: &Here, raw: u32) -> Result<Parties, Errno> {
    if raw == u32::from(DomId::SELF.get()) {
        return Ok(Parties { tables: None, frames: here.dom().id });
    }
    let named = ForeignDom::from_raw(raw);
    let tables = match named.tables {
        None => None,
        Some(id) => Some(foreign(here, id)?),
    };
    Ok(Parties { tables, frames: frame_owner(here, named.frames)? })
}

/// A domain other than the caller, over which the caller has the right.
fn foreign(here: &Here, id: DomId) -> Result<DomainRef, Errno> {
    if id == here.dom().id {
        return Err(Errno::ESRCH);
    }
    let dom = table::get(id).ok_or(Errno::ESRCH)?;
    if here.dom().controls(&dom) {
        Ok(dom)
    } else {
        Err(Errno::EPERM)
    }
}

/// Makes sense of a page owner.
///
/// # Errors
/// As [`parties`].
pub fn frame_owner(here: &Here, id: DomId) -> Result<DomId, Errno> {
    match id {
        DomId::SELF => Ok(here.dom().id),
        DomId::IO => Ok(DomId::IO),
        DomId::XEN if here.dom().privileged => Ok(DomId::XEN),
        DomId::XEN => Err(Errno::EPERM),
        _ => Ok(foreign(here, id)?.id),
    }
}

/// `mmu_update(requests, count, done, foreigndom)`.
pub fn mmu_update(call: &mut Call<'_>) -> Outcome {
    let [requests, raw_count, done_at, foreigndom, _] = call.args;
    let raw_count = raw_count as u32;
    let count = raw_count & !MMU_UPDATE_PREEMPTED;
    let parties = match parties(call.here, foreigndom as u32) {
        Ok(parties) => parties,
        Err(errno) => return errno.into(),
    };
    let before = earlier(raw_count, done_at);
    let (finished, end) = run(call.here, &parties, requests, count);
    tell_done(done_at, before.wrapping_add(finished));
    match end {
        End::Finished => Outcome::Done(0),
        End::Failed(errno) => errno.into(),
        End::Preempted => {
            call.args[0] = requests.wrapping_add(u64::from(finished) * REQUEST_BYTES);
            call.args[1] = u64::from(count - finished) | u64::from(MMU_UPDATE_PREEMPTED);
            Outcome::Again
        }
    }
}

const REQUEST_BYTES: u64 = core::mem::size_of::<MmuUpdate>() as u64;

/// Operations that a continued call has done before.
pub fn earlier(raw_count: u32, done_at: u64) -> u32 {
    if raw_count & MMU_UPDATE_PREEMPTED == 0 || done_at == 0 {
        return 0;
    }
    guestmem::read::<u32>(done_at).unwrap_or(0)
}

/// Tells the guest how many operations are done, if it wants to know. One that gave a bad address
/// for it does not learn it; the call's result is the same.
pub fn tell_done(done_at: u64, done: u32) {
    if done_at != 0 {
        let _ = guestmem::write(done_at, &done);
    }
}

/// How a pass over the list ended.
pub enum End {
    /// All done.
    Finished,
    /// The next operation failed.
    Failed(Errno),
    /// To be continued.
    Preempted,
}

fn run(here: &Here, parties: &Parties, requests: u64, count: u32) -> (u32, End) {
    let mut done = 0;
    let mut budget = BUDGET;
    while done < count {
        if done >= REQUESTS_PER_PASS {
            return (done, End::Preempted);
        }
        let mut chunk = [MmuUpdate { ptr: 0, val: 0 }; CHUNK];
        let wanted = CHUNK.min((count - done) as usize);
        let got = match read_chunk(requests, done, &mut chunk, wanted) {
            Ok(got) => got,
            Err(errno) => return (done, End::Failed(errno)),
        };
        let part = chunk.get(..got).unwrap_or_default();
        let (finished, end) = run_chunk(here, parties, part, &mut budget);
        done += finished;
        match end {
            End::Finished => {}
            other => return (done, other),
        }
    }
    (done, End::Finished)
}

/// Copies requests in: all that are wanted, or as a last resort the next one alone.
fn read_chunk(
    requests: u64,
    first: u32,
    chunk: &mut [MmuUpdate; CHUNK],
    wanted: usize,
) -> Result<usize, Errno> {
    let at = guestmem::element::<MmuUpdate>(requests, u64::from(first))?;
    for len in [wanted, 1] {
        let part = chunk.get_mut(..len).unwrap_or_default();
        if guestmem::read_bytes(at, part.as_mut_bytes()).is_ok() {
            return Ok(len);
        }
    }
    Err(Errno::EFAULT)
}

fn run_chunk(here: &Here, parties: &Parties, chunk: &[MmuUpdate], budget: &mut u32) -> (u32, End) {
    let owner = parties.tables(here);
    let mut pass = Pass {
        tables: PageTables::new(&Host, owner.id, here.dom().id),
        mmu: &mut owner.mmu.lock(),
        frames: parties.frames,
        own_tables: owner.id == here.dom().id,
        flush: false,
    };
    let mut done = 0;
    let mut end = End::Finished;
    for request in chunk {
        end = pass.one(request, budget);
        if !matches!(end, End::Finished) {
            break;
        }
        done += 1;
    }
    if pass.flush {
        flush_domain(owner);
    }
    (done, end)
}

/// A pass over a chunk, under the page-table lock.
struct Pass<'a> {
    tables: PageTables<'a, Host>,
    mmu: &'a mut MmuState,
    frames: DomId,
    own_tables: bool,
    flush: bool,
}

impl Pass<'_> {
    #[inline]
    fn one(&mut self, request: &MmuUpdate, budget: &mut u32) -> End {
        let mode = match request.cmd() {
            MMU_NORMAL_PT_UPDATE | MMU_PT_UPDATE_NO_TRANSLATE => UpdateMode::Normal,
            MMU_PT_UPDATE_PRESERVE_AD => UpdateMode::PreserveAd,
            MMU_MACHPHYS_UPDATE => return self.machphys(request),
            _ => return End::Failed(Errno::ENOSYS),
        };
        let update = EntryUpdate {
            table: Mfn::from_maddr(request.maddr()),
            index: (request.maddr() as usize & 0xfff) / 8,
            value: request.val,
            mode,
            page_owner: self.frames,
        };
        match self.tables.update_entry(self.mmu, &update, budget) {
            Ok(updated) => {
                self.flush |= updated.flush_domain;
                End::Finished
            }
            Err(Stop::Preempted) => End::Preempted,
            Err(Stop::Refused(error)) => End::Failed(error.into()),
        }
    }

    /// `MMU_MACHPHYS_UPDATE`: the frame must belong to the page owner.
    fn machphys(&self, request: &MmuUpdate) -> End {
        if !self.own_tables {
            return End::Failed(Errno::EPERM);
        }
        let mfn = Mfn::from_maddr(request.maddr());
        match page::get_page(&Host, mfn, self.frames) {
            Ok(held) => {
                frames::m2p_set(mfn, request.val);
                page::put_page(&Host, held);
                End::Finished
            }
            Err(_) => End::Failed(Errno::EINVAL),
        }
    }
}

/// Flushes all CPUs that may have translations of a domain.
pub fn flush_domain(dom: &Domain) {
    tlb::flush_cpus(dom.dirty_cpus.load(Ordering::SeqCst), tlb::Flush::All);
}
