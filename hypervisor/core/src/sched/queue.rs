//! FIFO queues of vCPUs, linked through the entities themselves.
//!
//! Used by the policy for its per-CPU queues; nothing here allocates. Invariant: an entity is in
//! at most one queue, and its `place` names that queue (kept by [`super::place`]).

use super::entity::Entities;
use super::SchedId;

/// First, last and number of the entities of one queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    head: Option<SchedId>,
    tail: Option<SchedId>,
    len: u32,
}

/// An entity's neighbours in its queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Links {
    prev: Option<SchedId>,
    next: Option<SchedId>,
}

/// At which end an entity joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Front,
    Back,
}

impl Queue {
    pub(super) const NEW: Self = Self { head: None, tail: None, len: 0 };

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn push(&mut self, entities: &mut Entities, id: SchedId, end: End) {
        let links = match end {
            End::Back => Links { prev: self.tail, next: None },
            End::Front => Links { prev: None, next: self.head },
        };
        self.connect(entities, links.prev, Some(id));
        self.connect(entities, Some(id), links.next);
        if let Some(entity) = entities.get_mut(id) {
            entity.links = links;
        }
        self.len += 1;
    }

    /// Takes an entity out that is in this queue.
    pub(super) fn unlink(&mut self, entities: &mut Entities, id: SchedId) {
        let Some(entity) = entities.get_mut(id) else { return };
        let links = core::mem::take(&mut entity.links);
        self.connect(entities, links.prev, links.next);
        self.len -= 1;
    }

    /// The first entity that satisfies `is_wanted`.
    pub(super) fn find(
        &self,
        entities: &Entities,
        is_wanted: impl Fn(&super::entity::Entity) -> bool,
    ) -> Option<SchedId> {
        let mut next = self.head;
        while let Some(id) = next {
            let entity = entities.get(id)?;
            if is_wanted(entity) {
                return Some(id);
            }
            next = entity.links.next;
        }
        None
    }

    /// Makes two neighbours know each other; `None` stands for the queue's own end.
    fn connect(&mut self, entities: &mut Entities, prev: Option<SchedId>, next: Option<SchedId>) {
        match prev.and_then(|id| entities.get_mut(id)) {
            Some(entity) => entity.links.next = next,
            None => self.head = next,
        }
        match next.and_then(|id| entities.get_mut(id)) {
            Some(entity) => entity.links.prev = prev,
            None => self.tail = prev,
        }
    }
}
