//! Stores that guests make to their page tables, byte for byte, with their effects.

mod support;

use hv_core::emul::{apply, decode_store, DecodeError, Outcome, Store};
use hypercall_abi::addr::GuestVa;
use support::{code, Snapshot};

const ENTRY: u64 = 0xffff_8880_1234_5678;

/// rdi points to the entry, the other registers have values of their own.
fn regs() -> Snapshot {
    let mut regs = Snapshot { rip: 0xffff_ffff_8100_0000, rflags: 0x10202, ..Snapshot::default() };
    for (number, gpr) in regs.gprs.iter_mut().enumerate() {
        *gpr = 0x1111_1111_1111_1111 * number as u64;
    }
    regs.gprs[7] = ENTRY;
    regs
}

fn decode(bytes: &[u8], regs: &Snapshot, va: u64) -> Store {
    let decoded = decode_store(&code(bytes), regs, GuestVa::new(va), |_, _| panic!("no MOVS"));
    decoded.unwrap_or_else(|error| panic!("{bytes:x?}: {error:?}"))
}

fn run(bytes: &[u8], regs: &Snapshot, old: u64) -> Outcome {
    let store = decode(bytes, regs, ENTRY);
    assert_eq!(usize::from(store.len), bytes.len());
    let outcome = apply(&store, old, regs);
    assert_eq!(outcome.rflags & 1 << 16, 0, "the resume flag is cleared");
    outcome
}

fn writes(outcome: &Outcome) -> Vec<(u8, u64)> {
    outcome.regs.into_iter().flatten().collect()
}

#[test]
fn mov_of_a_register_and_of_an_immediate() {
    let out = run(&[0x48, 0x89, 0x37], &regs(), 5); // mov %rsi,(%rdi)
    assert_eq!((out.entry, out.rip), (0x6666_6666_6666_6666, 0xffff_ffff_8100_0003));
    assert_eq!((writes(&out), out.rflags), (vec![], 0x202));
    let out = run(&[0x48, 0xc7, 0x07, 0xff, 0xff, 0xff, 0xff], &regs(), 5); // movq $-1,(%rdi)
    assert_eq!(out.entry, u64::MAX);
    let out = run(&[0xc7, 0x07, 1, 2, 3, 4], &regs(), u64::MAX); // movl
    assert_eq!(out.entry, 0xffff_ffff_0403_0201);
    let out = run(&[0x48, 0x0f, 0xc3, 0x37], &regs(), 5); // movnti %rsi,(%rdi)
    assert_eq!(out.entry, 0x6666_6666_6666_6666);
}

#[test]
fn narrow_stores_keep_the_rest_of_the_entry() {
    let mut regs = regs();
    regs.gprs[0] = 0xabcd;
    regs.gprs[7] = ENTRY + 5;
    let store = decode(&[0x88, 0x27], &regs, ENTRY + 5); // mov %ah,(%rdi)
    assert_eq!(apply(&store, 0x1122_3344_5566_7788, &regs).entry, 0x1122_ab44_5566_7788);
    regs.gprs[7] = ENTRY + 4;
    let store = decode(&[0x66, 0x89, 0x07], &regs, ENTRY + 4); // mov %ax,(%rdi)
    assert_eq!(apply(&store, 0x1122_3344_5566_7788, &regs).entry, 0x1122_abcd_5566_7788);
}

#[test]
fn xchg_gives_the_old_entry() {
    let bytes = [0x48, 0x87, 0x07]; // xchg %rax,(%rdi)
    let out = run(&bytes, &regs(), 0x67);
    assert_eq!((out.entry, writes(&out)), (0, vec![(0, 0x67)]));
    run(&[0xf0, 0x48, 0x87, 0x07], &regs(), 0x67);
    let out = run(&[0x87, 0x07], &regs(), 0xffff_ffff_8000_0067);
    assert_eq!(writes(&out), [(0, 0x8000_0067)], "a 4-byte register result is zero-extended");
}

#[test]
fn lock_cmpxchg_stores_or_loads_the_accumulator() {
    let bytes = [0xf0, 0x48, 0x0f, 0xb1, 0x37]; // lock cmpxchg %rsi,(%rdi)
    let mut regs = regs();
    regs.gprs[0] = 0x67;
    let equal = run(&bytes, &regs, 0x67);
    assert!(equal.is_written);
    assert_eq!((equal.entry, writes(&equal)), (0x6666_6666_6666_6666, vec![]));
    assert_eq!(equal.rflags & 0x8d5, 0x44);
    let other = run(&bytes, &regs, 0x68);
    assert!(!other.is_written);
    assert_eq!((other.entry, writes(&other)), (0x68, vec![(0, 0x68)]));
    assert_eq!(other.rflags & 0x40, 0);
}

#[test]
fn cmpxchg8b_compares_two_registers() {
    let bytes = [0xf0, 0x0f, 0xc7, 0x0f];
    let mut regs = regs();
    (regs.gprs[0], regs.gprs[2]) = (0xffff_0000_0067, 0x8000_0000);
    let equal = run(&bytes, &regs, 0x8000_0000_0000_0067);
    assert_eq!(equal.entry, 0x1111_1111_3333_3333);
    assert_eq!(equal.rflags & 0x40, 0x40);
    let other = run(&bytes, &regs, 7 << 32 | 9);
    assert_eq!((other.is_written, writes(&other)), (false, vec![(0, 9), (2, 7)]));
    let wide = code(&[0x48, 0x0f, 0xc7, 0x0f]);
    let decoded = decode_store(&wide, &regs, GuestVa::new(ENTRY), |_, _| None);
    assert_eq!(decoded, Err(DecodeError::Unknown));
}

