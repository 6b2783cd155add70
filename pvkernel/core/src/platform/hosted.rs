//! A fake machine for `cargo test`: threads of the host that run one at a time, a real clock, and
//! memory that is only numbers.
//!
//! Contexts are host threads which wait for their turn on a condition variable, so that exactly one
//! runs at any time, as on one processor. Frames and mappings are bookkeeping: nothing is really
//! mapped, which is enough to check who maps what.

use std::boxed::Box;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use std::vec::Vec;

#[path = "hosted_user.rs"]
pub mod user;

use super::{
    Access, Block, BlockError, Clock, Console, ContextId, Cpu, Entry, Irq, MapError, Mmu,
    OutOfMemory, Platform, Stack,
};

const FRAMES: usize = 320;
const WINDOW: usize = 0x1000_0000;
const BLOCK_SIZE: usize = 512;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The fake machine; it lives for ever, as machines do.
pub struct Hosted {
    start: Instant,
    me: OnceLock<&'static Hosted>,
    memory: Mutex<Memory>,
    enabled: AtomicBool,
    pending: AtomicU64,
    event: (Mutex<u64>, Condvar),
    turn: (Mutex<Turn>, Condvar),
    output: Mutex<Vec<u8>>,
    input: Mutex<VecDeque<u8>>,
    disk: Mutex<Vec<u8>>,
    user: Mutex<user::State>,
}

struct Memory {
    free: Vec<usize>,
    mapped: BTreeMap<usize, (usize, Access)>,
    next: usize,
}

struct Turn {
    running: usize,
    contexts: usize,
    freed: Vec<usize>,
}

