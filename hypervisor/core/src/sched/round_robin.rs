//! Round robin with time slices, and a short boost for vCPUs that sleep a lot.
//!
//! Each CPU has two FIFO queues. A vCPU that blocked before its slice was used up has shown that it
//! needs little; when it wakes it goes to the *boosted* queue, preempts a normal vCPU at once and
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

use super::entity::{Class, Entities, Place};
use super::place::{Cpus, Preference};
use super::queue::End;
use super::{Chosen, CpuId, Decision, Policy, RunState, SchedError, SchedId, StopReason, VcpuKey};

/// How long a vCPU may run when others wait, unless [`RoundRobin::set_slice_ns`] says otherwise.
pub const SLICE_NS: u64 = 10_000_000;

/// How long a vCPU that just woke may run before those that wait longer.
pub const BOOST_SLICE_NS: u64 = 2_000_000;

/// The shortest slice: below, switching would take more time than running.
const MIN_SLICE_NS: u64 = 100_000;

/// Most boosted time a CPU can owe, in slices. While normal vCPUs wait the debt stays well below;
/// only a boosted vCPU that ran alone for long reaches it, and then nobody was kept waiting.
const MAX_BOOST_DEBT_SLICES: u64 = 2;

/// The policy; see the module.
#[derive(Debug)]
pub struct RoundRobin {
    entities: Entities,
    cpus: Cpus,
    next_ticket: u64,
    slice_ns: u64,
}

impl Default for RoundRobin {
    fn default() -> Self {
        Self::new()
    }
}

impl RoundRobin {
    /// No CPUs and no vCPUs.
    #[must_use]
    pub const fn new() -> Self {
        Self { entities: Entities::new(), cpus: Cpus::new(), next_ticket: 0, slice_ns: SLICE_NS }
    }

    /// Sets the length of slices that begin from now on.
    pub fn set_slice_ns(&mut self, slice_ns: u64) {
        self.slice_ns = slice_ns.max(MIN_SLICE_NS);
    }

    fn boost_slice_ns(&self) -> u64 {
        self.slice_ns.min(BOOST_SLICE_NS)
    }

    fn chosen(&self, id: SchedId) -> Option<Chosen> {
        self.entities.get(id).map(|entity| Chosen { id, key: entity.key })
    }

    /// Accounts the time since the last accounting to what runs on `cpu`.
    fn charge(&mut self, now_ns: u64, cpu: CpuId) {
        let max_debt_ns = self.slice_ns.saturating_mul(MAX_BOOST_DEBT_SLICES);
        let Some(state) = self.cpus.get_mut(cpu) else { return };
        let ran_ns = now_ns.saturating_sub(state.charged_ns);
        state.charged_ns = now_ns;
        let Some(entity) = state.running.and_then(|id| self.entities.get_mut(id)) else { return };
        entity.run_ns += ran_ns;
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
        let cpu = self.cpus.choose(self.entities.get(id)?, prefer)?;
        self.cpus.push(&mut self.entities, id, (cpu, class), End::Back);
        if let Some(entity) = self.entities.get_mut(id) {
            entity.ticket = self.next_ticket;
            self.next_ticket += 1;
        }
        self.charge(now_ns, cpu);
        let state = self.cpus.get(cpu)?;
        // The first to wait finds no slice armed; a later one matters only if it preempts.
        let must_choose = state.running.is_none()
            || state.waiting() == 1
            || self.time_left(now_ns, cpu) == Some(0);
        must_choose.then_some(cpu)
    }

    /// Queues a vCPU that just became runnable.
    fn enqueue_woken(&mut self, now_ns: u64, id: SchedId) -> Option<CpuId> {
        let entity = self.entities.get_mut(id)?;
        let class = if entity.earned_boost { Class::Boosted } else { Class::Normal };
        entity.earned_boost = false;
        entity.slice_left_ns = self.slice_ns;
        self.enqueue(now_ns, id, class, Preference::Stay)
    }

    /// Takes what runs off `cpu`; its state stays there until `switched_out`.
    fn stop_running(&mut self, cpu: CpuId) -> Option<SchedId> {
        let state = self.cpus.get_mut(cpu)?;
        let id = state.running.take()?;
        debug_assert!(state.leaving.is_none(), "a switch was not reported as finished");
        state.leaving = Some(id);
        state.runs_boosted = false;
        if let Some(entity) = self.entities.get_mut(id) {
            entity.place = Place::Away;
        }
        Some(id)
    }

    /// Whether boosted vCPUs may still go before the normal ones.
    fn boost_allowed(&self, cpu: CpuId) -> bool {
        self.cpus.get(cpu).is_some_and(|state| state.boost_debt_ns < self.slice_ns)
    }

