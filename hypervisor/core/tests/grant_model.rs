//! Grants of one domain to two others: random programs of all sides against a list of uses.
//!
//! The granter is either honest (it follows the protocol of the interface) or hostile (it writes
//! what it likes whenever it likes). Some laws hold only with an honest one; that the hypervisor's
//! own books are right holds always.

use std::cell::Cell;
use std::collections::BTreeMap;

use hv_core::grant::{
    status_of, Access, EntryPlace, GrantError, GrantTable, MapRequest, Mapping, Maptrack,
    SharedEntries, UseKinds,
};
use hypercall_abi::grant::{gntmap, gtf, GrantHandle};
use hypercall_abi::{DomId, GrantRef, Mfn};
use proptest::prelude::*;

const GRANTER: DomId = DomId::new(7);
const MAPPERS: [DomId; 2] = [DomId::new(1), DomId::new(2)];
/// References the programs use: a few at the start, and the first two of the second frame.
const REFS: [u32; 6] = [0, 1, 2, 3, 512, 513];
const ALL_REFS: usize = 1024;
const IN_USE: u16 = gtf::READING | gtf::WRITING;

/// Shared frames in ordinary memory.
struct Shared {
    headers: Vec<Cell<u32>>,
    frames: Vec<Cell<u32>>,
}

impl Shared {
    fn new() -> Self {
        let zeros = || (0..ALL_REFS).map(|_| Cell::new(0)).collect();
        Self { headers: zeros(), frames: zeros() }
    }

    /// What the granter does.
    fn write(&self, gref: u32, header: u32, frame: u32) {
        self.headers[gref as usize].set(header);
        self.frames[gref as usize].set(frame);
    }

    fn flags(&self, gref: u32) -> u16 {
        self.headers[gref as usize].get() as u16
    }
}

/// The two shared frames.
const TABLE: [Mfn; 2] = [Mfn::new(1000), Mfn::new(2000)];

fn index(at: EntryPlace) -> usize {
    assert!(at.index < 512);
    let frame = TABLE.iter().position(|frame| *frame == at.frame).expect("not a shared frame");
    frame * 512 + at.index
}

