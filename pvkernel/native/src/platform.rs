//! The platform traits of `pvkernel-core`, by instructions.
//!
//! Read beside the traits: each method is one line that says what the machine does.

use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicU64, Ordering};

use pvkernel_core::platform::{
    Access, Block, BlockError, Clock, ContextId, Cpu, Entry, Irq, MapError, Mmu, OutOfMemory,
    Platform, Stack,
};
use pvkernel_core::sync::Lock;

use crate::layout::{Pfn, PAGE};
use crate::mmu::{self, pte};
use crate::window::Range;
use crate::{boot, console, cpu, event, frames, stack, stats, thread, time, user};

struct Machine;

/// Mappings made through the trait, by address.
static MAPPED: Lock<BTreeMap<u64, Range>> = Lock::new(BTreeMap::new());

/// The parts of this machine.
pub(crate) fn platform() -> Platform {
    Platform {
        mmu: &Machine,
        irq: &Machine,
        clock: &Machine,
        cpu: &Machine,
        console: console::device(),
        block: boot::info().ramdisk.map(|_| &Machine as &dyn Block),
        user: Some(user::device()),
    }
}

impl Mmu for Machine {
    fn alloc_frame(&self) -> Option<usize> {
        loop {
            match frames::alloc() {
                Some(pfn) => return Some(pfn.get() as usize),
                None if stack::give_up_spare() || user::give_up_spare() => {}
                None => return None,
            }
        }
    }

    fn free_frame(&self, frame: usize) {
        frames::free(Pfn::new(frame as u64), 1);
    }

    fn free_frames(&self) -> usize {
        frames::free_count() + stack::spare_frames() + user::spare_frames()
    }

    fn total_frames(&self) -> usize {
        boot::info().frame_limit
    }

    fn heap_frames(&self) -> usize {
        stats::heap_total_bytes() / PAGE as usize
    }

    fn map(&self, frames: &[usize], access: Access) -> Result<usize, MapError> {
        let flags = match access {
            Access::Read => mmu::KERNEL_RO,
            Access::ReadWrite => mmu::KERNEL_RW,
        };
        let mut range = Range::new(frames.len())?;
        let entry = |frame: &usize| mmu::frame_entry(Pfn::new(*frame as u64), flags);
        range.map(0, frames.iter().map(entry))?;
        let start = range.start();
        MAPPED.lock().insert(start, range);
        Ok(start as usize)
    }

    fn unmap(&self, address: usize, _pages: usize) {
        let range = MAPPED.lock().remove(&(address as u64));
        drop(range);
    }

    fn translate(&self, address: usize) -> Option<(usize, Access)> {
        let entry = mmu::lookup(address as u64)?;
        let access = if entry & pte::RW != 0 { Access::ReadWrite } else { Access::Read };
        mmu::entry_pfn(entry).map(|pfn| (pfn.get() as usize, access))
    }
}

impl Irq for Machine {
    fn mask(&self) -> bool {
        event::mask_upcalls()
    }

    fn restore(&self, was_enabled: bool) {
        if was_enabled {
            event::enable_upcalls();
        }
    }

    fn is_raised(&self) -> bool {
        event::is_raised()
    }

    fn dispatch(&self) {
        event::dispatch();
    }
}

impl Clock for Machine {
    fn now_ns(&self) -> u64 {
        time::now_ns()
    }

    fn wall_clock(&self) -> (u64, u32) {
        time::wall_clock()
    }
}

impl Cpu for Machine {
    fn boot_context(&self) -> ContextId {
        ContextId::new(0)
    }

    fn new_context(&self, entry: Entry, stack: Stack) -> Result<ContextId, OutOfMemory> {
        thread::new_context(entry, stack)
    }

    fn switch(&self, to: ContextId) {
        thread::switch(to);
    }

    fn free_context(&self, context: ContextId) {
        thread::free_context(context);
    }

    /// With upcalls masked nothing is recorded between the look at `is_raised` and the halt, which
    /// unmasks and waits in one step and returns at once when something is pending.
    fn idle(&self, deadline_ns: Option<u64>) {
        event::mask_upcalls();
        if event::is_raised() {
            event::enable_upcalls();
            return;
        }
        arm_timer(deadline_ns.unwrap_or(0));
        // SAFETY: nothing is begun here that an interrupt could come between.
        unsafe { cpu::wait_for_interrupt() };
    }
}

/// The ramdisk as a disk that cannot be written.
impl Block for Machine {
    fn block_size(&self) -> usize {
        512
    }

    fn block_count(&self) -> u64 {
        boot::info().ramdisk.map_or(0, |disk| (disk.len() / 512) as u64)
    }

    fn read(&self, first: u64, buffer: &mut [u8]) -> Result<(), BlockError> {
        let disk = boot::info().ramdisk.ok_or(BlockError::Device)?;
        let start = usize::try_from(first).ok().and_then(|first| first.checked_mul(512));
        let start = start.ok_or(BlockError::OutOfRange)?;
        let end = start.checked_add(buffer.len()).filter(|_| buffer.len().is_multiple_of(512));
        let data = end.and_then(|end| disk.get(start..end)).ok_or(BlockError::OutOfRange)?;
        buffer.copy_from_slice(data);
        Ok(())
    }

    fn write(&self, _first: u64, _buffer: &[u8]) -> Result<(), BlockError> {
        Err(BlockError::ReadOnly)
    }
}

/// What the timer is armed for; 0 when it is not, or has fired.
static ARMED: AtomicU64 = AtomicU64::new(0);

/// Arms the timer; 0 disarms, a time in the past fires at once. A thread that is woken by something else
/// before its time comes back with the same one, and nothing has to be done.
pub(crate) fn arm_timer(deadline_ns: u64) {
    let is_armed = ARMED.swap(deadline_ns, Ordering::Relaxed) == deadline_ns;
    if is_armed && (deadline_ns == 0 || deadline_ns > time::now_ns()) {
        return;
    }
    time::set_timer(deadline_ns);
}

/// Arms the timer unless it is armed for an earlier time, which is as good: who is interrupted too early
/// looks at the time.
pub(crate) fn arm_timer_by(deadline_ns: u64) {
    let armed = ARMED.load(Ordering::Relaxed);
    if armed == 0 || armed > deadline_ns {
        arm_timer(deadline_ns.max(1));
    }
}

/// The timer has fired. That the idle state or a program's turn ended is all it is for.
pub(crate) fn timer_fired() {
    ARMED.store(0, Ordering::Relaxed);
}
