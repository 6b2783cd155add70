//! Any history of operations, transactions and watches is what the slow model says.

use super::model::{Change, Model, Nodes, Op, Said};
use super::{dom, drain, perms, server};
use crate::access::Perms;
use crate::server::{Conn, Server};
use crate::Quota;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use hypercall_abi::Errno;
use proptest::prelude::*;
use pv_xenbus::Tx;

#[derive(Clone, Debug)]
enum Step {
    Single(u16, Op),
    Begin(u16),
    InTx(usize, Op),
    End(usize, bool),
    Watch(u16, String),
    Release,
}

fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("a"), Just("b")];
    let top = prop_oneof![Just("/local/domain/1"), Just("/local/domain/2"), Just("/s"), Just("")];
    (top, prop::collection::vec(name, 0..3)).prop_map(|(top, names)| {
        let path = names.iter().fold(top.to_string(), |path, name| format!("{path}/{name}"));
        if path.is_empty() {
            "/".to_string()
        } else {
            path
        }
    })
}

fn op() -> impl Strategy<Value = Op> {
    let list = prop_oneof![
        Just("n1"),
        Just("n2 r1"),
        Just("b0"),
        Just("r0"),
        Just("n1 b2"),
        Just("n0 w1 r2 b3"),
        Just("r1"),
        Just("w2"),
    ];
    prop_oneof![
        2 => path().prop_map(Op::Read),
        2 => path().prop_map(Op::List),
        1 => path().prop_map(Op::Perms),
        6 => (path(), prop::collection::vec(any::<u8>(), 0..6))
            .prop_map(|(path, value)| Op::Write(path, value)),
        2 => path().prop_map(Op::Mkdir),
        2 => path().prop_map(Op::Rm),
        3 => (path(), list).prop_map(|(path, list)| Op::SetPerms(path, perms(list))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u16..3, op()).prop_map(|(who, op)| Step::Single(who, op)),
        2 => (0u16..3).prop_map(Step::Begin),
        8 => (any::<usize>(), op()).prop_map(|(index, op)| Step::InTx(index, op)),
        3 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(i, commit)| Step::End(i, commit)),
        2 => (1u16..4, path()).prop_map(|(who, path)| Step::Watch(who, path)),
        1 => Just(Step::Release),
    ]
}

fn conn(who: u16) -> Conn {
    if who == 0 {
        Conn::Local
    } else {
        Conn::Domain(dom(who))
    }
}

fn run(server: &mut Server, who: u16, tx: Tx, op: &Op) -> Result<Said, Errno> {
    server.run(conn(who), tx, |session| {
        Ok(match op {
            Op::Read(path) => Said::Value(session.read(path)?.to_vec()),
            Op::List(path) => {
                Said::Names(session.list(path)?.1.iter().map(|name| name.to_string()).collect())
            }
            Op::Perms(path) => Said::Perms(session.perms(path)?.list().to_vec()),
            Op::Write(path, value) => session.write(path, value).map(|()| Said::Done)?,
            Op::Mkdir(path) => session.mkdir(path).map(|()| Said::Done)?,
            Op::Rm(path) => session.rm(path).map(|()| Said::Done)?,
            Op::SetPerms(path, perms) => {
                session.set_perms(path, Perms::new(perms.clone())?).map(|()| Said::Done)?
            }
        })
    })
}

struct Open {
    who: u16,
    tx: Tx,
    log: Vec<(Op, Result<Said, Errno>)>,
    /// Whether the tree is still what it was at the beginning.
    is_alone: bool,
}

struct World {
    server: Server,
    model: Model,
    open: Vec<Open>,
    watches: Vec<(u16, String)>,
}

fn nodes_of(server: &Server) -> Nodes {
    let node = |(path, node): (&alloc::sync::Arc<str>, &crate::tree::Node)| {
        (path.to_string(), (node.value.to_vec(), node.perms.list().to_vec()))
    };
    server.tree().iter().map(node).collect()
}

impl World {
    fn new(quota: Quota) -> Self {
        let server = server(quota);
        let model = Model { nodes: nodes_of(&server), quota };
        Self { server, model, open: Vec::new(), watches: Vec::new() }
    }

    /// The tree, the watches and the counts, after something that should have made the model into
    /// `after`.
    fn compare(&mut self, after: Model, changes: &[Change]) {
        assert_eq!(nodes_of(&self.server), after.nodes);
        assert_eq!(self.server.tree().check(), None);
        for who in 1..4 {
            let got: BTreeSet<(String, String)> = drain(&mut self.server, dom(who), 50)
                .iter()
                .map(|message| {
                    let (path, token) = message.as_watch_event().expect("only events");
                    (path.to_string(), String::from_utf8(token.to_vec()).unwrap())
                })
                .collect();
            let own = self.watches.iter().filter(|(owner, _)| *owner == who);
            let due = own
                .flat_map(|(_, watch)| {
                    let due = self.model.due(&after, changes, watch, who);
                    due.into_iter().map(move |path| (path, watch.clone()))
                })
                .collect();
            assert_eq!(got, due, "events of domain {who}");
        }
        if after.nodes != self.model.nodes {
            self.open.iter_mut().for_each(|open| open.is_alone = false);
        }
        self.model = after;
    }