impl SharedEntries for Shared {
    type Entry = usize;
    fn find(&self, at: EntryPlace) -> usize {
        index(at)
    }
    fn load(&self, entry: usize) -> u64 {
        u64::from(self.headers[entry].get()) | u64::from(self.frames[entry].get()) << 32
    }
    fn compare_exchange(&self, entry: usize, old: u64, new: u64) -> Result<(), u64> {
        let now = self.load(entry);
        if now != old {
            return Err(now);
        }
        self.store(entry, new);
        Ok(())
    }
    fn clear_flags(&self, entry: usize, mask: u16) {
        self.store(entry, self.load(entry) & !u64::from(mask));
    }
    fn store(&self, entry: usize, value: u64) {
        self.headers[entry].set(value as u32);
        self.frames[entry].set((value >> 32) as u32);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Grant {
        gref: u32,
        mapper: usize,
        readonly: bool,
        frame: u32,
    },
    Revoke {
        gref: u32,
    },
    Scribble {
        gref: u32,
        header: u32,
        frame: u32,
    },
    Map {
        mapper: usize,
        gref: u32,
        flags: u32,
    },
    /// The map fails after the entry was acquired, as when the page is of the wrong type.
    FailedMap {
        mapper: usize,
        gref: u32,
        flags: u32,
    },
    Unmap {
        mapper: usize,
        handle: u32,
        host: bool,
        device: bool,
    },
    Copy {
        mapper: usize,
        gref: u32,
        access: Access,
    },
    Swap {
        a: u32,
        b: u32,
    },
    Grow,
}

fn op(hostile: bool) -> impl Strategy<Value = Op> {
    let gref = || proptest::sample::select(REFS.to_vec());
    let mapper = || 0..MAPPERS.len();
    let access = prop_oneof![Just(Access::ReadOnly), Just(Access::ReadWrite)];
    let header = (0u32..0x200, 0u32..4).prop_map(|(flags, domid)| flags | domid << 16);
    let scribble = (gref(), header, 0u32..50).prop_map(|(gref, header, frame)| Op::Scribble {
        gref,
        header,
        frame,
    });
    let grant = (gref(), mapper(), any::<bool>(), 100u32..200)
        .prop_map(|(gref, mapper, readonly, frame)| Op::Grant { gref, mapper, readonly, frame });
    prop_oneof![
        4 => grant,
        2 => gref().prop_map(|gref| Op::Revoke { gref }),
        if hostile { 4 } else { 0 } => scribble,
        8 => (mapper(), gref(), 0u32..8).prop_map(|(mapper, gref, flags)| Op::Map { mapper, gref, flags }),
        2 => (mapper(), gref(), 1u32..8)
            .prop_map(|(mapper, gref, flags)| Op::FailedMap { mapper, gref, flags }),
        8 => (mapper(), 0u32..6, any::<bool>(), any::<bool>())
            .prop_map(|(mapper, handle, host, device)| Op::Unmap { mapper, handle, host, device }),
        2 => (mapper(), gref(), access).prop_map(|(mapper, gref, access)| Op::Copy { mapper, gref, access }),
        1 => (gref(), gref()).prop_map(|(a, b)| Op::Swap { a, b }),
        1 => Just(Op::Grow),
    ]
}

struct World {
    shared: Shared,
    table: GrantTable,
    tracks: [Maptrack; 2],
    /// The model: what each mapper's handles map.
    maps: BTreeMap<(usize, u32), Mapping>,
}

impl World {
    fn new() -> Self {
        Self {
            shared: Shared::new(),
            table: GrantTable::new(TABLE[0], 2).unwrap(),
            tracks: [Maptrack::new(1), Maptrack::new(1)],
            maps: BTreeMap::new(),
        }
    }

    fn users(&self, gref: u32) -> impl Iterator<Item = (usize, &Mapping)> {
        let is_user = move |m: &Mapping| m.gref.get() == gref;
        self.maps.iter().filter(move |(_, m)| is_user(m)).map(|((mapper, _), m)| (*mapper, m))
    }

    /// What must come of an attempt to use an entry, if nobody interferes.
    fn expected(
        &self,
        mapper: usize,
        gref: u32,
        access: Access,
        kinds: UseKinds,
    ) -> Result<u64, ()> {
        if gref as usize >= self.table.frames().len() * 512 {
            return Err(());
        }
        if self.users(gref).any(|(user, _)| user != mapper) {
            return Err(());
        }
        let pinned_frame = self.users(gref).next().map(|(_, m)| m.frame.get());
        let has_writer = self.users(gref).any(|(_, m)| m.access == Access::ReadWrite);
        let adds_right = access == Access::ReadWrite && !has_writer;
        if pinned_frame.is_none() || adds_right {
            let header = self.shared.headers[gref as usize].get();
            let flags = header as u16;
            let sub_page = flags & gtf::SUB_PAGE != 0 && kinds != UseKinds::COPY;
            let permits = flags & 3 == gtf::PERMIT_ACCESS && !sub_page;
            let writable = access == Access::ReadOnly || flags & gtf::READONLY == 0;
            if !permits || header >> 16 != u32::from(MAPPERS[mapper].get()) || !writable {
                return Err(());
            }
        }
        Ok(pinned_frame.unwrap_or_else(|| u64::from(self.shared.frames[gref as usize].get())))
    }

    fn acquire(
        &mut self,
        mapper: usize,
        gref: u32,
        access: Access,
        kinds: UseKinds,
    ) -> Result<Mfn, GrantError> {
        let expected = self.expected(mapper, gref, access, kinds);
        let gref = GrantRef::new(gref);
        let got = self.table.acquire(&self.shared, gref, MAPPERS[mapper], access, kinds);
        assert_eq!(got.map(Mfn::get).map_err(|_| ()), expected);
        assert_eq!(got.is_ok(), status_of(&got) == 0);
        assert!(status_of(&got) <= 0, "a status must never be positive");
        got
    }

