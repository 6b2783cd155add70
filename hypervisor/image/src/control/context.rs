//! The state of a vCPU as a whole: set, read, dropped.
//!
//! `setvcpucontext` and `VCPUOP_initialise` set it once, with everything checked before anything is
//! changed; after that only registers may be set again. The vCPU is off every CPU meanwhile: it
//! was never up, or its domain is paused here.

use alloc::boxed::Box;
use alloc::vec::Vec;
use hv_core::page::{PageTables, Stop};
use hv_core::trap::{Callbacks, Handler};
use hv_machine::guest;
use hv_machine::GuestRegs;
use hypercall_abi::addr::{is_canonical, GuestVa, Mfn};
use hypercall_abi::domctl::{ExtVcpuContext, VcpuContext, XenDomctl};
use hypercall_abi::errno::Errno;
use hypercall_abi::regs::{
    cr3_to_mfn, mfn_to_cr3, VcpuGuestContext, Vgcf, FIRST_RESERVED_GDT_ENTRY, MAX_LDT_ENTRIES,
};
use hypercall_abi::vm_assist::VALID_MASK_PV64;
use zerocopy::{FromZeros, IntoBytes};

use super::domctl::{CmdResult, Reply};
use crate::domain::vcpu::flag;
use crate::domain::{lifecycle, Domain, DomainRef, Vcpu, VcpuState};
use crate::host::Host;
use crate::hypercall::mmu::BUDGET;
use crate::upcall::EXIT_BY_IRET;
use crate::{pvtime, sched, trap, wake};

/// Bits of rflags a guest may be started with.
const RFLAGS_IF: u64 = 1 << 9;
/// CR0.TS.
const CR0_TS: u64 = 1 << 3;
/// Descriptors per GDT frame.
const PER_FRAME: u64 = 512;

/// Copies a context in.
///
/// # Errors
/// `EFAULT`, `ENOMEM`.
pub fn read(at: u64) -> Result<Box<VcpuGuestContext>, Errno> {
    let mut context = <VcpuGuestContext as FromZeros>::new_box_zeroed().map_err(|_| Errno::ENOMEM)?;
    guest::copy_in_bytes(context.as_mut_bytes(), GuestVa::new(at)).map_err(|_| Errno::EFAULT)?;
    Ok(context)
}

/// `setvcpucontext`.
pub fn setvcpucontext(dom: &DomainRef, op: &XenDomctl) -> CmdResult {
    let wanted: VcpuContext = op.payload();
    let vcpu = created(dom, &wanted)?;
    if wanted.ctxt.is_null() {
        lifecycle::pause(dom);
        reset(dom, vcpu);
        lifecycle::unpause(dom);
        return Ok(Reply::Plain);
    }
    let context = read(wanted.ctxt.get())?;
    lifecycle::pause(dom);
    let result = set(dom, vcpu, &context);
    lifecycle::unpause(dom);
    result.map(|()| Reply::Plain)
}

fn created<'a>(dom: &'a Domain, op: &VcpuContext) -> Result<&'a Vcpu, Errno> {
    let made = dom.vcpus_created.load(core::sync::atomic::Ordering::SeqCst);
    dom.vcpu(op.vcpu).filter(|_| made).ok_or(Errno::EINVAL)
}

