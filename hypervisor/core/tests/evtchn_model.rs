//! Port tables of three domains against one naive map of all ports.

use std::collections::BTreeMap;

use hv_core::evtchn::{
    bind_interdomain, close, Channel, CloseOutcome, Destination, EvtchnError, PortTable,
};
use hypercall_abi::{DomId, Errno, EvtchnPort, VcpuId, Virq};
use proptest::prelude::*;

const DOMS: u16 = 3;
const VCPUS: u32 = 3;
/// The first domain is small enough to run out, the others need a second chunk at times.
const MAX_PORTS: [u32; DOMS as usize] = [6, 70, 4095];

#[derive(Clone, Debug)]
enum Op {
    AllocUnbound { dom: u16, remote: u16 },
    AllocMany { dom: u16, count: u32 },
    Bind { dom: u16, remote: u16, port: u32 },
    BindVirq { dom: u16, virq: u32, vcpu: u32 },
    BindIpi { dom: u16, vcpu: u32 },
    BindPirq { dom: u16, pirq: u32 },
    BindVcpu { dom: u16, port: u32, vcpu: u32 },
    Close { dom: u16, port: u32 },
    Send { dom: u16, port: u32 },
    Reset { dom: u16 },
}

fn op() -> impl Strategy<Value = Op> {
    let dom = || 0..DOMS;
    let port =
        || prop_oneof![20 => 0u32..9, 2 => 60u32..75, 1 => Just(4096u32), 1 => Just(u32::MAX)];
    let vcpu = || prop_oneof![6 => 0u32..VCPUS + 1, 1 => Just(u32::MAX)];
    prop_oneof![
        4 => (dom(), dom()).prop_map(|(dom, remote)| Op::AllocUnbound { dom, remote }),
        1 => (dom(), 1u32..40).prop_map(|(dom, count)| Op::AllocMany { dom, count }),
        8 => (dom(), dom(), port()).prop_map(|(dom, remote, port)| Op::Bind { dom, remote, port }),
        4 => (dom(), 0u32..26, vcpu()).prop_map(|(dom, virq, vcpu)| Op::BindVirq { dom, virq, vcpu }),
        2 => (dom(), vcpu()).prop_map(|(dom, vcpu)| Op::BindIpi { dom, vcpu }),
        2 => (dom(), 0u32..4).prop_map(|(dom, pirq)| Op::BindPirq { dom, pirq }),
        3 => (dom(), port(), vcpu()).prop_map(|(dom, port, vcpu)| Op::BindVcpu { dom, port, vcpu }),
        6 => (dom(), port()).prop_map(|(dom, port)| Op::Close { dom, port }),
        6 => (dom(), port()).prop_map(|(dom, port)| Op::Send { dom, port }),
        1 => dom().prop_map(|dom| Op::Reset { dom }),
    ]
}

/// The naive side: used ports only, searched linearly.
#[derive(Default)]
struct Model {
    ports: BTreeMap<(u16, u32), (Channel, u32)>,
    /// Numbers that are valid, a multiple of 64 that never shrinks.
    valid: [u32; DOMS as usize],
}

impl Model {
    fn new() -> Self {
        Self { ports: BTreeMap::new(), valid: [64; DOMS as usize] }
    }

    fn open(&mut self, dom: u16, channel: Channel, vcpu: u32) -> Result<u32, Errno> {
        let limit = MAX_PORTS[usize::from(dom)];
        let port = (1..=limit).find(|port| !self.ports.contains_key(&(dom, *port)));
        let port = port.ok_or(Errno::ENOSPC)?;
        let valid = &mut self.valid[usize::from(dom)];
        *valid = (*valid).max((port / 64 + 1) * 64);
        self.ports.insert((dom, port), (channel, vcpu));
        Ok(port)
    }

    fn bind(&mut self, dom: u16, remote: u16, remote_port: u32) -> Result<u32, Errno> {
        let channel = Channel::Interdomain {
            remote: DomId::new(remote),
            remote_port: EvtchnPort::new(remote_port),
        };
        let waiting = Channel::Unbound { remote: DomId::new(dom) };
        let is_waiting = self.ports.get(&(remote, remote_port)).is_some_and(|p| p.0 == waiting);
        // A full table is reported before a bad remote port, and a bad port must not take one.
        let port = self.open(dom, channel, 0)?;
        if !is_waiting {
            self.ports.remove(&(dom, port));
            return Err(Errno::EINVAL);
        }
        let end = self.ports.get_mut(&(remote, remote_port)).unwrap();
        end.0 =
            Channel::Interdomain { remote: DomId::new(dom), remote_port: EvtchnPort::new(port) };
        Ok(port)
    }

