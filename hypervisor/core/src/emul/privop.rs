//! Privileged instructions, which end in a general protection fault in ring 3.
//!
//! Called on a general protection fault with error code 0. The result names the instruction; the
//! image checks the permission ([`PrivOp::needs_kernel_mode`], module `io` for ports and the
//! interrupt flag), executes it with the policies of `cr`, `msr` and `cpuid`, and advances rip.
//!
//! Invariant: whatever is not in [`PrivOp`] (HLT, LGDT, INVLPG, SWAPGS, LMSW and all others) is
//! refused, so that the guest gets its fault.

use super::code::Code;
use super::decode::{DecodeError, Instruction, Opcode};
use super::operand::Segment;
use super::regs::{GuestRegs, RDX};

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
    /// Read a control register into a general one.
    ReadCr {
        /// Number of the control register.
        cr: u8,
        /// Number of the general register.
        gpr: u8,
    },
    /// Write a control register from a general one.
    WriteCr {
        /// Number of the control register.
        cr: u8,
        /// Number of the general register.
        gpr: u8,
    },
    /// Read a debug register into a general one.
    ReadDr {
        /// Number of the debug register.
        dr: u8,
        /// Number of the general register.
        gpr: u8,
    },
    /// Write a debug register from a general one.
    WriteDr {
        /// Number of the debug register.
        dr: u8,
        /// Number of the general register.
        gpr: u8,
    },
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
    /// Read a port into the low bytes of rax.
    In {
        /// The port.
        port: u16,
        /// Bytes: 1, 2 or 4.
        width: u8,
    },
    /// Write the low bytes of rax to a port.
    Out {
        /// The port.
        port: u16,
        /// Bytes: 1, 2 or 4.
        width: u8,
    },
    /// Read a port into memory at rdi.
    Ins(PortString),
    /// Write memory at rsi to a port.
    Outs(PortString),
}

/// An instruction and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodedPrivOp {
    /// The instruction.
    pub op: PrivOp,
    /// Bytes to advance rip by.
    pub len: u8,
}

impl PrivOp {
    /// Whether only a guest kernel may execute it. The others have rules of their own: the I/O
    /// privilege level, or being allowed everywhere.
    #[must_use]
    pub const fn needs_kernel_mode(&self) -> bool {
        !matches!(
            self,
            Self::Cli
                | Self::Sti
                | Self::Rdtsc
                | Self::Rdtscp
                | Self::Cpuid
                | Self::In { .. }
                | Self::Out { .. }
                | Self::Ins(_)
                | Self::Outs(_)
        )
    }
}

/// Decodes the instruction at the start of `code`.
///
/// # Errors
/// `Unknown` for everything that is not emulated, `Truncated` when more bytes are needed.
#[inline]
pub fn decode(code: &Code, regs: &impl GuestRegs) -> Result<DecodedPrivOp, DecodeError> {
    let mut instruction = Instruction::start(code);
    let op = match instruction.opcode {
        _ if instruction.prefixes.has_lock => Err(DecodeError::Unknown),
        Opcode::One(opcode) => decode_one(opcode, &mut instruction, regs),
        Opcode::Two(opcode) => decode_two(opcode, &mut instruction),
    };
    let decoded = op.map(|op| DecodedPrivOp { op, len: instruction.len() });
    instruction.finish(decoded)
}

fn decode_one(
    opcode: u8,
    instruction: &mut Instruction<'_>,
    regs: &impl GuestRegs,
) -> Result<PrivOp, DecodeError> {
    let dx = regs.gpr(RDX) as u16;
    let width = match (opcode & 1, instruction.prefixes.operand_width()) {
        (0, _) => 1,
        (_, 2) => 2,
        // REX.W does not make ports wider.
        _ => 4,
    };
    Ok(match opcode {
        0xfa => PrivOp::Cli,
        0xfb => PrivOp::Sti,
        0xe4 | 0xe5 => PrivOp::In { port: u16::from(instruction.byte()), width },
        0xe6 | 0xe7 => PrivOp::Out { port: u16::from(instruction.byte()), width },
        0xec | 0xed => PrivOp::In { port: dx, width },
        0xee | 0xef => PrivOp::Out { port: dx, width },
        0x6c | 0x6d => PrivOp::Ins(port_string(instruction, dx, width)),
        0x6e | 0x6f => PrivOp::Outs(port_string(instruction, dx, width)),
        _ => return Err(DecodeError::Unknown),
    })
}

