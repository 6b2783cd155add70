//! An event channel under measurement: its bits in the shared page, and a raw upcall entry.
//!
//! The entry reads the time stamp counter before anything else, so that a row can end at the first
//! instruction of the handler. It keeps all registers: rcx and r11 are in the frame, rax and rdx
//! wait there meanwhile. While it is installed, every other port of the first word is masked.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::callback::{kind, MASK_EVENTS};
use hypercall_abi::shared_info::{VcpuInfo, OFFSET_EVTCHN_MASK, OFFSET_EVTCHN_PENDING};
use hypercall_abi::EvtchnPort;
use pvkernel_xen::event;
use pvkernel_xen::hypercall::cpu;
use pvkernel_xen::shared::SharedMemory;
use pvkernel_xen::trap;

const UPCALL_PENDING: usize = offset_of!(VcpuInfo, evtchn_upcall_pending);
const UPCALL_MASK: usize = offset_of!(VcpuInfo, evtchn_upcall_mask);
const SELECTOR: usize = offset_of!(VcpuInfo, evtchn_pending_sel);

/// What the entry uses: where the words are, and what it saw.
#[repr(C)]
struct Entry {
    stamp: AtomicU64,
    count: AtomicU64,
    vcpu_info: AtomicU64,
    pending: AtomicU64,
    keep: AtomicU64,
}

static ENTRY: Entry = Entry {
    stamp: AtomicU64::new(0),
    count: AtomicU64::new(0),
    vcpu_info: AtomicU64::new(0),
    pending: AtomicU64::new(0),
    keep: AtomicU64::new(0),
};

// Twice the same code: `bench_mark_stop_upcall` ends a traced operation, `bench_upcall` does not.
#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".macro bench_upcall_entry name",
    ".balign 16",
    ".global \\name",
    "\\name:",
    "mov rcx, rax",
    "mov r11, rdx",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "mov [rip + {entry} + {stamp}], rax",
    "inc qword ptr [rip + {entry} + {count}]",
    "mov rax, [rip + {entry} + {vcpu_info}]",
    "mov byte ptr [rax + {upcall_pending}], 0",
    "mov qword ptr [rax + {selector}], 0",
    "mov rax, [rip + {entry} + {pending}]",
    "mov rdx, [rip + {entry} + {keep}]",
    "lock and [rax], rdx",
    "mov rdx, r11",
    "mov rax, rcx",
    "pop rcx",
    "pop r11",
    "push 0",
    "push rcx",
    "push r11",
    "push rax",
    "mov eax, 23",
    "syscall",
    "ud2",
    ".endm",
    ".pushsection .text.bench_upcall, \"ax\"",
    "bench_upcall_entry bench_mark_stop_upcall",
    "bench_upcall_entry bench_upcall",
    ".popsection",
    entry = sym ENTRY,
    stamp = const offset_of!(Entry, stamp),
    count = const offset_of!(Entry, count),
    vcpu_info = const offset_of!(Entry, vcpu_info),
    pending = const offset_of!(Entry, pending),
    keep = const offset_of!(Entry, keep),
    upcall_pending = const UPCALL_PENDING,
    selector = const SELECTOR,
);

#[cfg(target_os = "none")]
mod symbols {
    // SAFETY: defined above; only their addresses are used.
    unsafe extern "C" {
        pub fn bench_mark_stop_upcall();
        pub fn bench_upcall();
    }
}

/// On a host the guest does not run; the names only have to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    pub unsafe extern "C" fn bench_mark_stop_upcall() {}
    pub unsafe extern "C" fn bench_upcall() {}
}

/// Where a measured operation ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// At the first instruction of the handler.
    Handler,
    /// Behind the call, when the handler has returned.
    Return,
}

/// A port and its bits.
#[derive(Clone, Copy)]
pub struct Channel {
    /// The port, one of the first 64.
    pub port: EvtchnPort,
    info: &'static SharedMemory,
    pending: &'static AtomicU64,
    mask: &'static AtomicU64,
}

impl Channel {
    /// The bits of a port.
    ///
    /// # Panics
    /// If it is not one of the first 64: few ports are open when the topics run.
    pub fn new(port: EvtchnPort) -> Channel {
        assert!(port.get() < 64, "a port beyond the first word");
        let page = event::shared_info();
        Channel {
            port,
            info: event::vcpu_info(),
            pending: page.u64_at(OFFSET_EVTCHN_PENDING),
            mask: page.u64_at(OFFSET_EVTCHN_MASK),
        }
    }

