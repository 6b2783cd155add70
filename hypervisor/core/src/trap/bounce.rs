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

/// Words from the return address on: rip, cs, rflags, rsp, ss.
const TAIL: usize = 5;
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

/// What a delivery needs of the vCPU besides its registers; by default in kernel mode, unmasked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// A frame to be pushed and the registers the guest continues with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounce {
    kind: Kind,
    context: StackContext,
    /// Address of the lowest word, which is also the new stack pointer.
    pub base: u64,
    /// The handler.
    pub rip: u64,
    /// New flags.
    pub rflags: u64,
    /// Whether `evtchn_upcall_mask` becomes 1.
    pub sets_mask: bool,
}

impl Kind {
    /// Words of a frame of this kind.
    pub const fn words(&self) -> usize {
        self.head() + TAIL
    }

    /// Whether only user mode can bring it about.
    pub const fn is_from_user(&self) -> bool {
        matches!(self, Kind::Syscall | Kind::Syscall32 | Kind::Sysenter)
    }

    /// Words below the return address.
    const fn head(&self) -> usize {
        match self {
            Kind::WithErrorCode(_) => 3,
            Kind::Failsafe(_) => 6,
            _ => 2,
        }
    }
}

impl Bounce {
    /// New code segment of every handler.
    pub const CS: u16 = FLAT_KERNEL_CS;
    /// New stack segment of every handler.
    pub const SS: u16 = FLAT_KERNEL_SS;

    /// Plans a delivery. When the frame would leave the addresses a guest may use, there is none, and
    /// the domain has to be crashed.
    #[inline(always)]
    pub fn new(
        kind: Kind,
        handler: Handler,
        regs: &Interrupted,
        context: &StackContext,
    ) -> Option<Self> {
        let top = match context.mode {
            Mode::Kernel => regs.rsp,
            Mode::User => context.kernel_sp,
        };
        // Xen pushes the failsafe frame where the stack happens to be.
        let aligned = if matches!(kind, Kind::Failsafe(_)) { top } else { top & !15 };
        let bytes = kind.words() as u64 * 8;
        let base = aligned.wrapping_sub(bytes);
        let cleared = match kind {
            Kind::Syscall | Kind::Syscall32 => CLEARED | flags::DF,
            _ => CLEARED,
        };
        guest_range(GuestVa::new(base), bytes).then_some(Self {
            kind,
            context: *context,
            base,
            rip: handler.address(),
            rflags: flags::for_guest(regs.rflags & !cleared),
            sets_mask: handler.masks_events(),
        })
    }

    /// Word number `index` of the frame, counted from the lowest address, for the registers it was
    /// planned with. Words are made one by one, when they are pushed, so that few are held at a time.
    #[inline(always)]
    pub fn word(&self, index: usize, regs: &Interrupted) -> u64 {
        match index.checked_sub(self.kind.head()) {
            None => self.head_word(index, regs),
            Some(0) if self.kind == Kind::Sysenter => 0,
            Some(0) => regs.rip,
            Some(1) => self.cs(regs.cs),
            Some(2) => self.saved_flags(regs.rflags),
            Some(3) if self.kind == Kind::Sysenter => 0,
            Some(3) => regs.rsp,
            Some(_) => match self.kind {
                Kind::Syscall | Kind::Syscall32 | Kind::Sysenter => FLAT_KERNEL_SS.into(),
                _ => regs.ss.into(),
            },
        }
    }

    #[inline(always)]
    fn head_word(&self, index: usize, regs: &Interrupted) -> u64 {
        match (self.kind, index) {
            (_, 0) => regs.rcx,
            (_, 1) => regs.r11,
            (Kind::WithErrorCode(code), _) => code.into(),
            (Kind::Failsafe([ds, ..]), 2) => ds.into(),
            (Kind::Failsafe([_, es, ..]), 3) => es.into(),
            (Kind::Failsafe([_, _, fs, _]), 4) => fs.into(),
            (Kind::Failsafe([.., gs]), _) => gs.into(),
            _ => 0,
        }
    }

    /// The code segment with the event mask. A guest tells its modes apart by the privilege.
    #[inline(always)]
    fn cs(&self, interrupted: u16) -> u64 {
        let cs = match self.kind {
            Kind::Syscall => FLAT_USER_CS,
            Kind::Syscall32 => FLAT_RING3_CS32,
            Kind::Sysenter => SYSENTER_CS,
            _ => interrupted,
        };
        let cs = match self.context.mode {
            Mode::Kernel => cs & !3,
            Mode::User => cs | 3,
        };
        u64::from(cs) | u64::from(self.context.upcall_mask) << MASK_SHIFT
    }

    /// The flags as the guest is to see them: the interrupt flag stands for the event mask.
    #[inline(always)]
    fn saved_flags(&self, real: u64) -> u64 {
        let hidden = if self.kind == Kind::Sysenter { flags::NT } else { 0 };
        let interrupts = if self.context.upcall_mask == 0 { flags::IF } else { 0 };
        let iopl = u64::from(self.context.shown_iopl & 3) << flags::IOPL_SHIFT;
        real & VISIBLE_FLAGS & !hidden | interrupts | iopl
    }
}
