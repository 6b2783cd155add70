//! Event channels: recording what happened, and running handlers for it.
//!
//! Two halves. The upcall, entered from the hypervisor at any instruction, only moves pending bits
//! from the shared page into `RAISED`; it takes no lock and allocates nothing. The handlers run
//! later, from `dispatch`, in the context of a thread that yields, sleeps or waits.
//!
//! The order in the upcall (clear the upcall flag, then the selector, then the pending bits) is
//! the reverse of the hypervisor's, so an event that arrives in between is seen now or raises the
//! flag again.

use alloc::boxed::Box;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::shared_info::{SharedInfo, VcpuInfo, OFFSET_EVTCHN_MASK, OFFSET_EVTCHN_PENDING};
use hypercall_abi::vcpu::{self as abi, VcpuRegisterVcpuInfo};
use hypercall_abi::{DomId, Errno, EvtchnPort, Pfn, VcpuId, Virq};
use pvkernel_core::sync::Lock;
use spin::Once;

use crate::hypercall::{evtchn, vcpu, version};
use crate::shared::SharedMemory;
use crate::{layout, p2m};

const UPCALL_PENDING: usize = offset_of!(VcpuInfo, evtchn_upcall_pending);
const UPCALL_MASK: usize = offset_of!(VcpuInfo, evtchn_upcall_mask);
const PENDING_SEL: usize = offset_of!(VcpuInfo, evtchn_pending_sel);
const CR2: usize = offset_of!(VcpuInfo, arch);
const WORDS: usize = 64;

static SHARED_INFO: Once<SharedMemory> = Once::new();
/// The vCPU's words, once they have been moved out of the shared page.
static MOVED_VCPU_INFO: Once<SharedMemory> = Once::new();
static RAISED: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];
/// The words of `RAISED` that may have bits: a bit each.
static RAISED_WORDS: AtomicU64 = AtomicU64::new(0);

/// What runs when a port was notified.
pub type Handler = Box<dyn FnMut() + Send>;

/// What a port has.
#[derive(Default)]
enum Slot {
    /// No handler.
    #[default]
    Free,
    /// A handler.
    Bound(Handler),
    /// A handler that is running.
    Running,
}

/// The slots of 64 ports, one word.
struct Chunk {
    slots: [Slot; 64],
    bound: usize,
}

/// Handlers by port. A word's chunk is there while one of its ports has a handler.
struct Handlers([Option<Box<Chunk>>; WORDS]);

impl Handlers {
    fn slot(&mut self, port: u32) -> Option<&mut Slot> {
        let chunk = self.0.get_mut(port as usize / 64)?.as_mut()?;
        chunk.slots.get_mut(port as usize % 64)
    }

    /// Installs a handler; returns what was there. A port no word has never fires.
    fn insert(&mut self, port: u32, handler: Handler) -> Slot {
        let Some(place) = self.0.get_mut(port as usize / 64) else { return Slot::Bound(handler) };
        let chunk = place
            .get_or_insert_with(|| Box::new(Chunk { slots: [const { Slot::Free }; 64], bound: 0 }));
        let Some(slot) = chunk.slots.get_mut(port as usize % 64) else { return Slot::Free };
        let old = core::mem::replace(slot, Slot::Bound(handler));
        chunk.bound += usize::from(matches!(old, Slot::Free));
        old
    }

    fn remove(&mut self, port: u32) -> Slot {
        let old = self.slot(port).map(core::mem::take).unwrap_or_default();
        let Some(place) = self.0.get_mut(port as usize / 64) else { return old };
        if let (Some(chunk), false) = (place.as_mut(), matches!(old, Slot::Free)) {
            chunk.bound -= 1;
            if chunk.bound == 0 {
                *place = None;
            }
        }
        old
    }
}

static HANDLERS: Lock<Handlers> = Lock::new(Handlers([const { None }; WORDS]));