    fn release(&mut self, gref: GrantRef, access: Access, kinds: UseKinds) {
        let pinned = self.table.pinned();
        let was_last = self.users(gref.get()).next().is_none();
        self.table.release(&self.shared, gref, access, kinds);
        assert_eq!(self.table.pinned(), pinned - u32::from(was_last));
    }

    fn map(&mut self, mapper: usize, gref: u32, flags: u32, succeeds: bool) {
        let request = match MapRequest::decode(flags) {
            Ok(request) => request,
            Err(error) => {
                assert_eq!((error, flags & 3), (GrantError::NothingToMap, 0));
                return;
            }
        };
        let acquired = self.acquire(mapper, gref, request.access, request.kinds);
        let gref = GrantRef::new(gref);
        match acquired {
            Ok(frame) if succeeds => {
                let (access, kinds) = (request.access, request.kinds);
                let contains_pte = request.contains_pte;
                let mapping =
                    Mapping { granter: GRANTER, gref, frame, access, contains_pte, kinds };
                let handle = self.tracks[mapper].reserve().unwrap().commit(mapping);
                assert!(self.maps.insert((mapper, handle.get()), mapping).is_none());
            }
            Ok(_) => {
                let _not_committed = self.tracks[mapper].reserve().unwrap();
                self.release(gref, request.access, request.kinds);
            }
            Err(_) => {}
        }
    }

    fn unmap(&mut self, mapper: usize, handle: u32, kinds: UseKinds) {
        let handle = GrantHandle::new(handle);
        let Some(mut mapping) = self.maps.get(&(mapper, handle.get())).copied() else {
            assert_eq!(mapped(&mut self.tracks[mapper], handle), Err(GrantError::BadHandle));
            return;
        };
        assert_eq!(mapped(&mut self.tracks[mapper], handle), Ok(mapping));
        let host_addr = if kinds.contains(UseKinds::HOST) { 0x1000 } else { 0 };
        let device = kinds.contains(UseKinds::DEVICE) && mapping.frame.get() != 0;
        let dev_addr = if device { mapping.frame.maddr() } else { 0 };
        assert_eq!(mapping.plan_unmap(host_addr, !0), Err(GrantError::WrongAddress));
        let planned = mapping.plan_unmap(host_addr, dev_addr).unwrap();
        let removed = self.tracks[mapper].lookup(handle).unwrap().remove(planned);
        assert_eq!(removed, Mapping { kinds: planned, ..mapping });
        let removed = removed.kinds;
        mapping.kinds -= planned;
        let is_gone = mapping.kinds.is_empty();
        assert_eq!(mapped(&mut self.tracks[mapper], handle).is_err(), is_gone);
        match is_gone {
            true => self.maps.remove(&(mapper, handle.get())),
            false => self.maps.insert((mapper, handle.get()), mapping),
        };
        if !removed.is_empty() {
            self.release(mapping.gref, mapping.access, removed);
        }
    }

