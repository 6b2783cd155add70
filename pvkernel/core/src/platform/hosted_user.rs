//! User mode of the fake machine: frames with real bytes, page tables that are maps, and a processor with
//! seven instructions.
//!
//! An instruction is four words, little end first, in memory that the program may run: what, and three
//! operands. They are read, and what they touch is translated, as on a machine, so that programs fault,
//! fork and are loaded from files like any other.

use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use super::{locked, Hosted, Mmu};
use crate::platform::{
    Change, FpuId, OutOfMemory, SpaceId, User, UserAccess, UserExit, UserRegs, ANSWERS, BLOCK,
};

const PAGE: u64 = 4096;
/// Bytes of an instruction.
pub const INSTRUCTION: u64 = 32;

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Undefined.
    Bad,
    /// A system call: its number and two arguments; the other registers stay.
    Call(u64, u64, u64),
    /// A byte is written to an address.
    Store(u64, u8),
    /// Undefined unless this byte is at an address.
    Expect(u64, u8),
    /// Goes on at an address if `rax` is 0.
    JumpIfZero(u64),
    /// Undefined unless `rax` is this.
    ExpectAnswer(i64),
    /// A call whose first argument is `rax`.
    CallWithAnswer(u64),
    /// Stays here for ever.
    Spin,
}

impl Op {
    /// As it is in memory.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let words = match self {
            Self::Bad => [0; 4],
            Self::Call(number, a, b) => [1, number, a, b],
            Self::Store(address, byte) => [2, address, byte.into(), 0],
            Self::Expect(address, byte) => [3, address, byte.into(), 0],
            Self::JumpIfZero(address) => [4, address, 0, 0],
            Self::ExpectAnswer(answer) => [5, answer as u64, 0, 0],
            Self::CallWithAnswer(number) => [6, number, 0, 0],
            Self::Spin => [7, 0, 0, 0],
        };
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn of(words: [u64; 4]) -> Self {
        let [op, a, b, c] = words;
        match op {
            1 => Self::Call(a, b, c),
            2 => Self::Store(a, b as u8),
            3 => Self::Expect(a, b as u8),
            4 => Self::JumpIfZero(a),
            5 => Self::ExpectAnswer(a as i64),
            6 => Self::CallWithAnswer(a),
            7 => Self::Spin,
            _ => Self::Bad,
        }
    }
}

#[derive(Default)]
struct FakeSpace {
    pages: BTreeMap<u64, (usize, UserAccess)>,
    frozen: BTreeSet<u64>,
    /// The frame that stands for its tables.
    table: usize,
}

/// Memory and spaces.
pub(super) struct State {
    bytes: Vec<Box<[u8]>>,
    spaces: BTreeMap<usize, FakeSpace>,
    next: usize,
    active: Option<usize>,
    fpus: BTreeSet<usize>,
}

impl State {
    pub(super) fn new(frames: usize) -> Self {
        // Frames are full of what was there before.
        let bytes = (0..frames).map(|frame| std::vec![frame as u8; 4096].into()).collect();
        let (spaces, fpus) = (BTreeMap::new(), BTreeSet::new());
        Self { bytes, spaces, next: 1, active: None, fpus }
    }

