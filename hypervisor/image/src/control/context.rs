//! The state of a vCPU as a whole: set, read, dropped.
//!
//! `setvcpucontext` and `VCPUOP_initialise` set it once, with everything checked before anything is
//! changed; after that only registers may be set again. The vCPU is off every CPU meanwhile: it
//! was never up, or its domain is paused here.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use hv_core::emul::cr::{self, CR0_TS, CR4_DE};
use hv_core::page::{self, WritableRef};
use hv_core::trap::{flags, Handler};
use hv_machine::{cpu, GuestRegs};
use hypercall_abi::addr::is_canonical;
use hypercall_abi::domctl::{ExtVcpuContext, VcpuContext};
use hypercall_abi::regs::{
    cr3_to_mfn, mfn_to_cr3, VcpuGuestContext, Vgcf, FIRST_RESERVED_GDT_ENTRY, MAX_LDT_ENTRIES,
};
use hypercall_abi::vm_assist::VALID_MASK_PV64;
use hypercall_abi::{Errno, GuestVa, Mfn};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::domain::vcpu::flag;
use crate::domain::{lifecycle, memory, Domain, Vcpu, VcpuState};
use crate::host::{to_end, Host};
use crate::hypercall::ensure;
use crate::upcall::EXIT_BY_IRET;
use crate::{guestmem, pvtime, sched, trap, wake};

/// Descriptors per GDT frame.
const PER_FRAME: u64 = 512;

/// An empty context; it is too large for the stack.
fn empty() -> Result<Box<VcpuGuestContext>, Errno> {
    VcpuGuestContext::new_box_zeroed().map_err(|_| Errno::ENOMEM)
}

/// Copies a context in.
///
/// # Errors
/// `EFAULT`, `ENOMEM`.
pub fn read(at: u64) -> Result<Box<VcpuGuestContext>, Errno> {
    let mut context = empty()?;
    guestmem::read_bytes(at, context.as_mut_bytes())?;
    Ok(context)
}

/// `setvcpucontext`.
pub fn setvcpucontext(dom: &Domain, wanted: VcpuContext) -> Result<(), Errno> {
    let vcpu = created(dom, &wanted)?;
    if wanted.ctxt.is_null() {
        lifecycle::while_paused(dom, || reset(dom, vcpu));
        return Ok(());
    }
    let context = read(wanted.ctxt.get())?;
    lifecycle::while_paused(dom, || set(dom, vcpu, &context))
}

/// `getvcpucontext`.
pub fn getvcpucontext(dom: &Domain, wanted: VcpuContext) -> Result<(), Errno> {
    let vcpu = created(dom, &wanted)?;
    ensure(vcpu.has(flag::INITIALISED), Errno::ENODATA)?;
    let mut context = empty()?;
    lifecycle::while_paused(dom, || fill(dom, vcpu, &mut context));
    guestmem::write_bytes(wanted.ctxt.get(), context.as_bytes())
}

fn created<'a>(dom: &'a Domain, op: &VcpuContext) -> Result<&'a Vcpu, Errno> {
    let made = dom.vcpus_created.load(Ordering::SeqCst);
    dom.vcpu(op.vcpu).filter(|_| made).ok_or(Errno::EINVAL)
}

/// Everything that can be refused without looking at the vCPU.
fn check(context: &VcpuGuestContext) -> Result<(), Errno> {
    let canonical = [
        context.user_regs.rip,
        context.user_regs.rsp,
        context.kernel_sp,
        context.fs_base,
        context.gs_base_kernel,
        context.gs_base_user,
        context.event_callback_eip,
        context.failsafe_callback_eip,
        context.syscall_callback_eip,
    ];
    let ldt = GuestVa::new(context.ldt_base);
    let ldt_ok = context.ldt_ents == 0
        || (ldt.is_aligned(4096)
            && ldt.is_guest_accessible()
            && context.ldt_ents <= MAX_LDT_ENTRIES);
    let in_kernel = context.flags.contains(Vgcf::IN_KERNEL);
    let [_, user_cr3, ..] = context.ctrlreg;
    let ok = canonical.iter().all(|address| is_canonical(*address))
        && ldt_ok
        && context.gdt_ents <= FIRST_RESERVED_GDT_ENTRY
        && context.vm_assist & !VALID_MASK_PV64 == 0
        && (in_kernel || user_cr3 != 0);
    ensure(ok, Errno::EINVAL)
}