fn port_string(instruction: &Instruction<'_>, port: u16, width: u8) -> PortString {
    let prefixes = instruction.prefixes;
    PortString {
        port,
        width,
        is_repeated: prefixes.repeat.is_some(),
        is_32_bit: prefixes.has_address_size,
        segment: prefixes.segment,
    }
}

fn decode_two(opcode: u8, instruction: &mut Instruction<'_>) -> Result<PrivOp, DecodeError> {
    Ok(match opcode {
        0x01 => decode_group_7(instruction)?,
        0x06 => PrivOp::Clts,
        0x09 => PrivOp::Wbinvd,
        0x20 => {
            let (cr, gpr) = control_register(instruction)?;
            PrivOp::ReadCr { cr, gpr }
        }
        0x21 => {
            let (dr, gpr) = debug_register(instruction)?;
            PrivOp::ReadDr { dr, gpr }
        }
        0x22 => {
            let (cr, gpr) = control_register(instruction)?;
            PrivOp::WriteCr { cr, gpr }
        }
        0x23 => {
            let (dr, gpr) = debug_register(instruction)?;
            PrivOp::WriteDr { dr, gpr }
        }
        0x30 => PrivOp::Wrmsr,
        0x31 => PrivOp::Rdtsc,
        0x32 => PrivOp::Rdmsr,
        0xa2 => PrivOp::Cpuid,
        _ => return Err(DecodeError::Unknown),
    })
}

/// Only two instructions of this opcode are emulated; XSETBV takes no size or repeat prefix.
fn decode_group_7(instruction: &mut Instruction<'_>) -> Result<PrivOp, DecodeError> {
    let byte = instruction.byte();
    let prefixes = instruction.prefixes;
    let is_plain = !prefixes.has_operand_size && prefixes.repeat.is_none();
    match byte {
        0xd1 if is_plain => Ok(PrivOp::Xsetbv),
        0xf9 => Ok(PrivOp::Rdtscp),
        _ => Err(DecodeError::Unknown),
    }
}

fn control_register(instruction: &mut Instruction<'_>) -> Result<(u8, u8), DecodeError> {
    match instruction.register_pair() {
        (cr @ (0 | 2 | 3 | 4), gpr) => Ok((cr, gpr)),
        _ => Err(DecodeError::Unknown),
    }
}