    fn bind_virq(&mut self, dom: u16, virq: u32, vcpu: u32) -> Result<u32, Errno> {
        let per_vcpu = [0, 1, 7, 13].contains(&virq);
        if virq >= 24 || (!per_vcpu && vcpu != 0) {
            return Err(Errno::EINVAL);
        }
        if vcpu >= VCPUS {
            return Err(Errno::ENOENT);
        }
        let channel = Channel::Virq { virq: Virq::new(virq) };
        let taken = self.ports.iter().any(|((owner, _), (bound, notify))| {
            *owner == dom && *bound == channel && (!per_vcpu || *notify == vcpu)
        });
        if taken {
            return Err(Errno::EEXIST);
        }
        self.open(dom, channel, vcpu)
    }

    fn bind_pirq(&mut self, dom: u16, pirq: u32) -> Result<u32, Errno> {
        let channel = Channel::Pirq { pirq };
        if self.ports.iter().any(|((owner, _), (bound, _))| *owner == dom && *bound == channel) {
            return Err(Errno::EEXIST);
        }
        self.open(dom, channel, 0)
    }

    fn bind_vcpu(&mut self, dom: u16, port: u32, vcpu: u32) -> Result<(), Errno> {
        if vcpu >= VCPUS {
            return Err(Errno::ENOENT);
        }
        let end = self.ports.get_mut(&(dom, port)).ok_or(Errno::EINVAL)?;
        match end.0 {
            Channel::Ipi => return Err(Errno::EINVAL),
            Channel::Virq { virq } if [0, 1, 7, 13].contains(&virq.get()) => {
                return Err(Errno::EINVAL)
            }
            _ => end.1 = vcpu,
        }
        Ok(())
    }

    fn close(&mut self, dom: u16, port: u32) -> Result<Channel, Errno> {
        let (was, _) = self.ports.remove(&(dom, port)).ok_or(Errno::EINVAL)?;
        if let Channel::Interdomain { remote, remote_port } = was {
            let end = self.ports.get_mut(&(remote.get(), remote_port.get())).unwrap();
            end.0 = Channel::Unbound { remote: DomId::new(dom) };
        }
        Ok(was)
    }

    /// The receiving domain, port and vCPU.
    fn send(&self, dom: u16, port: u32) -> Result<Option<(u16, u32, u32)>, Errno> {
        let (channel, vcpu) = *self.ports.get(&(dom, port)).ok_or(Errno::EINVAL)?;
        match channel {
            Channel::Interdomain { remote, remote_port } => {
                let end = (remote.get(), remote_port.get());
                Ok(Some((end.0, end.1, self.ports[&end].1)))
            }
            Channel::Ipi => Ok(Some((dom, port, vcpu))),
            Channel::Unbound { .. } => Ok(None),
            _ => Err(Errno::EINVAL),
        }
    }
}

struct World {
    tables: Vec<Option<PortTable>>,
    model: Model,
}

impl World {
    fn new() -> Self {
        let table =
            |dom: u16| PortTable::new(DomId::new(dom), MAX_PORTS[usize::from(dom)], VCPUS).unwrap();
        Self { tables: (0..DOMS).map(|dom| Some(table(dom))).collect(), model: Model::new() }
    }

    fn table(&mut self, dom: u16) -> &mut PortTable {
        self.tables[usize::from(dom)].as_mut().unwrap()
    }

    /// Runs `f` with the tables of two different domains.
    fn with_pair<T>(
        &mut self,
        a: u16,
        b: u16,
        f: impl FnOnce(&mut PortTable, &mut PortTable) -> T,
    ) -> T {
        let mut first = self.tables[usize::from(a)].take().unwrap();
        let result = f(&mut first, self.table(b));
        self.tables[usize::from(a)] = Some(first);
        result
    }

    fn bind(&mut self, dom: u16, remote: u16, port: EvtchnPort) -> Result<EvtchnPort, EvtchnError> {
        if dom == remote {
            bind_interdomain(self.table(dom), None, port)
        } else {
            self.with_pair(dom, remote, |local, far| bind_interdomain(local, Some(far), port))
        }
    }

