//! `mmuext_op`: pinning, root tables, flushes, descriptor tables, whole pages.

use core::sync::atomic::Ordering;
use hv_core::page::{self, Level, PageTables, Stop};
use hv_machine::{cpu, desc, directmap, tlb};
use hypercall_abi::mmu::{mmuext, MmuextOp};
use hypercall_abi::regs::MAX_LDT_ENTRIES;
use hypercall_abi::{vm_assist, DomId, Errno, Mfn};

use super::mmu::{foreign, list, BUDGET};
use super::{ensure, Answer, Call, End};
use crate::current::Here;
use crate::domain::vcpu::NO_CPU;
use crate::domain::{memory, Domain, VcpuState};
use crate::host::Host;
use crate::{control::context, guestmem};

/// Operations carried out per entry of the hypervisor.
const OPS_PER_PASS: u32 = 64;
/// A number that was never a command.
const HOLE: u32 = 14;
/// The first number behind all commands.
const FIRST_UNKNOWN: u32 = mmuext::UNMARK_SUPER + 1;

/// `mmuext_op(ops, count, done, foreigndom)`. Here the last argument names the domain acted on.
pub fn mmuext_op(call: &mut Call<'_>) -> Answer {
    let lazy = call.here;
    let here: &Here = lazy;
    let named = call.args[3] as u32;
    let other = if named == u32::from(DomId::SELF.get()) {
        None
    } else {
        Some(foreign(here, DomId::new(named as u16))?)
    };
    let dom = other.as_ref().unwrap_or_else(|| here.dom());
    list::<MmuextOp>(call, |ops, count, done| {
        let mut budget = BUDGET;
        while *done < count {
            if *done == OPS_PER_PASS {
                return Err(End::AGAIN);
            }
            one(here, dom, &guestmem::read_at(ops, u64::from(*done))?, &mut budget)?;
            *done += 1;
        }
        Ok(())
    })
}

fn one(here: &Here, dom: &Domain, op: &MmuextOp, budget: &mut u32) -> Result<(), End> {
    let pin = |level, budget| pin(here, dom, op.mfn(), level, budget);
    // For operations a domain carries out on itself only.
    let own = || ensure(dom.id == here.dom().id, Errno::EPERM).map(|()| here);
    match op.cmd {
        mmuext::PIN_L1_TABLE => pin(Level::L1, budget)?,
        mmuext::PIN_L2_TABLE => pin(Level::L2, budget)?,
        mmuext::PIN_L3_TABLE => pin(Level::L3, budget)?,
        mmuext::PIN_L4_TABLE => pin(Level::L4, budget)?,
        mmuext::UNPIN_TABLE => unpin(dom, op.mfn(), budget)?,
        mmuext::CLEAR_PAGE => clear_page(dom, op.mfn())?,
        mmuext::COPY_PAGE => copy_page(dom, op.mfn(), op.src_mfn())?,
        mmuext::MARK_SUPER | mmuext::UNMARK_SUPER => return Err(Errno::EOPNOTSUPP.into()),
        HOLE | FIRST_UNKNOWN.. => return Err(Errno::ENOSYS.into()),
        mmuext::NEW_BASEPTR => new_baseptr(own()?, op.mfn(), budget)?,
        mmuext::NEW_USER_BASEPTR => new_user_baseptr(own()?, op.mfn(), budget)?,
        mmuext::SET_LDT => set_ldt(own()?, op)?,
        mmuext::TLB_FLUSH_LOCAL => own().map(|_| cpu::flush_local_all())?,
        mmuext::TLB_FLUSH_ALL => tlb::flush_cpus(everywhere(own()?), tlb::Flush::All),
        mmuext::TLB_FLUSH_MULTI => tlb::flush_cpus(named(own()?, op)?, tlb::Flush::All),
        mmuext::INVLPG_LOCAL => own().map(|_| page_of(op).map_or((), cpu::invlpg))?,
        mmuext::INVLPG_ALL => flush_page(op, everywhere(own()?)),
        mmuext::INVLPG_MULTI => flush_page(op, named(own()?, op)?),
        mmuext::FLUSH_CACHE => flush_cache(own()?, Errno::EACCES)?,
        // That is FLUSH_CACHE_GLOBAL.
        _ => flush_cache(own()?, Errno::EINVAL)?,
    }
    Ok(())
}

#[inline(never)]
fn pin(here: &Here, dom: &Domain, mfn: Mfn, level: Level, budget: &mut u32) -> Result<(), Stop> {
    let tables = PageTables::new(&Host, dom.id, here.dom().id);
    tables.pin(&mut dom.mmu.lock(), mfn, level, budget)
}

#[inline(never)]
fn unpin(dom: &Domain, mfn: Mfn, budget: &mut u32) -> Result<(), Stop> {
    dom.tables().unpin(&mut dom.mmu.lock(), mfn, budget)
}

