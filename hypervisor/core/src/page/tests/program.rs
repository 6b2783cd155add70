//! Random programs of page operations, and a machine that runs them.

use hypercall_abi::mmu::pte;
use hypercall_abi::{DomId, Mfn};
use proptest::prelude::*;

use super::super::testkit::{FrameWorld, MMIO_FRAMES};
use super::super::{
    get_page, get_writable, put_page, put_writable, steal, Entry, EntryUpdate, Level, MmuState,
    PageError, PageRef, PageTables, State, Stop, UpdateMode, WritableRef,
};
use super::fixture::{
    data, entry, release_allocation, table, DOM0, DOMU, FRAMES_PER_DOMAIN, P, RW, US,
};
use super::recount::Held;

/// A frame a program names; roles make most programs build sensible trees.
#[derive(Clone, Copy, Debug)]
pub enum Frame {
    Table(Level, u64),
    Data(u64),
    Any(u64),
}

#[derive(Clone, Copy, Debug)]
pub enum Target {
    Usual(u64),
    SameLevel(u64),
    Itself,
    OtherDomain(u64),
    Device(u64),
    Any(u64),
}

#[derive(Clone, Copy, Debug)]
pub struct Store {
    pub table: Frame,
    pub index: usize,
    pub target: Target,
    pub flags: u64,
}

#[derive(Clone, Copy, Debug)]
pub enum Op {
    Update { store: Store, mode: UpdateMode, owner: Owner },
    Emulate { store: Store, is_stale: bool },
    Pin { frame: Frame, level: Level },
    Unpin(Frame),
    Root(Frame),
    NoRoot,
    Hold(Frame, Kind),
    LetGo(usize),
    Descriptor { frame: Frame, index: usize, raw: u64 },
    GiveUp(Frame),
    TakeBack(usize),
    Exchange(Frame),
    Flush,
}

#[derive(Clone, Copy, Debug)]
pub enum Owner {
    Own,
    Other,
    Io,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Writable,
    Descriptors,
}

/// One step: which domain does what, and how often it comes back after a preemption.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub dom: DomId,
    pub op: Op,
    pub patience: u32,
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        8 => (level(), 0..4u64).prop_map(|(level, number)| Frame::Table(level, number)),
        3 => (0..12u64).prop_map(Frame::Data),
        1 => (0..2 * FRAMES_PER_DOMAIN + 4).prop_map(Frame::Any),
    ]
}

fn level() -> impl Strategy<Value = Level> {
    prop_oneof![Just(Level::L1), Just(Level::L2), Just(Level::L3), Just(Level::L4)]
}

