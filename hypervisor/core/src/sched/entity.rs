//! The scheduler's record of a vCPU, and the table of all records.
//!
//! Used by the policy and its board. Invariants: a record is `Queued` exactly when it is in the
//! waiting line, `Running` exactly when that CPU's `running` names it; it is runnable, thus queued
//! or running, only if it is neither blocked nor paused (a running one may be paused until its CPU
//! notices).

use alloc::vec::Vec;
use hypercall_abi::Errno;

use super::{CpuId, SchedId, VcpuKey, MAX_CPUS};

/// Where a vCPU is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Neither runs nor waits for a CPU.
    Away,
    /// Waits for a CPU.
    Queued,
    /// Runs on this CPU.
    Running(CpuId),
}

/// What the policy knows about a vCPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entity {
    pub(super) key: VcpuKey,
    pub(super) affinity: u64,
    pub(super) place: Place,
    pub(super) blocked: bool,
    pub(super) paused: bool,
    /// Removed by its owner; the record goes when no CPU holds its state any more.
    pub(super) is_gone: bool,
    /// The last time it stopped, it did so of its own accord with time left.
    pub(super) earned_boost: bool,
    /// What is left of its time slice.
    pub(super) slice_left_ns: u64,
    /// Place of its present or latest turn in the order of all turns.
    pub(super) ticket: u64,
    /// Where it ran last: its caches may still be warm there.
    pub(super) last_cpu: CpuId,
    /// The CPU that holds its register state; no other may run it.
    pub(super) on_cpu: Option<CpuId>,
}

impl Entity {
    fn new(key: VcpuKey, affinity: u64) -> Self {
        Self {
            key,
            affinity,
            place: Place::Away,
            blocked: false,
            paused: true,
            is_gone: false,
            earned_boost: false,
            slice_left_ns: 0,
            ticket: 0,
            last_cpu: CpuId(affinity.trailing_zeros() % MAX_CPUS),
            on_cpu: None,
        }
    }

    /// Whether `cpu` may run it at this moment.
    pub(super) fn may_run_on(&self, cpu: CpuId) -> bool {
        self.affinity & cpu.mask() != 0 && self.on_cpu.is_none_or(|holder| holder == cpu)
    }

    pub(super) fn is_runnable(&self) -> bool {
        !self.blocked && !self.paused && !self.is_gone
    }
}

/// All records, by number.
#[derive(Debug)]
pub(super) struct Entities(pub(super) Vec<Option<Entity>>);

impl Entities {
    pub(super) fn get(&self, id: SchedId) -> Option<&Entity> {
        self.0.get(id.0)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: SchedId) -> Option<&mut Entity> {
        self.0.get_mut(id.0)?.as_mut()
    }

    pub(super) fn insert(&mut self, key: VcpuKey, affinity: u64) -> Result<SchedId, Errno> {
        let entity = Some(Entity::new(key, affinity));
        if let Some(unused) = self.0.iter().position(Option::is_none) {
            self.0[unused] = entity;
            return Ok(SchedId(unused));
        }
        self.0.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.0.push(entity);
        Ok(SchedId(self.0.len() - 1))
    }

    pub(super) fn remove(&mut self, id: SchedId) {
        if let Some(slot) = self.0.get_mut(id.0) {
            *slot = None;
        }
    }
}
