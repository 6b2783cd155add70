//! Privileged instructions byte for byte, and what is none.

mod support;

use hv_core::emul::privop::{decode, PortString, PrivOp};
use hv_core::emul::{DecodeError, Segment};
use support::{code, Snapshot};

fn decode_at(bytes: &[u8]) -> Result<(PrivOp, u8), DecodeError> {
    let mut regs = Snapshot::default();
    regs.gprs[2] = 0xffff_1234_03f8;
    decode(&code(bytes), &regs)
}

#[test]
fn every_emulated_instruction_is_recognised() {
    let string =
        PortString { port: 0x3f8, width: 1, is_repeated: true, is_32_bit: false, segment: None };
    let cases: &[(&[u8], PrivOp)] = &[
        (&[0xfa], PrivOp::Cli),
        (&[0xfb], PrivOp::Sti),
        (&[0x0f, 0x06], PrivOp::Clts),
        (&[0x0f, 0x20, 0xc0], PrivOp::ReadCr(0, 0)),
        (&[0x41, 0x0f, 0x20, 0xe7], PrivOp::ReadCr(4, 15)),
        (&[0x0f, 0x22, 0xdf], PrivOp::WriteCr(3, 7)),
        (&[0x0f, 0x21, 0xf9], PrivOp::ReadDr(7, 1)),
        (&[0x0f, 0x23, 0xf9], PrivOp::WriteDr(7, 1)),
        (&[0x0f, 0x30], PrivOp::Wrmsr),
        (&[0x0f, 0x32], PrivOp::Rdmsr),
        (&[0x0f, 0x31], PrivOp::Rdtsc),
        (&[0x0f, 0x01, 0xf9], PrivOp::Rdtscp),
        (&[0x0f, 0x01, 0xd1], PrivOp::Xsetbv),
        (&[0x0f, 0xa2], PrivOp::Cpuid),
        (&[0x0f, 0x09], PrivOp::Wbinvd),
        (&[0xf3, 0x0f, 0x09], PrivOp::Wbinvd),
        (&[0xe4, 0x71], PrivOp::In(0x71, 1)),
        (&[0x66, 0xed], PrivOp::In(0x3f8, 2)),
        (&[0x48, 0xed], PrivOp::In(0x3f8, 4)),
        (&[0xe7, 0x80], PrivOp::Out(0x80, 4)),
        (&[0xee], PrivOp::Out(0x3f8, 1)),
        (&[0xf3, 0x6c], PrivOp::Ins(string)),
        (&[0xf2, 0x65, 0x6e], PrivOp::Outs(PortString { segment: Some(Segment::Gs), ..string })),
        (
            &[0x67, 0x6f],
            PrivOp::Outs(PortString { width: 4, is_repeated: false, is_32_bit: true, ..string }),
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
    for len in 0..17 {
        assert_eq!(decode_at(&vec![0x66; len]), Err(DecodeError::Truncated), "{len} prefixes");
    }
}

#[test]
fn port_and_flag_instructions_have_their_own_rules() {
    assert!(PrivOp::Rdmsr.needs_kernel_mode() && PrivOp::Wbinvd.needs_kernel_mode());
    assert!(!PrivOp::Cli.needs_kernel_mode() && !PrivOp::Rdtsc.needs_kernel_mode());
    assert!(!PrivOp::In(0, 1).needs_kernel_mode());
}
