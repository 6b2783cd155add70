//! The decoders against iced-x86, an independent decoder, on random instructions.
//!
//! Both directions are checked: what is accepted has the length and the operands iced sees, and
//! what iced knows as one of the emulated instructions is accepted.

mod support;

use hv_core::emul::alu::Op;
use hv_core::emul::privop::{self, PrivOp};
use hv_core::emul::store::OldContents;
use hv_core::emul::{apply, decode_store, DecodeError, GuestRegs, Segment, Store};
use hypercall_abi::addr::GuestVa;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use proptest::prelude::*;
use support::{code, Snapshot};

fn iced(bytes: &[u8], rip: u64) -> Instruction {
    Decoder::with_ip(64, bytes, rip, DecoderOptions::NONE).decode()
}

/// Prefixes, perhaps REX, an opcode that is likely to be interesting, and random bytes behind it.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let prefix = prop::sample::select(vec![0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x3e, 0x64, 0x65]);
    let rex = prop::option::of(0x40_u8..0x50);
    let opcode = prop_oneof![
        4 => prop::sample::select(vec![
            0x00_u8, 0x01, 0x09, 0x11, 0x19, 0x21, 0x28, 0x31, 0x80, 0x81, 0x83, 0x86, 0x87, 0x88,
            0x89, 0xa2, 0xa3, 0xa4, 0xa5, 0xaa, 0xab, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff, 0xfa,
            0xfb, 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0x6c, 0x6d, 0x6e, 0x6f])
            .prop_map(|opcode| vec![opcode]),
        4 => prop::sample::select(vec![
            0xab_u8, 0xb3, 0xbb, 0xba, 0xb0, 0xb1, 0xc0, 0xc1, 0xc3, 0xc7, 0x06, 0x09, 0x20, 0x21,
            0x22, 0x23, 0x30, 0x31, 0x32, 0xa2])
            .prop_map(|opcode| vec![0x0f, opcode]),
        1 => prop::sample::select(vec![0xd1_u8, 0xf9, 0xd0, 0xf8, 0x30])
            .prop_map(|byte| vec![0x0f, 0x01, byte]),
        1 => any::<u8>().prop_map(|opcode| vec![opcode]),
        1 => any::<u8>().prop_map(|opcode| vec![0x0f, opcode]),
    ];
    let prefixes = prop_oneof![
        3 => Just(Vec::new()),
        3 => prop::collection::vec(prefix.clone(), 1..3),
        1 => prop::collection::vec(prefix, 0..15),
    ];
    (prefixes, rex, opcode, prop::collection::vec(any::<u8>(), 16)).prop_map(
        |(mut bytes, rex, opcode, tail)| {
            bytes.extend(rex);
            bytes.extend(opcode);
            bytes.extend(tail);
            bytes
        },
    )
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let rip = any::<u64>().prop_map(|rip| (rip as i64 >> 17) as u64);
    (any::<[u64; 16]>(), rip, any::<u64>(), any::<[u32; 2]>(), 0_u8..4).prop_map(
        |(mut gprs, rip, rflags, [fs, gs], small)| {
            // Aligned registers make accepted stores likely, small counts end repetitions.
            gprs.iter_mut().for_each(|gpr| *gpr &= !7);
            gprs[1] = if small < 3 { u64::from(small) } else { gprs[1] };
            let (fs_base, gs_base) = (u64::from(fs) & !7, u64::from(gs) & !7);
            Snapshot { gprs, rip, rflags, fs_base, gs_base }
        },
    )
}

fn register(regs: &Snapshot, register: Register) -> u64 {
    match register {
        Register::None | Register::ES | Register::CS | Register::SS | Register::DS => 0,
        Register::FS => regs.fs_base,
        Register::GS => regs.gs_base,
        Register::AH | Register::CH | Register::DH | Register::BH => {
            regs.gprs[register.full_register().number()] >> 8 & 0xff
        }
        Register::RIP | Register::EIP => panic!("iced adds the instruction pointer itself"),
        _ => {
            let value = regs.gprs[register.full_register().number()];
            let bits = register.size() as u32 * 8;
            value & (u64::MAX >> (64 - bits))
        }
    }
}