    fn swap(&mut self, a: u32, b: u32) {
        let before = [a, b]
            .map(|r| (self.shared.headers[r as usize].get(), self.shared.frames[r as usize].get()));
        let beyond = a.max(b) as usize >= self.table.frames().len() * 512;
        let busy = a != b && [a, b].iter().any(|gref| self.users(*gref).next().is_some());
        let got = self.table.swap(&self.shared, GrantRef::new(a), GrantRef::new(b));
        let after = [a, b]
            .map(|r| (self.shared.headers[r as usize].get(), self.shared.frames[r as usize].get()));
        match (beyond, busy) {
            (true, _) => assert_eq!(got, Err(GrantError::BadRef)),
            (false, true) => assert_eq!(got, Err(GrantError::Busy)),
            (false, false) => assert_eq!(got, Ok(())),
        }
        let expected = if got.is_ok() { [before[1], before[0]] } else { before };
        assert_eq!(after, expected);
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Grant { gref, mapper, readonly, frame } => {
                // An honest granter does not touch an entry in use.
                if self.shared.flags(gref) & IN_USE == 0 {
                    let flags = gtf::PERMIT_ACCESS | if readonly { gtf::READONLY } else { 0 };
                    let header = u32::from(flags) | u32::from(MAPPERS[mapper].get()) << 16;
                    self.shared.write(gref, header, frame);
                }
            }
            Op::Revoke { gref } => {
                if self.shared.flags(gref) & IN_USE == 0 {
                    self.shared.headers[gref as usize].set(0);
                }
            }
            Op::Scribble { gref, header, frame } => {
                self.shared.write(gref, header, frame);
            }
            Op::Map { mapper, gref, flags } => self.map(mapper, gref, flags, true),
            Op::FailedMap { mapper, gref, flags } => self.map(mapper, gref, flags, false),
            Op::Unmap { mapper, handle, host, device } => {
                let mut kinds = UseKinds::empty();
                kinds.set(UseKinds::HOST, host);
                kinds.set(UseKinds::DEVICE, device);
                self.unmap(mapper, handle, kinds);
            }
            Op::Copy { mapper, gref, access } => {
                if self.acquire(mapper, gref, access, UseKinds::COPY).is_ok() {
                    self.release(GrantRef::new(gref), access, UseKinds::COPY);
                }
            }
            Op::Swap { a, b } => self.swap(a, b),
            Op::Grow => {
                let missing = self.table.frames_missing(2).unwrap();
                for _ in 0..missing {
                    self.table.add_frame(TABLE[1]).unwrap();
                }
                assert_eq!(self.table.add_frame(Mfn::new(3000)), Err(GrantError::TableLimit));
            }
        }
    }

    fn check_books(&self) {
        let in_use = REFS.iter().filter(|gref| self.users(**gref).next().is_some()).count();
        assert_eq!(self.table.pinned() as usize, in_use);
        for (mapper, track) in self.tracks.iter().enumerate() {
            let live = self.maps.keys().filter(|(owner, _)| *owner == mapper).count();
            assert_eq!(track.live() as usize, live);
        }
    }

    /// In-use bits are set exactly while there are uses, and only bits for the uses there are.
    fn check_bits(&self) {
        for gref in REFS {
            let reads = self.users(gref).next().is_some();
            let writes = self.users(gref).any(|(_, m)| m.access == Access::ReadWrite);
            let expected =
                if reads { gtf::READING } else { 0 } | if writes { gtf::WRITING } else { 0 };
            assert_eq!(self.shared.flags(gref) & IN_USE, expected, "reference {gref}");
        }
    }

    /// Both mappers die, one slot at a time.
    fn tear_down(&mut self) {
        for mapper in 0..MAPPERS.len() {
            let mut cursor = 0;
            loop {
                let mut budget = 1;
                match self.tracks[mapper].drain_step(&mut cursor, &mut budget) {
                    Ok(Some(mapping)) => {
                        let found =
                            self.maps.iter().find(|((m, _), x)| *m == mapper && **x == mapping);
                        let key = *found.expect("a mapping nobody made").0;
                        self.maps.remove(&key);
                        self.release(mapping.gref, mapping.access, mapping.kinds);
                    }
                    Ok(None) => break,
                    Err(_) => {}
                }
            }
        }
        assert!(self.maps.is_empty());
        self.check_books();
    }
}

fn program(hostile: bool) -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(hostile), 1..100)
}

