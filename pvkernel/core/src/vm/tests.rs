//! Spaces against a slow model: what each process should see, byte for byte, and how many frames that takes.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Denied, Pool, Space, Want, PAGE, STACK_TOP};
use crate::platform::hosted::Hosted;
use crate::platform::{Mmu, UserAccess, UserExit};
use pvkernel_abi::Errno;

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x40_1000;
/// Pages of the data region.
const PAGES: u64 = 12;

struct World {
    machine: &'static Hosted,
    pool: &'static Pool,
    free: usize,
}

impl World {
    fn new() -> Self {
        let (machine, platform) = Hosted::leak();
        let pool = Box::leak(Box::new(Pool::new(platform.mmu, machine)));
        Self { machine, pool, free: machine.free_frames() }
    }

    fn space(&self) -> Space {
        let mut space = Space::new(self.pool).unwrap();
        let code = UserAccess { write: false, execute: true };
        space.add(CODE, CODE + PAGE, code).unwrap();
        let data = UserAccess { write: true, execute: false };
        space.add(DATA, DATA + PAGES * PAGE, data).unwrap();
        space.add_heap().unwrap();
        space
    }

    /// A byte as the program gets it, with the faults served.
    fn load(&self, space: &mut Space, address: u64) -> Result<u8, Denied> {
        for _ in 0..3 {
            match self.machine.load_byte(space.id(), address) {
                Ok(byte) => return Ok(byte),
                Err(_) => space.fault(address, Want::Read)?,
            }
        }
        panic!("a fault that was served comes again")
    }

    fn store(&self, space: &mut Space, address: u64, byte: u8) -> Result<(), Denied> {
        for _ in 0..3 {
            match self.machine.store_byte(space.id(), address, byte) {
                Ok(()) => return Ok(()),
                Err(_) => space.fault(address, Want::Write)?,
            }
        }
        panic!("a fault that was served comes again")
    }
}