    fn single(&mut self, who: u16, op: &Op) {
        let mut after = self.model.clone();
        let (mut expected, mut changes) = after.apply(who, op);
        if who != 0 && expected.is_ok() && self.model.exceeds(&after) {
            (after, expected, changes) = (self.model.clone(), Err(Errno::ENOSPC), Vec::new());
        }
        assert_eq!(run(&mut self.server, who, Tx::NONE, op), expected, "{who} {op:?}");
        self.open.iter_mut().for_each(|open| open.is_alone &= changes.is_empty());
        self.compare(after, &changes);
    }

    fn end(&mut self, index: usize, commits: bool) {
        let open = self.open.remove(index);
        let result = self.server.end(conn(open.who), open.tx, commits);
        if !commits || result == Err(Errno::EAGAIN) {
            assert!(!commits || !open.is_alone, "a conflict with nobody");
            return self.compare(self.model.clone(), &[]);
        }
        let (mut after, mut changes) = (self.model.clone(), Vec::new());
        for (op, said) in &open.log {
            let (expected, more) = after.apply(open.who, op);
            assert_eq!(*said, expected, "{op:?} does not fit the moment of the commit");
            changes.extend(more);
        }
        if open.who != 0 && self.model.exceeds(&after) {
            assert_eq!(result, Err(Errno::ENOSPC));
            return self.compare(self.model.clone(), &[]);
        }
        assert_eq!(result, Ok(()));
        self.open.iter_mut().for_each(|open| open.is_alone &= changes.is_empty());
        self.compare(after, &changes);
    }

    fn step(&mut self, step: &Step) {
        let count = self.open.len();
        match step {
            Step::Single(who, op) => self.single(*who, op),
            Step::Begin(who) => {
                let tx = self.server.begin(conn(*who));
                if let Ok(tx) = tx {
                    self.open.push(Open { who: *who, tx, log: Vec::new(), is_alone: true });
                }
            }
            Step::InTx(index, op) if count > 0 => {
                let open = &mut self.open[index % count];
                let said = run(&mut self.server, open.who, open.tx, op);
                open.log.push((op.clone(), said));
                self.compare(self.model.clone(), &[]);
            }
            Step::End(index, commits) if count > 0 => self.end(index % count, *commits),
            Step::Watch(who, path) => {
                if self.server.watch(conn(*who), path, path.as_bytes()).is_ok() {
                    self.watches.push((*who, path.clone()));
                }
            }
            Step::Release => self.release(),
            Step::InTx(..) | Step::End(..) => {}
        }
    }

    /// Domain 2 goes, with all it owned, and comes back with nothing.
    fn release(&mut self) {
        let (gone, mut after) = (dom(2), self.model.clone());
        let tops: Vec<String> = after
            .nodes
            .iter()
            .filter(|(path, node)| node.1[0].domain == gone && *path != "/")
            .map(|(path, _)| path.clone())
            .collect();
        let mut changes = Vec::new();
        for top in tops {
            changes.extend(after.apply(0, &Op::Rm(top)).1);
        }
        for (path, node) in &mut after.nodes {
            if node.1[0].domain == gone {
                node.1 = perms("n0");
                changes.push((path.clone(), false));
            }
            let own: Vec<_> = node.1.split_off(1);
            let len = own.len();
            node.1.extend(own.into_iter().filter(|perm| perm.domain != gone));
            if node.1.len() != len + 1 {
                changes.push((path.clone(), false));
            }
        }
        self.open.retain(|open| open.who != 2);
        self.watches.retain(|(who, _)| *who != 2);
        self.server.release(gone).unwrap();
        assert_eq!(self.server.tree().usage(gone), Default::default());
        self.open.iter_mut().for_each(|open| open.is_alone &= changes.is_empty());
        self.compare(after, &changes);
        let (frame, port) = (hypercall_abi::Mfn::new(9), hypercall_abi::EvtchnPort::new(3));
        self.server.introduce(gone, frame, port).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn committed_is_as_if_at_once_and_watches_hear_what_is_due(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new(Quota { events: 10_000, ..Quota::default() });
        steps.iter().for_each(|step| world.step(step));
    }

    #[test]
    fn small_quotas_hold(steps in prop::collection::vec(step(), 0..60)) {
        let quota = Quota {
            nodes: 4, node_size: 3, bytes: 400, perms: 3, watches: 2, transactions: 2,
            events: 10_000, ..Quota::default()
        };
        let mut world = World::new(quota);
        for step in &steps {
            world.step(step);
            for who in 1..4 {
                let conn = conn(who);
                prop_assert!(world.server.watches_of(conn).len() <= 2);
                prop_assert!(world.server.transactions(conn) <= 2);
            }
        }
    }
}
