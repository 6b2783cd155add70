//! Bounce frames against the layout of the interface, written down once more as plain tables.

use hv_core::trap::{flags, Bounce, Handler, Interrupted, Kind, Mode, StackContext};
use hypercall_abi::addr::GuestVa;
use proptest::prelude::*;

const KERNEL_SP: u64 = 0xffff_c900_0000_3ff8;

fn regs() -> Interrupted {
    Interrupted {
        rcx: 0xc,
        r11: 0xb,
        rip: 0x40_1000,
        cs: 0x33,
        rflags: 0x1_0746,
        rsp: 0x7fff_0000_1238,
        ss: 0x2b,
    }
}

fn user(upcall_mask: u8) -> StackContext {
    StackContext { mode: Mode::User, kernel_sp: KERNEL_SP, upcall_mask, shown_iopl: 0 }
}

fn kernel(upcall_mask: u8) -> StackContext {
    StackContext { mode: Mode::Kernel, ..user(upcall_mask) }
}

fn handler(masks_events: bool) -> Handler {
    Handler::new(0xffff_ffff_8100_0000, masks_events).unwrap()
}

fn words(bounce: &Bounce, kind: Kind, regs: &Interrupted) -> Vec<u64> {
    (0..kind.words()).map(|index| bounce.word(index, regs)).collect()
}

#[test]
fn an_event_from_user_mode_goes_to_the_rounded_kernel_stack() {
    let bounce = Bounce::new(Kind::Plain, handler(true), &regs(), &user(0)).unwrap();
    let expected = [0xc, 0xb, 0x40_1000, 0x33, 0x1_0746, 0x7fff_0000_1238, 0x2b];
    assert_eq!(words(&bounce, Kind::Plain, &regs()), expected);
    assert_eq!(bounce.base, (KERNEL_SP & !15) - 56);
    assert_eq!(bounce.rip, 0xffff_ffff_8100_0000);
    assert!(bounce.sets_mask);
    // Resume is cleared, direction stays, interrupts stay on in the real flags.
    assert_eq!(bounce.rflags, 0x646);
    assert_eq!((Bounce::CS, Bounce::SS), (0xe033, 0xe02b));
}

#[test]
fn a_fault_in_the_kernel_has_its_error_code_and_a_privileged_code_segment() {
    let regs = Interrupted { cs: 0xe033, ss: 0xe02b, ..regs() };
    let bounce = Bounce::new(Kind::WithErrorCode(2), handler(false), &regs, &kernel(1)).unwrap();
    let cs = 0xe030 | 1 << 32;
    let expected = [0xc, 0xb, 2, 0x40_1000, cs, 0x1_0546, 0x7fff_0000_1238, 0xe02b];
    assert_eq!(words(&bounce, Kind::WithErrorCode(2), &regs), expected);
    assert_eq!(bounce.base, 0x7fff_0000_1230 - 64);
    assert!(!bounce.sets_mask);
}

#[test]
fn a_system_call_stores_flat_selectors_and_clears_the_direction() {
    let regs = Interrupted { rcx: 0x40_1000, r11: 0x746, rflags: 0x746, ..regs() };
    let bounce = Bounce::new(Kind::Syscall, handler(false), &regs, &user(0)).unwrap();
    let expected = [0x40_1000, 0x746, 0x40_1000, 0xe033, 0x746, 0x7fff_0000_1238, 0xe02b];
    assert_eq!(words(&bounce, Kind::Syscall, &regs), expected);
    assert_eq!(bounce.rflags, 0x246);
    let compat = Bounce::new(Kind::Syscall32, handler(false), &regs, &user(0)).unwrap();
    assert_eq!(words(&compat, Kind::Syscall32, &regs)[3], 0xe023);
}

#[test]
fn sysenter_does_not_know_where_it_came_from() {
    let regs = Interrupted { rflags: 0x4246, ..regs() };
    let bounce = Bounce::new(Kind::Sysenter, handler(true), &regs, &user(0)).unwrap();
    assert_eq!(words(&bounce, Kind::Sysenter, &regs), [0xc, 0xb, 0, 3, 0x246, 0, 0xe02b]);
}

