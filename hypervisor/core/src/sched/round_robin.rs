//! Round robin with time slices, and a short boost for vCPUs that sleep a lot.
//!
//! Each CPU has two queues. A vCPU that blocked before its slice was used up has shown that it
//! needs little; when it wakes it goes to the *boosted* one, preempts a normal vCPU at once and
//! may run [`BOOST_SLICE_NS`] before it is normal again. Normal vCPUs run a slice each; one
//! that was preempted by a boosted one keeps the rest of its slice and its place at the front.
//!
//! Why nobody starves: boosted time is a debt of the CPU to its normal vCPUs, paid back by normal
//! time. While the debt is a slice or more and a normal vCPU waits, boosted ones wait like everyone
//! else. So boosted vCPUs, however many and however they time their sleeps, get at most about half
//! of a CPU that normal ones want, and the normal queue is first come, first served.
//!
//! Slices end only if somebody waits: a vCPU alone on its CPU is not interrupted, and whoever
//! queues behind it kicks that CPU so that a slice is armed.

use crate::ensure;
use hypercall_abi::Errno;

use super::board::{Board, Class, Preference, Waiter};
use super::entity::Place;
use super::{CpuId, Decision, SchedId, StopReason, VcpuKey};

/// How long a vCPU may run when others wait, unless [`RoundRobin::set_slice_ns`] says otherwise.
pub const SLICE_NS: u64 = 10_000_000;

/// How long a vCPU that just woke may run before those that wait longer.
pub const BOOST_SLICE_NS: u64 = 2_000_000;

/// The shortest slice: below, switching would take more time than running.
const MIN_SLICE_NS: u64 = 100_000;

/// Most boosted time a CPU can owe, in slices. While normal vCPUs wait the debt stays well below;
/// only a boosted vCPU that ran alone for long reaches it, and then nobody was kept waiting.
const MAX_BOOST_DEBT_SLICES: u64 = 2;

/// The policy; see the module. Times are absolute nanoseconds and never go back. Only [`Self::add`]
/// allocates. Numbers that name nothing are ignored by the operations that cannot fail.
#[derive(Debug)]
pub struct RoundRobin {
    board: Board,
    next_ticket: u64,
    slice_ns: u64,
}

impl RoundRobin {
    /// No CPUs and no vCPUs.
    pub const EMPTY: Self = Self { board: Board::new(), next_ticket: 0, slice_ns: SLICE_NS };

    /// Sets the length of slices that begin from now on.
    pub fn set_slice_ns(&mut self, slice_ns: u64) {
        self.slice_ns = slice_ns.max(MIN_SLICE_NS);
    }

    /// Takes a CPU into use. It should [`Self::pick`] next.
    pub fn set_online(&mut self, cpu: CpuId) {
        self.board.online |= cpu.mask();
    }

    /// Adds a vCPU that may run on the CPUs of `affinity`; it is paused and not blocked.
    ///
    /// # Errors
    /// `EINVAL` if no CPU in use is in the mask, `ENOMEM`.
    pub fn add(&mut self, key: VcpuKey, affinity: u64) -> Result<SchedId, Errno> {
        ensure(affinity & self.board.online != 0, Errno::EINVAL)?;
        self.board.add(key, affinity)
    }

    /// Removes a vCPU that is paused and does not run; its number is free when its state is off
    /// every CPU.
    ///
    /// # Errors
    /// `ESRCH`, `EBUSY`.
    pub fn remove(&mut self, id: SchedId) -> Result<(), Errno> {
        let entity = self.board.entities.get_mut(id).ok_or(Errno::ESRCH)?;
        ensure(entity.place == Place::Away && entity.paused, Errno::EBUSY)?;
        entity.is_gone = true;
        if entity.on_cpu.is_none() {
            self.board.entities.remove(id);
        }
        Ok(())
    }

    /// Changes where a vCPU may run; returns a CPU to kick.
    ///
    /// # Errors
    /// `ESRCH`, or `EINVAL` if no CPU in use is in the mask.
    pub fn set_affinity(
        &mut self,
        now_ns: u64,
        id: SchedId,
        affinity: u64,
    ) -> Result<Option<CpuId>, Errno> {
        ensure(affinity & self.board.online != 0, Errno::EINVAL)?;
        let entity = self.board.entities.get_mut(id).ok_or(Errno::ESRCH)?;
        entity.affinity = affinity;
        if let Place::Running(cpu) = entity.place {
            return Ok((affinity & cpu.mask() == 0).then_some(cpu));
        }
        let waiter = self.board.leave(id);
        Ok(waiter.and_then(|was| self.enqueue(now_ns, id, was.class, Preference::Stay)))
    }

    /// Where a vCPU may run.
    pub fn affinity(&self, id: SchedId) -> Option<u64> {
        self.board.entities.get(id).map(|entity| entity.affinity)
    }

