//! How the two halves of a device find together and part.
//!
//! Each half looks at the nodes, asks [`FrontHalf::next`] or [`BackHalf::next`] what to do, does it, and
//! says with `done` or `failed` how it went, until there is nothing to do; then it waits for a watch. So a
//! half decides from what it sees and what it has, never from a single event, and an event that is late,
//! doubled or about something old does no harm.
//!
//! The order of a connection: the back half publishes what it can and says `InitWait`; the front half
//! makes its rings, publishes them and says `Initialised` (disks) or `Connected` (networks); the back half
//! maps them and says `Connected`. Either says `Closing` or `Closed` to part. A half that starts and
//! finds states of somebody before it (it was restarted) first leads the other one through `Closed`, so
//! that nobody goes on with rings that are gone.
//!
//! What holds as long as each half carries out what it is told, however turns are interleaved and
//! whichever half is killed and started again: in the end both are connected by the same rings, or both
//! are closed. Whatever others write into the nodes: once they stop, both halves come to rest within 18
//! steps together, or 24 if steps fail, whoever has his turn when (`tests/halves` goes through all of it).
//! Two steps must be single transactions with a look at the other's state: `Publish` and the end of
//! `Connect` of the back half.

use crate::states::State;

/// What a half has at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Link {
    /// No rings.
    Down,
    /// Front: rings are published. Back: ready to take them.
    Ready,
    /// In use.
    Up,
}

/// What a front half does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrontStep {
    /// Make rings and publish them together with this state, if the back half still says `InitWait`.
    Publish(State),
    /// Read what the back half says about the device, begin to use it, and say `Connected`.
    Connect,
    /// Stop using the rings and free them. Says nothing yet.
    Disconnect,
    /// Say this.
    Say(State),
    /// The device is gone: forget it. Nothing may be written.
    Forget,
}

/// The front half.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FrontHalf {
    published: State,
    own: State,
    link: Link,
    /// Once closed, we begin anew by ourselves: it was not the back half that closed our connection.
    resets: bool,
    /// It did not work; nothing is tried until the back half has started over.
    failed: bool,
}

impl FrontHalf {
    /// A half that begins where its node says `own`, and that says `published` with its rings.
    #[must_use]
    pub const fn new(own: State, published: State) -> Self {
        Self { published, own, link: Link::Down, resets: true, failed: false }
    }

    /// What the half said last.
    #[must_use]
    pub const fn own(&self) -> State {
        self.own
    }

    /// Whether the device is in use.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self.link, Link::Up)
    }

    /// What to do, seeing the back half's state; `exists` is whether our own nodes do.
    #[must_use]
    pub fn next(&self, exists: bool, back: Option<State>) -> Option<FrontStep> {
        match (exists, self.link) {
            (false, Link::Down) => return Some(FrontStep::Forget),
            (false, _) => return Some(FrontStep::Disconnect),
            _ => {}
        }
        let back = back.unwrap_or(State::Closed);
        match self.link {
            Link::Down => self.next_down(back),
            Link::Ready => match back {
                State::Connected => Some(FrontStep::Connect),
                State::Closing | State::Closed => Some(FrontStep::Disconnect),
                _ => None,
            },
            Link::Up => match back {
                State::Connected | State::Initialised => None,
                State::Reconfiguring | State::Reconfigured => None,
                _ => Some(FrontStep::Disconnect),
            },
        }
    }

    fn next_down(&self, back: State) -> Option<FrontStep> {
        match (self.own, back) {
            (State::Closed, State::Initialising | State::InitWait) if !self.failed => {
                Some(FrontStep::Say(State::Initialising))
            }
            (State::Closed, State::Closed) if self.resets => {
                Some(FrontStep::Say(State::Initialising))
            }
            (State::Closed, _) => None,
            (State::Initialising, _) if self.failed => Some(FrontStep::Say(State::Closed)),
            (State::Initialising, State::InitWait) => Some(FrontStep::Publish(self.published)),
            // It will see that we begin.
            (State::Initialising, State::Unknown | State::Initialising | State::Closed) => None,
            // It talks to somebody before us, or parts from it. So do states of ours that speak of rings.
            _ => Some(FrontStep::Say(State::Closed)),
        }
    }

    /// The step has been done.
    pub fn done(&mut self, step: FrontStep, back: Option<State>) {
        match step {
            FrontStep::Publish(state) => (self.link, self.own) = (Link::Ready, state),
            FrontStep::Connect => (self.link, self.own) = (Link::Up, State::Connected),
            FrontStep::Disconnect => {
                self.link = Link::Down;
                // The back half closes our connection: beginning anew is its choice. Otherwise it is ours.
                self.resets = !matches!(back, Some(State::Closing | State::Closed));
            }
            FrontStep::Say(State::Closed) => self.own = State::Closed,
            FrontStep::Say(state) => {
                (self.resets, self.failed) = (true, false);
                self.own = state;
            }
            FrontStep::Forget => {}
        }
    }

    /// `Publish` found that the back half does not wait any more: the rings are freed, look again. Only for
    /// what the next look shows, otherwise there is no end to it.
    pub fn refused(&mut self) {
        self.link = Link::Down;
    }

    /// The step failed, and what it had made is freed.
    pub fn failed(&mut self) {
        self.link = Link::Down;
        (self.resets, self.failed) = (false, true);
    }

    /// Tells what is seen between two steps: a back half that closed may be tried again afterwards.
    pub fn look(&mut self, back: Option<State>) {
        if matches!(back, None | Some(State::Closing | State::Closed)) && self.own == State::Closed
        {
            self.failed = false;
        }
    }
}

