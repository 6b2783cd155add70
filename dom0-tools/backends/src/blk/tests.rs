//! The pieces together, against a model disk, with honest and hostile front halves.

use super::source::{parse, Source};
use super::{indirect, Direction, Disk, Job, Link, Open, Place, Step, Table, Transfer};
use hypercall_abi::io::block::{
    BlkifRequest, BlkifRequestIndirect, BlkifRequestSegment, BlkifResponse, OP_DISCARD,
    OP_FLUSH_DISKCACHE, OP_INDIRECT, OP_READ, OP_WRITE, OP_WRITE_BARRIER, RSP_ERROR, RSP_OKAY,
};
use hypercall_abi::GrantRef;
use proptest::prelude::*;
use pv_ring::{FrontRing, SlotRing};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::vec;
use std::vec::Vec;
use zerocopy::{FromBytes, IntoBytes};

const SECTOR: usize = 512;
const DISK_SECTORS: u64 = 64;
const FRAMES: usize = 6;

#[derive(Default)]
struct Memory {
    requests: RefCell<[BlkifRequest; 32]>,
    responses: RefCell<[BlkifResponse; 32]>,
    indices: [Cell<u32>; 4],
    /// What `load_req_prod` says instead, first one first.
    lies: RefCell<VecDeque<u32>>,
}

impl SlotRing for Memory {
    type Req = BlkifRequest;
    type Rsp = BlkifResponse;
    const SLOTS: u32 = 32;

    fn load_req_prod(&self) -> u32 {
        self.lies.borrow_mut().pop_front().unwrap_or(self.indices[0].get())
    }
    fn store_req_prod(&self, prod: u32) {
        self.indices[0].set(prod);
    }
    fn load_req_event(&self) -> u32 {
        self.indices[1].get()
    }
    fn store_req_event(&self, event: u32) {
        self.indices[1].set(event);
    }
    fn load_rsp_prod(&self) -> u32 {
        self.indices[2].get()
    }
    fn store_rsp_prod(&self, prod: u32) {
        self.indices[2].set(prod);
    }
    fn load_rsp_event(&self) -> u32 {
        self.indices[3].get()
    }
    fn store_rsp_event(&self, event: u32) {
        self.indices[3].set(event);
    }
    fn read_req(&self, slot: u32) -> BlkifRequest {
        self.requests.borrow()[slot as usize]
    }
    fn write_req(&self, slot: u32, req: &BlkifRequest) {
        self.requests.borrow_mut()[slot as usize] = *req;
    }
    fn read_rsp(&self, slot: u32) -> BlkifResponse {
        self.responses.borrow()[slot as usize]
    }
    fn write_rsp(&self, slot: u32, rsp: &BlkifResponse) {
        self.responses.borrow_mut()[slot as usize] = *rsp;
    }
}

/// A back half over plain memory: what the control domain's thread does with mappings.
struct Back {
    link: Link,
    disk: Disk,
    sectors: Vec<u8>,
    frames: Vec<Vec<u8>>,
    /// Work that was taken and not done.
    started: VecDeque<(Open, Job)>,
}

impl Back {
    fn new(ring: &Memory, read_only: bool) -> Self {
        let disk = Disk { sectors: DISK_SECTORS, read_only, can_discard: true };
        let sectors = (0..DISK_SECTORS as usize * SECTOR).map(|at| (at / SECTOR) as u8).collect();
        let frames = (0..FRAMES).map(|frame| vec![0xf0 | frame as u8; 4096]).collect();
        Self { link: Link::attach(ring), disk, sectors, frames, started: VecDeque::new() }
    }

    fn take(&mut self, ring: &Memory) -> Option<()> {
        match self.link.take(ring, &self.disk).expect("the indices are honest") {
            Step::Work(open, job) => self.started.push_back((open, job)),
            Step::Refused => {}
            Step::Blocked | Step::Empty => return None,
        }
        Some(())
    }

    fn finish_one(&mut self, ring: &Memory) -> bool {
        let Some((open, job)) = self.started.pop_front() else { return false };
        let status = match self.carry_out(job) {
            true => RSP_OKAY,
            false => RSP_ERROR,
        };
        self.link.finish(ring, open, status);
        true
    }