    /// The vCPU has a reason to run. Returns the CPU to kick: the one that runs it, so that it
    /// notices the reason, or the one that shall.
    pub fn wake(&mut self, now_ns: u64, id: SchedId) -> Option<CpuId> {
        let entity = self.board.entities.get_mut(id)?;
        entity.blocked = false;
        match entity.place {
            Place::Running(cpu) => Some(cpu),
            _ => self.enqueue_woken(now_ns, id),
        }
    }

    /// Keeps the vCPU from running until [`Self::resume`]. Returns the CPU that runs it and must
    /// be kicked; the vCPU is off when that CPU has called [`Self::switched_out`].
    pub fn pause(&mut self, id: SchedId) -> Option<CpuId> {
        let entity = self.board.entities.get_mut(id)?;
        entity.paused = true;
        if let Place::Running(cpu) = entity.place {
            return Some(cpu);
        }
        self.board.leave(id);
        None
    }

    /// Ends a pause; returns the CPU to kick.
    pub fn resume(&mut self, now_ns: u64, id: SchedId) -> Option<CpuId> {
        self.board.entities.get_mut(id)?.paused = false;
        self.enqueue_woken(now_ns, id)
    }

    /// The vCPU running on `cpu` stops. Returns a CPU to kick; `cpu` itself must `pick` next.
    pub fn deschedule(&mut self, now_ns: u64, cpu: CpuId, why: StopReason) -> Option<CpuId> {
        self.charge(now_ns, cpu);
        let id = self.stop_running(cpu)?;
        let entity = self.board.entities.get_mut(id)?;
        match why {
            StopReason::Blocked => {
                entity.blocked = true;
                entity.earned_boost = entity.slice_left_ns != 0;
                None
            }
            StopReason::Yielded => {
                entity.earned_boost = false;
                self.enqueue_woken(now_ns, id).filter(|kick| *kick != cpu)
            }
        }
    }

    /// Chooses what `cpu` runs from now on, which may be what it runs already.
    pub fn pick(&mut self, now_ns: u64, cpu: CpuId) -> Decision {
        self.charge(now_ns, cpu);
        let is_idle = self.board.cpus[cpu.index()].running.is_none();
        let mut kick = None;
        if is_idle || self.time_left(now_ns, cpu) == Some(0) {
            kick = self.preempt(now_ns, cpu).filter(|kicked| *kicked != cpu);
            match self.next_for(cpu) {
                Some(next) => self.start_running(now_ns, cpu, next),
                // Nobody waited, so nobody is owed anything.
                None => self.board.cpus[cpu.index()].boost_debt_ns = 0,
            }
        }
        let running = self.board.cpus[cpu.index()].running;
        Decision {
            next: running.and_then(|id| self.board.entities.get(id)).map(|entity| entity.key),
            slice_ns: self.time_left(now_ns, cpu),
            // One kick is enough: the CPU that gets it looks for a helper in its turn.
            kick: kick.or_else(|| self.board.helper()),
        }
    }

    /// The state of what ran on `cpu` before the last `pick` is saved. Returns a CPU to kick that
    /// waited for it.
    pub fn switched_out(&mut self, cpu: CpuId) -> Option<CpuId> {
        let id = self.board.cpus[cpu.index()].leaving.take()?;
        let entity = self.board.entities.get_mut(id)?;
        entity.on_cpu = None;
        if entity.is_gone {
            self.board.entities.remove(id);
            return None;
        }
        match self.board.waits_for(id)? {
            // That CPU passed it over; now it may run there, or at least a slice is needed.
            waits_for if waits_for != cpu => Some(waits_for),
            _ => self.board.helper(),
        }
    }

    /// Whether nothing waits for `cpu`, so that a yield would change nothing.
    pub fn is_alone(&self, cpu: CpuId) -> bool {
        self.board.cpus[cpu.index()].waiting == 0
    }

    /// Accounts the time since the last accounting to what runs on `cpu`.
    fn charge(&mut self, now_ns: u64, cpu: CpuId) {
        let max_debt_ns = self.slice_ns.saturating_mul(MAX_BOOST_DEBT_SLICES);
        let state = &mut self.board.cpus[cpu.index()];
        let ran_ns = now_ns.saturating_sub(state.charged_ns);
        state.charged_ns = now_ns;
        let running = state.running.and_then(|id| self.board.entities.get_mut(id));
        let Some(entity) = running else { return };
        entity.slice_left_ns = entity.slice_left_ns.saturating_sub(ran_ns);
        state.boost_debt_ns = if state.runs_boosted {
            state.boost_debt_ns.saturating_add(ran_ns).min(max_debt_ns)
        } else {
            state.boost_debt_ns.saturating_sub(ran_ns)
        };
    }

