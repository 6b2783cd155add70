//! The scheduler's shell: one policy behind one lock, and the bookkeeping around it.
//!
//! The policy (`hv_core::sched`) decides who runs where; this file tells it what happened and
//! applies its answers. `schedule` runs in `exit_work` only, on the CPU it decides for, when no
//! handler is active. Why a vCPU may not run (paused, shut down, blocked) is kept in the domain;
//! every change is followed by [`update`] or [`unblock`], which look at it under the policy's lock.

use core::sync::atomic::Ordering;
use hv_core::sched::{RoundRobin, StopReason, VcpuKey};
use hv_machine::cpuinfo;
use hv_machine::percpu::{self, CpuId};
use hv_machine::sync::Mutex;
use hv_machine::{cpu, time, tlb, GuestRegs};
use hypercall_abi::Errno;

use crate::current::{Current, Here};
use crate::domain::vcpu::{flag, NO_CPU};
use crate::domain::{table, Domain, Vcpu};
use crate::{exit, hypercall, options, pvtime, switch, wake};

static POLICY: Mutex<RoundRobin> = Mutex::new(RoundRobin::EMPTY);

/// Prepares the policy for the CPUs there are.
pub fn init() {
    let mut policy = POLICY.lock();
    policy.set_slice_ns(options::get().slice_ns);
    (0..percpu::nr_cpus()).for_each(|cpu| policy.set_online(CpuId(cpu)));
}

/// Asks a CPU to choose anew.
fn kick(cpu: Option<CpuId>) {
    if let Some(cpu) = cpu {
        cpuinfo::raise_work_on(cpu, exit::work::SCHEDULE);
    }
}

/// Makes the vCPUs of a new domain known.
///
/// # Errors
/// `ENOMEM`; none is known then.
pub fn add_domain(dom: &Domain) -> Result<(), Errno> {
    for vcpu in &dom.vcpus {
        let added = POLICY.lock().add(VcpuKey { dom: dom.id, vcpu: vcpu.id }, u64::MAX);
        let id = added.inspect_err(|_| remove_domain(dom))?;
        vcpu.sched.call_once(|| id);
    }
    Ok(())
}

/// Forgets the vCPUs of a domain that is off every CPU.
pub fn remove_domain(dom: &Domain) {
    let mut policy = POLICY.lock();
    for id in dom.vcpus.iter().filter_map(|vcpu| vcpu.sched.get()) {
        kick(policy.pause(*id));
        let removed = policy.remove(*id);
        debug_assert!(removed.is_ok());
    }
}

/// Restricts a vCPU to a set of CPUs.
///
/// # Errors
/// `EINVAL` when none of them is online.
pub fn set_affinity(vcpu: &Vcpu, cpus: u64) -> Result<(), Errno> {
    let id = vcpu.sched.get().ok_or(Errno::ESRCH)?;
    kick(POLICY.lock().set_affinity(time::now_ns(), *id, cpus)?);
    Ok(())
}

/// The CPUs a vCPU may run on.
pub fn affinity(vcpu: &Vcpu) -> u64 {
    vcpu.sched.get().and_then(|id| POLICY.lock().affinity(*id)).unwrap_or(u64::MAX)
}

/// Tells the policy whether a vCPU may run, after something that bears on it has changed.
pub fn update(dom: &Domain, vcpu: &Vcpu) {
    let Some(id) = vcpu.sched.get() else { return };
    let now = time::now_ns();
    let mut policy = POLICY.lock();
    let may_run = vcpu.has(flag::UP) && !dom.is_held();
    let target = if may_run { policy.resume(now, *id) } else { policy.pause(*id) };
    drop(policy);
    note_state(dom, vcpu, now);
    kick(target);
    if !may_run {
        release(vcpu, target);
    }
}

/// Asks the CPU that holds a vCPU, if it is another one than `kicked`, to let go of it: a CPU keeps a
/// blocked vCPU while it idles.
fn release(vcpu: &Vcpu, kicked: Option<CpuId>) {
    let holder = vcpu.cpu.load(Ordering::SeqCst);
    if holder != NO_CPU && kicked.is_none_or(|cpu| cpu.0 != holder) {
        cpuinfo::raise_work_on(CpuId(holder), exit::work::SCHEDULE);
    }
}