fn address(instruction: &Instruction, operand: u32, regs: &Snapshot) -> u64 {
    instruction
        .virtual_address(operand, 0, |reg, _, _| Some(register(regs, reg)))
        .expect("every register has a value")
}

fn is_memory(kind: OpKind) -> bool {
    matches!(kind, OpKind::Memory | OpKind::MemoryESDI | OpKind::MemoryESEDI | OpKind::MemoryESRDI)
}

/// Whether iced sees an instruction that `decode_store` promises to know.
fn is_known_store(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    let is_known = matches!(
        instruction.mnemonic(),
        Mov | Movnti
            | Xchg
            | Xadd
            | Cmpxchg
            | Cmpxchg8b
            | Add
            | Or
            | Adc
            | Sbb
            | And
            | Sub
            | Xor
            | Not
            | Neg
            | Inc
            | Dec
            | Bts
            | Btr
            | Btc
            | Stosb
            | Stosw
            | Stosd
            | Stosq
            | Movsb
            | Movsw
            | Movsd
            | Movsq
    );
    let is_gpr_source = instruction.op_count() < 2
        || instruction.op1_kind() != OpKind::Register
        || instruction.op1_register().is_gpr();
    is_known && is_memory(instruction.op0_kind()) && is_gpr_source
}

/// The second operand as iced gives it.
fn source_value(instruction: &Instruction, regs: &Snapshot) -> u64 {
    match instruction.op1_kind() {
        OpKind::Register => register(regs, instruction.op1_register()),
        _ => instruction.immediate(1),
    }
}

fn check_value(store: &Store, instruction: &Instruction, regs: &Snapshot) {
    let mask = u64::MAX >> (64 - 8 * u32::from(store.width));
    match (store.op, store.old) {
        (Op::Not | Op::Neg | Op::Inc | Op::Dec, _) => {}
        (Op::Bts | Op::Btr | Op::Btc, _) => {
            let bits = u64::from(store.width) * 8;
            assert_eq!(store.value, source_value(instruction, regs) % bits);
        }
        (_, OldContents::ComparedPair(expected)) => {
            let [eax, ecx, edx, ebx] = [0, 1, 2, 3].map(|number: usize| regs.gprs[number] as u32);
            let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
            assert_eq!((expected, store.value), (pair(edx, eax), pair(ecx, ebx)));
        }
        _ => assert_eq!(store.value & mask, source_value(instruction, regs) & mask),
    }
    match store.old {
        OldContents::To(part) => assert_eq!(part.read(regs), source_value(instruction, regs)),
        OldContents::Compared(expected) => assert_eq!(expected, regs.gprs[0] & mask),
        OldContents::Dropped | OldContents::ComparedPair(_) => {}
    }
}

/// The operation iced names.
fn expected_op(instruction: &Instruction) -> Op {
    match instruction.mnemonic() {
        Mnemonic::Add | Mnemonic::Xadd => Op::Add,
        Mnemonic::Or => Op::Or,
        Mnemonic::Adc => Op::Adc,
        Mnemonic::Sbb => Op::Sbb,
        Mnemonic::And => Op::And,
        Mnemonic::Sub => Op::Sub,
        Mnemonic::Xor => Op::Xor,
        Mnemonic::Not => Op::Not,
        Mnemonic::Neg => Op::Neg,
        Mnemonic::Inc => Op::Inc,
        Mnemonic::Dec => Op::Dec,
        Mnemonic::Bts => Op::Bts,
        Mnemonic::Btr => Op::Btr,
        Mnemonic::Btc => Op::Btc,
        _ => Op::Write,
    }
}

/// Bytes by which a bit number in a register moves the operand of a bit operation.
fn bit_displacement(instruction: &Instruction, regs: &Snapshot) -> u64 {
    use Mnemonic::{Btc, Btr, Bts};
    let is_bit = matches!(instruction.mnemonic(), Bts | Btr | Btc);
    if !is_bit || instruction.op1_kind() != OpKind::Register {
        return 0;
    }
    let value = register(regs, instruction.op1_register());
    let (number, width) = match instruction.op1_register().size() {
        2 => (i64::from(value as u16 as i16), 2),
        4 => (i64::from(value as u32 as i32), 4),
        _ => (value as i64, 8),
    };
    (number.div_euclid(width * 8)).wrapping_mul(width) as u64
}

