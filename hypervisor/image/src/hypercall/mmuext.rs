//! `mmuext_op`: pinning, root tables, flushes, descriptor tables, whole pages.

use core::sync::atomic::Ordering;
use hv_core::page::{self, Level, PageTables, Stop};
use hv_machine::{cpu, desc, directmap, tlb};
use hypercall_abi::addr::Mfn;
use hypercall_abi::errno::Errno;
use hypercall_abi::mmu::{mmuext, MmuextOp, MMU_UPDATE_PREEMPTED};
use hypercall_abi::regs::MAX_LDT_ENTRIES;

use super::mmu::{earlier, parties, tell_done, End, Parties, BUDGET};
use super::{Call, Outcome};
use crate::current::Here;
use crate::domain::vcpu::NO_CPU;
use crate::domain::DomainRef;
use crate::host::Host;
use crate::{control::context, guestmem};

/// Operations carried out per entry of the hypervisor.
const OPS_PER_PASS: u32 = 64;
const OP_BYTES: u64 = core::mem::size_of::<MmuextOp>() as u64;

/// `mmuext_op(ops, count, done, foreigndom)`.
pub fn mmuext_op(call: &mut Call<'_>) -> Outcome {
    let [ops, raw_count, done_at, foreigndom, _] = call.args;
    let raw_count = raw_count as u32;
    let count = raw_count & !MMU_UPDATE_PREEMPTED;
    let parties = match target(call.here, foreigndom as u32) {
        Ok(parties) => parties,
        Err(errno) => return errno.into(),
    };
    let before = earlier(raw_count, done_at);
    let mut budget = BUDGET;
    let mut done = 0;
    let mut end = End::Finished;
    while done < count && matches!(end, End::Finished) {
        end = if done == OPS_PER_PASS {
            End::Preempted
        } else {
            match guestmem::read_at::<MmuextOp>(ops, u64::from(done)) {
                Ok(op) => one(call.here, &parties, &op, &mut budget),
                Err(errno) => End::Failed(errno),
            }
        };
        done += u32::from(matches!(end, End::Finished));
    }
    tell_done(done_at, before.wrapping_add(done));
    match end {
        End::Finished => Outcome::Done(0),
        End::Failed(errno) => errno.into(),
        End::Preempted => {
            call.args[0] = ops.wrapping_add(u64::from(done) * OP_BYTES);
            call.args[1] = u64::from(count - done) | u64::from(MMU_UPDATE_PREEMPTED);
            Outcome::Again
        }
    }
}

/// Here the whole argument names the domain that is acted on.
fn target(here: &Here, raw: u32) -> Result<Parties, Errno> {
    let own = u32::from(hypercall_abi::ids::DomId::SELF.get());
    if raw == own {
        return parties(here, own);
    }
    // The page owner of `mmu_update` is the table owner here.
    let id = raw & 0xffff;
    parties(here, (id + 1) << 16 | id)
}

/// Turns the result of a page operation into how the pass goes on.
fn ended(result: Result<(), Stop>) -> End {
    match result {
        Ok(()) => End::Finished,
        Err(Stop::Preempted) => End::Preempted,
        Err(Stop::Refused(error)) => End::Failed(error.into()),
    }
}

fn done(result: Result<(), Errno>) -> End {
    result.map_or_else(End::Failed, |()| End::Finished)
}