    /// Closes as the image does: alone first, with the peer when told so.
    fn close(&mut self, dom: u16, port: u32) -> Result<Channel, EvtchnError> {
        let port = EvtchnPort::new(port);
        let was = self.table(dom).status(port)?.channel;
        let cleared = std::cell::Cell::new(false);
        let clear = || cleared.set(true);
        let outcome = match close(self.table(dom), port, None, clear)? {
            CloseOutcome::NeedsPeer(peer) => {
                // The table of the wrong domain must not be touched.
                let wrong = (0..DOMS).find(|other| *other != dom && *other != peer.get()).unwrap();
                let again = self.with_pair(dom, wrong, |a, b| close(a, port, Some(b), clear))?;
                assert_eq!(again, CloseOutcome::NeedsPeer(peer));
                assert!(!cleared.get());
                self.with_pair(dom, peer.get(), |a, b| close(a, port, Some(b), clear))?
            }
            done => done,
        };
        match outcome {
            CloseOutcome::Closed(pirq) => {
                assert!(cleared.get());
                assert_eq!(pirq.is_some(), matches!(was, Channel::Pirq { .. }));
                Ok(was)
            }
            CloseOutcome::NeedsPeer(_) => panic!("still needs a peer"),
        }
    }

    fn send(&mut self, dom: u16, port: u32) -> Result<Option<(u16, u32, u32)>, EvtchnError> {
        Ok(match self.table(dom).send(EvtchnPort::new(port))? {
            Destination::Nowhere => None,
            Destination::Own(port, vcpu) => {
                assert_eq!(self.table(dom).arrival(port), Some(vcpu));
                Some((dom, port.get(), vcpu.get()))
            }
            Destination::Other(other, port) => {
                assert_ne!(other.get(), dom);
                let vcpu = self.table(other.get()).arrival(port).unwrap();
                Some((other.get(), port.get(), vcpu.get()))
            }
        })
    }

    fn reset(&mut self, dom: u16) {
        let mut from = EvtchnPort::new(0);
        while let Some(port) = self.table(dom).next_open(from) {
            self.close(dom, port.get()).unwrap();
            self.model.close(dom, port.get()).unwrap();
            from = port;
        }
        assert_eq!(self.table(dom).live(), 0);
    }

    fn step(&mut self, op: &Op) {
        let vcpu_id = VcpuId::new;
        match *op {
            Op::AllocUnbound { dom, remote } => {
                let remote = DomId::new(remote);
                let got = self.table(dom).alloc_unbound(remote);
                same(got, self.model.open(dom, Channel::Unbound { remote }, 0));
            }
            Op::AllocMany { dom, count } => {
                for _ in 0..count {
                    let remote = DomId::new(dom);
                    let got = self.table(dom).alloc_unbound(remote);
                    same(got, self.model.open(dom, Channel::Unbound { remote }, 0));
                }
            }
            Op::Bind { dom, remote, port } => {
                let got = self.bind(dom, remote, EvtchnPort::new(port));
                same(got, self.model.bind(dom, remote, port));
            }
            Op::BindVirq { dom, virq, vcpu } => {
                let got = self.table(dom).bind_virq(Virq::new(virq), vcpu_id(vcpu));
                same(got, self.model.bind_virq(dom, virq, vcpu));
            }
            Op::BindIpi { dom, vcpu } => {
                let got = self.table(dom).bind_ipi(vcpu_id(vcpu));
                let expected = match vcpu < VCPUS {
                    true => self.model.open(dom, Channel::Ipi, vcpu),
                    false => Err(Errno::ENOENT),
                };
                same(got, expected);
            }
            Op::BindPirq { dom, pirq } => {
                let got = self.table(dom).bind_pirq(pirq);
                same(got, self.model.bind_pirq(dom, pirq));
            }
            Op::BindVcpu { dom, port, vcpu } => {
                let got = self.table(dom).bind_vcpu(EvtchnPort::new(port), vcpu_id(vcpu));
                assert_eq!(got.map_err(Errno::from), self.model.bind_vcpu(dom, port, vcpu));
            }
            Op::Close { dom, port } => {
                let got = self.close(dom, port);
                assert_eq!(got.map_err(Errno::from), self.model.close(dom, port));
            }
            Op::Send { dom, port } => {
                let got = self.send(dom, port);
                assert_eq!(got.map_err(Errno::from), self.model.send(dom, port));
            }
            Op::Reset { dom } => self.reset(dom),
        }
    }

    fn check(&mut self) {
        for dom in 0..DOMS {
            self.check_statuses(dom);
            self.check_interrupts(dom);
        }
        self.check_ends();
    }