#[test]
fn the_failsafe_frame_has_the_selectors_and_is_not_rounded() {
    let kind = Kind::Failsafe([1, 2, 3, 4]);
    let bounce = Bounce::new(kind, handler(true), &regs(), &user(0)).unwrap();
    let expected = [0xc, 0xb, 1, 2, 3, 4, 0x40_1000, 0x33, 0x1_0746, 0x7fff_0000_1238, 0x2b];
    assert_eq!(words(&bounce, kind, &regs()), expected);
    assert_eq!(bounce.base, KERNEL_SP - 88);
}

#[test]
fn architectural_iopl_shows_in_the_saved_flags_only() {
    let context = StackContext { shown_iopl: 1, ..user(0) };
    let bounce = Bounce::new(Kind::Plain, handler(true), &regs(), &context).unwrap();
    assert_eq!(words(&bounce, Kind::Plain, &regs())[4] & flags::IOPL, 1 << 12);
    assert_eq!(bounce.rflags & flags::IOPL, 0);
}

#[test]
fn without_a_stack_there_is_no_delivery() {
    assert_eq!(Handler::new(1 << 50, true), None);
    for bad in [1 << 47, (1 << 47) + 32, 0xffff_8800_0000_0000, 0xffff_8800_0000_0030] {
        let regs = Interrupted { rsp: bad, ..regs() };
        let result = Bounce::new(Kind::Plain, handler(true), &regs, &kernel(0));
        assert_eq!(result.is_none(), bad != 1 << 47, "{bad:#x}");
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Plain),
        any::<u32>().prop_map(Kind::WithErrorCode),
        Just(Kind::Syscall),
        Just(Kind::Syscall32),
        Just(Kind::Sysenter),
        any::<[u16; 4]>().prop_map(Kind::Failsafe),
    ]
}

proptest! {
    #[test]
    fn every_frame_is_accessible_tells_the_mode_and_gives_no_privilege(
        kind in kinds(),
        general in any::<[u64; 5]>(),
        selectors in any::<[u16; 2]>(),
        kernel_sp in any::<u64>(),
        is_user in any::<bool>(),
        upcall_mask in 0_u8..2,
    ) {
        let [rcx, r11, rip, rflags, rsp] = general;
        let [cs, ss] = selectors;
        let regs = Interrupted { rcx, r11, rip, cs, rflags, rsp, ss };
        let mode = if is_user { Mode::User } else { Mode::Kernel };
        let context = StackContext { mode, kernel_sp, upcall_mask, shown_iopl: 0 };
        let top = if is_user { kernel_sp } else { rsp };
        match Bounce::new(kind, handler(true), &regs, &context) {
            Some(bounce) => {
                let frame = words(&bounce, kind, &regs);
                let end = bounce.base.wrapping_add(8 * frame.len() as u64);
                prop_assert!(top.wrapping_sub(end) < 16);
                for i in 0..frame.len() as u64 {
                    let va = bounce.base + 8 * i;
                    prop_assert!(GuestVa::new(va).is_guest_accessible());
                }
                let tail = &frame[frame.len() - 5..];
                prop_assert_eq!(tail[1] & 3 == 3, is_user);
                prop_assert_eq!(tail[1] >> 32, u64::from(upcall_mask));
                prop_assert_eq!(tail[2] & flags::IF == 0, upcall_mask == 1);
                prop_assert_eq!(tail[2] & flags::IOPL, 0);
                prop_assert_eq!(bounce.rflags & flags::IF, flags::IF);
                let cleared = flags::TF | flags::NT | flags::RF | flags::AC | flags::VM;
                prop_assert_eq!(bounce.rflags & (cleared | flags::IOPL), 0);
            }
            None => {
                let (aligned, words) = match kind {
                    Kind::Failsafe(_) => (top, 11),
                    Kind::WithErrorCode(_) => (top & !15, 8),
                    _ => (top & !15, 7),
                };
                let base = aligned.wrapping_sub(8 * words);
                let hole = (1 << 47)..0xffff_8800_0000_0000_u64;
                let last = base.wrapping_add(8 * words - 1);
                prop_assert!(hole.contains(&base) || hole.contains(&last) || last < base
                    || base < hole.start && last >= hole.start);
            }
        }
    }
}
