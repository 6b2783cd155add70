//! The disk against a device on paper.

use super::*;
use crate::setup::VERSION_1;
use crate::testkit::{Device, Paper};
use alloc::sync::Arc;
use alloc::vec;
use proptest::prelude::*;
use pvkernel_core::device::ram::HeapMemory;

const SECTORS: u64 = 64;
const ALL: u64 = VERSION_1 | FEATURE_FLUSH | FEATURE_DISCARD;
type Ends = Arc<Lock<Vec<(usize, Result<(), BlockError>, Option<IoBuffer>)>>>;

struct Bench {
    disk: VirtioDisk<Device, Paper>,
    queue: Paper,
    device: Device,
    ends: Ends,
}

fn bench(features: u64) -> Bench {
    let mut config = vec![0; 60];
    config[..8].copy_from_slice(&SECTORS.to_le_bytes());
    config[36..40].copy_from_slice(&32_u32.to_le_bytes());
    let (device, queue) = (Device::new(features, &config), Paper::new(256));
    let memory: Memory = Box::new(HeapMemory::source);
    let disk = VirtioDisk::new(device.clone(), |_| Ok(queue.clone()), memory);
    let disk = disk.unwrap_or_else(|error| panic!("{error}"));
    Bench { disk, queue, device, ends: Arc::new(Lock::new(Vec::new())) }
}

impl Bench {
    fn submit(&self, name: usize, op: BlockOp, sector: u64, sectors: u32, fill: u8) -> bool {
        let told = Arc::clone(&self.ends);
        let moves = matches!(op, BlockOp::Read | BlockOp::Write);
        let buffer = moves.then(|| self.disk.buffer(sectors as usize * SECTOR).expect("memory"));
        let buffer = buffer.map(|mut buffer| {
            buffer.bytes_mut().fill(fill);
            buffer
        });
        let done: BlockDone =
            Box::new(move |verdict, buffer| told.lock().push((name, verdict, buffer)));
        self.disk.submit(BlockRequest { op, sector, sectors, buffer, done }).is_ok()
    }

    /// Serves one request on the model of the disk's contents.
    fn serve(&self, at: usize, model: &mut [u8]) -> bool {
        self.queue.serve(at, |head, bytes| {
            let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
            let start = word(8) as usize * SECTOR;
            match head[0] {
                0 => bytes.copy_from_slice(&model[start..start + bytes.len()]),
                1 => model[start..start + bytes.len()].copy_from_slice(bytes),
                4 => assert_eq!(head.len(), 16),
                11 => {
                    let start = word(16) as usize * SECTOR;
                    let sectors = u32::from_le_bytes(head[24..28].try_into().unwrap()) as usize;
                    model[start..start + sectors * SECTOR].fill(0);
                }
                kind => panic!("request {kind}"),
            }
            (0, bytes.len())
        })
    }
}

#[test]
fn the_handshake_takes_what_is_known_and_refuses_what_is_old() {
    let bench = bench(ALL | FEATURE_READ_ONLY | 1 << 28 | 1 << 29);
    let state = bench.device.0.lock();
    assert_eq!(state.accepted, ALL | FEATURE_READ_ONLY);
    assert_eq!(state.status, 1 | 2 | 4 | 8);
    drop(state);
    assert!(bench.disk.info().read_only && bench.disk.info().can_flush);
    assert_eq!(bench.disk.info().sectors, SECTORS);

    let refused = |device: &Device| {
        let memory: Memory = Box::new(HeapMemory::source);
        VirtioDisk::new(device.clone(), |_| Ok(Paper::new(256)), memory).err()
    };
    let device = Device::new(FEATURE_FLUSH, &[0; 60]);
    assert_eq!(refused(&device), Some(SetupError::TooOld));
    assert_eq!(device.0.lock().status, 128);
    let device = Device::new(ALL, &[0; 60]);
    device.0.lock().refuses_features = true;
    assert_eq!(refused(&device), Some(SetupError::Features));
    assert_eq!(refused(&Device::new(ALL, &[0; 4])), Some(SetupError::Registers));
}