    /// How long the running vCPU may go on: `None` is without end, zero is not at all.
    fn time_left(&self, now_ns: u64, cpu: CpuId) -> Option<u64> {
        let state = self.cpus.get(cpu)?;
        let entity = self.entities.get(state.running?)?;
        if !entity.is_runnable() || entity.affinity & cpu.bit() == 0 {
            return Some(0);
        }
        let boosted_waits = self.cpus.first(&self.entities, cpu, Class::Boosted).is_some();
        let normal_waits = self.cpus.first(&self.entities, cpu, Class::Normal).is_some();
        if !boosted_waits && !normal_waits {
            return None;
        }
        if state.runs_boosted {
            let ran_ns = now_ns.saturating_sub(state.since_ns);
            return Some(self.boost_slice_ns().saturating_sub(ran_ns).min(entity.slice_left_ns));
        }
        let preempted = boosted_waits && self.boost_allowed(cpu);
        Some(if preempted { 0 } else { entity.slice_left_ns })
    }

    /// Takes the running vCPU off because its time is over. Returns a CPU to kick.
    fn preempt(&mut self, now_ns: u64, cpu: CpuId) -> Option<CpuId> {
        let was_boosted = self.cpus.get(cpu).is_some_and(|state| state.runs_boosted);
        let id = self.stop_running(cpu)?;
        let entity = self.entities.get_mut(id)?;
        entity.earned_boost = false;
        if !entity.is_runnable() {
            return None;
        }
        if entity.slice_left_ns == 0 {
            entity.slice_left_ns = self.slice_ns;
            return self.enqueue(now_ns, id, Class::Normal, Preference::Rotate);
        }
        if was_boosted || entity.affinity & cpu.bit() == 0 {
            return self.enqueue(now_ns, id, Class::Normal, Preference::Stay);
        }
        // It keeps its ticket too: its turn is not over.
        self.cpus.push(&mut self.entities, id, (cpu, Class::Normal), End::Front);
        None
    }

    /// What `cpu` shall run, and whether as a boosted vCPU.
    fn next_for(&self, cpu: CpuId) -> Option<(SchedId, Class)> {
        let own_boosted = || self.cpus.first(&self.entities, cpu, Class::Boosted);
        let any = |class| self.cpus.longest_waiting(&self.entities, cpu, class);
        let boosted = own_boosted().filter(|_| self.boost_allowed(cpu));
        let normal = || Some((any(Class::Normal)?, Class::Normal));
        boosted
            .map(|id| (id, Class::Boosted))
            .or_else(normal)
            .or_else(|| Some((any(Class::Boosted)?, Class::Boosted)))
    }

    fn start_running(&mut self, now_ns: u64, cpu: CpuId, id: SchedId, class: Class) {
        self.cpus.unlink(&mut self.entities, id);
        let Some(state) = self.cpus.get_mut(cpu) else { return };
        state.running = Some(id);
        state.runs_boosted = class == Class::Boosted;
        state.since_ns = now_ns;
        state.charged_ns = now_ns;
        if state.leaving == Some(id) {
            state.leaving = None;
        }
        if let Some(entity) = self.entities.get_mut(id) {
            entity.place = Place::Running(cpu);
            entity.last_cpu = cpu;
            entity.on_cpu = Some(cpu);
        }
    }

    fn decide(&self, now_ns: u64, cpu: CpuId, kick: Option<CpuId>) -> Decision {
        let next = self.running(cpu);
        let slice_ns = next.and_then(|_| self.time_left(now_ns, cpu));
        // One kick is enough: the CPU that gets it looks for a helper in its turn.
        let kick = kick.filter(|kicked| *kicked != cpu);
        let kick = kick.or_else(|| self.cpus.helper(&self.entities));
        Decision { next, slice_ns, kick }
    }
}

impl Policy for RoundRobin {
    fn set_online(&mut self, cpu: CpuId) {
        self.cpus.set_online(cpu);
    }

    fn add(&mut self, key: VcpuKey, affinity: u64) -> Result<SchedId, SchedError> {
        if affinity & self.cpus.online() == 0 {
            return Err(SchedError::NoCpu);
        }
        self.entities.insert(key, affinity)
    }

    fn remove(&mut self, id: SchedId) -> Result<(), SchedError> {
        let entity = self.entities.get_mut(id).ok_or(SchedError::Unknown)?;
        if entity.place != Place::Away || !entity.paused {
            return Err(SchedError::InUse);
        }
        entity.is_gone = true;
        if entity.on_cpu.is_none() {
            self.entities.remove(id);
        }
        Ok(())
    }