fn one(here: &Here, parties: &Parties, op: &MmuextOp, budget: &mut u32) -> End {
    let dom = parties.tables(here);
    let own = dom.id == here.dom().id;
    match op.cmd {
        mmuext::PIN_L1_TABLE => pin(here, dom, op.mfn(), Level::L1, budget),
        mmuext::PIN_L2_TABLE => pin(here, dom, op.mfn(), Level::L2, budget),
        mmuext::PIN_L3_TABLE => pin(here, dom, op.mfn(), Level::L3, budget),
        mmuext::PIN_L4_TABLE => pin(here, dom, op.mfn(), Level::L4, budget),
        mmuext::UNPIN_TABLE => {
            let tables = PageTables::new(&Host, dom.id, here.dom().id);
            ended(tables.unpin(&mut dom.mmu.lock(), op.mfn(), budget))
        }
        mmuext::CLEAR_PAGE => done(clear_page(dom, op.mfn())),
        mmuext::COPY_PAGE => done(copy_page(dom, op.mfn(), op.src_mfn())),
        mmuext::MARK_SUPER | mmuext::UNMARK_SUPER => End::Failed(Errno::EOPNOTSUPP),
        14 => End::Failed(Errno::ENOSYS),
        command if command > mmuext::UNMARK_SUPER => End::Failed(Errno::ENOSYS),
        _ if !own => End::Failed(Errno::EPERM),
        mmuext::NEW_BASEPTR => new_baseptr(here, op.mfn(), budget),
        mmuext::NEW_USER_BASEPTR => new_user_baseptr(here, op.mfn(), budget),
        mmuext::SET_LDT => done(set_ldt(here, op)),
        _ => flush(here, op),
    }
}

fn pin(here: &Here, dom: &DomainRef, mfn: Mfn, level: Level, budget: &mut u32) -> End {
    let tables = PageTables::new(&Host, dom.id, here.dom().id);
    ended(tables.pin(&mut dom.mmu.lock(), mfn, level, budget))
}

/// The kernel's root. The same frame again is a flush.
fn new_baseptr(here: &Here, mfn: Mfn, budget: &mut u32) -> End {
    let old = here.vcpu().state.lock().root;
    if old == Some(mfn) {
        cpu::load_guest_root(mfn);
        return End::Finished;
    }
    let end = switch_root(here, mfn, old, budget, |state| state.root = Some(mfn));
    if matches!(end, End::Finished) {
        context::drop_ldt_pages(here.dom(), &mut here.vcpu().state.lock());
        desc::ldt_clear();
        desc::ldt_set(here.vcpu().state.lock().ldt_ents);
        cpu::load_guest_root(mfn);
    }
    end
}

/// Loads a root for the guest's own `mov cr3`; false when it cannot be one.
pub fn load_root(here: &Here, mfn: Mfn) -> bool {
    loop {
        let mut budget = BUDGET;
        match new_baseptr(here, mfn, &mut budget) {
            End::Finished => return true,
            End::Failed(_) => return false,
            End::Preempted => tlb::service(),
        }
    }
}

/// The user's root; 0 for none. It is not loaded before the guest goes to user mode.
fn new_user_baseptr(here: &Here, mfn: Mfn, budget: &mut u32) -> End {
    let old = here.vcpu().state.lock().user_root;
    if old == Some(mfn) || (old.is_none() && mfn.get() == 0) {
        return End::Finished;
    }
    if mfn.get() != 0 {
        return switch_root(here, mfn, old, budget, |state| state.user_root = Some(mfn));
    }
    let Some(old) = old else { return End::Finished };
    let tables = PageTables::new(&Host, here.dom().id, here.dom().id);
    let end = ended(tables.put_root(&mut here.dom().mmu.lock(), old, budget));
    if matches!(end, End::Finished) {
        here.vcpu().state.lock().user_root = None;
    }
    end
}

/// Exchanges the reference on one root for that on another, and records it before the old table
/// can be taken apart by anyone who looks at the vCPU.
fn switch_root(
    here: &Here,
    new: Mfn,
    old: Option<Mfn>,
    budget: &mut u32,
    record: impl FnOnce(&mut crate::domain::VcpuState),
) -> End {
    let dom = here.dom();
    let tables = PageTables::new(&Host, dom.id, dom.id);
    let mut mmu = dom.mmu.lock();
    let end = ended(tables.switch_root(&mut mmu, new, old, budget));
    if matches!(end, End::Finished) {
        record(&mut here.vcpu().state.lock());
    }
    end
}