fn expected_address(instruction: &Instruction, regs: &Snapshot) -> u64 {
    let segment = match instruction.memory_segment() {
        Register::FS if instruction.op0_kind() == OpKind::Memory => regs.fs_base,
        Register::GS if instruction.op0_kind() == OpKind::Memory => regs.gs_base,
        _ => 0,
    };
    let plain = address(instruction, 0, regs);
    let moved = plain.wrapping_sub(segment).wrapping_add(bit_displacement(instruction, regs));
    let has_32_bit_address = instruction.memory_base().size() == 4
        || instruction.memory_index().size() == 4
        || instruction.memory_displ_size() == 4
            && instruction.memory_base() == Register::None
            && instruction.memory_index() == Register::None;
    let is_explicit = instruction.op0_kind() == OpKind::Memory;
    let offset = if has_32_bit_address && is_explicit { moved & 0xffff_ffff } else { moved };
    offset.wrapping_add(segment)
}

fn check_store(bytes: &[u8], regs: &Snapshot) -> Result<(), TestCaseError> {
    let reference = iced(bytes, regs.rip);
    if !is_known_store(&reference) || reference.is_invalid() {
        // Any address must be refused; try the likeliest ones.
        for va in regs.gprs {
            let decoded = decode_store(&code(bytes), regs, GuestVa::new(va), |_, _| Some(0));
            prop_assert!(decoded.is_err(), "{reference}: {decoded:?}");
        }
        return Ok(());
    }
    let va = expected_address(&reference, regs);
    let is_repeated = reference.has_rep_prefix() || reference.has_repne_prefix();
    let counter_mask = match reference.op0_kind() {
        OpKind::MemoryESEDI => 0xffff_ffff,
        _ => u64::MAX,
    };
    let is_string = reference.is_string_instruction();
    let mut source = None;
    let decoded = decode_store(&code(bytes), regs, GuestVa::new(va), |va, _| {
        source = Some(va.get());
        Some(0)
    });
    let store = match decoded {
        Err(DecodeError::Misaligned) => {
            let width = reference.memory_size().size() as u64;
            prop_assert!(!va.is_multiple_of(width), "{reference} at {va:#x}");
            return Ok(());
        }
        Err(DecodeError::Unknown) if is_string => {
            prop_assert!(is_repeated && regs.gprs[1] & counter_mask == 0);
            return Ok(());
        }
        Err(error) => {
            return Err(TestCaseError::fail(format!("{reference} refused: {error:?}")));
        }
        Ok(store) => store,
    };
    prop_assert_eq!(usize::from(store.len), reference.len(), "{}", reference);
    prop_assert_eq!(usize::from(store.width), reference.memory_size().size(), "{}", reference);
    prop_assert_eq!(store.address.get() % u64::from(store.width), 0);
    prop_assert_eq!(store.op, expected_op(&reference), "{}", reference);
    prop_assert_eq!(store.string.is_some(), is_string);
    let moves_memory = is_string && reference.op1_kind() != OpKind::Register;
    prop_assert_eq!(source, moves_memory.then(|| address(&reference, 1, regs)), "{}", reference);
    if !moves_memory {
        check_value(&store, &reference, regs);
    }
    // One byte less must never be enough.
    let short = bytes.get(..reference.len() - 1).unwrap_or(&[]);
    let cut = decode_store(&code(short), regs, GuestVa::new(va), |_, _| Some(0));
    prop_assert_eq!(cut, Err(DecodeError::Truncated));
    Ok(())
}