/// What a back half does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackStep {
    /// Open what the nodes name, publish what the device can, and say `InitWait`.
    Init,
    /// Read what the front half published and map it; then say `Connected` if the front half still says
    /// and publishes the same.
    Connect,
    /// Stop, and unmap everything of the front half. Says nothing yet.
    Disconnect,
    /// Say this.
    Say(State),
    /// The device is gone: close what it used and forget it. Nothing may be written.
    Forget,
}

/// The back half.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackHalf {
    own: State,
    link: Link,
    /// Closed until the front half begins anew.
    waits_for_front: bool,
    /// The device could not be opened; not tried again before the front half was closed.
    init_failed: bool,
}

/// What a back half sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BackView {
    /// Whether our own nodes exist.
    pub exists: bool,
    /// Whether the tools want the device.
    pub online: bool,
    /// The front half's state, if it has one.
    pub front: Option<State>,
}

impl BackHalf {
    /// A half that begins where its node says `own`.
    #[must_use]
    pub const fn new(own: State) -> Self {
        Self { own, link: Link::Down, waits_for_front: false, init_failed: false }
    }

    /// What the half said last.
    #[must_use]
    pub const fn own(&self) -> State {
        self.own
    }

    /// Whether the front half is served.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self.link, Link::Up)
    }

    /// What to do.
    #[must_use]
    pub fn next(&self, view: BackView) -> Option<BackStep> {
        if !view.exists {
            let forget = self.link != Link::Up;
            return Some(if forget { BackStep::Forget } else { BackStep::Disconnect });
        }
        match (self.link, view.front) {
            (Link::Up, None | Some(State::Closed)) => Some(BackStep::Disconnect),
            (Link::Up, Some(State::Unknown | State::Initialising | State::InitWait)) => {
                Some(BackStep::Disconnect)
            }
            (Link::Up, Some(State::Closing)) => self.say(State::Closing),
            // The front half may still have something to write.
            (Link::Up, _) if !view.online => self.say(State::Closing),
            (Link::Up, _) => None,
            (_, None) => self.say(State::Closed),
            _ if !view.online => self.say(State::Closed),
            (Link::Ready, Some(State::Initialised | State::Connected)) => Some(BackStep::Connect),
            (Link::Ready, _) => None,
            (Link::Down, Some(front)) => self.next_down(front),
        }
    }

    fn next_down(&self, front: State) -> Option<BackStep> {
        let begins = matches!(front, State::Unknown | State::Initialising | State::InitWait);
        match front {
            State::Closed if self.waits_for_front => self.say(State::Closed),
            State::Closed => Some(BackStep::Init),
            // Whatever it makes of its state: opening is not tried again and again.
            _ if begins && self.init_failed => self.say(State::Closed),
            _ if begins => Some(BackStep::Init),
            // Rings for somebody before us, or rings that did not work.
            _ => self.say(State::Closing),
        }
    }

    fn say(&self, state: State) -> Option<BackStep> {
        (self.own != state).then_some(BackStep::Say(state))
    }

    /// The step has been done.
    pub fn done(&mut self, step: BackStep, front: Option<State>) {
        match step {
            BackStep::Init => {
                (self.link, self.own) = (Link::Ready, State::InitWait);
                self.waits_for_front = false;
            }
            BackStep::Connect => (self.link, self.own) = (Link::Up, State::Connected),
            BackStep::Disconnect => {
                self.link = Link::Down;
                // A front half that closed comes back by itself or not at all.
                self.waits_for_front = front == Some(State::Closed);
            }
            BackStep::Say(state) => {
                if state == State::Closed {
                    self.link = Link::Down;
                }
                self.own = state;
            }
            BackStep::Forget => {}
        }
    }

    /// `Connect` found that the front half has gone on meanwhile: everything is unmapped, look again. Only
    /// for a change; nodes that are wrong as they are have `failed`, otherwise there is no end to it.
    pub fn refused(&mut self) {
        self.link = Link::Ready;
    }

    /// The step failed, and what it had made is closed: nothing is tried until the front half has
    /// begun anew.
    pub fn failed(&mut self, step: BackStep) {
        self.link = Link::Down;
        self.waits_for_front = true;
        self.init_failed = step == BackStep::Init;
    }

    /// Tells what is seen between two steps: after a front half that closed, opening is tried again.
    pub fn look(&mut self, view: BackView) {
        self.init_failed &= view.front != Some(State::Closed);
    }
}
