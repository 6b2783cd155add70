//! Where a runnable vCPU waits: the choice of a CPU, and the queues of all CPUs.
//!
//! Used by the policy. A vCPU that becomes runnable goes to an idle CPU it may use; if there is
//! none, to the CPU with the least load. A CPU that chooses takes what has waited longest, for
//! itself or for another CPU, and then wakes an idle one if something is left. So no CPU idles while a vCPU waits that it may run, and the queues of
//! all CPUs together are first come, first served, even if the CPUs have unequal numbers.

use super::entity::{Class, Entities, Entity, Place};
use super::queue::{End, Queue};
use super::{CpuId, SchedId, MAX_CPUS};

/// One CPU as the policy sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cpu {
    pub(super) running: Option<SchedId>,
    /// What ran before and has its state still here.
    pub(super) leaving: Option<SchedId>,
    /// Whether the running vCPU goes first for its having blocked.
    pub(super) runs_boosted: bool,
    /// When the running vCPU was put on this CPU.
    pub(super) since_ns: u64,
    /// Up to when the running time is accounted.
    pub(super) charged_ns: u64,
    /// Boosted time that normal vCPUs have not had the like of yet.
    pub(super) boost_debt_ns: u64,
    pub(super) boosted: Queue,
    pub(super) normal: Queue,
}

impl Cpu {
    const NEW: Self = Self {
        running: None,
        leaving: None,
        runs_boosted: false,
        since_ns: 0,
        charged_ns: 0,
        boost_debt_ns: 0,
        boosted: Queue::NEW,
        normal: Queue::NEW,
    };

    pub(super) fn waiting(&self) -> u32 {
        self.boosted.len() + self.normal.len()
    }

    fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting() == 0
    }

    fn load(&self) -> u32 {
        self.waiting() + u32::from(self.running.is_some())
    }

    pub(super) fn queue(&self, class: Class) -> &Queue {
        match class {
            Class::Boosted => &self.boosted,
            Class::Normal => &self.normal,
        }
    }

    fn queue_mut(&mut self, class: Class) -> &mut Queue {
        match class {
            Class::Boosted => &mut self.boosted,
            Class::Normal => &mut self.normal,
        }
    }
}

/// Which CPU is preferred among equally loaded ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preference {
    /// The last one, for its warm caches.
    Stay,
    /// Another one, the one whose vCPU has run longest: after a used-up slice this rotates an odd
    /// number of vCPUs over all CPUs, so that they share evenly.
    Rotate,
}

/// All CPUs.
#[derive(Debug)]
pub(super) struct Cpus {
    cpus: [Cpu; MAX_CPUS as usize],
    online: u64,
    /// Number of vCPUs in all queues.
    waiting: u32,
}

impl Cpus {
    pub(super) const fn new() -> Self {
        Self { cpus: [Cpu::NEW; MAX_CPUS as usize], online: 0, waiting: 0 }
    }

    pub(super) fn set_online(&mut self, cpu: CpuId) {
        self.online |= cpu.bit();
    }

    pub(super) fn online(&self) -> u64 {
        self.online
    }

    #[inline]
    pub(super) fn get(&self, cpu: CpuId) -> Option<&Cpu> {
        self.cpus.get(cpu.get() as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, cpu: CpuId) -> Option<&mut Cpu> {
        self.cpus.get_mut(cpu.get() as usize)
    }

    /// The best CPU for a vCPU that is on none; `None` if it may use no CPU.
    pub(super) fn choose(&self, entity: &Entity, prefer: Preference) -> Option<CpuId> {
        self.idle_for(entity).or_else(|| self.least_loaded(entity, prefer))
    }

    /// An idle CPU that a vCPU may use, its last one if possible.
    pub(super) fn idle_for(&self, entity: &Entity) -> Option<CpuId> {
        bits(entity.affinity & self.online)
            .filter(|cpu| self.get(*cpu).is_some_and(Cpu::is_idle))
            .min_by_key(|cpu| *cpu != entity.last_cpu)
    }

    /// An idle CPU that may run something of what waits anywhere. Idle CPUs get work when it
    /// arrives, but what was sent to one can be overtaken there by something else.
    pub(super) fn helper(&self, entities: &Entities) -> Option<CpuId> {
        if self.waiting == 0 {
            return None;
        }
        let can_help = |cpu: &CpuId| {
            self.get(*cpu).is_some_and(Cpu::is_idle)
                && [Class::Boosted, Class::Normal]
                    .iter()
                    .any(|class| self.longest_waiting(entities, *cpu, *class).is_some())
        };
        bits(self.online).find(can_help)
    }

    fn least_loaded(&self, entity: &Entity, prefer: Preference) -> Option<CpuId> {
        let rank = |cpu: &CpuId| {
            let state = self.get(*cpu).unwrap_or(&Cpu::NEW);
            let is_last = *cpu == entity.last_cpu;
            let is_second_choice = match prefer {
                Preference::Stay => !is_last,
                Preference::Rotate => is_last,
            };
            (state.load(), is_second_choice, state.since_ns)
        };
        bits(entity.affinity & self.online).min_by_key(rank)
    }

    pub(super) fn push(
        &mut self,
        entities: &mut Entities,
        id: SchedId,
        (cpu, class): (CpuId, Class),
        end: End,
    ) {
        if let Some(state) = self.get_mut(cpu) {
            state.queue_mut(class).push(entities, id, end);
            self.waiting += 1;
        }
        if let Some(entity) = entities.get_mut(id) {
            entity.place = Place::Queued(cpu, class);
        }
    }

    /// Takes a vCPU out of the queue it is in, if it is in one.
    pub(super) fn unlink(&mut self, entities: &mut Entities, id: SchedId) {
        let Some(entity) = entities.get_mut(id) else { return };
        let Place::Queued(cpu, class) = entity.place else { return };
        entity.place = Place::Away;
        if let Some(state) = self.get_mut(cpu) {
            state.queue_mut(class).unlink(entities, id);
            self.waiting -= 1;
        }
    }

    /// The first vCPU of a class that waits for `cpu` and may run at this moment.
    pub(super) fn first(&self, entities: &Entities, cpu: CpuId, class: Class) -> Option<SchedId> {
        self.get(cpu)?.queue(class).find(entities, |entity| entity.may_run_on(cpu))
    }

    /// The vCPU of a class that has waited longest, for whichever CPU, and that `cpu` may run.
    pub(super) fn longest_waiting(
        &self,
        entities: &Entities,
        cpu: CpuId,
        class: Class,
    ) -> Option<SchedId> {
        let candidate = |holder: CpuId| {
            let id = self.get(holder)?.queue(class).find(entities, |e| e.may_run_on(cpu))?;
            Some((entities.get(id)?.ticket, id))
        };
        let oldest = bits(self.online).filter_map(candidate).min_by_key(|(ticket, _)| *ticket);
        oldest.map(|(_, id)| id)
    }
}

/// The CPUs of a mask, ascending.
fn bits(mut mask: u64) -> impl Iterator<Item = CpuId> {
    core::iter::from_fn(move || {
        let lowest = mask.trailing_zeros();
        mask &= mask.checked_sub(1)?;
        Some(CpuId::new(lowest))
    })
}
