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
const SYSENTER_CS: u64 = 3;
/// Flags that a handler does not inherit.
const CLEARED: u64 = flags::AC | flags::VM | flags::RF | flags::NT | flags::TF;
/// Flags of ring 3 that the hypervisor never changes behind a guest's back.
const VISIBLE_FLAGS: u64 = !(flags::IF | flags::IOPL | flags::VM);

/// The registers of the interrupted context.
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

/// The data segment selectors of a failed segment load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selectors {
    /// Selector ds.
    pub ds: u16,
    /// Selector es.
    pub es: u16,
    /// Selector fs.
    pub fs: u16,
    /// Selector gs.
    pub gs: u16,
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
    /// A selector could not be loaded for the guest.
    Failsafe(Selectors),
}

/// Why a delivery is impossible; the domain has to be crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BounceError {
    /// The guest has registered no handler.
    NoHandler,
    /// The frame would leave the addresses a guest may use.
    BadStack {
        /// Address of the lowest word.
        base: u64,
    },
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

    /// Plans a delivery.
    ///
    /// # Errors
    /// The domain cannot receive it and has to be crashed.
    #[inline]
    pub fn new(
        kind: Kind,
        handler: Option<Handler>,
        regs: &Interrupted,
        context: &StackContext,
    ) -> Result<Self, BounceError> {
        let Some(handler) = handler else {
            return Err(BounceError::NoHandler);
        };
        let (words, len) = frame(kind, regs, context);
        let top = match context.mode {
            Mode::Kernel => regs.rsp,
            Mode::User => context.kernel_sp,
        };
        // Xen pushes the failsafe frame where the stack happens to be.
        let aligned = if matches!(kind, Kind::Failsafe(_)) { top } else { top & !15 };
        let bytes = len as u64 * 8;
        let base = aligned.wrapping_sub(bytes);
        if !guest_range(GuestVa::new(base), bytes) {
            return Err(BounceError::BadStack { base });
        }
        let cleared = match kind {
            Kind::Syscall | Kind::Syscall32 => CLEARED | flags::DF,
            _ => CLEARED,
        };
        Ok(Self {
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

#[inline]
fn frame(kind: Kind, regs: &Interrupted, context: &StackContext) -> ([u64; MAX_WORDS], usize) {
    let ss = u64::from(regs.ss);
    let kernel_ss = u64::from(FLAT_KERNEL_SS);
    let (rip, cs, rsp, ss) = match kind {
        Kind::Syscall => (regs.rip, u64::from(FLAT_USER_CS), regs.rsp, kernel_ss),
        Kind::Syscall32 => (regs.rip, u64::from(FLAT_RING3_CS32), regs.rsp, kernel_ss),
        Kind::Sysenter => (0, SYSENTER_CS, 0, kernel_ss),
        _ => (regs.rip, u64::from(regs.cs), regs.rsp, ss),
    };
    // A guest tells the modes apart by the privilege of the saved code segment.
    let cs = match context.mode {
        Mode::Kernel => cs & !3,
        Mode::User => cs | 3,
    };
    let cs = cs | u64::from(context.upcall_mask) << MASK_SHIFT;
    let rflags = saved_flags(kind, regs.rflags, context);
    let (rcx, r11) = (regs.rcx, regs.r11);
    match kind {
        Kind::WithErrorCode(code) => {
            ([rcx, r11, u64::from(code), rip, cs, rflags, rsp, ss, 0, 0, 0], 8)
        }
        Kind::Failsafe(s) => {
            let [ds, es, fs, gs] = [s.ds, s.es, s.fs, s.gs].map(u64::from);
            ([rcx, r11, ds, es, fs, gs, rip, cs, rflags, rsp, ss], 11)
        }
        _ => ([rcx, r11, rip, cs, rflags, rsp, ss, 0, 0, 0, 0], 7),
    }
}

/// The flags as the guest is to see them: the interrupt flag stands for the event mask.
#[inline]
fn saved_flags(kind: Kind, real: u64, context: &StackContext) -> u64 {
    let mut saved = real & VISIBLE_FLAGS;
    if context.upcall_mask == 0 {
        saved |= flags::IF;
    }
    if kind == Kind::Sysenter {
        saved &= !flags::NT;
    }
    saved | u64::from(context.shown_iopl & 3) << flags::IOPL_SHIFT
}