#[derive(Clone, Debug)]
enum Op {
    Store(usize, u64, u8),
    Load(usize, u64),
    Kernel(usize, u64, u8),
    Fork(usize),
    Sbrk(usize, i64),
    End(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let who = 0usize..6;
    // The data region, what may be heap, and the stack.
    let places = prop_oneof![
        3 => DATA..DATA + PAGES * PAGE,
        2 => DATA + PAGES * PAGE..DATA + (PAGES + 6) * PAGE,
        1 => STACK_TOP - 4 * PAGE..STACK_TOP,
    ];
    let place = || places.clone();
    let op = prop_oneof![
        6 => (who.clone(), place(), any::<u8>()).prop_map(|(who, at, byte)| Op::Store(who, at, byte)),
        3 => (who.clone(), place()).prop_map(|(who, at)| Op::Load(who, at)),
        2 => (who.clone(), place(), any::<u8>()).prop_map(|(who, at, byte)| Op::Kernel(who, at, byte)),
        2 => who.clone().prop_map(Op::Fork),
        2 => (who.clone(), -3 * PAGE as i64..4 * PAGE as i64).prop_map(|(who, by)| Op::Sbrk(who, by)),
        1 => who.prop_map(Op::End),
    ];
    proptest::collection::vec(op, 0..60)
}

/// What a process should see: bytes by address, zeros otherwise, up to the end of the heap.
#[derive(Clone)]
struct Model {
    bytes: BTreeMap<u64, u8>,
    heap_end: u64,
}

impl Model {
    fn permits(&self, address: u64) -> bool {
        let heap = self.heap_end.next_multiple_of(PAGE);
        (DATA..heap).contains(&address) || address >= STACK_TOP - super::STACK_BYTES
    }
}

proptest! {
    #[test]
    fn processes_see_their_own_memory_and_all_comes_back(ops in ops()) {
        let world = World::new();
        let heap = DATA + PAGES * PAGE;
        let mut all = std::vec![(world.space(), Model { bytes: BTreeMap::new(), heap_end: heap })];
        for op in ops {
            let count = all.len();
            match op {
                Op::Store(who, at, byte) => {
                    let (space, model) = &mut all[who % count];
                    let stored = world.store(space, at, byte);
                    prop_assert_eq!(stored.is_ok(), model.permits(at));
                    if stored.is_ok() {
                        model.bytes.insert(at, byte);
                    }
                }
                Op::Load(who, at) => {
                    let (space, model) = &mut all[who % count];
                    let expected = model.permits(at).then(|| model.bytes.get(&at).copied().unwrap_or(0));
                    prop_assert_eq!(world.load(space, at).ok(), expected);
                }
                Op::Kernel(who, at, byte) => {
                    let (space, model) = &mut all[who % count];
                    let seen = space.read_value::<u8>(at);
                    let expected = model.bytes.get(&at).copied().unwrap_or(0);
                    prop_assert_eq!(seen, if model.permits(at) { Ok(expected) } else { Err(Errno::EFAULT) });
                    if space.write(at, &[byte]).is_ok() {
                        prop_assert!(model.permits(at));
                        model.bytes.insert(at, byte);
                    } else {
                        prop_assert!(!model.permits(at));
                    }
                }
                Op::Fork(who) if count < 6 => {
                    let (space, model) = &mut all[who % count];
                    let child = (space.fork().unwrap(), model.clone());
                    all.push(child);
                }
                Op::Sbrk(who, by) => {
                    let (space, model) = &mut all[who % count];
                    let end = model.heap_end.checked_add_signed(by).unwrap();
                    let answer = space.sbrk(by);
                    if end < heap {
                        prop_assert_eq!(answer, Err(Errno::EINVAL));
                    } else {
                        prop_assert_eq!(answer, Ok(model.heap_end));
                        model.heap_end = end;
                        let gone = end.next_multiple_of(PAGE);
                        model.bytes.retain(|at, _| *at < gone || *at >= STACK_TOP - super::STACK_BYTES);
                    }
                }
                Op::End(who) if count > 1 => drop(all.remove(who % count)),
                Op::Fork(_) | Op::End(_) => {}
            }
            for frame in world.machine.writable_frames() {
                prop_assert_eq!(world.pool.users(frame), 1, "a shared frame can be written");
            }
        }
        for (space, model) in &mut all {
            for (at, byte) in &model.bytes {
                prop_assert_eq!(world.load(space, *at), Ok(*byte));
            }
        }
        drop(all);
        prop_assert_eq!(world.pool.used(), 0);
        prop_assert_eq!(world.machine.free_frames(), world.free);
    }
}

#[test]
fn what_is_not_there_or_not_permitted_is_denied() {
    let world = World::new();
    let mut space = world.space();
    for (address, want) in [
        (0, Want::Read),
        (CODE - 1, Want::Read),
        (CODE, Want::Write),
        (DATA, Want::Execute),
        (DATA + PAGES * PAGE, Want::Write),
        (STACK_TOP - super::STACK_BYTES - 1, Want::Write),
        (STACK_TOP, Want::Write),
        (u64::MAX, Want::Read),
    ] {
        assert_eq!(space.fault(address, want), Err(Denied::Address), "{address:#x}");
    }
    assert_eq!(space.write(CODE, b"x"), Err(Errno::EFAULT));
    assert_eq!(space.load(CODE, b"x"), Ok(()));
    let mut long = [0; 2 * PAGE as usize];
    assert_eq!(space.read(STACK_TOP - PAGE, &mut long), Err(Errno::EFAULT));
    assert_eq!(space.read(u64::MAX - 3, &mut long), Err(Errno::EFAULT));
    assert_eq!(space.bytes(CODE, u64::MAX, 10, Errno::E2BIG), Err(Errno::E2BIG));
    assert!(matches!(
        world.machine.store_byte(space.id(), CODE, 1),
        Err(UserExit::PageFault { write: true, present: false, .. })
    ));
}

#[test]
fn memory_that_ends_is_refused_and_comes_back() {
    let world = World::new();
    let mut space = world.space();
    let all = (world.free as u64) * PAGE;
    assert_eq!(space.sbrk(all as i64), Err(Errno::ENOMEM));
    let heap = space.sbrk(120 * PAGE as i64).unwrap();
    for page in 0..120 {
        assert_eq!(world.store(&mut space, heap + page * PAGE, 7), Ok(()));
    }
    let mut child = space.fork().unwrap();
    let denied = (0..120).find_map(|page| world.store(&mut child, heap + page * PAGE, 8).err());
    assert_eq!(denied, Some(Denied::Memory), "so many more are not there");
    assert!(space.fork().is_err());
    assert_eq!(world.load(&mut space, heap), Ok(7), "the parent's pages are as they were");
    drop(child);
    assert!(space.fork().is_ok());
    drop(space);
    assert_eq!(world.machine.free_frames(), world.free);
}