proptest! {
    #[test]
    fn with_an_honest_granter_bits_and_books_are_exact(ops in program(false)) {
        let mut world = World::new();
        for op in &ops {
            world.step(op);
            world.check_books();
            world.check_bits();
        }
        world.tear_down();
        world.check_bits();
    }

    #[test]
    fn a_hostile_granter_cannot_bring_the_books_into_disorder(ops in program(true)) {
        let mut world = World::new();
        for op in &ops {
            world.step(op);
            world.check_books();
        }
        world.tear_down();
    }
}

#[test]
fn a_dead_granters_uses_end_without_touching_shared_memory() {
    let mut world = World::new();
    world.step(&Op::Grant { gref: 1, mapper: 0, readonly: false, frame: 100 });
    world.map(0, 1, gntmap::HOST_MAP, true);
    assert_eq!(world.table.retire(), [TABLE[0]]);
    assert_eq!(world.acquire(0, 1, Access::ReadOnly, UseKinds::COPY), Err(GrantError::BadRef));
    assert_eq!(world.table.frames_missing(1), Err(GrantError::TableLimit));
    world.unmap(0, 0, UseKinds::HOST);
    assert_eq!(world.table.pinned(), 0);
    assert_eq!(world.shared.flags(1) & IN_USE, IN_USE);
}

#[test]
fn a_count_that_would_overflow_is_refused_and_nothing_is_pinned() {
    let mut world = World::new();
    world.step(&Op::Grant { gref: 1, mapper: 0, readonly: false, frame: 100 });
    let gref = GrantRef::new(1);
    let both = UseKinds::HOST | UseKinds::DEVICE;
    let mut acquire =
        |kinds| world.table.acquire(&world.shared, gref, MAPPERS[0], Access::ReadOnly, kinds);
    for _ in 0..u16::MAX {
        acquire(UseKinds::DEVICE).unwrap();
    }
    assert_eq!(acquire(both), Err(GrantError::TooManyUses));
    for _ in 0..u16::MAX {
        world.table.release(&world.shared, gref, Access::ReadOnly, UseKinds::DEVICE);
    }
    assert_eq!(world.table.pinned(), 0, "the refused use left its host half");
}

#[test]
fn a_table_has_at_least_one_frame() {
    assert!(matches!(GrantTable::new(TABLE[0], 0), Err(GrantError::TableLimit)));
    let table = GrantTable::new(TABLE[0], 1).unwrap();
    let last = EntryPlace { frame: TABLE[0], index: 511 };
    assert_eq!(table.locate(GrantRef::new(511)), Ok(last));
    assert_eq!(table.locate(GrantRef::new(512)), Err(GrantError::BadRef));
    assert_eq!(table.locate(GrantRef::new(u32::MAX)), Err(GrantError::BadRef));
}

/// What a handle stands for.
fn mapped(track: &mut Maptrack, handle: GrantHandle) -> Result<Mapping, GrantError> {
    track.lookup(handle).map(|found| *found.mapping())
}

#[test]
fn handles_run_out_at_the_limit_and_come_back() {
    let mut none = Maptrack::new(0);
    assert_eq!(none.reserve().err(), Some(GrantError::NoHandles));
    let mut track = Maptrack::new(1);
    let mapping = Mapping {
        granter: GRANTER,
        gref: GrantRef::new(0),
        frame: Mfn::new(1),
        access: Access::ReadOnly,
        contains_pte: false,
        kinds: UseKinds::HOST,
    };
    let handles: Vec<_> = (0..256).map(|_| track.reserve().unwrap().commit(mapping)).collect();
    assert_eq!(track.reserve().err(), Some(GrantError::NoHandles));
    assert_eq!(track.lookup(handles[9]).unwrap().remove(UseKinds::HOST), mapping);
    let _ = track.reserve().unwrap();
    let unmapped = mapped(&mut track, handles[9]);
    assert_eq!(unmapped, Err(GrantError::BadHandle), "reserved is not mapped");
    assert_eq!(track.reserve().unwrap().commit(mapping), handles[9]);
    assert_eq!(mapped(&mut track, GrantHandle::new(u32::MAX)), Err(GrantError::BadHandle));
}
