//! Two halves and the nodes of their device, as a model that can be compared and copied.
//!
//! A turn of a half is what the glue in `pvkernel_xen::xenbus` does between two moments at which the
//! other half, the tools or death can come in between: a look at the nodes, or the step that follows it.
//! Connecting takes the back half two turns, because it reads first and confirms later.

use pv_xenbus::device::{BackHalf, BackStep, FrontHalf, FrontStep};
use pv_xenbus::State;

/// Rings have numbers: each publication is another one as long as somebody has or names it.
pub type Rings = u8;

/// The nodes of a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nodes {
    pub front: Option<State>,
    pub back: Option<State>,
    pub online: bool,
    /// What the front half's nodes name.
    pub rings: Option<Rings>,
}

/// A front half, and the rings it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Front {
    pub half: FrontHalf,
    /// What follows from its last look, and the half as it is when that has been done.
    pub plan: Option<(FrontStep, FrontHalf)>,
    pub rings: Option<Rings>,
}

/// A back half, and the rings it has mapped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Back {
    pub half: BackHalf,
    pub plan: Option<(BackStep, BackHalf)>,
    pub rings: Option<Rings>,
    /// Rings it is about to connect to: read, and not yet confirmed.
    pub connecting: Option<Rings>,
    pub is_open: bool,
}

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub nodes: Nodes,
    pub front: Option<Front>,
    pub back: Option<Back>,
    /// What the front half says with its rings.
    pub published: State,
    /// One bit for each number: rings that some back half has used. Another one knows nothing of what
    /// is in them.
    pub used: u8,
    /// Whether others than the halves and the tools write into the nodes.
    pub lies: bool,
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A turn of a half; the flag makes what it does fail.
    Front(bool),
    Back(bool),
    KillFront,
    KillBack,
    /// The tools.
    Offline,
    Online,
    RemoveFrontNodes,
    RemoveBackNodes,
    MakeNodes,
    /// The domain of a half writes what the half did not say.
    FrontWrites(State),
    FrontNamesNoRings,
    FrontNamesOtherRings,
    BackWrites(State),
}

/// What a turn was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It looked, and has not acted on it yet.
    Looked,
    /// There was nothing to do.
    Idle,
    /// A step was done, refused or failed.
    Stepped,
}

impl World {
    /// A device that the tools have just made.
    pub fn new(published: State, lies: bool) -> Self {
        let made = Some(State::Initialising);
        let nodes = Nodes { front: made, back: made, online: true, rings: None };
        Self { nodes, front: None, back: None, published, used: 0, lies }
    }

    /// What these make of it.
    pub fn after(mut self, events: &[Event]) -> Self {
        events.iter().for_each(|event| self.event(*event));
        self
    }

    pub fn event(&mut self, event: Event) {
        match event {
            Event::Front(fails) => {
                self.front_turn(fails);
            }
            Event::Back(fails) => {
                self.back_turn(fails);
            }
            Event::KillFront => self.front = None,
            Event::KillBack => self.back = None,
            Event::Offline => self.nodes.online = false,
            Event::Online => self.nodes.online = true,
            Event::RemoveFrontNodes => (self.nodes.front, self.nodes.rings) = (None, None),
            Event::RemoveBackNodes => self.nodes.back = None,
            Event::MakeNodes => self.nodes = Self::new(self.published, false).nodes,
            Event::FrontWrites(state) if self.nodes.front.is_some() => {
                self.nodes.front = Some(state);
            }
            Event::BackWrites(state) => self.nodes.back = self.nodes.back.map(|_| state),
            Event::FrontNamesNoRings => self.nodes.rings = None,
            Event::FrontNamesOtherRings if self.nodes.front.is_some() => {
                self.nodes.rings = Some(self.new_rings());
            }
            Event::FrontWrites(_) | Event::FrontNamesOtherRings => {}
        }
        self.normalise();
    }

    /// Everywhere that rings are named.
    fn rings(&mut self) -> impl Iterator<Item = &mut Rings> {
        let front = self.front.as_mut().and_then(|front| front.rings.as_mut());
        let back = self.back.as_mut();
        let (mapped, connecting) =
            back.map_or((None, None), |back| (back.rings.as_mut(), back.connecting.as_mut()));
        self.nodes.rings.as_mut().into_iter().chain(front).chain(mapped).chain(connecting)
    }

    /// A number for rings that nobody names.
    pub fn new_rings(&mut self) -> Rings {
        let live: u8 = self.rings().fold(0, |live, rings| live | 1 << *rings);
        live.trailing_ones() as Rings
    }

    /// Gives rings numbers by where they are named: worlds that differ in nothing else are equal.
    pub fn normalise(&mut self) {
        let (mut old, used) = ([None; 4], self.used);
        let mut new_used = 0;
        for rings in self.rings() {
            let number =
                old.iter().position(|one| *one == Some(*rings) || one.is_none()).unwrap_or(0);
            old[number] = Some(*rings);
            new_used |= (used >> *rings & 1) << number;
            *rings = number as Rings;
        }
        self.used = if self.lies { 0 } else { new_used };
    }

    /// In use by both, by the same rings.
    pub fn are_connected(&self) -> bool {
        let (Some(front), Some(back)) = (&self.front, &self.back) else { return false };
        let both = (self.nodes.front, self.nodes.back);
        both == (Some(State::Connected), Some(State::Connected))
            && front.half.is_up()
            && back.half.is_up()
            && front.rings.is_some()
            && front.rings == back.rings
            && back.is_open
    }

    /// Neither has any rings.
    pub fn are_parted(&self) -> bool {
        let front = self.front.as_ref().is_none_or(|front| front.rings.is_none());
        front && !self.back_has_rings()
    }

    /// The back half is closed with nothing left open, and the front half has nothing of it.
    pub fn are_closed(&self) -> bool {
        let begins_or_closed = [Some(State::Initialising), Some(State::Closed)];
        self.nodes.back == Some(State::Closed)
            && begins_or_closed.contains(&self.nodes.front)
            && self.are_parted()
            && !self.back.as_ref().is_some_and(|back| back.is_open)
    }

    pub fn back_has_rings(&self) -> bool {
        self.back.as_ref().is_some_and(|back| back.rings.is_some())
    }
}