/// Takes over the shared page.
///
/// # Safety
/// `page` is the shared page, mapped for ever, and reached through this module only.
pub(crate) unsafe fn init(page: NonNull<u8>) {
    // SAFETY: (1) and (3) are the caller's promise, (2) pages are aligned.
    let memory = unsafe { SharedMemory::new(page, size_of::<SharedInfo>()) };
    SHARED_INFO.call_once(|| memory);
}

/// The shared page.
///
/// # Panics
/// Before it is mapped, early at boot.
#[must_use]
pub fn shared_info() -> &'static SharedMemory {
    SHARED_INFO.get().expect("the shared page is mapped early at boot")
}

fn vcpu_info_if_mapped() -> Option<&'static SharedMemory> {
    MOVED_VCPU_INFO.get().or_else(|| SHARED_INFO.get())
}

/// The event words and the time of this vCPU: the start of the shared page, or where they were
/// moved.
///
/// # Panics
/// Before the shared page is mapped, early at boot.
#[must_use]
pub fn vcpu_info() -> &'static SharedMemory {
    vcpu_info_if_mapped().expect("the shared page is mapped early at boot")
}

/// Moves the event words and the time of this vCPU to a frame of ours, for good.
///
/// # Errors
/// `EINVAL` when they have been moved before, `ENXIO` for an offset that does not fit.
///
/// # Safety
/// The frame belongs to the caller, is never used for anything else, and stays in the direct map.
pub unsafe fn move_vcpu_info(pfn: Pfn, offset: u32) -> Result<(), Errno> {
    let mfn = p2m::mfn(pfn).ok_or(Errno::EINVAL)?;
    let mut arg = VcpuRegisterVcpuInfo { mfn, offset, rsvd: 0 };
    let was_enabled = mask_upcalls();
    // SAFETY: the hypervisor writes to the frame from now on, which is the caller's promise.
    let ret = unsafe { vcpu::vcpu_op(abi::REGISTER_VCPU_INFO, VcpuId::new(0), &mut arg) };
    if Errno::check(ret).is_ok() {
        let address = layout::direct_va(pfn) + u64::from(offset);
        let base = core::ptr::with_exposed_provenance_mut(address as usize);
        let base = NonNull::new(base).ok_or(Errno::EFAULT)?;
        // SAFETY: (1) and (3) are the caller's promise, (2) the hypervisor checked the offset.
        let memory = unsafe { SharedMemory::new(base, size_of::<VcpuInfo>()) };
        MOVED_VCPU_INFO.call_once(|| memory);
    }
    if was_enabled {
        enable_upcalls();
    }
    Errno::check(ret).map(|_| ())
}

/// The address of the last page fault, as the hypervisor reports it.
#[must_use]
pub fn fault_address() -> u64 {
    vcpu_info_if_mapped().map_or(0, |info| info.u64_at(CR2).load(Ordering::Relaxed))
}

/// Masks upcalls; returns whether they were enabled.
pub fn mask_upcalls() -> bool {
    vcpu_info().u8_at(UPCALL_MASK).swap(1, Ordering::AcqRel) == 0
}

/// Enables upcalls; an event that came while they were masked is recorded before this returns.
pub fn enable_upcalls() {
    let info = vcpu_info();
    info.u8_at(UPCALL_MASK).store(0, Ordering::SeqCst);
    if info.u8_at(UPCALL_PENDING).load(Ordering::SeqCst) != 0 {
        version::force_callback();
    }
}

/// Records what is pending; called by the trap entry with upcalls masked.
pub(crate) fn upcall() {
    let (Some(page), Some(info)) = (SHARED_INFO.get(), vcpu_info_if_mapped()) else { return };
    while info.u8_at(UPCALL_PENDING).swap(0, Ordering::AcqRel) != 0 {
        let mut selector = info.u64_at(PENDING_SEL).swap(0, Ordering::AcqRel);
        while selector != 0 {
            let word = selector.trailing_zeros() as usize;
            selector &= selector - 1;
            record(page, word);
        }
    }
}