    fn carry_out(&mut self, job: Job) -> bool {
        match job {
            Job::Transfer(transfer) => self.transfer(&transfer),
            Job::Fetch { direction, sector, count, pages } => {
                let Some(page) = pages.iter().next().map(|gref| gref.get() as usize) else {
                    return false;
                };
                let Some(frame) = self.frames.get(page) else { return false };
                let copy = frame[..usize::from(count) * 8].to_vec();
                let checked = indirect(&self.disk, direction, sector, &copy);
                checked.is_ok_and(|transfer| self.transfer(&transfer))
            }
            Job::Flush => true,
            Job::Discard { sector, sectors } => {
                let (from, to) = (sector as usize * SECTOR, (sector + sectors) as usize * SECTOR);
                self.sectors[from..to].fill(0);
                true
            }
        }
    }

    /// Slices panic when a check let something through.
    fn transfer(&mut self, transfer: &Transfer) -> bool {
        let mut at = transfer.sector as usize * SECTOR;
        for segment in &transfer.segments {
            let (offset, len) = (usize::from(segment.offset), usize::from(segment.len));
            let Some(frame) = self.frames.get_mut(segment.gref.get() as usize) else {
                return false;
            };
            let disk = &mut self.sectors[at..at + len];
            let part = &mut frame[offset..offset + len];
            match transfer.direction {
                Direction::Read => part.copy_from_slice(disk),
                Direction::Write => disk.copy_from_slice(part),
            }
            at += len;
        }
        assert_eq!(at, transfer.sector as usize * SECTOR + transfer.sectors as usize * SECTOR);
        true
    }
}

fn segment(gref: u32, first_sect: u8, last_sect: u8) -> BlkifRequestSegment {
    let gref = GrantRef::new(gref);
    BlkifRequestSegment { gref, first_sect, last_sect, ..Default::default() }
}

fn request(operation: u8, id: u64, sector: u64, segments: &[BlkifRequestSegment]) -> BlkifRequest {
    let mut request =
        BlkifRequest { operation, id, sector_number: sector, ..BlkifRequest::default() };
    request.nr_segments = segments.len() as u8;
    request.seg[..segments.len()].copy_from_slice(segments);
    request
}

fn any_segment() -> impl Strategy<Value = BlkifRequestSegment> {
    (0..FRAMES as u32 + 1, 0u8..10, 0u8..10).prop_map(|(gref, a, b)| segment(gref, a, b))
}

/// Mostly possible, sometimes not.
fn any_request() -> impl Strategy<Value = BlkifRequest> {
    let operation = prop_oneof![
        4 => Just(OP_READ),
        4 => Just(OP_WRITE),
        1 => Just(OP_WRITE_BARRIER),
        1 => Just(OP_FLUSH_DISKCACHE),
        1 => any::<u8>().prop_filter("indirect has its own", |op| *op != OP_INDIRECT && *op != OP_DISCARD),
    ];
    let sector = prop_oneof![9 => 0..DISK_SECTORS + 4, 1 => any::<u64>()];
    let segments = proptest::collection::vec(any_segment(), 0..=11);
    (operation, sector, segments, prop_oneof![19 => Just(None), 1 => any::<u8>().prop_map(Some)])
        .prop_map(|(operation, sector, segments, count)| {
            let mut request = request(operation, 0, sector, &segments);
            request.nr_segments = count.unwrap_or(request.nr_segments);
            request
        })
}

/// Any bytes at all.
fn any_slot() -> impl Strategy<Value = BlkifRequest> {
    proptest::collection::vec(any::<u8>(), size_of::<BlkifRequest>())
        .prop_map(|bytes| BlkifRequest::read_from_bytes(&bytes).expect("of its size"))
}