fn store() -> impl Strategy<Value = Store> {
    let index = prop_oneof![
        4 => 0..4usize,
        1 => prop_oneof![Just(255usize), Just(256), Just(271), Just(272), Just(511)],
    ];
    let target = prop_oneof![
        16 => (0..12u64).prop_map(Target::Usual),
        2 => (0..4u64).prop_map(Target::SameLevel),
        1 => Just(Target::Itself),
        1 => (0..12u64).prop_map(Target::OtherDomain),
        1 => (0..MMIO_FRAMES + 2).prop_map(Target::Device),
        1 => (0..2 * FRAMES_PER_DOMAIN).prop_map(Target::Any),
    ];
    let rare = prop_oneof![
        Just(0u64),
        Just(pte::ACCESSED),
        Just(Entry::ACCESSED_DIRTY),
        Just(pte::GLOBAL),
        Just(pte::NX),
        Just(pte::GUEST_KERNEL),
        Just(1 << 3),
        Just(1 << 4),
        Just(1 << 7),
        Just(1 << 9),
    ];
    let usual = prop_oneof![
        4 => Just(P | US),
        4 => Just(P | RW | US),
        2 => Just(P | RW),
        1 => Just(P),
        1 => Just(0),
        1 => Just(RW),
    ];
    let flags = prop_oneof![
        4 => usual.clone(),
        1 => (usual, rare).prop_map(|(usual, rare)| usual | rare),
    ];
    (frame(), index, target, flags).prop_map(|(table, index, target, flags)| Store {
        table,
        index,
        target,
        flags,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let owner = prop_oneof![10 => Just(Owner::Own), 2 => Just(Owner::Other), 1 => Just(Owner::Io)];
    let mode = prop_oneof![3 => Just(UpdateMode::Normal), 1 => Just(UpdateMode::PreserveAd)];
    let kind = prop_oneof![Just(Kind::Plain), Just(Kind::Writable), Just(Kind::Descriptors)];
    let update =
        (store(), mode, owner).prop_map(|(store, mode, owner)| Op::Update { store, mode, owner });
    let pin = prop_oneof![
        5 => (level(), 0..4u64)
            .prop_map(|(level, number)| Op::Pin { frame: Frame::Table(level, number), level }),
        1 => (frame(), level()).prop_map(|(frame, level)| Op::Pin { frame, level }),
    ];
    prop_oneof![
        14 => update,
        2 => (store(), any::<bool>())
            .prop_map(|(store, is_stale)| Op::Emulate { store, is_stale }),
        5 => pin,
        3 => frame().prop_map(Op::Unpin),
        2 => (0..4u64).prop_map(|number| Op::Root(Frame::Table(Level::L4, number))),
        1 => Just(Op::NoRoot),
        2 => (frame(), kind).prop_map(|(frame, kind)| Op::Hold(frame, kind)),
        2 => any::<usize>().prop_map(Op::LetGo),
        1 => (frame(), 0..4usize, any::<u64>())
            .prop_map(|(frame, index, raw)| Op::Descriptor { frame, index, raw }),
        1 => frame().prop_map(Op::GiveUp),
        1 => any::<usize>().prop_map(Op::TakeBack),
        1 => frame().prop_map(Op::Exchange),
        1 => Just(Op::Flush),
    ]
}

/// A program whose preempted steps are always finished.
pub fn patient_program() -> impl Strategy<Value = Vec<Step>> {
    program(Just(u32::MAX))
}

/// A program some of whose preempted steps are never come back for.
pub fn hasty_program() -> impl Strategy<Value = Vec<Step>> {
    program(prop_oneof![2 => Just(u32::MAX), 1 => 0..6u32])
}

fn program(patience: impl Strategy<Value = u32>) -> impl Strategy<Value = Vec<Step>> {
    let dom = prop_oneof![Just(DOM0), Just(DOMU)];
    let step = (dom, op(), patience).prop_map(|(dom, op, patience)| Step { dom, op, patience });
    proptest::collection::vec(step, 0..60)
}

/// What a step answered; `None` when it was abandoned.
pub type Verdict = Option<Result<bool, PageError>>;

/// A world, the locks' content of its domains, and what is held outside of tables.
pub struct Machine<'w> {
    pub world: &'w FrameWorld,
    pub mmus: [MmuState; 2],
    pub roots: [Option<Mfn>; 2],
    pub holds: Vec<(Mfn, Kind)>,
    /// Frames given to domains again after they were released.
    pub taken_back: usize,
    budget: u32,
}

impl<'w> Machine<'w> {
    pub fn new(world: &'w FrameWorld, budget: u32) -> Self {
        let mmus = [MmuState::default(), MmuState::default()];
        Self { world, mmus, roots: [None; 2], holds: Vec::new(), taken_back: 0, budget }
    }

    fn tables(&self, dom: DomId) -> PageTables<'w, FrameWorld> {
        PageTables::new(self.world, dom, dom)
    }

    fn mfn(&self, dom: DomId, frame: Frame) -> Mfn {
        match frame {
            Frame::Table(level, number) => table(dom, level, number),
            Frame::Data(number) => data(dom, number),
            Frame::Any(number) => Mfn::new(number),
        }
    }

    fn value(&self, dom: DomId, store: &Store) -> u64 {
        let here = self.mfn(dom, store.table);
        let below = |level: Level, number| match level.below() {
            Some(below) => table(dom, below, number),
            None => data(dom, number),
        };
        let target = match (store.target, store.table) {
            (Target::Usual(number), Frame::Table(level, _)) => below(level, number),
            (Target::SameLevel(number), Frame::Table(level, _)) => table(dom, level, number),
            (Target::Usual(number) | Target::SameLevel(number), _) => data(dom, number),
            (Target::Itself, _) => here,
            (Target::OtherDomain(number), _) => data(other(dom), number),
            (Target::Device(number), _) => Mfn::new(2 * FRAMES_PER_DOMAIN + number),
            (Target::Any(number), _) => Mfn::new(number),
        };
        entry(target, store.flags)
    }

    /// Repeats an operation until it is done or nobody is patient any more.
    fn repeat(
        &mut self,
        step: &Step,
        operation: impl Fn(&PageTables<'w, FrameWorld>, &mut MmuState, &mut u32) -> Result<bool, Stop>,
    ) -> Verdict {
        let tables = self.tables(step.dom);
        let mmu = &mut self.mmus[usize::from(step.dom.get())];
        for tries in 0u32.. {
            let mut budget = self.budget;
            match operation(&tables, mmu, &mut budget) {
                Ok(value) => return Some(Ok(value)),
                Err(Stop::Refused(error)) => return Some(Err(error)),
                Err(Stop::Preempted) if tries >= step.patience => return None,
                Err(Stop::Preempted) => assert!(tries < 200_000, "{step:?} never ends"),
            }
        }
        None
    }

    /// Runs one step.
    pub fn run(&mut self, step: &Step) -> Verdict {
        let dom = step.dom;
        match step.op {
            Op::Update { store, mode, owner } => {
                let update = EntryUpdate {
                    table: self.mfn(dom, store.table),
                    index: store.index,
                    value: self.value(dom, &store),
                    mode,
                    page_owner: match owner {
                        Owner::Own => dom,
                        Owner::Other => other(dom),
                        Owner::Io => DomId::IO,
                    },
                };
                self.repeat(step, |tables, mmu, budget| {
                    tables.update_entry(mmu, &update, budget).map(|updated| updated.flush_domain)
                })
            }
            Op::Emulate { store, is_stale } => self.emulate(step, &store, is_stale),
            Op::Pin { frame, level } => {
                let mfn = self.mfn(dom, frame);
                self.repeat(step, |tables, mmu, budget| {
                    tables.pin(mmu, mfn, level, budget).map(|()| true)
                })
            }
            Op::Unpin(frame) => {
                let mfn = self.mfn(dom, frame);
                self.repeat(step, |tables, mmu, budget| {
                    tables.unpin(mmu, mfn, budget).map(|()| true)
                })
            }
            Op::Root(frame) => self.root(step, frame),
            Op::NoRoot => self.no_root(step),
            Op::Hold(frame, kind) => self.hold(step, frame, kind),
            Op::LetGo(choice) => {
                let len = self.holds.len();
                (len > 0).then(|| {
                    let hold = self.holds.swap_remove(choice % len);
                    self.let_go(hold);
                    Ok(true)
                })
            }
            Op::Descriptor { frame, index, raw } => {
                let mfn = self.mfn(dom, frame);
                self.repeat(step, |tables, mmu, budget| {
                    tables.update_descriptor(mmu, mfn, index, raw, budget).map(|()| true)
                })
            }
            Op::GiveUp(frame) => {
                let mfn = self.mfn(dom, frame);
                Some(release_allocation(self.world, mfn, dom).map(|()| true))
            }
            Op::TakeBack(choice) => self.take_back(dom, choice),
            Op::Exchange(frame) => self.exchange(dom, frame),
            Op::Flush => {
                self.world.flush_all();
                Some(Ok(true))
            }
        }
    }

    fn emulate(&mut self, step: &Step, store: &Store, is_stale: bool) -> Verdict {
        let mfn = self.mfn(step.dom, store.table);
        let value = self.value(step.dom, store);
        if mfn.get() >= 2 * FRAMES_PER_DOMAIN {
            return None;
        }
        let seen = self.world.peek(mfn, store.index) ^ u64::from(is_stale) << 9;
        self.repeat(step, |tables, mmu, budget| {
            let instruction = |old| (old == seen).then_some(value);
            tables
                .update_leaf_from_emulation(mmu, mfn, store.index, instruction, budget)
                .map(|()| true)
        })
    }

    fn root(&mut self, step: &Step, frame: Frame) -> Verdict {
        let new = self.mfn(step.dom, frame);
        let slot = usize::from(step.dom.get());
        let old = self.roots[slot];
        let verdict = self.repeat(step, |tables, mmu, budget| {
            tables.switch_root(mmu, Some(new), old, budget).map(|()| true)
        });
        if verdict == Some(Ok(true)) {
            self.roots[slot] = Some(new);
        }
        verdict
    }

    fn no_root(&mut self, step: &Step) -> Verdict {
        let slot = usize::from(step.dom.get());
        let old = self.roots[slot]?;
        let verdict = self.repeat(step, |tables, mmu, budget| {
            tables.switch_root(mmu, None, Some(old), budget).map(|()| true)
        });
        if verdict.is_some() {
            self.roots[slot] = None;
        }
        verdict
    }

    fn hold(&mut self, step: &Step, frame: Frame, kind: Kind) -> Verdict {
        let mfn = self.mfn(step.dom, frame);
        let verdict = match kind {
            Kind::Plain => Some(get_page(self.world, mfn, step.dom).map(|page| {
                let _ = page.into_raw();
                true
            })),
            Kind::Writable => Some(get_writable(self.world, mfn, step.dom).map(|page| {
                let _ = page.into_raw();
                true
            })),
            Kind::Descriptors => self.repeat(step, |tables, mmu, budget| {
                tables.get_descriptor_page(mmu, mfn, budget).map(|()| true)
            }),
        };
        if verdict == Some(Ok(true)) {
            self.holds.push((mfn, kind));
        }
        verdict
    }

    fn let_go(&self, (mfn, kind): (Mfn, Kind)) {
        match kind {
            Kind::Plain => put_page(self.world, PageRef::from_raw(mfn)),
            Kind::Writable => put_writable(self.world, WritableRef::from_raw(mfn)),
            Kind::Descriptors => self.tables(DOM0).put_descriptor_page(mfn),
        }
    }

    fn dead_frames(&self) -> Vec<Mfn> {
        (0..2 * FRAMES_PER_DOMAIN)
            .map(Mfn::new)
            .filter(|mfn| !self.world.state(*mfn).is_live())
            .collect()
    }

    fn take_back(&mut self, dom: DomId, choice: usize) -> Verdict {
        let dead = self.dead_frames();
        let mfn = *dead.get(choice % dead.len().max(1))?;
        // A fresh frame may hold anything the domain could have had in it.
        self.world.give(dom, mfn.get()..mfn.get() + 1);
        self.taken_back += 1;
        Some(Ok(true))
    }

    fn exchange(&self, dom: DomId, frame: Frame) -> Verdict {
        let mfn = self.mfn(dom, frame);
        Some(steal(self.world, mfn, dom).and_then(|()| {
            self.world.unlink(dom, mfn);
            self.world.flush_all();
            self.world.assign(mfn, other(dom), State::ALLOCATED)?;
            self.world.link(other(dom), mfn);
            Ok(true)
        }))
    }

    /// What the recount has to know besides the tables.
    pub fn held(&self) -> Vec<Held> {
        let holds = self.holds.iter().map(|(mfn, kind)| match kind {
            Kind::Plain => Held::Plain(*mfn),
            _ => Held::Typed(*mfn),
        });
        holds.chain(self.roots.iter().flatten().map(|root| Held::Typed(*root))).collect()
    }

    /// Nothing is pending in any domain, so all counts are explained.
    pub fn is_quiet(&self) -> bool {
        self.mmus.iter().all(MmuState::is_quiet)
    }

    /// Finishes what is pending in all domains.
    pub fn settle(&mut self) {
        for dom in [DOM0, DOMU] {
            let step = Step { dom, op: Op::Flush, patience: u32::MAX };
            let _ =
                self.repeat(&step, |tables, mmu, budget| tables.settle(mmu, budget).map(|()| true));
        }
    }

    /// Destroys both domains.
    pub fn tear_down(&mut self) {
        for hold in core::mem::take(&mut self.holds) {
            self.let_go(hold);
        }
        for dom in [DOMU, DOM0] {
            let step = Step { dom, op: Op::NoRoot, patience: u32::MAX };
            let _ = self.no_root(&step);
            let world = self.world;
            let _ = self.repeat(&step, |tables, mmu, budget| {
                tables.relinquish(mmu, || world.first_frame(dom), budget).map(|()| true)
            });
        }
    }

    /// All accounting, for comparison.
    pub fn states(&self) -> Vec<(State, DomId)> {
        let frame = |number| self.world.frame(Mfn::new(number));
        (0..2 * FRAMES_PER_DOMAIN).map(|n| (frame(n).state(), frame(n).owner())).collect()
    }
}

/// The other one of the two domains.
pub fn other(dom: DomId) -> DomId {
    if dom == DOM0 {
        DOMU
    } else {
        DOM0
    }
}
