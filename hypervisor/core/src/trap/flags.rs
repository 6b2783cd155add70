//! Bits of the flags register that entries and exits care about.

/// Carry.
pub const CF: u64 = 1 << 0;
/// Always one.
pub const ONE: u64 = 1 << 1;
/// Parity.
pub const PF: u64 = 1 << 2;
/// Auxiliary carry.
pub const AF: u64 = 1 << 4;
/// Zero.
pub const ZF: u64 = 1 << 6;
/// Sign.
pub const SF: u64 = 1 << 7;
/// Single step.
pub const TF: u64 = 1 << 8;
/// Interrupts.
pub const IF: u64 = 1 << 9;
/// Direction.
pub const DF: u64 = 1 << 10;
/// Overflow.
pub const OF: u64 = 1 << 11;
/// I/O privilege level, two bits.
pub const IOPL: u64 = 3 << 12;
/// Position of the I/O privilege level.
pub const IOPL_SHIFT: u32 = 12;
/// Nested task.
pub const NT: u64 = 1 << 14;
/// Resume: the next instruction breakpoint is ignored.
pub const RF: u64 = 1 << 16;
/// Virtual 8086 mode.
pub const VM: u64 = 1 << 17;
/// Alignment check.
pub const AC: u64 = 1 << 18;
/// CPUID exists.
pub const ID: u64 = 1 << 21;

/// The results of arithmetic.
pub const ARITHMETIC: u64 = CF | PF | AF | ZF | SF | OF;
/// Everything a guest may choose in its real flags; the rest is decided by the hypervisor.
pub const GUEST_CHOICE: u64 = ARITHMETIC | TF | DF | NT | RF | AC | ID;

/// The real flags for a guest that asked for `wanted`: its own choice, interrupts on, I/O
/// privilege level 0.
pub const fn for_guest(wanted: u64) -> u64 {
    (wanted & GUEST_CHOICE) | IF | ONE
}