/// The kernel's root. The same frame again is a flush.
fn new_baseptr(here: &Here, mfn: Mfn, budget: &mut u32) -> Result<(), Stop> {
    switch_root(
        here,
        |state| &mut state.root,
        Some(mfn),
        budget,
        |state| {
            // The LDT may lie elsewhere in the new tables. Without an LDT no page of it is shown.
            if state.ldt_ents != 0 {
                context::drop_ldt_pages(here.dom(), state);
                desc::ldt_clear();
            }
        },
    )?;
    if here.dom().assisted(vm_assist::TYPE_M2P_STRICT) {
        memory::show_m2p(mfn);
    }
    cpu::load_guest_root(mfn);
    Ok(())
}

/// Loads a root for the guest's own `mov cr3`; false when it cannot be one.
pub fn load_root(here: &Here, mfn: Mfn) -> bool {
    loop {
        let mut budget = BUDGET;
        match new_baseptr(here, mfn, &mut budget) {
            Ok(()) => return true,
            Err(Stop::Refused(_)) => return false,
            Err(Stop::Preempted) => tlb::service(),
        }
    }
}

/// The user's root; 0 for none. It is not loaded before the guest goes to user mode.
fn new_user_baseptr(here: &Here, mfn: Mfn, budget: &mut u32) -> Result<(), Stop> {
    let new = (mfn.get() != 0).then_some(mfn);
    switch_root(here, |state| &mut state.user_root, new, budget, |_| {})?;
    if let Some(root) = new {
        memory::hide_m2p(here.dom(), root);
    }
    Ok(())
}

/// Exchanges the reference on one root for that on another, if it is another, and records it before
/// the old table can be taken apart by anyone who looks at the vCPU.
fn switch_root(
    here: &Here,
    root: impl Fn(&mut VcpuState) -> &mut Option<Mfn>,
    new: Option<Mfn>,
    budget: &mut u32,
    switched: impl FnOnce(&mut VcpuState),
) -> Result<(), Stop> {
    let (dom, vcpu) = (here.dom(), here.vcpu());
    let mut mmu = dom.mmu.lock();
    let state = &mut *vcpu.state.lock();
    let old = *root(state);
    if old != new {
        dom.tables().switch_root(&mut mmu, new, old, budget)?;
        *root(state) = new;
        switched(state);
    }
    Ok(())
}

#[inline(never)]
fn set_ldt(here: &Here, op: &MmuextOp) -> Result<(), Errno> {
    let (base, entries) = (op.linear_addr(), op.nr_ents());
    let fits = u64::from(entries) <= MAX_LDT_ENTRIES && base.is_aligned(4096);
    ensure(fits && (entries == 0 || base.is_guest_accessible()), Errno::EINVAL)?;
    let mut state = here.vcpu().state.lock();
    if (state.ldt_base, state.ldt_ents) == (base.get(), entries) {
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
#[inline(never)]
fn clear_page(dom: &Domain, mfn: Mfn) -> Result<(), Errno> {
    let held = page::get_writable(&Host, mfn, dom.id).map_err(|_| Errno::EINVAL)?;
    directmap::zero(mfn);
    page::put_writable(&Host, held);
    Ok(())
}

#[inline(never)]
fn copy_page(dom: &Domain, to: Mfn, from: Mfn) -> Result<(), Errno> {
    let source = page::get_page(&Host, from, dom.id).map_err(|_| Errno::EINVAL)?;
    let copied = page::get_writable(&Host, to, dom.id).map(|target| {
        directmap::copy(to, from);
        page::put_writable(&Host, target);
    });
    page::put_page(&Host, source);
    copied.map_err(|_| Errno::EINVAL)
}

/// The CPUs that may have translations of the domain.
fn everywhere(here: &Here) -> u64 {
    here.dom().dirty_cpus.load(Ordering::SeqCst)
}

/// The CPUs of the vCPUs that an operation names.
fn named(here: &Here, op: &MmuextOp) -> Result<u64, Errno> {
    read_vcpu_mask(here, op.vcpumask().get()).map_err(|_| Errno::EINVAL)
}

/// The page whose translation is to be flushed. An address that is not the guest's has none.
fn page_of(op: &MmuextOp) -> Option<u64> {
    let va = op.linear_addr();
    va.is_guest_accessible().then_some(va.get())
}

fn flush_page(op: &MmuextOp, cpus: u64) {
    if let Some(va) = page_of(op) {
        tlb::flush_cpus(cpus, tlb::Flush::Page(va));
    }
}

/// Writes the caches back, for domains with devices.
fn flush_cache(here: &Here, otherwise: Errno) -> Result<(), Errno> {
    ensure(here.dom().has_devices.load(Ordering::Relaxed), otherwise)?;
    cpu::wbinvd();
    Ok(())
}

/// Reads a bitmap of vCPUs and answers with the CPUs they run on. Those that do not run flush when
/// they are next scheduled.
///
/// # Errors
/// `EFAULT`.
pub fn read_vcpu_mask(here: &Here, bitmap: u64) -> Result<u64, Errno> {
    let dom = here.dom();
    let wanted = guestmem::read_number(bitmap, dom.vcpus.len().div_ceil(8))?;
    let named = dom.vcpus.iter().filter(|vcpu| wanted >> vcpu.id.get() & 1 != 0);
    let cpus = named.map(|vcpu| vcpu.cpu.load(Ordering::SeqCst)).filter(|cpu| *cpu != NO_CPU);
    Ok(cpus.fold(0, |mask, cpu| mask | 1 << cpu))
}
