//! The store on a disk that loses power at any write.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec::Vec;

/// A disk that keeps what was flushed, and of the rest what chance wants.
#[derive(Clone, Debug)]
struct Fake {
    stable: Vec<u8>,
    pending: Vec<(u64, Vec<u8>)>,
    /// Writes and flushes until the power goes.
    left: Option<u32>,
}

impl Fake {
    fn blank(sectors: u64) -> Self {
        Self { stable: vec![0; sectors as usize * SECTOR], pending: Vec::new(), left: None }
    }

    fn put(&mut self, sector: u64, bytes: &[u8]) {
        let at = sector as usize * SECTOR;
        self.stable[at..at + SECTOR].copy_from_slice(bytes);
    }

    fn spend(&mut self) -> Result<(), DiskError> {
        match &mut self.left {
            Some(0) => return Err(DiskError),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }

    /// After the power went: of the sectors in flight, those whose bit is set were written.
    fn after_crash(mut self, mut bits: u64) -> Self {
        for (sector, bytes) in core::mem::take(&mut self.pending) {
            bits = bits.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if bits >> 63 == 1 {
                self.put(sector, &bytes);
            }
        }
        self.left = None;
        self
    }
}

impl Disk for Fake {
    fn sectors(&self) -> u64 {
        (self.stable.len() / SECTOR) as u64
    }