/// The instruction as iced names it, if it is one of the emulated privileged ones.
fn expected_privop(i: &Instruction, regs: &Snapshot) -> Option<PrivOp> {
    use Mnemonic::*;
    let control = |register: Register| register.number() as u8;
    let gpr = |register: Register| register.full_register().number() as u8;
    let port = |kind: OpKind| match kind {
        OpKind::Immediate8 => i.immediate8().into(),
        _ => regs.gprs[2] as u16,
    };
    Some(match i.mnemonic() {
        Cli => PrivOp::Cli,
        Sti => PrivOp::Sti,
        Clts => PrivOp::Clts,
        Rdmsr => PrivOp::Rdmsr,
        Wrmsr => PrivOp::Wrmsr,
        Rdtsc => PrivOp::Rdtsc,
        Rdtscp => PrivOp::Rdtscp,
        Cpuid => PrivOp::Cpuid,
        Xsetbv => PrivOp::Xsetbv,
        Wbinvd | Wbnoinvd => PrivOp::Wbinvd,
        In => PrivOp::In(port(i.op1_kind()), i.op0_register().size() as u8),
        Out => PrivOp::Out(port(i.op0_kind()), i.op1_register().size() as u8),
        Mov if i.op1_register().is_cr() && [0, 2, 3, 4].contains(&control(i.op1_register())) => {
            PrivOp::ReadCr(control(i.op1_register()), gpr(i.op0_register()))
        }
        Mov if i.op0_register().is_cr() && [0, 2, 3, 4].contains(&control(i.op0_register())) => {
            PrivOp::WriteCr(control(i.op0_register()), gpr(i.op1_register()))
        }
        Mov if i.op1_register().is_dr() && control(i.op1_register()) < 8 => {
            PrivOp::ReadDr(control(i.op1_register()), gpr(i.op0_register()))
        }
        Mov if i.op0_register().is_dr() && control(i.op0_register()) < 8 => {
            PrivOp::WriteDr(control(i.op0_register()), gpr(i.op1_register()))
        }
        Insb | Insw | Insd => PrivOp::Ins(port_string(i, i.op0_kind(), regs)),
        Outsb | Outsw | Outsd => PrivOp::Outs(port_string(i, i.op1_kind(), regs)),
        _ => return None,
    })
}

fn port_string(i: &Instruction, memory: OpKind, regs: &Snapshot) -> privop::PortString {
    privop::PortString {
        port: regs.gprs[2] as u16,
        width: i.memory_size().size() as u8,
        is_repeated: i.has_rep_prefix() || i.has_repne_prefix(),
        is_32_bit: matches!(memory, OpKind::MemoryESEDI | OpKind::MemorySegESI),
        segment: match i.segment_prefix() {
            Register::FS => Some(Segment::Fs),
            Register::GS => Some(Segment::Gs),
            _ => None,
        },
    }
}

fn check_privop(bytes: &[u8], regs: &Snapshot) -> Result<(), TestCaseError> {
    let reference = iced(bytes, regs.rip);
    let expected = match reference.is_invalid() || reference.has_lock_prefix() {
        true => None,
        false => expected_privop(&reference, regs),
    };
    match privop::decode(&code(bytes), regs) {
        Ok((op, len)) => {
            prop_assert_eq!(Some(op), expected, "{} {:x?}", reference, bytes);
            prop_assert_eq!(usize::from(len), reference.len());
        }
        Err(_) => prop_assert_eq!(None, expected, "{} {:x?}", reference, bytes),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn stores_are_decoded_as_iced_decodes_them(bytes in instruction(), regs in snapshot()) {
        check_store(&bytes, &regs)?;
    }

    #[test]
    fn privileged_instructions_are_decoded_as_iced_decodes_them(
        bytes in instruction(),
        regs in snapshot(),
    ) {
        check_privop(&bytes, &regs)?;
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..20),
        regs in snapshot(),
        va in any::<u64>(),
    ) {
        let read = |_, _| Some(va);
        if let Ok(store) = decode_store(&code(&bytes), &regs, GuestVa::new(va), read) {
            let outcome = apply(&store, va, &regs);
            prop_assert!(outcome.rip == regs.rip() || store.len > 0);
        }
        let decoded = privop::decode(&code(&bytes), &regs);
        prop_assert!(decoded.is_err() || decoded.is_ok_and(|(_, len)| usize::from(len) <= bytes.len()));
    }
}