proptest! {
    /// Whatever the order in which the device serves: each request ends once, with its own data.
    #[test]
    fn behaves_like_a_row_of_sectors(
        ops in prop::collection::vec((0_usize..6, 0_u64..80, 0_u32..20, any::<u8>()), 1..60),
    ) {
        let bench = bench(ALL);
        let mut model = vec![7_u8; SECTORS as usize * SECTOR];
        let mut expected = Vec::new();
        for (name, (op, sector, sectors, fill)) in ops.into_iter().enumerate() {
            let in_range = sector + u64::from(sectors) <= SECTORS;
            let op = match op {
                0 => BlockOp::Read,
                1 => BlockOp::Write,
                2 => BlockOp::Flush,
                3 => BlockOp::Discard,
                at => {
                    // The device serves something, and the line fires.
                    let waiting = bench.queue.0.lock().added.len();
                    bench.serve(at * 7 % (1 + waiting), &mut model);
                    bench.disk.interrupt();
                    continue;
                }
            };
            if bench.submit(name, op, sector, sectors, fill) {
                let verdict = if in_range || op == BlockOp::Flush { Ok(()) } else { Err(BlockError::OutOfRange) };
                expected.push((name, verdict));
            }
            bench.disk.kick();
        }
        while bench.serve(0, &mut model) {}
        bench.disk.interrupt();
        let mut got: Vec<_> = bench.ends.lock().iter().map(|end| (end.0, end.1)).collect();
        got.sort_by_key(|end| end.0);
        prop_assert_eq!(got, expected);
        prop_assert_eq!(bench.queue.room(), 256);
    }
}

#[test]
fn data_goes_where_it_belongs_and_one_notification_is_for_many() {
    let bench = bench(ALL);
    let mut model = vec![0; SECTORS as usize * SECTOR];
    (0..4).for_each(|at| assert!(bench.submit(at, BlockOp::Write, 8 * at as u64, 8, at as u8 + 1)));
    bench.disk.kick();
    bench.disk.kick();
    assert_eq!(bench.device.0.lock().notified, [QUEUE]);
    while bench.serve(0, &mut model) {}
    assert!((0..32).all(|sector| model[sector * SECTOR] == (sector / 8) as u8 + 1));
    assert!(bench.submit(9, BlockOp::Read, 15, 2, 0));
    bench.serve(0, &mut model);
    bench.disk.interrupt();
    let (name, verdict, buffer) = bench.ends.lock().pop().expect("an end");
    let bytes = buffer.expect("the memory comes back");
    assert_eq!((name, verdict), (9, Ok(())));
    assert_eq!((bytes.bytes()[0], bytes.bytes()[SECTOR]), (2, 3));
}

#[test]
fn no_more_than_the_depth_is_in_flight() {
    let bench = bench(ALL);
    let taken = (0..100).filter(|at| bench.submit(*at, BlockOp::Read, 0, 1, 0)).count();
    assert_eq!(taken, DEPTH as usize);
    bench.queue.serve(5, |_, _| (0, 512));
    bench.disk.interrupt();
    assert!(bench.submit(100, BlockOp::Read, 0, 1, 0));
}

#[test]
fn what_the_device_refuses_and_what_it_never_sees_are_errors() {
    let bench = bench(VERSION_1 | FEATURE_READ_ONLY);
    bench.submit(0, BlockOp::Write, 0, 1, 0);
    bench.submit(1, BlockOp::Discard, 0, 1, 0);
    bench.submit(2, BlockOp::Read, 0, 0, 0);
    bench.submit(3, BlockOp::Flush, 0, 0, 0);
    bench.submit(4, BlockOp::Read, 0, 1, 0);
    assert!(bench.ends.lock().is_empty());
    assert_eq!(bench.queue.0.lock().added.len(), 1, "only what the device can do reaches it");
    bench.queue.serve(0, |_, _| (1, 0));
    bench.queue.0.lock().is_deaf = true;
    bench.submit(5, BlockOp::Read, 0, 1, 0);
    bench.disk.kick();
    let got: Vec<_> = bench.ends.lock().iter().map(|end| (end.0, end.1)).collect();
    let read_only = Err(BlockError::ReadOnly);
    let device = Err(BlockError::Device);
    let expected =
        [(0, read_only), (1, read_only), (2, Ok(())), (3, Ok(())), (5, device), (4, device)];
    assert_eq!(got, expected);
    assert!(bench.disk.buffer(MAX_SECTORS as usize * SECTOR + 1).is_err());
}

#[test]
fn an_end_the_device_invents_is_ignored() {
    let bench = bench(ALL);
    bench.submit(0, BlockOp::Read, 0, 1, 0);
    bench.queue.0.lock().added[0].tag = 999;
    bench.queue.serve(0, |_, _| (0, 512));
    bench.disk.interrupt();
    assert!(bench.ends.lock().is_empty());
}