fn record(page: &SharedMemory, word: usize) {
    let pending = page.u64_at(OFFSET_EVTCHN_PENDING + 8 * word);
    let mask = page.u64_at(OFFSET_EVTCHN_MASK + 8 * word).load(Ordering::Acquire);
    let wanted = pending.load(Ordering::Acquire) & !mask;
    let taken = pending.fetch_and(!wanted, Ordering::AcqRel) & wanted;
    if taken != 0 {
        RAISED[word].fetch_or(taken, Ordering::Release);
        RAISED_WORDS.fetch_or(1 << word, Ordering::Release);
    }
}

/// Whether an event was recorded that `dispatch` has not seen.
#[must_use]
pub fn is_raised() -> bool {
    RAISED_WORDS.load(Ordering::Acquire) != 0
}

/// Runs the handlers of all recorded events. Events without a handler are dropped.
pub fn dispatch() {
    let mut words = RAISED_WORDS.swap(0, Ordering::AcqRel);
    while words != 0 {
        let word = words.trailing_zeros() as usize % WORDS;
        words &= words - 1;
        let mut bits = RAISED[word].swap(0, Ordering::AcqRel);
        while bits != 0 {
            let port = (word * 64) as u32 + bits.trailing_zeros();
            bits &= bits - 1;
            run_handler(port);
        }
    }
}

fn run_handler(port: u32) {
    // The handler leaves the table while it runs, so that it may bind and unbind ports.
    let mut handlers = HANDLERS.lock();
    let slot = handlers.slot(port).filter(|slot| matches!(slot, Slot::Bound(_)));
    let taken = slot.map(|slot| core::mem::replace(slot, Slot::Running));
    drop(handlers);
    let Some(Slot::Bound(mut handler)) = taken else { return };
    handler();
    let mut handlers = HANDLERS.lock();
    let unbound = match handlers.slot(port) {
        Some(slot @ Slot::Running) => {
            *slot = Slot::Bound(handler);
            None
        }
        // Unbound meanwhile, or another handler was installed, which stays.
        _ => Some(handler),
    };
    drop(handlers);
    drop(unbound);
}

/// Binds a virtual interrupt of this vCPU to a handler.
///
/// # Errors
/// `EEXIST` when it is bound already, `EINVAL`, `ENOSPC`.
pub fn bind_virq(virq: Virq, handler: impl FnMut() + Send + 'static) -> Result<EvtchnPort, Errno> {
    let port = evtchn::bind_virq(virq, VcpuId::new(0))?;
    on_event(port, Box::new(handler));
    Ok(port)
}

/// Offers a port of this domain to another.
///
/// # Errors
/// `ESRCH`, `ENOSPC`.
pub fn alloc_unbound(remote: DomId) -> Result<EvtchnPort, Errno> {
    evtchn::alloc_unbound(DomId::SELF, remote)
}

/// Connects to a port that another domain offers.
///
/// # Errors
/// `ESRCH`, `EINVAL`, `ENOSPC`.
pub fn bind_interdomain(dom: DomId, port: EvtchnPort) -> Result<EvtchnPort, Errno> {
    evtchn::bind_interdomain(dom, port)
}

/// Installs the handler of a port and unmasks it. It runs when a thread yields, sleeps or waits;
/// it may wake threads and print, but must not wait.
pub fn on_event(port: EvtchnPort, handler: Handler) {
    let old = HANDLERS.lock().insert(port.get(), handler);
    drop(old);
    // A port that does not exist has no mask to clear; its handler never runs.
    let _ = evtchn::unmask(port);
}

/// Notifies the other end of a port.
///
/// # Errors
/// `EINVAL` when the port has no other end.
pub fn notify(port: EvtchnPort) -> Result<(), Errno> {
    evtchn::send(port)
}

/// Closes a port and forgets its handler.
///
/// # Errors
/// `EINVAL` when the port is not in use.
pub fn unbind(port: EvtchnPort) -> Result<(), Errno> {
    let old = HANDLERS.lock().remove(port.get());
    drop(old);
    evtchn::close(port)
}

/// Ports with a handler.
pub(crate) fn bound_ports() -> usize {
    HANDLERS.lock().0.iter().flatten().map(|chunk| chunk.bound).sum()
}
