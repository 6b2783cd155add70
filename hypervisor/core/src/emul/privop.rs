//! Privileged instructions, which end in a general protection fault in ring 3.
//!
//! Called on a general protection fault with error code 0. The result names the instruction; the
//! image checks the permission ([`PrivOp::needs_kernel_mode`], module `io` for ports and the
//! interrupt flag), executes it with the policies of `cr`, `msr` and `cpuid`, and advances rip.
//!
//! Invariant: whatever is not in [`PrivOp`] (HLT, LGDT, INVLPG, SWAPGS, LMSW and all others) is
//! refused, so that the guest gets its fault.

use super::code::Code;
use super::decode::{DecodeError, Instruction};
use super::regs::{GuestRegs, Segment, RDX};

/// A string form of a port access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortString {
    /// The port.
    pub port: u16,
    /// Bytes of an element.
    pub width: u8,
    /// Whether rcx counts the elements.
    pub is_repeated: bool,
    /// Whether addresses and count are 32 bits wide.
    pub is_32_bit: bool,
    /// Segment of the memory operand of `OUTS`.
    pub segment: Option<Segment>,
}

/// An emulated instruction with its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivOp {
    /// Clear the interrupt flag.
    Cli,
    /// Set the interrupt flag.
    Sti,
    /// Clear the task-switched bit.
    Clts,
    /// Read this control register into this general one.
    ReadCr(u8, u8),
    /// Write this control register from this general one.
    WriteCr(u8, u8),
    /// Read this debug register into this general one.
    ReadDr(u8, u8),
    /// Write this debug register from this general one.
    WriteDr(u8, u8),
    /// Read the model-specific register ecx.
    Rdmsr,
    /// Write the model-specific register ecx.
    Wrmsr,
    /// Read the time-stamp counter.
    Rdtsc,
    /// Read the time-stamp counter and the processor number.
    Rdtscp,
    /// Processor identification.
    Cpuid,
    /// Write the extended control register ecx.
    Xsetbv,
    /// Write back the caches (`WBINVD` and `WBNOINVD`).
    Wbinvd,
    /// Read from this port as many bytes (1, 2 or 4) into rax.
    In(u16, u8),
    /// Write to this port as many bytes (1, 2 or 4) of rax.
    Out(u16, u8),
    /// Read a port into memory at rdi.
    Ins(PortString),
    /// Write memory at rsi to a port.
    Outs(PortString),
}

impl PrivOp {
    /// Whether it uses a port.
    #[must_use]
    pub const fn is_io(&self) -> bool {
        matches!(self, Self::In(..) | Self::Out(..) | Self::Ins(_) | Self::Outs(_))
    }

    /// Whether only a guest kernel may execute it. The others have rules of their own: the I/O
    /// privilege level, or being allowed everywhere.
    pub const fn needs_kernel_mode(&self) -> bool {
        let has_iopl_rule = self.is_io() || matches!(self, Self::Cli | Self::Sti);
        !has_iopl_rule && !matches!(self, Self::Rdtsc | Self::Rdtscp | Self::Cpuid)
    }
}

/// Decodes the instruction at the start of `code`. Returns it with its length.
///
/// # Errors
/// `Unknown` for everything that is not emulated, `Truncated` when more bytes are needed.
pub fn decode(code: &Code, regs: &impl GuestRegs) -> Result<(PrivOp, u8), DecodeError> {
    let mut instruction = Instruction::start(code, regs);
    let op = match instruction.prefixes.has_lock {
        true => Err(DecodeError::Unknown),
        false => decode_opcode(&mut instruction),
    };
    let len = instruction.position();
    instruction.finish(op.map(|op| (op, len)))
}

fn decode_opcode<R: GuestRegs>(
    instruction: &mut Instruction<'_, R>,
) -> Result<PrivOp, DecodeError> {
    let prefixes = instruction.prefixes;
    let dx = instruction.regs.gpr(RDX) as u16;
    // REX.W does not make ports wider.
    let width = match instruction.opcode & 1 {
        0 => 1,
        _ => prefixes.operand_width().min(4),
    };
    let string = PortString {
        port: dx,
        width,
        is_repeated: prefixes.has_repeat,
        is_32_bit: prefixes.has_address_size,
        segment: prefixes.segment,
    };
    Ok(match instruction.opcode {
        0x6c | 0x6d => PrivOp::Ins(string),
        0x6e | 0x6f => PrivOp::Outs(string),
        0xe4 | 0xe5 => PrivOp::In(u16::from(instruction.byte()), width),
        0xe6 | 0xe7 => PrivOp::Out(u16::from(instruction.byte()), width),
        0xec | 0xed => PrivOp::In(dx, width),
        0xee | 0xef => PrivOp::Out(dx, width),
        0xfa => PrivOp::Cli,
        0xfb => PrivOp::Sti,
        0x0f01 => match instruction.byte() {
            // XSETBV takes no size or repeat prefix.
            0xd1 if !prefixes.has_operand_size && !prefixes.has_repeat => PrivOp::Xsetbv,
            0xf9 => PrivOp::Rdtscp,
            _ => return Err(DecodeError::Unknown),
        },
        0x0f06 => PrivOp::Clts,
        0x0f09 => PrivOp::Wbinvd,
        0x0f20..=0x0f23 => match (instruction.opcode, instruction.register_pair()) {
            (0x0f20, (cr @ (0 | 2..=4), gpr)) => PrivOp::ReadCr(cr, gpr),
            (0x0f21, (dr @ 0..=7, gpr)) => PrivOp::ReadDr(dr, gpr),
            (0x0f22, (cr @ (0 | 2..=4), gpr)) => PrivOp::WriteCr(cr, gpr),
            (0x0f23, (dr @ 0..=7, gpr)) => PrivOp::WriteDr(dr, gpr),
            _ => return Err(DecodeError::Unknown),
        },
        0x0f30 => PrivOp::Wrmsr,
        0x0f31 => PrivOp::Rdtsc,
        0x0f32 => PrivOp::Rdmsr,
        0x0fa2 => PrivOp::Cpuid,
        _ => return Err(DecodeError::Unknown),
    })
}