fn set_ldt(here: &Here, op: &MmuextOp) -> Result<(), Errno> {
    let (base, entries) = (op.linear_addr(), op.nr_ents());
    if u64::from(entries) > MAX_LDT_ENTRIES || !base.is_aligned(4096) {
        return Err(Errno::EINVAL);
    }
    if entries != 0 && !base.is_guest_accessible() {
        return Err(Errno::EINVAL);
    }
    let mut state = here.vcpu().state.lock();
    if state.ldt_base == base.get() && state.ldt_ents == entries {
        return Ok(());
    }
    context::drop_ldt_pages(here.dom(), &mut state);
    state.ldt_base = base.get();
    state.ldt_ents = entries;
    desc::ldt_clear();
    desc::ldt_set(entries);
    Ok(())
}

/// Zeroes a frame of a domain; the reference keeps it from being a page table meanwhile.
fn clear_page(dom: &DomainRef, mfn: Mfn) -> Result<(), Errno> {
    let held = page::get_writable(&Host, mfn, dom.id).map_err(|_| Errno::EINVAL)?;
    directmap::zero(mfn);
    page::put_writable(&Host, held);
    Ok(())
}

fn copy_page(dom: &DomainRef, to: Mfn, from: Mfn) -> Result<(), Errno> {
    let source = page::get_page(&Host, from, dom.id).map_err(|_| Errno::EINVAL)?;
    let copied = page::get_writable(&Host, to, dom.id).map(|target| {
        directmap::copy(to, from);
        page::put_writable(&Host, target);
    });
    page::put_page(&Host, source);
    copied.map_err(|_| Errno::EINVAL)
}

fn flush(here: &Here, op: &MmuextOp) -> End {
    let dom = here.dom();
    let va = op.linear_addr();
    let all = dom.dirty_cpus.load(Ordering::SeqCst);
    let page = tlb::Flush::Page(va.get());
    match op.cmd {
        mmuext::TLB_FLUSH_LOCAL => cpu::flush_local_all(),
        mmuext::INVLPG_LOCAL if va.is_guest_accessible() => cpu::invlpg(va.get()),
        mmuext::TLB_FLUSH_ALL => tlb::flush_cpus(all, tlb::Flush::All),
        mmuext::INVLPG_ALL if va.is_guest_accessible() => tlb::flush_cpus(all, page),
        mmuext::TLB_FLUSH_MULTI | mmuext::INVLPG_MULTI => {
            let mask = match read_vcpu_mask(here, op.vcpumask().get(), Errno::EINVAL) {
                Ok(mask) => mask,
                Err(errno) => return End::Failed(errno),
            };
            if op.cmd == mmuext::TLB_FLUSH_MULTI {
                tlb::flush_cpus(mask, tlb::Flush::All);
            } else if va.is_guest_accessible() {
                tlb::flush_cpus(mask, page);
            }
        }
        mmuext::FLUSH_CACHE | mmuext::FLUSH_CACHE_GLOBAL => return flush_cache(here, op.cmd),
        _ => {}
    }
    End::Finished
}

fn flush_cache(here: &Here, command: u32) -> End {
    if !here.dom().has_devices.load(Ordering::Relaxed) {
        let local = command == mmuext::FLUSH_CACHE;
        return End::Failed(if local { Errno::EACCES } else { Errno::EINVAL });
    }
    cpu::wbinvd();
    End::Finished
}

/// Reads a bitmap of vCPUs and answers with the CPUs they run on. Those that do not run flush when
/// they are next scheduled.
///
/// # Errors
/// `fault` when the bitmap cannot be read.
pub fn read_vcpu_mask(here: &Here, bitmap: u64, fault: Errno) -> Result<u64, Errno> {
    let dom = here.dom();
    let bytes = dom.vcpus.len().div_ceil(8);
    let mut raw = [0u8; 8];
    let part = raw.get_mut(..bytes.min(8)).unwrap_or_default();
    guestmem::read_bytes(bitmap, part).map_err(|_| fault)?;
    let wanted = u64::from_le_bytes(raw);
    let mut cpus = 0;
    for vcpu in dom.vcpus.iter().filter(|vcpu| wanted >> vcpu.id.get() & 1 != 0) {
        let cpu = vcpu.cpu.load(Ordering::SeqCst);
        if cpu != NO_CPU {
            cpus |= 1 << cpu;
        }
    }
    Ok(cpus)
}