/// What a request does, written down once more without types: the status.
fn model(request: &BlkifRequest, read_only: bool, disk: &mut [u8], frames: &mut [Vec<u8>]) -> i16 {
    let count = usize::from(request.nr_segments);
    let writes = match request.operation {
        OP_READ => false,
        OP_WRITE | OP_WRITE_BARRIER | OP_FLUSH_DISKCACHE => true,
        _ if count > 11 => return -1,
        _ => return -2,
    };
    let pure_flush = matches!(request.operation, OP_WRITE_BARRIER | OP_FLUSH_DISKCACHE);
    if count > 11 || (count == 0 && !pure_flush) || (count > 0 && writes && read_only) {
        return -1;
    }
    let segments = &request.seg[..count];
    if segments.iter().any(|s| s.first_sect > s.last_sect || s.last_sect > 7) {
        return -1;
    }
    let total: u64 = segments.iter().map(|s| u64::from(s.last_sect - s.first_sect) + 1).sum();
    if count > 0 && request.sector_number.saturating_add(total) > disk.len() as u64 / 512 {
        return -1;
    }
    let mut sector = request.sector_number as usize;
    for s in segments {
        let Some(frame) = frames.get_mut(s.gref.get() as usize) else { return -1 };
        for within in usize::from(s.first_sect)..=usize::from(s.last_sect) {
            for byte in 0..SECTOR {
                match writes {
                    true => disk[sector * SECTOR + byte] = frame[within * SECTOR + byte],
                    false => frame[within * SECTOR + byte] = disk[sector * SECTOR + byte],
                }
            }
            sector += 1;
        }
    }
    0
}

