//! The clocks a guest reads in shared memory: `vcpu_time_info`, wall clock, run state.
//!
//! All writes use the version protocol of the interface: odd while writing, even when done. The
//! words lie in frames the guest can write too; nothing here is ever read back for a decision.

use core::sync::atomic::{fence, AtomicU32, Ordering};
use hv_machine::cpu::rdtsc;
use hv_machine::{directmap, guest, time};
use hypercall_abi::shared_info::VcpuTimeInfo;
use hypercall_abi::vcpu::{VcpuRunstateInfo, RUNSTATE_UPDATE};
use hypercall_abi::vm_assist;
use hypercall_abi::{GuestVa, Mfn};
use zerocopy::transmute;

use crate::domain::{Domain, Vcpu};

/// Offsets of the wall clock in `shared_info`.
const WC_VERSION: usize = 0xc00;
const WC_SEC: usize = 0xc04;
const WC_NSEC: usize = 0xc08;
const WC_SEC_HI: usize = 0xc0c;

/// Run states in the numbers of the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// On a CPU.
    Running = 0,
    /// Waits for a CPU.
    Runnable = 1,
    /// Waits for an event.
    Blocked = 2,
    /// Down or paused.
    #[default]
    Offline = 3,
}

/// How long a vCPU was in each state; offline since the beginning.
#[derive(Default)]
pub struct Runstate {
    state: State,
    since_ns: u64,
    time_ns: [u64; 4],
    /// Guest address of the copy the guest asked for, or 0.
    pub area: u64,
}

impl Runstate {
    /// Enters a state; returns the ns spent in the one before.
    pub fn enter(&mut self, state: State, now_ns: u64) -> u64 {
        let spent = now_ns.saturating_sub(self.since_ns);
        self.time_ns[self.state as usize] += spent;
        self.state = state;
        self.since_ns = now_ns;
        spent
    }

    /// The state now.
    pub fn state(&self) -> State {
        self.state
    }

    /// ns spent running, the current stretch included.
    pub fn running_ns(&self, now_ns: u64) -> u64 {
        self.info(now_ns).time_ns[State::Running as usize]
    }

    /// The public form, with the current stretch added to its state.
    pub fn info(&self, now_ns: u64) -> VcpuRunstateInfo {
        let mut info = self.raw();
        info.time_ns[self.state as usize] += now_ns.saturating_sub(self.since_ns);
        info
    }

    fn raw(&self) -> VcpuRunstateInfo {
        VcpuRunstateInfo {
            state: self.state as u32,
            state_entry_time_ns: self.since_ns,
            time_ns: self.time_ns,
            ..VcpuRunstateInfo::default()
        }
    }
}

/// Writes the guest's copy of the run state; needs the vCPU's kernel tables loaded. A copy that is
/// no longer mapped is skipped, as the interface says.
pub fn publish_runstate(dom: &Domain, vcpu: &Vcpu) {
    let (area, info) = {
        let runstate = vcpu.runstate.lock();
        (runstate.area, runstate.raw())
    };
    if area == 0 {
        return;
    }
    let va = GuestVa::new(area);
    if !dom.assisted(vm_assist::TYPE_RUNSTATE_UPDATE_FLAG) {
        let _ = guest::copy_out(va, &info);
        return;
    }
    let entry_time = GuestVa::new(area.wrapping_add(8));
    let marked = info.state_entry_time_ns | RUNSTATE_UPDATE;
    if guest::copy_out(entry_time, &marked).is_err() {
        return;
    }
    fence(Ordering::SeqCst);
    let _ = guest::copy_out(va, &VcpuRunstateInfo { state_entry_time_ns: marked, ..info });
    fence(Ordering::SeqCst);
    let _ = guest::copy_out(entry_time, &info.state_entry_time_ns);
}

/// Changes words that a version guards.
fn versioned(version: &AtomicU32, write: impl FnOnce(u32)) {
    let odd = version.load(Ordering::Relaxed) | 1;
    version.store(odd, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    write(odd);
    fence(Ordering::SeqCst);
    version.store(odd.wrapping_add(1), Ordering::Release);
}

/// Refreshes the time information of a vCPU, and its secondary copy if it asked for one.
pub fn update(vcpu: &Vcpu, kernel_mode: bool) {
    let scale = time::tsc_scale();
    let tsc = rdtsc();
    let mut info = VcpuTimeInfo {
        tsc_timestamp: tsc,
        system_time_ns: scale.ns_at(tsc),
        tsc_to_system_mul: scale.mul,
        tsc_shift: scale.shift,
        ..VcpuTimeInfo::default()
    };
    let words = &vcpu.info.words().time;
    versioned(&words[0], |odd| {
        info.version = odd;
        let values: [u32; 8] = transmute!(info);
        let behind_version = words.iter().zip(values).skip(1);
        behind_version.for_each(|(word, value)| word.store(value, Ordering::Relaxed));
    });
    let area = vcpu.time_area.load(Ordering::Relaxed);
    if area == 0 || !kernel_mode {
        return;
    }
    // A copy that is not mapped is skipped.
    if guest::copy_out(GuestVa::new(area), &info).is_ok() {
        fence(Ordering::SeqCst);
        let _ = guest::copy_out(GuestVa::new(area), &info.version.wrapping_add(1));
    }
}

/// Writes the wall clock of a domain: UTC at system time 0, moved by the domain's own offset.
pub fn update_wallclock(shared_info: Mfn, offset_seconds: i64) {
    let (seconds, nanoseconds) = time::wallclock_at_boot();
    let seconds = seconds.saturating_add_signed(offset_seconds);
    let words = directmap::words32(shared_info);
    versioned(&words[WC_VERSION / 4], |_| {
        words[WC_SEC / 4].store(seconds as u32, Ordering::Relaxed);
        words[WC_NSEC / 4].store(nanoseconds, Ordering::Relaxed);
        words[WC_SEC_HI / 4].store((seconds >> 32) as u32, Ordering::Relaxed);
    });
}

/// Total ns a domain's vCPUs ran.
pub fn domain_cpu_ns(dom: &Domain) -> u64 {
    let now = time::now_ns();
    dom.vcpus.iter().map(|vcpu| vcpu.runstate.lock().running_ns(now)).sum()
}
