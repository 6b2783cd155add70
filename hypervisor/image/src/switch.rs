//! Switching this CPU from one vCPU to another.
//!
//! Called by `sched::schedule` with the registers of the interrupted guest on the stack; when it
//! returns they are those of the next vCPU. A vCPU that blocks stays where it is while its CPU has
//! nothing else to run ([`stays`]): mostly it is the next one there, and then nothing is to be loaded.
//! Any other vCPU leaves its CPU when it stops, so that a domain that is held is on none.

use core::sync::atomic::{AtomicU64, Ordering};
use hv_machine::percpu;
use hv_machine::{cpu, cpuinfo, desc, segments, time, GuestRegs};

use crate::counters::bump;
use crate::current::{self, Current, Here};
use crate::domain::vcpu::{flag, NO_CPU};
use crate::domain::{lifecycle, Domain, Vcpu, VcpuState};
use crate::pvtime::{self, State};
use crate::{fpu, sched, trap, upcall, wake};

/// CPUs that have a guest's page tables loaded.
static GUEST_CPUS: AtomicU64 = AtomicU64::new(0);

/// CPUs whose TLB may hold translations of a guest.
pub fn guest_cpus() -> u64 {
    GUEST_CPUS.load(Ordering::SeqCst)
}

/// Makes `next` run here instead of the present vCPU.
pub fn switch_to(regs: &mut GuestRegs, current: &mut Current, next: Option<Here>) {
    let place = |running: &Here| (running.dom().id, running.vcpu().id);
    if next.as_ref().map(place) == current.as_ref().map(place) {
        return current.iter().for_each(resume);
    }
    let previous = current::replace(current, None);
    if let Some(previous) = &previous {
        save(previous.vcpu(), regs);
    }
    match next {
        Some(next) => switch_in(regs, current, next),
        None => {
            cpuinfo::set_vcpu_words(&cpuinfo::InfoPlace::default());
            cpu::load_idle_root();
            GUEST_CPUS.fetch_and(!percpu::cpu_id().mask(), Ordering::SeqCst);
        }
    }
    if let Some(previous) = previous {
        leave(&previous);
    }
}

/// Whether the present vCPU stays here although the CPU idles: it only waits for an event.
pub fn stays(current: &Current, now: u64) -> bool {
    let Some(here) = current else { return false };
    let waits = here.vcpu().has(flag::UP) && here.vcpu().blocked.load(Ordering::SeqCst);
    let mut runstate = here.vcpu().runstate.lock();
    if waits && runstate.state() == State::Running {
        runstate.enter(State::Blocked, now);
    }
    // While others run, whoever wakes it may run it sooner than this CPU, which sleeps.
    waits && !here.dom().is_held() && !wake::others_run()
}

/// The present vCPU runs, if it did not before.
fn resume(here: &Here) {
    let mut runstate = here.vcpu().runstate.lock();
    if runstate.state() == State::Running {
        return;
    }
    runstate.enter(State::Running, time::now_ns());
    drop(runstate);
    if cpuinfo::kernel_mode() {
        pvtime::publish_runstate(here.dom(), here.vcpu());
    }
}

/// Saves everything of the outgoing vCPU that lives in this CPU.
fn save(vcpu: &Vcpu, regs: &GuestRegs) {
    let mut state = vcpu.state.lock();
    state.regs = *regs;
    let mode = state.kernel_mode;
    state.segments = segments::save(mode);
    fpu::save(&mut state);
    if state.debug.is_active() {
        cpu::clear_debug_regs();
    }
}

/// Lets go of a vCPU whose state is saved and whose page tables are no longer loaded.
fn leave(previous: &Here) {
    let (dom, vcpu) = (previous.dom(), previous.vcpu());
    dom.dirty_cpus.fetch_and(!percpu::cpu_id().mask(), Ordering::SeqCst);
    vcpu.cpu.store(NO_CPU, Ordering::SeqCst);
    sched::note_state(dom, vcpu, time::now_ns());
    sched::switched_out();
}

/// Loads the incoming vCPU.
fn switch_in(regs: &mut GuestRegs, current: &mut Current, next: Here) {
    let this = percpu::cpu_id();
    let vcpu = next.vcpu();
    bump(&vcpu.counters.switches);
    vcpu.cpu.store(this.0, Ordering::SeqCst);
    next.dom().dirty_cpus.fetch_or(this.mask(), Ordering::SeqCst);
    GUEST_CPUS.fetch_or(this.mask(), Ordering::SeqCst);
    let segments_ok = load(next.dom(), vcpu, regs);
    cpuinfo::set_vcpu_words(&vcpu.info);
    pvtime::update(vcpu, cpuinfo::kernel_mode());
    resume(&next);
    current::replace(current, Some(next));
    if !segments_ok {
        upcall::failsafe(current::here(current), regs);
    }
}

/// Loads registers and tables; false when a segment selector had become invalid.
fn load(dom: &Domain, vcpu: &Vcpu, regs: &mut GuestRegs) -> bool {
    let state = vcpu.state.lock();
    match state.active_root() {
        Some(root) => cpu::load_guest_root(root),
        None => {
            cpu::load_idle_root();
            lifecycle::crash(dom, "has no root table");
        }
    }
    desc::set_guest_gdt(&state.gdt);
    desc::ldt_clear();
    desc::ldt_set(state.ldt_ents);
    for (index, page) in state.ldt_pages.iter().enumerate() {
        if let Some(mfn) = page {
            desc::ldt_map_page(index, *mfn);
        }
    }
    cpu::set_guest_cr4(state.cr4);
    load_debug_regs(&state);
    cpu::xsetbv(state.xcr0);
    trap::msr::load(&state, dom.privileged);
    cpu::stts();
    *regs = state.regs;
    cpuinfo::set_kernel_mode(state.kernel_mode);
    segments::load(&state.segments, state.kernel_mode).is_ok()
}

/// Loads the debug registers of a vCPU that uses them.
pub fn load_debug_regs(state: &VcpuState) {
    if state.debug.is_active() {
        cpu::load_debug_regs(&state.debug.hardware());
    }
}