    /// The frame behind an address, or the fault.
    fn translate(&self, space: usize, address: u64, want: Want) -> Result<usize, UserExit> {
        let space = &self.spaces[&space];
        let (write, execute) = (want == Want::Write, want == Want::Execute);
        let found = space.pages.get(&(address / PAGE));
        let fault = UserExit::PageFault { address, write, execute, present: found.is_some() };
        let (frame, access) = *found.ok_or(fault)?;
        let is_frozen = space.frozen.contains(&(address / BLOCK));
        match (write && (!access.write || is_frozen)) || (execute && !access.execute) {
            true => Err(fault),
            false => Ok(frame),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Read,
    Write,
    Execute,
}

impl Hosted {
    /// Reads a byte as a program of a space would.
    ///
    /// # Errors
    /// The fault.
    pub fn load_byte(&self, space: SpaceId, address: u64) -> Result<u8, UserExit> {
        let state = locked(&self.user);
        let frame = state.translate(space.0, address, Want::Read)?;
        Ok(state.bytes[frame][(address % PAGE) as usize])
    }

    /// Writes a byte as a program of a space would.
    ///
    /// # Errors
    /// The fault.
    pub fn store_byte(&self, space: SpaceId, address: u64, byte: u8) -> Result<(), UserExit> {
        let mut state = locked(&self.user);
        let frame = state.translate(space.0, address, Want::Write)?;
        state.bytes[frame][(address % PAGE) as usize] = byte;
        Ok(())
    }

    /// Frames that programs can write, once for each place where they can.
    #[must_use]
    pub fn writable_frames(&self) -> Vec<usize> {
        let state = locked(&self.user);
        let mut frames = Vec::new();
        for space in state.spaces.values() {
            let pages = space.pages.iter().filter(|(page, (_, access))| {
                access.write && !space.frozen.contains(&(**page * PAGE / BLOCK))
            });
            frames.extend(pages.map(|(_, (frame, _))| *frame));
        }
        frames
    }

    /// Memory for floating-point registers that is in use.
    #[must_use]
    pub fn fpus(&self) -> usize {
        locked(&self.user).fpus.len()
    }

    fn fetch(&self, space: usize, rip: u64) -> Result<Op, UserExit> {
        let state = locked(&self.user);
        let mut words = [0; 4];
        for (index, word) in words.iter_mut().enumerate() {
            let address = rip + 8 * index as u64;
            let frame = state.translate(space, address, Want::Execute)?;
            let at = (address % PAGE) as usize;
            let bytes: [u8; 8] = state.bytes[frame][at..at + 8].try_into().expect("aligned words");
            *word = u64::from_le_bytes(bytes);
        }
        Ok(Op::of(words))
    }

    /// Executes one instruction; nothing when the program goes on.
    fn execute(&self, space: usize, regs: &mut UserRegs) -> Result<(), UserExit> {
        const UNDEFINED: UserExit = UserExit::Fault { vector: 6, error: 0 };
        if !regs.rip.is_multiple_of(8) {
            return Err(UNDEFINED);
        }
        let op = self.fetch(space, regs.rip)?;
        let next = regs.rip + INSTRUCTION;
        let is_right = match op {
            Op::Bad => false,
            Op::Spin => return Err(UserExit::Interrupted),
            Op::Call(number, a, b) => {
                (regs.rax, regs.rdi, regs.rsi, regs.rip) = (number, a, b, next);
                return Err(UserExit::Syscall);
            }
            Op::CallWithAnswer(number) => {
                (regs.rdi, regs.rax, regs.rip) = (regs.rax, number, next);
                return Err(UserExit::Syscall);
            }
            Op::Store(address, byte) => {
                self.store_byte(SpaceId(space), address, byte)?;
                true
            }
            Op::Expect(address, byte) => self.load_byte(SpaceId(space), address)? == byte,
            Op::ExpectAnswer(answer) => regs.rax as i64 == answer,
            Op::JumpIfZero(address) => {
                regs.rip = if regs.rax == 0 { address } else { next };
                return Ok(());
            }
        };
        if !is_right {
            return Err(UNDEFINED);
        }
        regs.rip = next;
        Ok(())
    }
}

impl User for Hosted {
    fn new_space(&self) -> Result<SpaceId, OutOfMemory> {
        let table = self.alloc_frame().ok_or(OutOfMemory)?;
        let mut state = locked(&self.user);
        let id = state.next;
        state.next += 1;
        state.spaces.insert(id, FakeSpace { table, ..FakeSpace::default() });
        Ok(SpaceId(id))
    }

    fn free_space(&self, space: SpaceId) {
        let mut state = locked(&self.user);
        state.active.take_if(|active| *active == space.0);
        let freed = state.spaces.remove(&space.0).expect("a space is freed once");
        drop(state);
        self.free_frame(freed.table);
    }

    fn change(&self, space: SpaceId, changes: &[Change]) -> Result<(), OutOfMemory> {
        let mut state = locked(&self.user);
        let space = state.spaces.get_mut(&space.0).expect("a space exists");
        for change in changes {
            assert!(change.address.is_multiple_of(PAGE) && change.address < 1 << 47);
            let page = change.address / PAGE;
            match change.page {
                Some(page_is) => space.pages.insert(page, page_is),
                None => space.pages.remove(&page),
            };
        }
        Ok(())
    }

    fn set_block_writable(&self, space: SpaceId, address: u64, writable: bool) {
        let mut state = locked(&self.user);
        let space = state.spaces.get_mut(&space.0).expect("a space exists");
        let block = address / BLOCK;
        let has_table = space.pages.keys().any(|page| page * PAGE / BLOCK == block);
        match writable {
            true => space.frozen.remove(&block),
            false => has_table && space.frozen.insert(block),
        };
    }

    fn table_frames(&self) -> usize {
        locked(&self.user).spaces.len()
    }

    fn activate(&self, space: SpaceId) -> Result<(), OutOfMemory> {
        locked(&self.user).active = Some(space.0);
        Ok(())
    }

    fn set_answers(&self, _answers: &[i64; ANSWERS]) {}

    fn run(&self, regs: &mut UserRegs, fpu: FpuId) -> UserExit {
        let state = locked(&self.user);
        let space = state.active.expect("a space is active");
        assert!(state.fpus.contains(&fpu.0), "registers have memory");
        drop(state);
        loop {
            if let Err(exit) = self.execute(space, regs) {
                return exit;
            }
        }
    }

    fn set_slice(&self, _deadline_ns: Option<u64>) {}

    fn new_fpu(&self, _like: Option<FpuId>) -> Result<FpuId, OutOfMemory> {
        let mut state = locked(&self.user);
        let id = state.next;
        state.next += 1;
        state.fpus.insert(id);
        Ok(FpuId(id))
    }

    fn reset_fpu(&self, fpu: FpuId) {
        assert!(locked(&self.user).fpus.contains(&fpu.0), "registers have memory");
    }

    fn free_fpu(&self, fpu: FpuId) {
        assert!(locked(&self.user).fpus.remove(&fpu.0), "memory is freed once");
    }

    fn read(&self, frame: usize, offset: usize, to: &mut [u8]) {
        to.copy_from_slice(&locked(&self.user).bytes[frame][offset..offset + to.len()]);
    }

    fn write(&self, frame: usize, offset: usize, from: &[u8]) {
        locked(&self.user).bytes[frame][offset..offset + from.len()].copy_from_slice(from);
    }

    fn clear(&self, frame: usize) {
        locked(&self.user).bytes[frame].fill(0);
    }

    fn copy(&self, from: usize, to: usize) {
        let mut state = locked(&self.user);
        let bytes = state.bytes[from].clone();
        state.bytes[to] = bytes;
    }
}