/// Ends a wait in `SCHEDOP_block` or `SCHEDOP_poll`.
pub fn unblock(dom: &Domain, vcpu: &Vcpu) {
    if !vcpu.blocked.swap(false, Ordering::SeqCst) {
        return;
    }
    let Some(id) = vcpu.sched.get() else { return };
    let now = time::now_ns();
    let target = POLICY.lock().wake(now, *id);
    note_state(dom, vcpu, now);
    let (holder, this) = (vcpu.cpu.load(Ordering::SeqCst), percpu::cpu_id());
    let may_run_here = holder == NO_CPU || holder == this.0;
    if !target.is_some_and(|cpu| cpu != this && may_run_here && wake::hand_over(cpu, now)) {
        kick(target);
        release(vcpu, target);
    }
}

/// Enters the run state that a vCPU on no CPU is in.
pub fn note_state(dom: &Domain, vcpu: &Vcpu, now: u64) {
    let mut runstate = vcpu.runstate.lock();
    if vcpu.cpu.load(Ordering::SeqCst) != NO_CPU {
        return;
    }
    let state = if dom.is_held() || !vcpu.has(flag::UP) {
        pvtime::State::Offline
    } else if vcpu.blocked.load(Ordering::SeqCst) {
        pvtime::State::Blocked
    } else {
        pvtime::State::Runnable
    };
    if runstate.state() != state {
        runstate.enter(state, now);
    }
}

/// Waits until no vCPU of a held domain is on a CPU. Bounded by the longest stretch a CPU spends in
/// one hypercall.
pub fn wait_off_cpu(dom: &Domain) {
    for vcpu in &dom.vcpus {
        update(dom, vcpu);
        while vcpu.cpu.load(Ordering::SeqCst) != NO_CPU {
            tlb::service();
            core::hint::spin_loop();
        }
    }
}

/// Whether nothing else wants this CPU.
pub fn is_alone() -> bool {
    POLICY.lock().is_alone(percpu::cpu_id())
}

/// The state of the vCPU that ran here before is saved: others may run it.
pub fn switched_out() {
    kick(POLICY.lock().switched_out(percpu::cpu_id()));
}

/// Decides who runs on this CPU next and makes it so; idles here until someone does.
pub fn schedule(regs: &mut GuestRegs, current: &mut Current) {
    loop {
        cpuinfo::clear_work(exit::work::SCHEDULE);
        let now = time::now_ns();
        let mut policy = POLICY.lock();
        if let Some(why) = current.as_ref().and_then(|here| why_stop(here.vcpu())) {
            kick(policy.deschedule(now, percpu::cpu_id(), why));
        }
        let decision = policy.pick(now, percpu::cpu_id());
        drop(policy);
        kick(decision.kick);
        let next = decision.next.and_then(find);
        let idles = next.is_none();
        wake::begin_turn(!idles, decision.slice_ns.map(|slice| now + slice));
        if !(idles && switch::stays(current, now)) {
            switch::switch_to(regs, current, next);
        }
        wake::rearm();
        match current {
            Some(here) if !idles => return hypercall::sched::finish_poll(here),
            _ => idle(),
        }
    }
}

/// Why the running vCPU gives up the CPU by itself, if it does.
fn why_stop(vcpu: &Vcpu) -> Option<StopReason> {
    let yielded = vcpu.has(flag::YIELDED) && vcpu.clear(flag::YIELDED) & flag::YIELDED != 0;
    if vcpu.blocked.load(Ordering::SeqCst) {
        Some(StopReason::Blocked)
    } else {
        yielded.then_some(StopReason::Yielded)
    }
}

/// The vCPU behind a key. A domain leaves the policy before it leaves the table, so a key the
/// policy chose names a domain.
fn find(key: VcpuKey) -> Option<Here> {
    let dom = table::get(key.dom)?;
    let vcpu = dom.vcpus.get(key.vcpu.get() as usize)?.clone();
    Some(Here::new(dom, vcpu))
}

/// Waits with interrupts on until there is work for this CPU, and does all of it but scheduling.
fn idle() {
    while !cpuinfo::work_pending(exit::work::SCHEDULE) {
        if cpuinfo::work_pending(u32::MAX) {
            exit::background_work();
        } else {
            cpu::idle_wait();
        }
    }
}
