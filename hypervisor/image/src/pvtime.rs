//! The clocks a guest reads in shared memory: `vcpu_time_info`, wall clock, run state.
//!
//! All writes use the version protocol of the interface: odd while writing, even when done. The
//! words lie in frames the guest can write too; nothing here is ever read back for a decision.

use core::sync::atomic::{fence, AtomicU32, Ordering};
use hv_machine::{directmap, guest, time};
use hypercall_abi::addr::{GuestVa, Mfn};
use hypercall_abi::shared_info::VcpuTimeInfo;
use hypercall_abi::vcpu::{VcpuRunstateInfo, RUNSTATE_UPDATE};
use hypercall_abi::vm_assist;
use zerocopy::IntoBytes;

use crate::domain::{Domain, Vcpu};

/// Offset of the time information in `vcpu_info`.
const TIME_OFFSET: usize = 32;
/// Offsets of the wall clock in `shared_info`.
const WC_VERSION: usize = 0xc00;
const WC_SEC: usize = 0xc04;
const WC_NSEC: usize = 0xc08;
const WC_SEC_HI: usize = 0xc0c;

/// Run states in the numbers of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// On a CPU.
    Running = 0,
    /// Waits for a CPU.
    Runnable = 1,
    /// Waits for an event.
    Blocked = 2,
    /// Down or paused.
    Offline = 3,
}

/// How long a vCPU was in each state.
pub struct Runstate {
    state: State,
    since_ns: u64,
    time_ns: [u64; 4],
    /// Guest address of the copy the guest asked for, or 0.
    pub area: u64,
}

impl Runstate {
    /// Offline since the beginning.
    pub const fn new() -> Self {
        Self { state: State::Offline, since_ns: 0, time_ns: [0; 4], area: 0 }
    }

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
        let current = match self.state {
            State::Running => now_ns.saturating_sub(self.since_ns),
            _ => 0,
        };
        self.time_ns[State::Running as usize] + current
    }

    /// The public form, with the current stretch added to its state.
    pub fn info(&self, now_ns: u64) -> VcpuRunstateInfo {
        let mut info = self.raw();
        info.time_ns[self.state as usize] += now_ns.saturating_sub(self.since_ns);
        info
    }

    fn raw(&self) -> VcpuRunstateInfo {
        let mut info = VcpuRunstateInfo::default();
        info.state = self.state as u32;
        info.state_entry_time_ns = self.since_ns;
        info.time_ns = self.time_ns;
        info
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
    let mut copy = info;
    copy.state_entry_time_ns = marked;
    let _ = guest::copy_out(va, &copy);
    fence(Ordering::SeqCst);
    let _ = guest::copy_out(entry_time, &info.state_entry_time_ns);
}

/// Refreshes the time information of a vCPU, and its secondary copy if it asked for one.
pub fn update(vcpu: &Vcpu, kernel_mode: bool) {
    let scale = time::tsc_scale();
    let tsc = hv_machine::cpu::rdtsc();
    let system_time = time::ns_at_tsc(tsc);
    let (mfn, offset) = vcpu.info_place();
    let words32 = directmap::words32(mfn);
    let words64 = directmap::table(mfn);
    let base = offset + TIME_OFFSET;
    let version = &words32[base / 4];
    let odd = version.load(Ordering::Relaxed) | 1;
    version.store(odd, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    words64[base / 8 + 1].store(tsc, Ordering::Relaxed);
    words64[base / 8 + 2].store(system_time, Ordering::Relaxed);
    words32[base / 4 + 6].store(scale.mul, Ordering::Relaxed);
    words32[base / 4 + 7].store(u32::from(scale.shift as u8), Ordering::Relaxed);
    fence(Ordering::SeqCst);
    version.store(odd.wrapping_add(1), Ordering::Release);
    let area = vcpu.time_area.load(Ordering::Relaxed);
    if area != 0 && kernel_mode {
        publish_time(area, tsc, system_time, scale, odd);
    }
}

/// Writes the secondary copy at a guest address; an unmapped one is skipped.
fn publish_time(area: u64, tsc: u64, system_time: u64, scale: time::TscScale, odd: u32) {
    let mut info = VcpuTimeInfo::default();
    info.version = odd;
    info.tsc_timestamp = tsc;
    info.system_time_ns = system_time;
    info.tsc_to_system_mul = scale.mul;
    info.tsc_shift = scale.shift;
    if guest::copy_out_bytes(GuestVa::new(area), info.as_bytes()).is_err() {
        return;
    }
    fence(Ordering::SeqCst);
    let _ = guest::copy_out(GuestVa::new(area), &odd.wrapping_add(1));
}

/// Writes the wall clock of a domain: UTC at system time 0, moved by the domain's own offset.
pub fn update_wallclock(shared_info: Mfn, offset_seconds: i64) {
    let (seconds, nanoseconds) = time::wallclock_at_boot();
    let seconds = seconds.saturating_add_signed(offset_seconds);
    let words = directmap::words32(shared_info);
    let version: &AtomicU32 = &words[WC_VERSION / 4];
    let odd = version.load(Ordering::Relaxed) | 1;
    version.store(odd, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    words[WC_SEC / 4].store(seconds as u32, Ordering::Relaxed);
    words[WC_NSEC / 4].store(nanoseconds, Ordering::Relaxed);
    words[WC_SEC_HI / 4].store((seconds >> 32) as u32, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    version.store(odd.wrapping_add(1), Ordering::Release);
}

/// Total ns a domain's vCPUs ran.
pub fn domain_cpu_ns(dom: &Domain) -> u64 {
    let now = time::now_ns();
    dom.vcpus.iter().map(|vcpu| vcpu.runstate.lock().running_ns(now)).sum()
}