    fn bit(self) -> u64 {
        1 << self.port.get()
    }

    /// Whether the pending bit is set, as 0 or 1.
    #[inline]
    pub fn pending(self) -> u64 {
        self.pending.load(Ordering::Relaxed) >> self.port.get() & 1
    }

    /// Whether the port is masked, as 0 or 1.
    #[inline]
    pub fn masked(self) -> u64 {
        self.mask.load(Ordering::Relaxed) >> self.port.get() & 1
    }

    /// Whether the selector bit and the upcall byte are set, as 0 or 1.
    #[inline]
    pub fn raised(self) -> u64 {
        self.info.u64_at(SELECTOR).load(Ordering::Relaxed)
            & u64::from(self.info.u8_at(UPCALL_PENDING).load(Ordering::Relaxed))
    }

    /// Sets the pending bit.
    #[inline]
    pub fn set_pending(self) {
        self.pending.fetch_or(self.bit(), Ordering::SeqCst);
    }

    /// Clears the pending bit.
    #[inline]
    pub fn clear_pending(self) {
        self.pending.fetch_and(!self.bit(), Ordering::SeqCst);
    }

    /// Masks the port.
    #[inline]
    pub fn mask(self) {
        self.mask.fetch_or(self.bit(), Ordering::SeqCst);
    }

    /// Unmasks the port, by writing the bit.
    #[inline]
    pub fn unmask(self) {
        self.mask.fetch_and(!self.bit(), Ordering::SeqCst);
    }

    /// Writes selector and upcall byte.
    #[inline]
    pub fn set_raised(self, raised: bool) {
        self.info.u64_at(SELECTOR).store(raised.into(), Ordering::Relaxed);
        self.info.u8_at(UPCALL_PENDING).store(raised.into(), Ordering::SeqCst);
    }

    /// Whether upcalls are to be delivered.
    #[inline]
    pub fn set_upcalls(self, enabled: bool) {
        self.info.u8_at(UPCALL_MASK).store((!enabled).into(), Ordering::SeqCst);
    }

    /// Forgets everything about the port, as if nothing had been sent.
    pub fn calm(self) {
        self.clear_pending();
        self.set_raised(false);
    }
}

/// The raw entry, installed for a channel. The kernel's own comes back when it is dropped.
pub struct Upcall {
    channel: Channel,
    others: u64,
    before: u64,
}

impl Upcall {
    /// Masks all other ports and installs the entry; upcalls are masked.
    ///
    /// # Panics
    /// If the hypervisor refuses the entry.
    pub fn new(channel: Channel, until: Until) -> Upcall {
        event::mask_upcalls();
        let others = channel.mask.swap(!channel.bit(), Ordering::SeqCst);
        channel.calm();
        ENTRY.vcpu_info.store(channel.info.address(), Ordering::Relaxed);
        let word = core::ptr::from_ref(channel.pending).expose_provenance();
        ENTRY.pending.store(word as u64, Ordering::Relaxed);
        ENTRY.keep.store(!channel.bit(), Ordering::Relaxed);
        let entry: unsafe extern "C" fn() = match until {
            Until::Handler => symbols::bench_mark_stop_upcall,
            Until::Return => symbols::bench_upcall,
        };
        // SAFETY: the entry follows the interface's frame format and keeps all registers.
        unsafe { cpu::callback_register(kind::EVENT, MASK_EVENTS, entry as usize as u64) }
            .expect("the entry has a canonical address");
        Upcall { channel, others, before: Upcall::count() }
    }

    fn count() -> u64 {
        ENTRY.count.load(Ordering::Relaxed)
    }

    /// How often the entry ran since it was installed.
    pub fn ran(&self) -> u64 {
        Upcall::count() - self.before
    }

    /// The counter as the entry read it last.
    #[inline]
    pub fn stamp(&self) -> u64 {
        ENTRY.stamp.load(Ordering::Relaxed)
    }
}

impl Drop for Upcall {
    fn drop(&mut self) {
        event::mask_upcalls();
        self.channel.calm();
        trap::install();
        self.channel.mask.store(self.others, Ordering::SeqCst);
        // What came for the other ports meanwhile is looked at with the next event.
        self.channel.info.u64_at(SELECTOR).fetch_or(1, Ordering::SeqCst);
    }
}