/// Sets the state of a vCPU that runs nowhere.
///
/// # Errors
/// `EINVAL` for a context no vCPU can have, `EOPNOTSUPP` for changing tables of one that has them.
pub fn set(dom: &Domain, vcpu: &Vcpu, context: &VcpuGuestContext) -> Result<(), Errno> {
    check(context)?;
    if vcpu.has(flag::INITIALISED) {
        check_same_tables(vcpu, context)?;
        set_registers(&mut vcpu.state.lock(), context)?;
    } else {
        // Registers first: they can be refused without anything to undo.
        set_registers(&mut vcpu.state.lock(), context)?;
        install_tables(dom, vcpu, context)?;
        first_time(dom, vcpu, context);
    }
    if context.flags.contains(Vgcf::ONLINE) {
        vcpu.set(flag::UP);
    } else {
        vcpu.clear(flag::UP);
    }
    sched::update(dom, vcpu);
    Ok(())
}

fn check_same_tables(vcpu: &Vcpu, context: &VcpuGuestContext) -> Result<(), Errno> {
    let state = vcpu.state.lock();
    let [_, user_cr3, _, cr3, ..] = context.ctrlreg;
    let wanted_gdt = context.gdt_frames.iter().take(state.gdt.len());
    let same = state.root == Some(cr3_to_mfn(cr3))
        && state.user_root == (user_cr3 != 0).then(|| cr3_to_mfn(user_cr3))
        && u64::from(state.gdt_ents) == context.gdt_ents
        && state.gdt.iter().eq(wanted_gdt)
        && u64::from(state.ldt_ents) == context.ldt_ents
        && state.ldt_base == context.ldt_base;
    ensure(same, Errno::EOPNOTSUPP)
}

fn set_registers(state: &mut VcpuState, context: &VcpuGuestContext) -> Result<(), Errno> {
    state.traps.load(&context.trap_ctxt)?;
    let user = &context.user_regs;
    // The saved frame is laid out as the structure of the interface; only what the guest may not
    // choose is different.
    let (regs, _) = GuestRegs::read_from_prefix(user.as_bytes()).map_err(|_| Errno::EINVAL)?;
    state.regs = GuestRegs {
        error_code: 0,
        vector: EXIT_BY_IRET,
        cs: u64::from(user.cs | 3),
        rflags: flags::for_guest(user.rflags),
        ss: u64::from(user.ss | 3),
        ..regs
    };
    state.iopl = (user.rflags >> flags::IOPL_SHIFT & 3) as u8;
    state.kernel_mode = context.flags.contains(Vgcf::IN_KERNEL);
    let masks = |flag| context.flags.contains(flag);
    let callbacks = &mut state.callbacks;
    callbacks.event = Handler::new(context.event_callback_eip, true);
    callbacks.failsafe =
        Handler::new(context.failsafe_callback_eip, masks(Vgcf::FAILSAFE_DISABLES_EVENTS));
    callbacks.syscall =
        Handler::new(context.syscall_callback_eip, masks(Vgcf::SYSCALL_DISABLES_EVENTS));
    state.kernel_ss = context.kernel_ss | 3;
    state.kernel_sp = context.kernel_sp;
    let s = &mut state.segments;
    (s.ds, s.es, s.fs, s.gs) = (user.ds, user.es, user.fs, user.gs);
    s.fs_base = context.fs_base;
    s.gs_base_kernel = context.gs_base_kernel;
    s.gs_base_user = context.gs_base_user;
    let [cr0, _, _, _, cr4, ..] = context.ctrlreg;
    state.ts = cr0 & CR0_TS != 0;
    state.cr4 = trap::privop::guest_cr4(cr4);
    state.fpu_used = context.flags.contains(Vgcf::I387_VALID);
    if state.fpu_used {
        state.fpu.set_legacy(&context.fpu_ctxt);
    } else {
        *state.fpu = Default::default();
    }
    let has_de = state.cr4 & CR4_DE != 0;
    for (register, value) in (0..).zip(context.debugreg).filter(|(dr, _)| !matches!(dr, 4 | 5)) {
        // A context with a bad debug register is taken without it, as Xen does.
        let _ = state.debug.set(register, value, has_de);
    }
    Ok(())
}

/// Takes the references of descriptor frames and root tables; all of them or none.
fn install_tables(dom: &Domain, vcpu: &Vcpu, context: &VcpuGuestContext) -> Result<(), Errno> {
    let frames = context.gdt_ents.div_ceil(PER_FRAME) as usize;
    let frames = context.gdt_frames.get(..frames).ok_or(Errno::EINVAL)?;
    set_gdt(dom, vcpu, frames, context.gdt_ents as u32)?;
    let [_, user_cr3, _, cr3, ..] = context.ctrlreg;
    let user_root = (user_cr3 != 0).then_some(user_cr3);
    take_root(dom, cr3)
        .map(|root| vcpu.state.lock().root = Some(root))
        .and_then(|()| user_root.map(|cr3| take_root(dom, cr3)).transpose())
        .inspect(|root| root.iter().for_each(|root| memory::hide_m2p(dom, *root)))
        .map(|root| vcpu.state.lock().user_root = root)
        .inspect_err(|_| drop_tables(dom, vcpu))?;
    let mut state = vcpu.state.lock();
    state.ldt_base = context.ldt_base;
    state.ldt_ents = context.ldt_ents as u32;
    Ok(())
}

