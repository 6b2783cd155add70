//! What a half does when it has its turn: a look, or the step that follows from the last one.

use pv_xenbus::device::{BackHalf, BackStep, BackView, FrontHalf, FrontStep};
use pv_xenbus::State;

use crate::model::{Back, Front, Rings, Turn, World};

impl World {
    /// A turn of the front half; `fails` is for the step, if it can fail.
    pub fn front_turn(&mut self, fails: bool) -> Turn {
        let plan = self.front.as_mut().and_then(|front| front.plan.take());
        let turn = match plan {
            None => self.front_looks(),
            Some((step, after)) => self.front_acts(step, after, fails),
        };
        self.normalise();
        turn
    }

    /// A turn of the back half.
    pub fn back_turn(&mut self, fails: bool) -> Turn {
        let plan = self.back.as_mut().and_then(|back| back.plan.take());
        let turn = match plan {
            None => self.back_looks(),
            Some((step, after)) => self.back_acts(step, after, fails),
        };
        self.normalise();
        turn
    }

    fn front_looks(&mut self) -> Turn {
        let nodes = &self.nodes;
        if self.front.is_none() {
            let Some(own) = nodes.front else { return Turn::Idle };
            let half = FrontHalf::new(own, self.published);
            self.front = Some(Front { half, plan: None, rings: None });
        }
        let Some(front) = &mut self.front else { return Turn::Idle };
        let exists = exists(nodes.front, front.half.own());
        front.half.look(nodes.back);
        let Some(step) = front.half.next(exists, nodes.back) else { return Turn::Idle };
        let mut after = front.half.clone();
        after.done(step, nodes.back);
        front.plan = Some((step, after));
        Turn::Looked
    }

    fn front_acts(&mut self, step: FrontStep, after: FrontHalf, fails: bool) -> Turn {
        let new = self.new_rings();
        let (nodes, Some(front)) = (&mut self.nodes, &mut self.front) else { return Turn::Idle };
        match step {
            FrontStep::Publish(_) | FrontStep::Connect if fails => {
                front.rings = None;
                front.half.failed();
                return Turn::Stepped;
            }
            FrontStep::Publish(state) => {
                assert_eq!(front.rings, None, "rings are made twice");
                if nodes.back != Some(State::InitWait) || nodes.front.is_none() {
                    front.half.refused();
                    return Turn::Stepped;
                }
                (front.rings, nodes.rings) = (Some(new), Some(new));
                self.used &= !(1 << new);
                nodes.front = Some(state);
            }
            FrontStep::Connect => {
                assert!(front.rings.is_some());
                nodes.front = nodes.front.map(|_| State::Connected);
            }
            FrontStep::Disconnect => assert!(front.rings.take().is_some()),
            FrontStep::Say(state) => nodes.front = nodes.front.map(|_| state),
            FrontStep::Forget => {
                assert_eq!(front.rings, None, "a device is forgotten with its rings");
                self.front = None;
                return Turn::Stepped;
            }
        }
        front.half = after;
        Turn::Stepped
    }

    fn back_looks(&mut self) -> Turn {
        let nodes = &self.nodes;
        if self.back.is_none() {
            let Some(own) = nodes.back else { return Turn::Idle };
            let half = BackHalf::new(own);
            let (plan, rings, connecting) = (None, None, None);
            self.back = Some(Back { half, plan, rings, connecting, is_open: false });
        }
        let Some(back) = &mut self.back else { return Turn::Idle };
        let exists = exists(nodes.back, back.half.own());
        let view = BackView { exists, online: nodes.online, front: nodes.front };
        back.half.look(view);
        let Some(step) = back.half.next(view) else { return Turn::Idle };
        let mut after = back.half.clone();
        after.done(step, view.front);
        back.plan = Some((step, after));
        Turn::Looked
    }

    fn back_acts(&mut self, step: BackStep, after: BackHalf, fails: bool) -> Turn {
        let (nodes, Some(back)) = (&mut self.nodes, &mut self.back) else { return Turn::Idle };
        match step {
            BackStep::Connect => {
                self.back_connects(after, fails);
                return Turn::Stepped;
            }
            BackStep::Init if fails => {
                back.half.failed(step);
                return Turn::Stepped;
            }
            BackStep::Init => {
                assert_eq!(back.rings, None, "opened while it is used");
                back.is_open = true;
                nodes.back = nodes.back.map(|_| State::InitWait);
            }
            BackStep::Disconnect => assert!(back.rings.take().is_some()),
            BackStep::Say(state) => {
                if state == State::Closed {
                    assert_eq!(back.rings, None, "closed while rings are mapped");
                    back.is_open = false;
                }
                nodes.back = nodes.back.map(|_| state);
            }
            BackStep::Forget => {
                assert_eq!(back.rings, None, "a device is forgotten with its rings");
                self.back = None;
                return Turn::Stepped;
            }
        }
        back.half = after;
        Turn::Stepped
    }

    /// First the rings' names are read, a turn later they are confirmed.
    fn back_connects(&mut self, after: BackHalf, fails: bool) {
        let (nodes, Some(back)) = (&self.nodes, &mut self.back) else { return };
        if let Some(rings) = back.connecting.take() {
            return self.back_confirms(rings, after, fails);
        }
        match (nodes.front, nodes.rings) {
            // There is nothing to read.
            (None, _) => back.half.refused(),
            // The driver finds no rings: that is the front half's mistake, and not a change.
            (_, None) => {
                back.is_open = false;
                back.half.failed(BackStep::Connect);
            }
            (_, rings) => (back.connecting, back.plan) = (rings, Some((BackStep::Connect, after))),
        }
    }

    fn back_confirms(&mut self, rings: Rings, after: BackHalf, fails: bool) {
        let (nodes, Some(back)) = (&mut self.nodes, &mut self.back) else { return };
        let same = matches!(nodes.front, Some(State::Initialised | State::Connected))
            && nodes.rings == Some(rings)
            && nodes.back.is_some();
        if fails {
            back.is_open = false;
            back.half.failed(BackStep::Connect);
        } else if same {
            let is_new = self.used & 1 << rings == 0;
            assert!(is_new || self.lies, "rings of an earlier connection");
            self.used |= 1 << rings;
            back.rings = Some(rings);
            nodes.back = Some(State::Connected);
            back.half = after;
        } else {
            back.half.refused();
        }
    }
}

/// Whether a half's nodes exist. Nodes that begin where the half is not were made anew by the tools:
/// those of the half are gone.
fn exists(node: Option<State>, own: State) -> bool {
    let replaced = node == Some(State::Initialising) && own != State::Initialising;
    node.is_some() && !replaced
}