    fn read(&mut self, sector: u64, to: &mut [u8]) -> Result<(), DiskError> {
        let at = sector as usize * SECTOR;
        to.copy_from_slice(self.stable.get(at..at + to.len()).ok_or(DiskError)?);
        for (pending, bytes) in &self.pending {
            if let Some(at) = pending.checked_sub(sector).map(|at| at as usize * SECTOR) {
                if let Some(to) = to.get_mut(at..at + SECTOR) {
                    to.copy_from_slice(bytes);
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, from: &[u8]) -> Result<(), DiskError> {
        let is_failing = self.spend().is_err();
        assert!(sector + (from.len() / SECTOR) as u64 <= self.sectors(), "beyond the end");
        // The write during which the power goes may have been done in part.
        self.pending.extend((sector..).zip(from.chunks(SECTOR).map(<[u8]>::to_vec)));
        if is_failing {
            Err(DiskError)
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.spend()?;
        for (sector, bytes) in core::mem::take(&mut self.pending) {
            self.put(sector, &bytes);
        }
        Ok(())
    }
}

const PLENTY: usize = 64 << 20;
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn contents(kv: &Kv<Fake>) -> Model {
    kv.keys(b"").map(|key| (key.to_vec(), kv.get(key).expect("listed").to_vec())).collect()
}

#[derive(Clone, Debug)]
enum Op {
    Set(u8, u16, u8),
    Delete(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u8..12, prop_oneof![0u16..600, 20_000u16..60_000], any::<u8>())
            .prop_map(|(key, len, fill)| Op::Set(key, len, fill)),
        1 => (0u8..12).prop_map(Op::Delete),
    ]
}

fn apply(model: &mut Model, op: &Op) {
    match op {
        Op::Set(key, len, fill) => {
            model.insert(vec![b'k', *key], vec![*fill; usize::from(*len)]);
        }
        Op::Delete(key) => {
            model.remove(&vec![b'k', *key]);
        }
    }
}

fn perform(kv: &mut Kv<Fake>, op: &Op) -> Result<(), ChangeError> {
    match op {
        Op::Set(key, len, fill) => kv.set(&[b'k', *key], &vec![*fill; usize::from(*len)]),
        Op::Delete(key) => kv.delete(&[b'k', *key]).map(|_| ()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn what_was_acknowledged_is_there_after_any_crash(
        lives in proptest::collection::vec(
            (proptest::collection::vec(op(), 0..40), 0u32..70, any::<u64>()), 1..5),
        salt: u64,
    ) {
        let mut disk = Fake::blank(MIN_SECTORS);
        // What may be there: what was acknowledged, and that with the one change in flight.
        let (mut surely, mut perhaps) = (Model::new(), Model::new());
        for (ops, left, chance) in lives {
            disk.left = None;
            let mut kv = match Kv::open(disk.clone(), salt ^ chance, PLENTY) {
                Ok(kv) => kv,
                Err(error) => return Err(TestCaseError::fail(std::format!("{error:?}"))),
            };
            let found = contents(&kv);
            prop_assert!(found == surely || found == perhaps, "{} keys", found.len());
            (surely, perhaps) = (found.clone(), found);
            kv.disk.left = Some(left);
            for op in &ops {
                match perform(&mut kv, op) {
                    Ok(()) => {
                        apply(&mut surely, op);
                        perhaps = surely.clone();
                    }
                    Err(ChangeError::Full) => prop_assert_eq!(&contents(&kv), &surely),
                    Err(error) => {
                        prop_assert_eq!(error, ChangeError::Disk);
                        apply(&mut perhaps, op);
                        prop_assert_eq!(&contents(&kv), &surely, "nothing was changed");
                        prop_assert_eq!(kv.set(b"x", b"y"), Err(ChangeError::Disk));
                        break;
                    }
                }
            }
            disk = kv.into_disk().after_crash(chance);
        }
    }
}

#[test]
fn a_full_store_says_so_and_deletions_make_room() {
    let mut kv = Kv::open(Fake::blank(MIN_SECTORS), 1, PLENTY).expect("blank");
    let value = vec![7; 30_000];
    let mut set = 0u32;
    while kv.set(&set.to_le_bytes(), &value).is_ok() {
        set += 1;
    }
    assert_eq!(kv.set(b"one more", &value), Err(ChangeError::Full));
    assert!((10..17).contains(&set), "{set} values fit into half a mebibyte");
    for _ in 0..500 {
        assert_eq!(kv.set(&0u32.to_le_bytes(), &value), Ok(()), "another value instead fits");
    }
    assert!(kv.generation() > 10, "the halves changed: {}", kv.generation());
    assert_eq!(kv.delete(&3u32.to_le_bytes()), Ok(true));
    assert_eq!(kv.delete(&3u32.to_le_bytes()), Ok(false));
    assert_eq!(kv.set(b"one more", &value), Ok(()));
    let again = Kv::open(kv.into_disk(), 2, PLENTY).expect("ours");
    assert_eq!(again.count(), set as usize);
}

#[test]
fn a_disk_of_somebody_else_is_left_alone() {
    for at in [0, 511, 1024, 40_000] {
        let mut disk = Fake::blank(MIN_SECTORS);
        disk.stable[at] = 1;
        let before = disk.clone();
        assert_eq!(Kv::open(disk.clone(), 1, PLENTY).map(|_| ()), Err(OpenError::NotOurs));
        assert_eq!(disk.stable, before.stable);
    }
    let small = Kv::open(Fake::blank(100), 1, PLENTY).map(|_| ());
    assert_eq!(small, Err(OpenError::TooSmall(100)));
    let mut kv = Kv::open(Fake::blank(4 * MIN_SECTORS), 1, PLENTY).expect("blank");
    kv.set(b"a", b"b").expect("room");
    let mut disk = kv.into_disk();
    disk.stable.truncate(MIN_SECTORS as usize * SECTOR);
    assert_eq!(Kv::open(disk.clone(), 1, PLENTY).map(|_| ()), Err(OpenError::Damaged));
    disk.stable[SECTOR + 20] ^= 1;
    assert_eq!(Kv::open(disk, 1, PLENTY).map(|_| ()), Err(OpenError::Damaged));
}

#[test]
fn one_damaged_header_is_no_loss_and_limits_hold() {
    let mut kv = Kv::open(Fake::blank(MIN_SECTORS), 1, PLENTY).expect("blank");
    for _ in 0..100 {
        kv.set(b"key", &[1; 9000]).expect("room");
    }
    assert!(kv.generation() > 1);
    let unused = (kv.header.slot() as usize ^ 1) * SECTOR;
    let mut disk = kv.into_disk();
    disk.stable[unused + 9] ^= 0xff;
    let mut kv = Kv::open(disk, 1, PLENTY).expect("the other header is valid");
    assert_eq!(kv.get(b"key"), Some(&[1; 9000][..]));
    assert_eq!(kv.set(b"", b"x"), Err(ChangeError::TooLong));
    assert_eq!(kv.set(&[b'k'; 256], b"x"), Err(ChangeError::TooLong));
    assert_eq!(kv.set(b"k", &vec![0; 65_537]), Err(ChangeError::TooLong));
    assert_eq!(kv.set(&[b'k'; 255], &vec![0; 65_536]), Ok(()));
    let disk = kv.into_disk();
    assert_eq!(Kv::open(disk.clone(), 1, 1000).map(|_| ()), Err(OpenError::TooMuch));
    let mut kv = Kv::open(disk, 1, 80_000).expect("fits");
    assert_eq!(kv.set(b"other", &[0; 20_000]), Err(ChangeError::Full));
}

#[test]
fn stored_bytes_that_look_like_a_frame_are_none() {
    let mut kv = Kv::open(Fake::blank(MIN_SECTORS), 77, PLENTY).expect("blank");
    // The client guesses everything but the salt, and where the sectors of its value begin.
    let guess = Header { salt: 78, ..kv.header };
    let mut contents = Vec::new();
    Change::Set(b"forged", b"1").encode(&mut contents);
    let forged = encode_frame(&guess, kv.number + 1, &contents);
    let mut value = vec![0; SECTOR - FRAME_HEAD - set_len(b"k", b"")];
    value.extend(forged);
    kv.set(b"k", &value).expect("room");
    let mut disk = kv.into_disk();
    // The frame around it is lost, a shorter one takes its place.
    disk.put(FIRST, &[0; SECTOR]);
    let mut kv = Kv::open(disk, 1, PLENTY).expect("ours");
    assert_eq!(kv.count(), 0);
    kv.set(b"short", b"1").expect("room");
    let kv = Kv::open(kv.into_disk(), 1, PLENTY).expect("ours");
    assert_eq!((kv.get(b"forged"), kv.count()), (None, 1));
}