fn first_time(dom: &Domain, vcpu: &Vcpu, context: &VcpuGuestContext) {
    if vcpu.id.get() == 0 {
        dom.vm_assist.store(context.vm_assist, Ordering::SeqCst);
        pvtime::update_wallclock(dom.shared_info, dom.control.lock().time_offset_seconds);
    }
    vcpu.set(flag::INITIALISED);
    wake::arm_periodic(dom, vcpu);
}

/// Takes the type reference of a root table. The builder has pinned it, so there is no walk; a
/// context whose root is not validated yet is validated here, in one go.
fn take_root(dom: &Domain, cr3: u64) -> Result<Mfn, Errno> {
    let root = cr3_to_mfn(cr3);
    let mut mmu = dom.mmu.lock();
    to_end(|budget| dom.tables().switch_root(&mut mmu, Some(root), None, budget))
        .map(|()| root)
        .map_err(|_| Errno::EINVAL)
}

/// Exchanges the frames of a vCPU's GDT: all of the new ones are taken before the old ones go.
///
/// # Errors
/// `EINVAL` for a frame that cannot be a descriptor page, `ENOMEM`.
pub fn set_gdt(dom: &Domain, vcpu: &Vcpu, frames: &[Mfn], entries: u32) -> Result<(), Errno> {
    let mut taken: Vec<Mfn> = Vec::new();
    taken.try_reserve_exact(frames.len()).map_err(|_| Errno::ENOMEM)?;
    let tables = dom.tables();
    let mut mmu = dom.mmu.lock();
    for mfn in frames {
        if to_end(|budget| tables.get_descriptor_page(&mut mmu, *mfn, budget)).is_err() {
            taken.iter().for_each(|mfn| tables.put_descriptor_page(*mfn));
            return Err(Errno::EINVAL);
        }
        taken.push(*mfn);
    }
    let mut state = vcpu.state.lock();
    let old = core::mem::replace(&mut state.gdt, taken);
    state.gdt_ents = entries;
    drop(state);
    old.iter().for_each(|mfn| tables.put_descriptor_page(*mfn));
    Ok(())
}

/// Lets go of the LDT pages mapped so far.
pub fn drop_ldt_pages(dom: &Domain, state: &mut VcpuState) {
    let pages = state.ldt_pages.iter_mut().filter_map(Option::take);
    pages.for_each(|mfn| dom.tables().put_descriptor_page(mfn));
}

/// Lets go of root tables and descriptor frames of a vCPU that runs nowhere.
fn drop_tables(dom: &Domain, vcpu: &Vcpu) {
    let tables = dom.tables();
    let mut mmu = dom.mmu.lock();
    let mut state = vcpu.state.lock();
    drop_ldt_pages(dom, &mut state);
    state.gdt.drain(..).for_each(|mfn| tables.put_descriptor_page(mfn));
    state.gdt_ents = 0;
    let roots = [state.root.take(), state.user_root.take()];
    drop(state);
    for root in roots.into_iter().flatten() {
        // Only a table that is none could be refused.
        let _ = to_end(|budget| tables.switch_root(&mut mmu, None, Some(root), budget));
    }
}

fn reset(dom: &Domain, vcpu: &Vcpu) {
    vcpu.clear(flag::UP | flag::INITIALISED);
    wake::cancel(dom, vcpu, wake::Kind::Periodic);
    wake::cancel(dom, vcpu, wake::Kind::Singleshot);
    drop_tables(dom, vcpu);
    sched::update(dom, vcpu);
}

/// Lets go of the tables of all vCPUs of a dying domain.
pub fn drop_all(dom: &Domain) {
    for vcpu in &dom.vcpus {
        drop_tables(dom, vcpu);
        let info = vcpu.info.frame();
        if info != dom.shared_info {
            vcpu.info.set(dom.shared_info, 0);
            page::put_writable(&Host, WritableRef::from_raw(info));
        }
    }
}

