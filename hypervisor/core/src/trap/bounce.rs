//! The frame of a delivery to a guest handler.
//!
//! Called for every exception, event and system call that a guest sees. All deliveries share one
//! frame (ascending: rcx, r11, perhaps an error code, rip, cs with the event mask, rflags, rsp,
//! ss); only a failed segment load has four selectors more.
//!
//! Invariant: a [`Bounce`] lies wholly in addresses the guest may use, and its new registers can
//! be loaded without a further check: 64-bit ring-3 selectors, canonical rip, safe flags.
//!
//! The image must clear its record of the pending delivery when a frame was built, or a second
//! one would follow.

use super::flags;
use super::table::Handler;
use super::Mode;
use hypercall_abi::addr::{guest_range, GuestVa};
use hypercall_abi::regs::{FLAT_KERNEL_CS, FLAT_KERNEL_SS, FLAT_RING3_CS32, FLAT_USER_CS};

/// Most words a frame can have.
pub const MAX_WORDS: usize = 11;
/// Where the event mask is in the word of the code segment.
const MASK_SHIFT: u32 = 32;
/// Code segment stored for SYSENTER, which does not tell where it came from.
const SYSENTER_CS: u16 = 3;
/// Flags that a handler does not inherit.
const CLEARED: u64 = flags::AC | flags::VM | flags::RF | flags::NT | flags::TF;
/// Flags of ring 3 that the hypervisor never changes behind a guest's back.
const VISIBLE_FLAGS: u64 = !(flags::IF | flags::IOPL | flags::VM);

/// The registers of an interrupted context, which a delivery saves and `iret` restores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interrupted {
    /// Register rcx.
    pub rcx: u64,
    /// Register r11.
    pub r11: u64,
    /// Instruction to return to.
    pub rip: u64,
    /// Code segment.
    pub cs: u16,
    /// Real flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u16,
}

/// What a delivery needs of the vCPU besides its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackContext {
    /// Mode that was interrupted.
    pub mode: Mode,
    /// Stack for entries from user mode.
    pub kernel_sp: u64,
    /// The byte `evtchn_upcall_mask` before the delivery.
    pub upcall_mask: u8,
    /// I/O privilege level to show in the saved flags; 0 without architectural IOPL.
    pub shown_iopl: u8,
}

/// What kind of frame is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Event, exception without error code, NMI, machine check or software interrupt.
    Plain,
    /// Exception with this error code.
    WithErrorCode(u32),
    /// SYSCALL from 64-bit code; rcx and r11 hold rip and flags, as the processor left them.
    Syscall,
    /// SYSCALL from 32-bit code.
    Syscall32,
    /// SYSENTER: the return address is not known.
    Sysenter,
    /// A selector could not be loaded for the guest; ds, es, fs and gs.
    Failsafe([u16; 4]),
}

/// A complete frame and the registers the guest continues with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounce {
    words: [u64; MAX_WORDS],
    len: usize,
    /// Address of the lowest word, which is also the new stack pointer.
    pub base: u64,
    /// The handler.
    pub rip: u64,
    /// New flags.
    pub rflags: u64,
    /// Whether page tables and GS have to be switched to the kernel's before the frame is written.
    pub enters_kernel: bool,
    /// Whether `evtchn_upcall_mask` becomes 1.
    pub sets_mask: bool,
}

impl Bounce {
    /// New code segment of every handler.
    pub const CS: u16 = FLAT_KERNEL_CS;
    /// New stack segment of every handler.
    pub const SS: u16 = FLAT_KERNEL_SS;

    /// The words of the frame, lowest address first.
    #[inline]
    #[must_use]
    pub fn words(&self) -> &[u64] {
        self.words.get(..self.len).unwrap_or(&[])
    }

    /// Plans a delivery. Without a handler, or when the frame would leave the addresses a guest may
    /// use, there is none, and the domain has to be crashed.
    #[inline]
    #[must_use]
    pub fn new(
        kind: Kind,
        handler: Option<Handler>,
        regs: &Interrupted,
        context: &StackContext,
    ) -> Option<Self> {
        let handler = handler?;
        let (words, len) = frame(kind, regs, context);
        let top = match context.mode {
            Mode::Kernel => regs.rsp,
            Mode::User => context.kernel_sp,
        };
        // Xen pushes the failsafe frame where the stack happens to be.
        let aligned = if matches!(kind, Kind::Failsafe(_)) { top } else { top & !15 };
        let bytes = len as u64 * 8;
        let base = aligned.wrapping_sub(bytes);
        let cleared = match kind {
            Kind::Syscall | Kind::Syscall32 => CLEARED | flags::DF,
            _ => CLEARED,
        };
        guest_range(GuestVa::new(base), bytes).then_some(Self {
            words,
            len,
            base,
            rip: handler.address(),
            rflags: flags::for_guest(regs.rflags & !cleared),
            enters_kernel: context.mode == Mode::User,
            sets_mask: handler.masks_events(),
        })
    }
}

/// The words of the frame, and how many there are.
#[inline]
fn frame(kind: Kind, regs: &Interrupted, context: &StackContext) -> ([u64; MAX_WORDS], usize) {
    let (rip, cs, rsp, ss) = match kind {
        Kind::Syscall => (regs.rip, FLAT_USER_CS, regs.rsp, FLAT_KERNEL_SS),
        Kind::Syscall32 => (regs.rip, FLAT_RING3_CS32, regs.rsp, FLAT_KERNEL_SS),
        Kind::Sysenter => (0, SYSENTER_CS, 0, FLAT_KERNEL_SS),
        _ => (regs.rip, regs.cs, regs.rsp, regs.ss),
    };
    // A guest tells the modes apart by the privilege of the saved code segment.
    let cs = match context.mode {
        Mode::Kernel => cs & !3,
        Mode::User => cs | 3,
    };
    let cs = u64::from(cs) | u64::from(context.upcall_mask) << MASK_SHIFT;
    let rflags = saved_flags(kind, regs.rflags, context);
    let (rcx, r11, ss) = (regs.rcx, regs.r11, u64::from(ss));
    match kind {
        Kind::WithErrorCode(code) => {
            ([rcx, r11, u64::from(code), rip, cs, rflags, rsp, ss, 0, 0, 0], 8)
        }
        Kind::Failsafe(selectors) => {
            let [ds, es, fs, gs] = selectors.map(u64::from);
            ([rcx, r11, ds, es, fs, gs, rip, cs, rflags, rsp, ss], 11)
        }
        _ => ([rcx, r11, rip, cs, rflags, rsp, ss, 0, 0, 0, 0], 7),
    }
}

/// The flags as the guest is to see them: the interrupt flag stands for the event mask.
#[inline]
fn saved_flags(kind: Kind, real: u64, context: &StackContext) -> u64 {
    let hidden = if kind == Kind::Sysenter { flags::NT } else { 0 };
    let interrupts = if context.upcall_mask == 0 { flags::IF } else { 0 };
    let iopl = u64::from(context.shown_iopl & 3) << flags::IOPL_SHIFT;
    real & VISIBLE_FLAGS & !hidden | interrupts | iopl
}