#[test]
fn test_and_clear_of_accessed_and_writable_bits() {
    let out = run(&[0xf0, 0x48, 0x0f, 0xba, 0x37, 5], &regs(), 0x67); // lock btrq $5,(%rdi)
    assert_eq!((out.entry, out.rflags & 1), (0x47, 1));
    let out = run(&[0xf0, 0x80, 0x27, 0xfd], &regs(), 0x67); // lock andb $-3,(%rdi)
    assert_eq!((out.entry, out.rflags & 0x40), (0x65, 0));
    let out = run(&[0xf0, 0x48, 0x0f, 0xba, 0x2f, 63], &regs(), 0x67); // lock btsq $63,(%rdi)
    assert_eq!((out.entry, out.rflags & 1), (1 << 63 | 0x67, 0));
    let mut regs = regs();
    regs.gprs[1] = 65;
    regs.gprs[7] = ENTRY - 8;
    let out = run(&[0x48, 0x0f, 0xb3, 0x0f], &regs, 0x67); // btr %rcx,(%rdi), one entry further
    assert_eq!(out.entry, 0x65);
    regs.gprs[1] = u64::MAX; // bit -1
    regs.gprs[7] = ENTRY + 8;
    let out = run(&[0x48, 0x0f, 0xbb, 0x0f], &regs, 0);
    assert_eq!(out.entry, 1 << 63);
}

#[test]
fn one_operand_arithmetic_and_exchange_add() {
    assert_eq!(run(&[0x48, 0xf7, 0x17], &regs(), 5).entry, !5);
    assert_eq!(run(&[0x48, 0xf7, 0x1f], &regs(), 5).entry, 5_u64.wrapping_neg());
    assert_eq!(run(&[0x48, 0xff, 0x07], &regs(), 5).entry, 6);
    assert_eq!(run(&[0xfe, 0x0f], &regs(), 0x500).entry, 0x5ff);
    let out = run(&[0x48, 0x0f, 0xc1, 0x0f], &regs(), 5); // xadd %rcx,(%rdi)
    assert_eq!((out.entry, writes(&out)), (0x1111_1111_1111_1116, vec![(1, 5)]));
}

#[test]
fn string_stores_do_one_element_at_a_time() {
    let bytes = [0xf3, 0x48, 0xab]; // rep stos %rax,(%rdi)
    let mut regs = regs();
    regs.gprs[1] = 2;
    let out = run(&bytes, &regs, 5);
    assert_eq!((out.entry, out.rip), (0, regs.rip));
    assert_eq!(writes(&out), [(7, ENTRY + 8), (1, 1)]);
    regs.gprs[1] = 1;
    regs.rflags |= 1 << 10;
    let out = run(&bytes, &regs, 5);
    assert_eq!((out.rip, writes(&out)), (regs.rip + 3, vec![(7, ENTRY - 8), (1, 0)]));
    let movs = code(&[0x65, 0x48, 0xa5]); // movs %gs:(%rsi),(%rdi)
    regs.gs_base = 0x1000;
    let source = regs.gprs[6] + 0x1000;
    let store = decode_store(&movs, &regs, GuestVa::new(ENTRY), |va, width| {
        assert_eq!((va.get(), width), (source, 8));
        Some(0x77)
    });
    let out = apply(&store.unwrap(), 5, &regs);
    assert_eq!(out.entry, 0x77);
    assert_eq!(writes(&out), [(7, ENTRY - 8), (6, regs.gprs[6] - 8)]);
    let unreadable = decode_store(&movs, &regs, GuestVa::new(ENTRY), |_, _| None);
    assert_eq!(unreadable, Err(DecodeError::NoSource));
}

#[test]
fn stores_elsewhere_misaligned_or_unknown_are_refused() {
    let at = |bytes: &[u8], va: u64| {
        decode_store(&code(bytes), &regs(), GuestVa::new(va), |_, _| None).unwrap_err()
    };
    let mov = [0x48, 0x89, 0x37];
    assert_eq!(at(&mov, ENTRY + 8), DecodeError::OtherAddress);
    assert_eq!(at(&[0x48, 0x89, 0x77, 4], ENTRY + 4), DecodeError::Misaligned);
    let refused: &[&[u8]] = &[
        &[0xf0, 0x48, 0x89, 0x37],    // LOCK MOV
        &[0x48, 0x8b, 0x37],          // a load
        &[0x48, 0x39, 0x37],          // CMP
        &[0x48, 0x83, 0x3f, 0],       // CMP with an immediate
        &[0x48, 0x85, 0x37],          // TEST
        &[0x48, 0x89, 0xfe],          // register to register
        &[0x66, 0x0f, 0xd6, 0x07],    // MOVQ of a vector register
        &[0x48, 0x0f, 0xba, 0x27, 5], // BT
        &[0xff, 0x37],                // PUSH
        &[0x90],
    ];
    for bytes in refused {
        let is_refused = matches!(at(bytes, ENTRY), DecodeError::Unknown | DecodeError::Truncated);
        assert!(is_refused, "{bytes:x?}");
    }
}