/// `getvcpucontext`.
pub fn getvcpucontext(dom: &DomainRef, op: &XenDomctl) -> CmdResult {
    let wanted: VcpuContext = op.payload();
    let vcpu = created(dom, &wanted)?;
    if !vcpu.has(flag::INITIALISED) {
        return Err(Errno::ENODATA);
    }
    lifecycle::pause(dom);
    let filled = fill(dom, vcpu);
    lifecycle::unpause(dom);
    guest::copy_out_bytes(wanted.ctxt, filled?.as_bytes()).map_err(|_| Errno::EFAULT)?;
    Ok(Reply::Plain)
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
    if ok {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// Sets the state of a vCPU that runs nowhere.
///
/// # Errors
/// `EINVAL` for a context no vCPU can have, `EOPNOTSUPP` for changing tables of one that has them.
pub fn set(dom: &Domain, vcpu: &Vcpu, context: &VcpuGuestContext) -> Result<(), Errno> {
    check(context)?;
    if vcpu.has(flag::INITIALISED) {
        check_same_tables(vcpu, context)?;
        let mut state = vcpu.state.lock();
        set_registers(&mut state, context)?;
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
    if same {
        Ok(())
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}

fn set_callbacks(state: &mut VcpuState, context: &VcpuGuestContext) {
    let masks = |flag| context.flags.contains(flag);
    let callbacks = &mut state.callbacks;
    callbacks.event = Handler::new(context.event_callback_eip, true);
    callbacks.failsafe =
        Handler::new(context.failsafe_callback_eip, masks(Vgcf::FAILSAFE_DISABLES_EVENTS));
    callbacks.syscall =
        Handler::new(context.syscall_callback_eip, masks(Vgcf::SYSCALL_DISABLES_EVENTS));
}

fn fill_callbacks(context: &mut VcpuGuestContext, callbacks: &Callbacks) {
    let address = |handler: Option<Handler>| handler.map_or(0, Handler::address);
    let masks = |handler: Option<Handler>| handler.is_some_and(Handler::masks_events);
    context.event_callback_eip = address(callbacks.event);
    context.failsafe_callback_eip = address(callbacks.failsafe);
    context.syscall_callback_eip = address(callbacks.syscall);
    context.flags.set(Vgcf::FAILSAFE_DISABLES_EVENTS, masks(callbacks.failsafe));
    context.flags.set(Vgcf::SYSCALL_DISABLES_EVENTS, masks(callbacks.syscall));
}

fn set_registers(state: &mut VcpuState, context: &VcpuGuestContext) -> Result<(), Errno> {
    state.traps.load(&context.trap_ctxt)?;
    let user = &context.user_regs;
    state.regs = GuestRegs {
        r15: user.r15,
        r14: user.r14,
        r13: user.r13,
        r12: user.r12,
        rbp: user.rbp,
        rbx: user.rbx,
        r11: user.r11,
        r10: user.r10,
        r9: user.r9,
        r8: user.r8,
        rax: user.rax,
        rcx: user.rcx,
        rdx: user.rdx,
        rsi: user.rsi,
        rdi: user.rdi,
        error_code: 0,
        vector: EXIT_BY_IRET,
        rip: user.rip,
        cs: u64::from(user.cs | 3),
        rflags: hv_core::trap::flags::for_guest(user.rflags),
        rsp: user.rsp,
        ss: u64::from(user.ss | 3),
    };
    state.iopl = (user.rflags >> 12 & 3) as u8;
    state.kernel_mode = context.flags.contains(Vgcf::IN_KERNEL);
    set_callbacks(state, context);
    state.kernel_ss = context.kernel_ss | 3;
    state.kernel_sp = context.kernel_sp;
    state.segments.ds = user.ds;
    state.segments.es = user.es;
    state.segments.fs = user.fs;
    state.segments.gs = user.gs;
    state.segments.fs_base = context.fs_base;
    state.segments.gs_base_kernel = context.gs_base_kernel;
    state.segments.gs_base_user = context.gs_base_user;
    let [cr0, _, _, _, cr4, ..] = context.ctrlreg;
    state.ts = cr0 & CR0_TS != 0;
    state.cr4 = trap::privop::guest_cr4(cr4);
    if context.flags.contains(Vgcf::I387_VALID) {
        state.fpu.set_legacy(&context.fpu_ctxt);
        state.fpu_used = true;
    } else {
        state.fpu.reset();
        state.fpu_used = false;
    }
    let has_de = state.cr4 & 8 != 0;
    for register in [0, 1, 2, 3, 6, 7] {
        let value = context.debugreg.get(register).copied().unwrap_or(0);
        // A context with a bad debug register is taken without it, as Xen does.
        let _ = state.debug.set(register as u64, value, has_de);
    }
    Ok(())
}

/// Takes the references of descriptor frames and root tables; all of them or none.
fn install_tables(dom: &Domain, vcpu: &Vcpu, context: &VcpuGuestContext) -> Result<(), Errno> {
    let entries = context.gdt_ents;
    let frames = entries.div_ceil(PER_FRAME) as usize;
    let frames: Vec<Mfn> = context.gdt_frames.iter().copied().take(frames).collect();
    set_gdt(dom, vcpu, &frames, entries as u32)?;
    let [_, user_cr3, _, cr3, ..] = context.ctrlreg;
    let mut result = take_root(dom, cr3_to_mfn(cr3)).map(|()| {
        vcpu.state.lock().root = Some(cr3_to_mfn(cr3));
    });
    if result.is_ok() && user_cr3 != 0 {
        result = take_root(dom, cr3_to_mfn(user_cr3)).map(|()| {
            vcpu.state.lock().user_root = Some(cr3_to_mfn(user_cr3));
        });
    }
    if result.is_err() {
        drop_tables(dom, vcpu);
        return result;
    }
    let mut state = vcpu.state.lock();
    state.ldt_base = context.ldt_base;
    state.ldt_ents = context.ldt_ents as u32;
    Ok(())
}

fn first_time(dom: &Domain, vcpu: &Vcpu, context: &VcpuGuestContext) {
    if vcpu.id.get() == 0 {
        dom.vm_assist.store(context.vm_assist, core::sync::atomic::Ordering::SeqCst);
        pvtime::update_wallclock(dom.shared_info, dom.control.lock().time_offset_seconds);
    }
    vcpu.set(flag::INITIALISED);
    wake::arm_periodic(dom, vcpu);
}

/// Takes the type reference of a root table. The builder has pinned it, so there is no walk; a
/// context whose root is not validated yet is validated here, in one go.
fn take_root(dom: &Domain, root: Mfn) -> Result<(), Errno> {
    let tables = PageTables::new(&Host, dom.id, dom.id);
    let mut mmu = dom.mmu.lock();
    loop {
        let mut budget = BUDGET;
        match tables.switch_root(&mut mmu, root, None, &mut budget) {
            Ok(()) => return Ok(()),
            Err(Stop::Preempted) => hv_machine::tlb::service(),
            Err(Stop::Refused(_)) => return Err(Errno::EINVAL),
        }
    }
}

/// Exchanges the frames of a vCPU's GDT: all of the new ones are taken before the old ones go.
///
/// # Errors
/// `EINVAL` for a frame that cannot be a descriptor page, `ENOMEM`.
pub fn set_gdt(dom: &Domain, vcpu: &Vcpu, frames: &[Mfn], entries: u32) -> Result<(), Errno> {
    let tables = PageTables::new(&Host, dom.id, dom.id);
    let mut taken: Vec<Mfn> = Vec::new();
    taken.try_reserve_exact(frames.len()).map_err(|_| Errno::ENOMEM)?;
    let mut mmu = dom.mmu.lock();
    for mfn in frames {
        let mut budget = BUDGET;
        loop {
            match tables.get_descriptor_page(&mut mmu, *mfn, &mut budget) {
                Ok(()) => break taken.push(*mfn),
                Err(Stop::Preempted) => budget = BUDGET,
                Err(Stop::Refused(_)) => {
                    taken.iter().for_each(|mfn| tables.put_descriptor_page(*mfn));
                    return Err(Errno::EINVAL);
                }
            }
        }
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
    let tables = PageTables::new(&Host, dom.id, dom.id);
    for page in &mut state.ldt_pages {
        if let Some(mfn) = page.take() {
            tables.put_descriptor_page(mfn);
        }
    }
}

/// Lets go of root tables and descriptor frames of a vCPU that runs nowhere.
fn drop_tables(dom: &Domain, vcpu: &Vcpu) {
    let tables = PageTables::new(&Host, dom.id, dom.id);
    let mut mmu = dom.mmu.lock();
    let mut state = vcpu.state.lock();
    drop_ldt_pages(dom, &mut state);
    core::mem::take(&mut state.gdt).iter().for_each(|mfn| tables.put_descriptor_page(*mfn));
    state.gdt_ents = 0;
    let roots = [state.root.take(), state.user_root.take()];
    drop(state);
    for root in roots.into_iter().flatten() {
        let mut budget = BUDGET;
        while tables.put_root(&mut mmu, root, &mut budget) == Err(Stop::Preempted) {
            budget = BUDGET;
            hv_machine::tlb::service();
        }
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
        let (info, _) = vcpu.info_place();
        if info != dom.shared_info {
            vcpu.info.store(dom.shared_info.maddr(), core::sync::atomic::Ordering::SeqCst);
            hv_core::page::put_writable(&Host, hv_core::page::WritableRef::from_raw(info));
        }
    }
}

fn fill(dom: &Domain, vcpu: &Vcpu) -> Result<Box<VcpuGuestContext>, Errno> {
    let mut context = <VcpuGuestContext as FromZeros>::new_box_zeroed().map_err(|_| Errno::ENOMEM)?;
    let state = vcpu.state.lock();
    fill_registers(&mut context, &state);
    for (vector, entry) in context.trap_ctxt.iter_mut().enumerate() {
        *entry = state.traps.info(vector as u8);
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
    let cr0 = hv_machine::cpu::host_cr0() & !CR0_TS | if state.ts { CR0_TS } else { 0 };
    let cr4 = trap::privop::shown_cr4(state.cr4);
    context.ctrlreg = [cr0, cr3(state.user_root), 0, cr3(state.root), cr4, 0, 0, 0];
    for register in [0, 1, 2, 3, 6, 7] {
        if let Some(slot) = context.debugreg.get_mut(register) {
            *slot = state.debug.get(register as u64, true).unwrap_or(0);
        }
    }
    fill_callbacks(&mut context, &state.callbacks);
    context.vm_assist = dom.vm_assist.load(core::sync::atomic::Ordering::SeqCst);
    context.fs_base = state.segments.fs_base;
    context.gs_base_kernel = state.segments.gs_base_kernel;
    context.gs_base_user = state.segments.gs_base_user;
    Ok(context)
}

fn fill_registers(context: &mut VcpuGuestContext, state: &VcpuState) {
    let regs = &state.regs;
    let user = &mut context.user_regs;
    (user.r15, user.r14, user.r13, user.r12) = (regs.r15, regs.r14, regs.r13, regs.r12);
    (user.rbp, user.rbx, user.r11, user.r10) = (regs.rbp, regs.rbx, regs.r11, regs.r10);
    (user.r9, user.r8, user.rax, user.rcx) = (regs.r9, regs.r8, regs.rax, regs.rcx);
    (user.rdx, user.rsi, user.rdi) = (regs.rdx, regs.rsi, regs.rdi);
    (user.rip, user.rsp) = (regs.rip, regs.rsp);
    (user.cs, user.ss) = (regs.cs as u16, regs.ss as u16);
    user.rflags = regs.rflags & !(3 << 12) | u64::from(state.iopl) << 12 | RFLAGS_IF;
    let s = &state.segments;
    (user.ds, user.es, user.fs, user.gs) = (s.ds, s.es, s.fs, s.gs);
}

/// `get_ext_vcpucontext`: the entry points the main context has no room for.
pub fn get_ext(dom: &DomainRef, op: &mut XenDomctl) -> CmdResult {
    let mut ext: ExtVcpuContext = op.payload();
    let vcpu = dom.vcpu(ext.vcpu).ok_or(Errno::ESRCH)?;
    let callbacks = vcpu.state.lock().callbacks;
    ext.size = core::mem::size_of::<ExtVcpuContext>() as u32;
    let address = |handler: Option<Handler>| handler.map_or(0, Handler::address);
    ext.syscall32_callback_eip = address(callbacks.syscall32);
    ext.sysenter_callback_eip = address(callbacks.sysenter);
    let masks = |handler: Option<Handler>| u8::from(handler.is_some_and(Handler::masks_events));
    ext.syscall32_disables_events = masks(callbacks.syscall32);
    ext.sysenter_disables_events = masks(callbacks.sysenter);
    op.set_payload(&ext);
    Ok(Reply::CopyBack)
}

/// Bytes of the part of the extended context that every caller has.
const EXT_LEAST: u32 = core::mem::offset_of!(ExtVcpuContext, mci_ctl2) as u32;

/// `set_ext_vcpucontext`.
pub fn set_ext(dom: &DomainRef, op: &XenDomctl) -> CmdResult {
    let ext: ExtVcpuContext = op.payload();
    let vcpu = dom.vcpu(ext.vcpu).ok_or(Errno::ESRCH)?;
    let addresses = [ext.syscall32_callback_eip, ext.sysenter_callback_eip];
    if ext.size < EXT_LEAST || addresses.iter().any(|address| !is_canonical(*address)) {
        return Err(Errno::EINVAL);
    }
    lifecycle::pause(dom);
    let mut state = vcpu.state.lock();
    let handler = Handler::new;
    let masks = ext.syscall32_disables_events & 1 != 0;
    state.callbacks.syscall32 = handler(ext.syscall32_callback_eip, masks);
    let masks = ext.sysenter_disables_events & 1 != 0;
    state.callbacks.sysenter = handler(ext.sysenter_callback_eip, masks);
    drop(state);
    lifecycle::unpause(dom);
    Ok(Reply::Plain)
}