    fn check_statuses(&mut self, dom: u16) {
        let valid = self.model.valid[usize::from(dom)];
        let mut live = 0;
        for port in (0..valid + 2).chain([4095, 4096, u32::MAX]) {
            let status = self.table(dom).status(EvtchnPort::new(port)).map_err(Errno::from);
            let found = status.map(|s| (s.channel, s.vcpu.get()));
            let expected = match self.model.ports.get(&(dom, port)) {
                Some(end) => Ok(*end),
                None if port < valid => Ok((Channel::Free, 0)),
                None => Err(Errno::EINVAL),
            };
            assert_eq!(found, expected, "domain {dom} port {port}");
            live +=
                usize::from(port < valid && matches!(expected, Ok((c, _)) if c != Channel::Free));
        }
        assert_eq!(self.table(dom).live(), live);
    }

    fn check_interrupts(&mut self, dom: u16) {
        for virq in (0..24).map(Virq::new) {
            for vcpu in 0..VCPUS {
                let expected = self.model.ports.iter().find(|((owner, _), (channel, notify))| {
                    *owner == dom
                        && *channel == Channel::Virq { virq }
                        && (!virq.is_per_vcpu() || *notify == vcpu)
                });
                let expected = expected.map(|((_, port), (_, notify))| (*port, *notify));
                let found = self.table(dom).virq_target(VcpuId::new(vcpu), virq);
                assert_eq!(found.map(|(port, vcpu)| (port.get(), vcpu.get())), expected);
            }
        }
        for pirq in 0..4 {
            let expected = self.model.ports.iter().find(|((owner, _), (channel, _))| {
                *owner == dom && *channel == Channel::Pirq { pirq }
            });
            let expected = expected.map(|((_, port), (_, notify))| (*port, *notify));
            let found = self.table(dom).pirq_target(pirq);
            assert_eq!(found.map(|(port, vcpu)| (port.get(), vcpu.get())), expected);
        }
    }

    fn check_ends(&mut self) {
        for dom in 0..DOMS {
            for port in 0..self.model.valid[usize::from(dom)] {
                let here = self.table(dom).status(EvtchnPort::new(port)).unwrap().channel;
                let Channel::Interdomain { remote, remote_port } = here else { continue };
                let there = self.table(remote.get()).status(remote_port).unwrap().channel;
                let back = Channel::Interdomain {
                    remote: DomId::new(dom),
                    remote_port: EvtchnPort::new(port),
                };
                assert_eq!(there, back, "the ends disagree");
            }
        }
    }
}

fn same(got: Result<EvtchnPort, EvtchnError>, expected: Result<u32, Errno>) {
    assert_eq!(got.map(EvtchnPort::get).map_err(Errno::from), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn tables_equal_the_naive_model(ops in proptest::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        for op in &ops {
            world.step(op);
            world.check();
        }
        for dom in 0..DOMS {
            world.reset(dom);
        }
        world.check();
        prop_assert!(world.model.ports.is_empty());
    }
}

#[test]
fn unmask_wants_a_valid_port_and_ignores_a_free_one() {
    let mut table = PortTable::new(DomId::new(1), 100, 2).unwrap();
    let port = table.bind_ipi(VcpuId::new(1)).unwrap();
    assert_eq!(table.unmask_vcpu(port), Ok(Some(VcpuId::new(1))));
    assert_eq!(table.unmask_vcpu(EvtchnPort::new(0)), Ok(None));
    assert_eq!(table.unmask_vcpu(EvtchnPort::new(63)), Ok(None));
    assert_eq!(table.unmask_vcpu(EvtchnPort::new(64)), Err(EvtchnError::BadPort));
}

#[test]
fn a_domain_without_ports_gets_none() {
    let mut table = PortTable::new(DomId::new(1), 0, 1).unwrap();
    assert_eq!(table.alloc_unbound(DomId::new(0)), Err(EvtchnError::NoPorts));
    assert_eq!(table.bind_virq(Virq::TIMER, VcpuId::new(0)), Err(EvtchnError::NoPorts));
    assert_eq!(table.virq_target(VcpuId::new(0), Virq::TIMER), None);
}

#[test]
fn a_full_two_level_table_has_exactly_4095_ports() {
    let mut table = PortTable::new(DomId::new(1), u32::MAX, 1).unwrap();
    for expected in 1..4096 {
        assert_eq!(table.alloc_unbound(DomId::new(0)), Ok(EvtchnPort::new(expected)));
    }
    assert_eq!(table.alloc_unbound(DomId::new(0)), Err(EvtchnError::NoPorts));
    assert_eq!(table.live(), 4095);
}