proptest! {
    #[test]
    fn a_disk_behaves_like_the_model(
        requests in proptest::collection::vec(any_request(), 1..60),
        read_only in any::<bool>(),
        pace in proptest::collection::vec(any::<bool>(), 400),
    ) {
        let ring = Memory::default();
        let mut front = FrontRing::init(&ring);
        let mut back = Back::new(&ring, read_only);
        let (mut disk, mut frames) = (back.sectors.clone(), back.frames.clone());
        let expected: Vec<i16> =
            requests.iter().map(|r| model(r, read_only, &mut disk, &mut frames)).collect();
        let mut answers = BTreeMap::new();
        let mut pace = pace.into_iter().cycle();
        let mut left: VecDeque<(usize, BlkifRequest)> = requests.iter().copied().enumerate().collect();
        while answers.len() < requests.len() {
            while front.free::<Memory>() > 0 && !left.is_empty() {
                let (id, request) = left.pop_front().expect("not empty");
                front.push(&ring, &BlkifRequest { id: id as u64, ..request }).expect("room");
            }
            let _ = front.publish(&ring);
            while pace.next() == Some(true) && back.take(&ring).is_some() {}
            while pace.next() == Some(true) && back.finish_one(&ring) {}
            let _ = back.link.publish(&ring);
            while let Some(answer) = front.pop(&ring).expect("an honest ring") {
                prop_assert_eq!(answers.insert(answer.id, answer.status), None);
            }
        }
        let statuses: Vec<i16> = answers.into_values().collect();
        prop_assert_eq!(statuses, expected);
        prop_assert!(back.sectors == disk, "the disks differ");
        prop_assert!(back.frames == frames, "the frames differ");
        prop_assert_eq!(back.link.in_flight(), 0);
    }

    #[test]
    fn any_bytes_are_answered_once_and_nothing_panics(
        slots in proptest::collection::vec(any_slot(), 1..32),
    ) {
        let ring = Memory::default();
        let mut front = FrontRing::init(&ring);
        let mut back = Back::new(&ring, false);
        for slot in &slots {
            front.push(&ring, slot).expect("room");
        }
        let _ = front.publish(&ring);
        while back.take(&ring).is_some() || back.finish_one(&ring) {}
        let _ = back.link.publish(&ring);
        let mut asked: Vec<u64> = slots.iter().map(|slot| slot.id).collect();
        let mut answered = Vec::new();
        while let Some(answer) = front.pop(&ring).expect("an honest ring") {
            answered.push(answer.id);
        }
        asked.sort_unstable();
        answered.sort_unstable();
        prop_assert_eq!(asked, answered);
    }

    #[test]
    fn false_indices_end_the_connection_or_cost_a_ring_of_requests(
        lies in proptest::collection::vec(prop_oneof![0u32..70, any::<u32>()], 1..200),
    ) {
        let ring = Memory::default();
        let mut back = Back::new(&ring, false);
        *ring.lies.borrow_mut() = lies.iter().copied().collect();
        for _ in &lies {
            let Ok(step) = back.link.take(&ring, &back.disk) else { return Ok(()) };
            if let Step::Work(open, _) = step {
                back.link.finish(&ring, open, RSP_OKAY);
            }
            prop_assert!(back.link.in_flight() <= Memory::SLOTS);
        }
    }

    #[test]
    fn an_indirect_request_is_checked_segment_by_segment(
        segments in proptest::collection::vec(any_segment(), 1..=256),
        sector in 0..DISK_SECTORS + 4,
    ) {
        let disk = Disk { sectors: DISK_SECTORS, read_only: false, can_discard: false };
        let valid = |s: &BlkifRequestSegment| s.first_sect <= s.last_sect && s.last_sect < 8;
        let total = |s: &BlkifRequestSegment| u64::from(s.last_sect.wrapping_sub(s.first_sect)) + 1;
        let expected = segments.iter().all(valid)
            && sector + segments.iter().map(total).sum::<u64>() <= DISK_SECTORS;
        let checked = indirect(&disk, Direction::Write, sector, segments.as_bytes());
        prop_assert_eq!(checked.is_ok(), expected);
    }

    #[test]
    fn a_table_keeps_each_frame_at_one_place(
        capacity in 1usize..12,
        uses in proptest::collection::vec((0u32..40, any::<bool>(), any::<bool>()), 0..200),
    ) {
        let mut table = Table::new(capacity);
        // What is mapped where.
        let mut mapped: BTreeMap<u16, u32> = BTreeMap::new();
        let mut request = BTreeSet::new();
        for (number, begins, fails) in uses {
            let gref = number * 1700;
            if begins {
                table.begin();
                request.clear();
            }
            match table.place(GrantRef::new(gref)) {
                None => {
                    let full = request.len() == capacity && !request.contains(&gref);
                    prop_assert!(full || gref >= 65536);
                    continue;
                }
                Some(Place::Mapped(at)) => prop_assert_eq!(mapped.get(&at), Some(&gref)),
                Some(Place::Vacant(at)) => prop_assert_eq!(mapped.insert(at, gref), None),
                Some(Place::Occupied(at)) => {
                    let old = mapped.insert(at, gref);
                    prop_assert!(old.is_some_and(|old| !request.contains(&old)));
                }
            }
            request.insert(gref);
            if fails {
                let at = mapped.iter().find(|(_, g)| **g == gref).map(|(at, _)| *at);
                at.into_iter().for_each(|at| { table.forget(at); mapped.remove(&at); });
                request.remove(&gref);
            }
            prop_assert!(mapped.len() <= capacity);
            prop_assert_eq!(table.len(), mapped.len());
        }
        let places: BTreeSet<u16> = table.drain().into_iter().collect();
        prop_assert_eq!(places, mapped.keys().copied().collect::<BTreeSet<u16>>());
        prop_assert!(table.is_empty());
    }

    #[test]
    fn runs_are_the_bytes_of_the_segments_in_order(
        parts in proptest::collection::vec((0u8..8, 0u8..8, 0u16..12, any::<bool>()), 0..20),
        skip in 0usize..40_000,
        len in 0usize..40_000,
    ) {
        let (mut segments, mut places) = (Vec::new(), Vec::new());
        for (a, b, place, follows) in parts {
            let (first, last) = if follows { (0, 7) } else { (a.min(b), a.max(b)) };
            segments.push(super::Segment {
                gref: GrantRef::new(0),
                offset: u16::from(first) * 512,
                len: u16::from(last - first + 1) * 512,
            });
            places.push(places.last().filter(|_| follows).map_or(place, |before| before + 1));
        }
        // Each byte by its address.
        let bytes = |(segment, place): (&super::Segment, &u16)| {
            let start = usize::from(*place) * 4096 + usize::from(segment.offset);
            start..start + usize::from(segment.len)
        };
        let all = segments.iter().zip(&places).flat_map(bytes);
        let expected: Vec<usize> = all.skip(skip).take(len).collect();
        let runs: Vec<super::Run> = super::Runs::new(&segments, &places, skip, len).collect();
        let got: Vec<usize> = runs
            .iter()
            .flat_map(|run| {
                let start = usize::from(run.place) * 4096 + run.offset;
                start..start + run.len
            })
            .collect();
        prop_assert_eq!(got, expected);
        prop_assert!(runs.iter().all(|run| run.len > 0 && run.offset < 4096));
    }

    #[test]
    fn sources_are_read_or_refused(kind in "(ram|phy|file|tap|)", params in "[ -~]{0,20}") {
        if let Err(line) = parse(&kind, &params) {
            prop_assert!(!line.is_empty() && !line.contains('\n'));
        }
    }
}