fn debug_register(instruction: &mut Instruction<'_>) -> Result<(u8, u8), DecodeError> {
    match instruction.register_pair() {
        (dr @ 0..=7, gpr) => Ok((dr, gpr)),
        _ => Err(DecodeError::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emul::regs::Snapshot;

    fn decode_at(bytes: &[u8]) -> Result<(PrivOp, u8), DecodeError> {
        let mut regs = Snapshot::default();
        regs.gprs[2] = 0xffff_1234_03f8;
        decode(&Code::new(bytes), &regs).map(|decoded| (decoded.op, decoded.len))
    }

    #[test]
    fn every_emulated_instruction_is_recognised() {
        let string = PortString {
            port: 0x3f8,
            width: 1,
            is_repeated: true,
            is_32_bit: false,
            segment: None,
        };
        let cases: &[(&[u8], PrivOp)] = &[
            (&[0xfa], PrivOp::Cli),
            (&[0xfb], PrivOp::Sti),
            (&[0x0f, 0x06], PrivOp::Clts),
            (&[0x0f, 0x20, 0xc0], PrivOp::ReadCr { cr: 0, gpr: 0 }),
            (&[0x41, 0x0f, 0x20, 0xe7], PrivOp::ReadCr { cr: 4, gpr: 15 }),
            (&[0x0f, 0x22, 0xdf], PrivOp::WriteCr { cr: 3, gpr: 7 }),
            (&[0x0f, 0x21, 0xf9], PrivOp::ReadDr { dr: 7, gpr: 1 }),
            (&[0x0f, 0x23, 0xf9], PrivOp::WriteDr { dr: 7, gpr: 1 }),
            (&[0x0f, 0x30], PrivOp::Wrmsr),
            (&[0x0f, 0x32], PrivOp::Rdmsr),
            (&[0x0f, 0x31], PrivOp::Rdtsc),
            (&[0x0f, 0x01, 0xf9], PrivOp::Rdtscp),
            (&[0x0f, 0x01, 0xd1], PrivOp::Xsetbv),
            (&[0x0f, 0xa2], PrivOp::Cpuid),
            (&[0x0f, 0x09], PrivOp::Wbinvd),
            (&[0xf3, 0x0f, 0x09], PrivOp::Wbinvd),
            (&[0xe4, 0x71], PrivOp::In { port: 0x71, width: 1 }),
            (&[0x66, 0xed], PrivOp::In { port: 0x3f8, width: 2 }),
            (&[0x48, 0xed], PrivOp::In { port: 0x3f8, width: 4 }),
            (&[0xe7, 0x80], PrivOp::Out { port: 0x80, width: 4 }),
            (&[0xee], PrivOp::Out { port: 0x3f8, width: 1 }),
            (&[0xf3, 0x6c], PrivOp::Ins(string)),
            (
                &[0xf2, 0x65, 0x6e],
                PrivOp::Outs(PortString { segment: Some(Segment::Gs), ..string }),
            ),
            (
                &[0x67, 0x6f],
                PrivOp::Outs(PortString {
                    width: 4,
                    is_repeated: false,
                    is_32_bit: true,
                    ..string
                }),
            ),
        ];
        for (bytes, op) in cases {
            assert_eq!(decode_at(bytes), Ok((*op, bytes.len() as u8)), "{bytes:x?}");
            for len in 0..bytes.len() {
                assert_eq!(decode_at(&bytes[..len]), Err(DecodeError::Truncated), "{bytes:x?}");
            }
        }
    }

    #[test]
    fn everything_else_is_the_guests_fault() {
        let cases: &[&[u8]] = &[
            &[0xf4],                   // HLT
            &[0x0f, 0x01, 0x10],       // LGDT
            &[0x0f, 0x01, 0xf0],       // LMSW
            &[0x0f, 0x01, 0x38],       // INVLPG
            &[0x0f, 0x01, 0xf8],       // SWAPGS
            &[0x0f, 0x08],             // INVD
            &[0x0f, 0x33],             // RDPMC
            &[0x44, 0x0f, 0x20, 0xc0], // MOV from CR8
            &[0x0f, 0x20, 0xc8],       // MOV from CR1
            &[0x44, 0x0f, 0x21, 0xc0], // MOV from DR8
            &[0xf0, 0x0f, 0x20, 0xc0], // LOCK MOV from CR0
            &[0x66, 0x0f, 0x01, 0xd1], // XSETBV with a prefix
            &[0x90],
        ];
        for bytes in cases {
            assert_eq!(decode_at(bytes), Err(DecodeError::Unknown), "{bytes:x?}");
        }
        assert_eq!(decode_at(&[0x66; 15]), Err(DecodeError::TooLong));
        assert_eq!(decode_at(&[0x66; 14]), Err(DecodeError::Truncated));
    }

    #[test]
    fn port_and_flag_instructions_have_their_own_rules() {
        assert!(PrivOp::Rdmsr.needs_kernel_mode() && PrivOp::Wbinvd.needs_kernel_mode());
        assert!(!PrivOp::Cli.needs_kernel_mode() && !PrivOp::Rdtsc.needs_kernel_mode());
        assert!(!PrivOp::In { port: 0, width: 1 }.needs_kernel_mode());
    }
}