impl Hosted {
    /// A machine and the traits it implements.
    #[must_use]
    pub fn leak() -> (&'static Self, Platform) {
        let memory = Memory { free: (0..FRAMES).collect(), mapped: BTreeMap::new(), next: WINDOW };
        let machine: &'static Self = Box::leak(Box::new(Self {
            start: Instant::now(),
            me: OnceLock::new(),
            memory: Mutex::new(memory),
            enabled: AtomicBool::new(true),
            pending: AtomicU64::new(0),
            event: (Mutex::new(0), Condvar::new()),
            turn: (Mutex::new(Turn { running: 0, contexts: 1, freed: Vec::new() }), Condvar::new()),
            output: Mutex::new(Vec::new()),
            input: Mutex::new(VecDeque::new()),
            disk: Mutex::new(std::vec![0; 8 * BLOCK_SIZE]),
            user: Mutex::new(user::State::new(FRAMES)),
        }));
        machine.me.get_or_init(|| machine);
        let platform = Platform {
            mmu: machine,
            irq: machine,
            clock: machine,
            cpu: machine,
            console: machine,
            block: Some(machine),
            user: Some(machine),
        };
        (machine, platform)
    }

    /// Raises an event, as a device would.
    pub fn raise(&self) {
        *locked(&self.event.0) += 1;
        self.pending.fetch_add(1, Ordering::SeqCst);
        self.event.1.notify_all();
    }

    /// Types characters.
    pub fn type_in(&self, bytes: &[u8]) {
        locked(&self.input).extend(bytes);
        self.raise();
    }

    /// What was written to the console.
    #[must_use]
    pub fn output(&self) -> Vec<u8> {
        locked(&self.output).clone()
    }

    /// How many contexts were freed.
    #[must_use]
    pub fn freed_contexts(&self) -> usize {
        locked(&self.turn.0).freed.len()
    }

    fn wait_for_turn(&self, me: usize) {
        let mut turn = locked(&self.turn.0);
        while turn.running != me {
            turn = self.turn.1.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Mmu for Hosted {
    fn alloc_frame(&self) -> Option<usize> {
        locked(&self.memory).free.pop()
    }

    fn free_frame(&self, frame: usize) {
        let mut memory = locked(&self.memory);
        assert!(!memory.free.contains(&frame), "frame {frame} freed twice");
        assert!(!memory.mapped.values().any(|m| m.0 == frame), "frame {frame} is still mapped");
        memory.free.push(frame);
    }

    fn free_frames(&self) -> usize {
        locked(&self.memory).free.len()
    }

    fn total_frames(&self) -> usize {
        FRAMES
    }

    fn heap_frames(&self) -> usize {
        0
    }

    fn map(&self, frames: &[usize], access: Access) -> Result<usize, MapError> {
        let mut memory = locked(&self.memory);
        if frames.iter().any(|frame| *frame >= FRAMES) {
            return Err(MapError::Refused);
        }
        let base = memory.next;
        memory.next += frames.len() * 4096;
        for (at, frame) in frames.iter().enumerate() {
            memory.mapped.insert(base + at * 4096, (*frame, access));
        }
        Ok(base)
    }

    fn unmap(&self, address: usize, pages: usize) {
        let mut memory = locked(&self.memory);
        memory.mapped.retain(|at, _| !(address..address + pages * 4096).contains(at));
    }

    fn translate(&self, address: usize) -> Option<(usize, Access)> {
        locked(&self.memory).mapped.get(&(address & !4095)).copied()
    }
}

impl Irq for Hosted {
    fn mask(&self) -> bool {
        self.enabled.swap(false, Ordering::SeqCst)
    }

    fn restore(&self, was_enabled: bool) {
        self.enabled.store(was_enabled, Ordering::SeqCst);
    }

    fn is_raised(&self) -> bool {
        self.enabled.load(Ordering::SeqCst) && self.pending.load(Ordering::SeqCst) > 0
    }

    fn dispatch(&self) {
        self.pending.store(0, Ordering::SeqCst);
    }
}

impl Clock for Hosted {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn wall_clock(&self) -> (u64, u32) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (since.as_secs(), since.subsec_nanos())
    }
}

impl Cpu for Hosted {
    fn boot_context(&self) -> ContextId {
        ContextId::new(0)
    }

    fn new_context(&self, entry: Entry, _stack: Stack) -> Result<ContextId, OutOfMemory> {
        let id = {
            let mut turn = locked(&self.turn.0);
            turn.contexts += 1;
            turn.contexts - 1
        };
        let machine = self.me.get().copied().ok_or(OutOfMemory)?;
        std::thread::spawn(move || {
            machine.wait_for_turn(id);
            entry().take_effect();
        });
        Ok(ContextId::new(id))
    }

    fn switch(&self, to: ContextId) {
        let me = {
            let mut turn = locked(&self.turn.0);
            let me = turn.running;
            assert!(!turn.freed.contains(&to.index()), "switch to a freed context");
            turn.running = to.index();
            me
        };
        self.turn.1.notify_all();
        self.wait_for_turn(me);
    }

    fn free_context(&self, context: ContextId) {
        let mut turn = locked(&self.turn.0);
        assert_ne!(turn.running, context.index(), "the running context was freed");
        turn.freed.push(context.index());
    }

    fn idle(&self, deadline_ns: Option<u64>) {
        let limit = deadline_ns.map(|at| at.saturating_sub(self.now_ns()));
        let limit = Duration::from_nanos(limit.unwrap_or(10_000_000));
        let guard = locked(&self.event.0);
        if self.pending.load(Ordering::SeqCst) == 0 {
            drop(self.event.1.wait_timeout(guard, limit));
        }
    }
}

impl Console for Hosted {
    fn write(&self, bytes: &[u8]) {
        locked(&self.output).extend(bytes);
    }

    fn read_byte(&self) -> Option<u8> {
        locked(&self.input).pop_front()
    }
}

impl Block for Hosted {
    fn block_size(&self) -> usize {
        BLOCK_SIZE
    }

    fn block_count(&self) -> u64 {
        (locked(&self.disk).len() / BLOCK_SIZE) as u64
    }

    fn read(&self, first: u64, buffer: &mut [u8]) -> Result<(), BlockError> {
        let disk = locked(&self.disk);
        let range = byte_range(first, buffer.len(), disk.len())?;
        buffer.copy_from_slice(&disk[range]);
        Ok(())
    }

    fn write(&self, first: u64, buffer: &[u8]) -> Result<(), BlockError> {
        let mut disk = locked(&self.disk);
        let range = byte_range(first, buffer.len(), disk.len())?;
        disk[range].copy_from_slice(buffer);
        Ok(())
    }
}

fn byte_range(first: u64, len: usize, size: usize) -> Result<core::ops::Range<usize>, BlockError> {
    let start = usize::try_from(first).ok().and_then(|first| first.checked_mul(BLOCK_SIZE));
    let end = start.and_then(|start| start.checked_add(len));
    match (start, end) {
        (Some(start), Some(end)) if end <= size && len.is_multiple_of(BLOCK_SIZE) => Ok(start..end),
        _ => Err(BlockError::OutOfRange),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::platform::contract;

    fn kernel() -> (&'static Hosted, &'static Kernel) {
        let (machine, platform) = Hosted::leak();
        (machine, Box::leak(Box::new(Kernel::new(platform, "main"))))
    }

    #[test]
    fn the_fake_machine_keeps_the_contract() {
        for (name, test) in contract::TESTS {
            let (_, kernel) = kernel();
            assert_eq!(test(kernel), Ok(()), "{name}");
        }
    }

    #[test]
    fn contexts_of_ended_threads_are_freed() {
        let (machine, kernel) = kernel();
        let handle = kernel.spawn("short", || ()).expect("memory");
        assert!(!handle.is_finished());
        handle.join();
        kernel.yield_now();
        assert_eq!(machine.freed_contexts(), 1);
        assert_eq!(kernel.thread_count(), 1);
    }

    #[test]
    fn events_end_the_idle_state() {
        let (machine, kernel) = kernel();
        let typist = std::thread::spawn(move || machine.type_in(b"x"));
        let queue = crate::wait::WaitQueue::new();
        let deadline = kernel.now_ns() + 5_000_000_000;
        let mut got = None;
        while got.is_none() && kernel.now_ns() < deadline {
            queue.wait_deadline(kernel, Some(kernel.now_ns() + 1_000_000), || true);
            kernel.yield_now();
            got = kernel.platform().console.read_byte();
        }
        typist.join().expect("typist");
        assert_eq!(got, Some(b'x'));
    }

    #[test]
    fn blocks_read_back_as_written() {
        let (_, platform) = Hosted::leak();
        let disk = platform.block.expect("disk");
        let data = std::vec![7u8; 2 * BLOCK_SIZE];
        assert_eq!(disk.write(3, &data), Ok(()));
        let mut back = std::vec![0u8; 2 * BLOCK_SIZE];
        assert_eq!(disk.read(3, &mut back), Ok(()));
        assert_eq!(back, data);
        assert_eq!(disk.write(7, &data), Err(BlockError::OutOfRange));
    }
}