    /// Queues a vCPU that is on no CPU and runnable. Returns the CPU to kick, if it must choose
    /// because of this.
    fn enqueue(
        &mut self,
        now_ns: u64,
        id: SchedId,
        class: Class,
        prefer: Preference,
    ) -> Option<CpuId> {
        let cpu = self.board.choose(self.board.entities.get(id)?, prefer)?;
        self.board.entities.get_mut(id)?.ticket = self.next_ticket;
        self.next_ticket += 1;
        self.board.join(id, cpu, class);
        self.charge(now_ns, cpu);
        let state = &self.board.cpus[cpu.index()];
        // The first to wait finds no slice armed; a later one matters only if it preempts.
        let must_choose =
            state.running.is_none() || state.waiting == 1 || self.time_left(now_ns, cpu) == Some(0);
        must_choose.then_some(cpu)
    }

    /// Queues a vCPU that may just have become runnable.
    fn enqueue_woken(&mut self, now_ns: u64, id: SchedId) -> Option<CpuId> {
        let entity = self.board.entities.get_mut(id)?;
        if entity.place != Place::Away || !entity.is_runnable() {
            return None;
        }
        let class = if entity.earned_boost { Class::Boosted } else { Class::Normal };
        entity.earned_boost = false;
        entity.slice_left_ns = self.slice_ns;
        self.enqueue(now_ns, id, class, Preference::Stay)
    }

    /// Takes what runs off `cpu`; its state stays there until `switched_out`.
    fn stop_running(&mut self, cpu: CpuId) -> Option<SchedId> {
        let state = &mut self.board.cpus[cpu.index()];
        let id = state.running.take()?;
        debug_assert!(state.leaving.is_none(), "a switch was not reported as finished");
        state.leaving = Some(id);
        state.runs_boosted = false;
        self.board.entities.get_mut(id)?.place = Place::Away;
        Some(id)
    }

    /// Whether boosted vCPUs may still go before the normal ones.
    fn boost_allowed(&self, cpu: CpuId) -> bool {
        self.board.cpus[cpu.index()].boost_debt_ns < self.slice_ns
    }

    /// How long the running vCPU may go on: `None` is without end, zero is not at all.
    // Asked twice for each decision, where a call is dearer than what it saves.
    #[inline(always)]
    fn time_left(&self, now_ns: u64, cpu: CpuId) -> Option<u64> {
        let state = &self.board.cpus[cpu.index()];
        let entity = self.board.entities.get(state.running?)?;
        if !entity.is_runnable() || entity.affinity & cpu.mask() == 0 {
            return Some(0);
        }
        let boosted_waits = self.board.first(cpu, Class::Boosted).is_some();
        if !boosted_waits && self.board.first(cpu, Class::Normal).is_none() {
            return None;
        }
        if state.runs_boosted {
            let ran_ns = now_ns.saturating_sub(state.since_ns);
            let boost_ns = self.slice_ns.min(BOOST_SLICE_NS);
            return Some(boost_ns.saturating_sub(ran_ns).min(entity.slice_left_ns));
        }
        let preempted = boosted_waits && self.boost_allowed(cpu);
        Some(if preempted { 0 } else { entity.slice_left_ns })
    }

    /// Takes the running vCPU off because its time is over. Returns a CPU to kick.
    fn preempt(&mut self, now_ns: u64, cpu: CpuId) -> Option<CpuId> {
        let was_boosted = self.board.cpus[cpu.index()].runs_boosted;
        let id = self.stop_running(cpu)?;
        let entity = self.board.entities.get_mut(id)?;
        entity.earned_boost = false;
        if !entity.is_runnable() {
            return None;
        }
        if entity.slice_left_ns == 0 {
            entity.slice_left_ns = self.slice_ns;
            return self.enqueue(now_ns, id, Class::Normal, Preference::Rotate);
        }
        if was_boosted || entity.affinity & cpu.mask() == 0 {
            return self.enqueue(now_ns, id, Class::Normal, Preference::Stay);
        }
        // It keeps its ticket: its turn is not over, it goes on before those that came later.
        self.board.join(id, cpu, Class::Normal);
        None
    }

    /// What `cpu` shall run.
    fn next_for(&self, cpu: CpuId) -> Option<Waiter> {
        let boosted = self.board.first(cpu, Class::Boosted).filter(|_| self.boost_allowed(cpu));
        boosted
            .or_else(|| self.board.longest_waiting(cpu, Class::Normal))
            .or_else(|| self.board.longest_waiting(cpu, Class::Boosted))
    }

    fn start_running(&mut self, now_ns: u64, cpu: CpuId, next: Waiter) {
        self.board.leave(next.id);
        let state = &mut self.board.cpus[cpu.index()];
        state.running = Some(next.id);
        state.runs_boosted = next.class == Class::Boosted;
        state.since_ns = now_ns;
        state.charged_ns = now_ns;
        if state.leaving == Some(next.id) {
            state.leaving = None;
        }
        if let Some(entity) = self.board.entities.get_mut(next.id) {
            entity.place = Place::Running(cpu);
            entity.last_cpu = cpu;
            entity.on_cpu = Some(cpu);
        }
    }
}