fn fill(dom: &Domain, vcpu: &Vcpu, context: &mut VcpuGuestContext) {
    let state = vcpu.state.lock();
    fill_registers(context, &state);
    for (vector, entry) in (0..=u8::MAX).zip(&mut context.trap_ctxt) {
        *entry = state.traps.info(vector);
    }
    context.flags.set(Vgcf::ONLINE, vcpu.has(flag::UP));
    context.flags.set(Vgcf::IN_KERNEL, state.kernel_mode);
    context.flags.set(Vgcf::I387_VALID, state.fpu_used);
    if state.fpu_used {
        let (legacy, _) = state.fpu.bytes().split_at(context.fpu_ctxt.len());
        context.fpu_ctxt.copy_from_slice(legacy);
    }
    context.ldt_base = state.ldt_base;
    context.ldt_ents = u64::from(state.ldt_ents);
    context.gdt_frames.iter_mut().zip(&state.gdt).for_each(|(to, from)| *to = *from);
    context.gdt_ents = u64::from(state.gdt_ents);
    context.kernel_ss = state.kernel_ss;
    context.kernel_sp = state.kernel_sp;
    let cr3 = |root: Option<Mfn>| root.map_or(0, mfn_to_cr3);
    let cr0 = cr::read_cr0(cpu::host_cr0(), state.ts);
    let cr4 = trap::privop::shown_cr4(state.cr4);
    context.ctrlreg = [cr0, cr3(state.user_root), 0, cr3(state.root), cr4, 0, 0, 0];
    for (register, slot) in (0..).zip(&mut context.debugreg) {
        *slot = state.debug.get(register, true).unwrap_or(0);
    }
    let callbacks = &state.callbacks;
    context.event_callback_eip = address(callbacks.event);
    context.failsafe_callback_eip = address(callbacks.failsafe);
    context.syscall_callback_eip = address(callbacks.syscall);
    context.flags.set(Vgcf::FAILSAFE_DISABLES_EVENTS, masks_events(callbacks.failsafe));
    context.flags.set(Vgcf::SYSCALL_DISABLES_EVENTS, masks_events(callbacks.syscall));
    context.vm_assist = dom.vm_assist.load(Ordering::SeqCst);
}

fn address(handler: Option<Handler>) -> u64 {
    handler.map_or(0, Handler::address)
}

fn masks_events(handler: Option<Handler>) -> bool {
    handler.is_some_and(Handler::masks_events)
}

fn fill_registers(context: &mut VcpuGuestContext, state: &VcpuState) {
    let iopl = u64::from(state.iopl) << flags::IOPL_SHIFT;
    let rflags = state.regs.rflags & !flags::IOPL | iopl | flags::IF;
    let (cs, ss) = (state.regs.cs & 0xffff, state.regs.ss & 0xffff);
    let regs = GuestRegs { error_code: 0, vector: 0, rflags, cs, ss, ..state.regs };
    let user = &mut context.user_regs;
    // The frame is a prefix of the structure, so there is room.
    let _ = regs.write_to_prefix(user.as_mut_bytes());
    let s = &state.segments;
    (user.ds, user.es, user.fs, user.gs) = (s.ds, s.es, s.fs, s.gs);
    context.fs_base = s.fs_base;
    context.gs_base_kernel = s.gs_base_kernel;
    context.gs_base_user = s.gs_base_user;
}

/// `get_ext_vcpucontext`: the entry points the main context has no room for.
pub fn get_ext(dom: &Domain, mut ext: ExtVcpuContext) -> Result<ExtVcpuContext, Errno> {
    let callbacks = dom.vcpu(ext.vcpu).ok_or(Errno::ESRCH)?.state.lock().callbacks;
    ext.size = size_of::<ExtVcpuContext>() as u32;
    ext.syscall32_callback_eip = address(callbacks.syscall32);
    ext.sysenter_callback_eip = address(callbacks.sysenter);
    ext.syscall32_disables_events = u8::from(masks_events(callbacks.syscall32));
    ext.sysenter_disables_events = u8::from(masks_events(callbacks.sysenter));
    Ok(ext)
}

/// Bytes of the part of the extended context that every caller has.
const EXT_LEAST: u32 = core::mem::offset_of!(ExtVcpuContext, mci_ctl2) as u32;

/// `set_ext_vcpucontext`.
pub fn set_ext(dom: &Domain, ext: ExtVcpuContext) -> Result<(), Errno> {
    let vcpu = dom.vcpu(ext.vcpu).ok_or(Errno::ESRCH)?;
    let addresses = [ext.syscall32_callback_eip, ext.sysenter_callback_eip];
    let canonical = addresses.iter().all(|address| is_canonical(*address));
    ensure(ext.size >= EXT_LEAST && canonical, Errno::EINVAL)?;
    let [syscall32, sysenter] = addresses;
    lifecycle::while_paused(dom, || {
        let callbacks = &mut vcpu.state.lock().callbacks;
        callbacks.syscall32 = Handler::new(syscall32, ext.syscall32_disables_events & 1 != 0);
        callbacks.sysenter = Handler::new(sysenter, ext.sysenter_disables_events & 1 != 0);
    });
    Ok(())
}