#[test]
fn a_barrier_waits_for_what_is_in_flight_and_holds_back_what_comes_behind() {
    let ring = Memory::default();
    let mut front = FrontRing::init(&ring);
    let mut back = Back::new(&ring, false);
    let one = [segment(0, 0, 0)];
    for (id, operation) in [OP_WRITE, OP_WRITE_BARRIER, OP_READ].into_iter().enumerate() {
        front.push(&ring, &request(operation, id as u64, 0, &one)).expect("room");
    }
    let _ = front.publish(&ring);
    assert_eq!(back.take(&ring), Some(()), "the write starts");
    assert_eq!(back.take(&ring), None, "the barrier waits for it");
    assert_eq!(back.link.in_flight(), 2);
    assert!(back.finish_one(&ring));
    assert_eq!(back.take(&ring), Some(()), "now it starts");
    assert!(
        matches!(&back.started[0].1, Job::Transfer(transfer) if transfer.durable),
        "and has to be durable"
    );
    assert_eq!(back.take(&ring), None, "and the read waits for it");
    assert!(back.finish_one(&ring));
    assert_eq!(back.take(&ring), Some(()), "until it has ended");
}

#[test]
fn an_indirect_request_is_answered_as_the_operation_that_is_meant() {
    let ring = Memory::default();
    let mut front = FrontRing::init(&ring);
    let mut back = Back::new(&ring, false);
    let segments: Vec<BlkifRequestSegment> = (0..5).map(|at| segment(at, 0, 7)).collect();
    back.frames[5][..40].copy_from_slice(segments.as_bytes());
    let mut slot = BlkifRequestIndirect {
        operation: OP_INDIRECT,
        indirect_op: OP_READ,
        nr_segments: 5,
        id: 7,
        sector_number: 8,
        ..BlkifRequestIndirect::default()
    };
    slot.indirect_grefs[0] = GrantRef::new(5);
    let mut bytes = [0; size_of::<BlkifRequest>()];
    bytes[..size_of_val(&slot)].copy_from_slice(slot.as_bytes());
    let slot = BlkifRequest::read_from_bytes(&bytes).expect("of its size");
    front.push(&ring, &slot).expect("room");
    let _ = front.publish(&ring);
    assert_eq!(back.take(&ring), Some(()));
    assert!(back.finish_one(&ring));
    let _ = back.link.publish(&ring);
    let answer = front.pop(&ring).expect("an honest ring").expect("an answer");
    assert_eq!((answer.id, answer.operation, answer.status), (7, OP_READ, RSP_OKAY));
    assert_eq!((back.frames[0][0], back.frames[4][4095]), (8, 47));
}

#[test]
fn the_words_of_the_store_name_a_source() {
    let ram = |bytes, name: Option<&str>| Ok(Source::Ram { name: name.map(Into::into), bytes });
    assert_eq!(parse("ram", "64M"), ram(64 << 20, None));
    assert_eq!(parse("ram", "kv.data:1g"), ram(1 << 30, Some("kv.data")));
    assert_eq!(parse("ram", "scratch:8192"), ram(8192, Some("scratch")));
    assert_eq!(parse("phy", "/dev/vdb"), Ok(Source::Physical("vdb".into())));
    assert_eq!(parse("phy", "vdb"), Ok(Source::Physical("vdb".into())));
    assert_eq!(parse("file", "/images/a.img"), Ok(Source::File("/images/a.img".into())));
    for (kind, params) in [
        ("ram", "0"),
        ("ram", "99999999999999999999G"),
        ("ram", ":64M"),
        ("ram", "5000"),
        ("ram", "a b:64M"),
        ("phy", ""),
        ("file", "a.img"),
        ("tap", "aio:/a"),
        ("ram", "+5M"),
        ("ram", "M"),
    ] {
        assert!(parse(kind, params).is_err(), "{kind}:{params}");
    }
}
