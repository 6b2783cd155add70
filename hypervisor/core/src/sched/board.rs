//! Who runs, who waits and where: the state of all CPUs, and the line of those who wait for one.
//!
//! Used by the policy. A vCPU that becomes runnable goes to an idle CPU it may use; if there is
//! none, to the CPU with the least load. A CPU that chooses takes what has waited longest, for
//! itself or for another CPU, and then wakes an idle one if something is left. So no CPU idles while
//! a vCPU waits that it may run, and those who wait are first come, first served, even if the CPUs
//! have unequal numbers.
//!
//! All who wait stand in one line, in the order of their tickets, each with the CPU it waits for.
//! The queue of a CPU is what a pass over the line finds of it: a pass over some tens of adjacent
//! entries costs less than the upkeep of linked queues, and what has waited longest comes first.

use crate::bits;
use alloc::vec::Vec;
use hypercall_abi::Errno;

use super::entity::{Entities, Entity, Place};
use super::{CpuId, SchedId, VcpuKey, MAX_CPUS};

/// How urgent a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Woke after it had blocked of its own accord: goes first, for a short time.
    Boosted,
    /// Everything else.
    Normal,
}

/// One that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) id: SchedId,
    ticket: u64,
    /// The CPU that was chosen for it; others take it if they come first.
    pub(super) cpu: CpuId,
    pub(super) class: Class,
}

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
    /// Number of vCPUs that wait for this CPU.
    pub(super) waiting: u32,
}

impl Cpu {
    const NEW: Self = Self {
        running: None,
        leaving: None,
        runs_boosted: false,
        since_ns: 0,
        charged_ns: 0,
        boost_debt_ns: 0,
        waiting: 0,
    };

    /// How many want this CPU; zero if it is idle.
    fn load(&self) -> u32 {
        self.waiting + u32::from(self.running.is_some())
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

/// All CPUs and all vCPUs.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) entities: Entities,
    pub(super) cpus: [Cpu; MAX_CPUS as usize],
    pub(super) online: u64,
    /// In the order of tickets; has room for all vCPUs.
    line: Vec<Waiter>,
}

impl Board {
    pub(super) const fn new() -> Self {
        let cpus = [Cpu::NEW; MAX_CPUS as usize];
        Self { entities: Entities(Vec::new()), cpus, online: 0, line: Vec::new() }
    }

    pub(super) fn add(&mut self, key: VcpuKey, affinity: u64) -> Result<SchedId, Errno> {
        let room = self.entities.0.len() + 1 - self.line.len();
        self.line.try_reserve(room).map_err(|_| Errno::ENOMEM)?;
        self.entities.insert(key, affinity)
    }

    /// The best CPU for a vCPU that is on none; `None` if it may use no CPU. An idle one if there
    /// is one, its last one if possible.
    pub(super) fn choose(&self, entity: &Entity, prefer: Preference) -> Option<CpuId> {
        let rank = |cpu: &CpuId| {
            let state = &self.cpus[cpu.index()];
            let is_last = *cpu == entity.last_cpu;
            match state.load() {
                0 => (0, !is_last, 0),
                load => (load, is_last == (prefer == Preference::Rotate), state.since_ns),
            }
        };
        bits(entity.affinity & self.online).map(CpuId).min_by_key(rank)
    }

    /// An idle CPU that may run something of what waits anywhere. Idle CPUs mostly get work when it
    /// arrives, but what was sent to one can be overtaken there by something else, and what was woken
    /// may have been left to its waker's CPU at first.
    pub(super) fn helper(&self) -> Option<CpuId> {
        if self.line.is_empty() {
            return None;
        }
        let mut idle =
            bits(self.online).map(CpuId).filter(|cpu| self.cpus[cpu.index()].running.is_none());
        idle.find(|cpu| self.find(*cpu, |_| true).is_some())
    }

    /// Puts a vCPU in the line, behind those with lower tickets.
    pub(super) fn join(&mut self, id: SchedId, cpu: CpuId, class: Class) {
        let Some(entity) = self.entities.get_mut(id) else { return };
        entity.place = Place::Queued;
        let ticket = entity.ticket;
        let at = self.line.partition_point(|other| other.ticket < ticket);
        self.line.insert(at, Waiter { id, ticket, cpu, class });
        self.cpus[cpu.index()].waiting += 1;
    }

    /// Takes a vCPU out of the line, if it is in it.
    pub(super) fn leave(&mut self, id: SchedId) -> Option<Waiter> {
        let at = self.line.iter().position(|waiter| waiter.id == id)?;
        let waiter = self.line.remove(at);
        self.cpus[waiter.cpu.index()].waiting -= 1;
        self.entities.get_mut(id)?.place = Place::Away;
        Some(waiter)
    }

    /// What waits for `cpu` and may run there at this moment.
    pub(super) fn first(&self, cpu: CpuId, class: Class) -> Option<Waiter> {
        self.find(cpu, |waiter| waiter.cpu == cpu && waiter.class == class)
    }

    /// What has waited longest of a class, for whichever CPU, and may run on `cpu`.
    pub(super) fn longest_waiting(&self, cpu: CpuId, class: Class) -> Option<Waiter> {
        self.find(cpu, |waiter| waiter.class == class)
    }

    /// The CPU that a vCPU waits for.
    pub(super) fn waits_for(&self, id: SchedId) -> Option<CpuId> {
        self.line.iter().find(|waiter| waiter.id == id).map(|waiter| waiter.cpu)
    }

    fn find(&self, cpu: CpuId, is_wanted: impl Fn(&Waiter) -> bool) -> Option<Waiter> {
        let may_run = |id| self.entities.get(id).is_some_and(|entity| entity.may_run_on(cpu));
        self.line.iter().find(|waiter| is_wanted(waiter) && may_run(waiter.id)).copied()
    }
}