    fn set_affinity(
        &mut self,
        now_ns: u64,
        id: SchedId,
        affinity: u64,
    ) -> Result<Option<CpuId>, SchedError> {
        if affinity & self.cpus.online() == 0 {
            return Err(SchedError::NoCpu);
        }
        let entity = self.entities.get_mut(id).ok_or(SchedError::Unknown)?;
        entity.affinity = affinity;
        match entity.place {
            Place::Queued(_, class) => {
                self.cpus.unlink(&mut self.entities, id);
                Ok(self.enqueue(now_ns, id, class, Preference::Stay))
            }
            Place::Running(cpu) => Ok((affinity & cpu.bit() == 0).then_some(cpu)),
            Place::Away => Ok(None),
        }
    }

    fn affinity(&self, id: SchedId) -> Option<u64> {
        self.entities.get(id).map(|entity| entity.affinity)
    }

    fn wake(&mut self, now_ns: u64, id: SchedId) -> Option<CpuId> {
        let entity = self.entities.get_mut(id)?;
        entity.blocked = false;
        match entity.place {
            Place::Running(cpu) => Some(cpu),
            Place::Away if entity.is_runnable() => self.enqueue_woken(now_ns, id),
            _ => None,
        }
    }

    fn pause(&mut self, id: SchedId) -> Option<CpuId> {
        let entity = self.entities.get_mut(id)?;
        entity.paused = true;
        if let Place::Running(cpu) = entity.place {
            return Some(cpu);
        }
        self.cpus.unlink(&mut self.entities, id);
        None
    }

    fn resume(&mut self, now_ns: u64, id: SchedId) -> Option<CpuId> {
        let entity = self.entities.get_mut(id)?;
        entity.paused = false;
        match entity.place {
            Place::Away if entity.is_runnable() => self.enqueue_woken(now_ns, id),
            _ => None,
        }
    }

    fn deschedule(&mut self, now_ns: u64, cpu: CpuId, why: StopReason) -> Option<CpuId> {
        self.charge(now_ns, cpu);
        let id = self.stop_running(cpu)?;
        let entity = self.entities.get_mut(id)?;
        match why {
            StopReason::Blocked => {
                entity.blocked = true;
                entity.earned_boost = entity.slice_left_ns != 0;
                None
            }
            StopReason::Yielded if entity.is_runnable() => {
                entity.earned_boost = false;
                entity.slice_left_ns = self.slice_ns;
                self.enqueue(now_ns, id, Class::Normal, Preference::Stay)
                    .filter(|kick| *kick != cpu)
            }
            StopReason::Yielded => None,
        }
    }

    fn pick(&mut self, now_ns: u64, cpu: CpuId) -> Decision {
        self.charge(now_ns, cpu);
        let goes_on = self.time_left(now_ns, cpu) != Some(0);
        if goes_on && self.running(cpu).is_some() {
            return self.decide(now_ns, cpu, None);
        }
        let kick = self.preempt(now_ns, cpu);
        match self.next_for(cpu) {
            Some((id, class)) => self.start_running(now_ns, cpu, id, class),
            None => {
                // Nobody waited, so nobody is owed anything.
                if let Some(state) = self.cpus.get_mut(cpu) {
                    state.boost_debt_ns = 0;
                }
            }
        }
        self.decide(now_ns, cpu, kick)
    }

    fn switched_out(&mut self, cpu: CpuId) -> Option<CpuId> {
        let id = self.cpus.get_mut(cpu)?.leaving.take()?;
        let entity = self.entities.get_mut(id)?;
        entity.on_cpu = None;
        if entity.is_gone {
            self.entities.remove(id);
            return None;
        }
        match entity.place {
            // That CPU passed it over; now it may run there, or at least a slice is needed.
            Place::Queued(waits_for, _) if waits_for != cpu => Some(waits_for),
            Place::Queued(..) => self.cpus.helper(&self.entities),
            _ => None,
        }
    }

    fn is_alone(&self, cpu: CpuId) -> bool {
        self.cpus.get(cpu).is_none_or(|state| state.waiting() == 0)
    }

    fn running(&self, cpu: CpuId) -> Option<Chosen> {
        self.chosen(self.cpus.get(cpu)?.running?)
    }

    fn on_cpu(&self, id: SchedId) -> Option<CpuId> {
        self.entities.get(id)?.on_cpu
    }

    fn state(&self, id: SchedId) -> Option<RunState> {
        let entity = self.entities.get(id)?;
        Some(match entity.place {
            Place::Running(_) => RunState::Running,
            Place::Queued(..) => RunState::Runnable,
            Place::Away if entity.paused => RunState::Offline,
            Place::Away => RunState::Blocked,
        })
    }

    fn run_time_ns(&self, now_ns: u64, id: SchedId) -> u64 {
        let Some(entity) = self.entities.get(id) else { return 0 };
        let unaccounted_ns = match entity.place {
            Place::Running(cpu) => {
                self.cpus.get(cpu).map_or(0, |state| now_ns.saturating_sub(state.charged_ns))
            }
            _ => 0,
        };
        entity.run_ns + unaccounted_ns
    }
}
