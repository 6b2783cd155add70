//! Arithmetic with the flags the processor gives.
//!
//! Used by `apply`. Operands are the low `width` bytes; flags are returned as the bits of the flags
//! register. A flag that the manuals call undefined is 0.

use crate::trap::flags::{AF, ARITHMETIC, CF, OF, PF, SF, ZF};

/// What an instruction does with the old contents of its target and with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The value replaces the old contents.
    Write,
    /// Sum.
    Add,
    /// Inclusive or.
    Or,
    /// Sum with the carry.
    Adc,
    /// Difference with the borrow.
    Sbb,
    /// And.
    And,
    /// Difference.
    Sub,
    /// Exclusive or.
    Xor,
    /// Every bit changed; there is no value.
    Not,
    /// The negative; there is no value.
    Neg,
    /// One more, without a carry; there is no value.
    Inc,
    /// One less, without a borrow; there is no value.
    Dec,
    /// The bit with the number of the value set.
    Bts,
    /// The bit cleared.
    Btr,
    /// The bit changed.
    Btc,
}

impl Op {
    /// The operations with a number in opcodes; number 7 compares and does not store.
    pub const NUMBERED: [Self; 7] =
        [Self::Add, Self::Or, Self::Adc, Self::Sbb, Self::And, Self::Sub, Self::Xor];
}

/// The bits of an operand of `width` bytes (1, 2, 4 or 8).
#[inline]
pub const fn width_mask(width: u8) -> u64 {
    u64::MAX >> (64 - 8 * width as u32)
}

/// Result and new flags register of an operation.
#[inline]
pub fn execute(op: Op, a: u64, b: u64, rflags: u64, width: u8) -> (u64, u64) {
    match op {
        Op::Write => (b & width_mask(width), rflags),
        _ => compute(op, a, b, rflags, width),
    }
}

fn compute(op: Op, a: u64, b: u64, rflags: u64, width: u8) -> (u64, u64) {
    let mask = width_mask(width);
    let (a, b) = (a & mask, b & mask);
    let (other, carry) = (rflags & !ARITHMETIC, rflags & CF);
    let logic = |result| (result, other | result_flags(result, width));
    let set = |(result, flags)| (result, other | flags);
    let step = |(result, flags)| (result, other | flags & !CF | carry);
    let bit = |result| (result, rflags & !CF | a >> b & CF);
    match op {
        Op::Write => (b, rflags),
        Op::Not => (!a & mask, rflags),
        Op::Or => logic(a | b),
        Op::And => logic(a & b),
        Op::Xor => logic(a ^ b),
        Op::Add => set(add(a, b, 0, width)),
        Op::Adc => set(add(a, b, carry, width)),
        Op::Sub => set(sub(a, b, 0, width)),
        Op::Sbb => set(sub(a, b, carry, width)),
        Op::Neg => set(sub(0, a, 0, width)),
        Op::Inc => step(add(a, 1, 0, width)),
        Op::Dec => step(sub(a, 1, 0, width)),
        Op::Bts => bit(a | 1 << b),
        Op::Btr => bit(a & !(1 << b)),
        Op::Btc => bit(a ^ 1 << b),
    }
}

/// Sum and arithmetic flags.
fn add(a: u64, b: u64, carry: u64, width: u8) -> (u64, u64) {
    let mask = width_mask(width);
    let sign = mask ^ mask >> 1;
    let result = a.wrapping_add(b).wrapping_add(carry) & mask;
    // Carries out of each position, as in a chain of full adders.
    let carries = a & b | (a | b) & !result;
    let overflow = (a ^ result) & (b ^ result);
    let flags = flag(carries & sign != 0, CF)
        | flag(carries & 8 != 0, AF)
        | flag(overflow & sign != 0, OF)
        | result_flags(result, width);
    (result, flags)
}

/// Difference and arithmetic flags: the sum with the complement, where a carry means no borrow.
fn sub(a: u64, b: u64, borrow: u64, width: u8) -> (u64, u64) {
    let (result, flags) = add(a, !b & width_mask(width), 1 - borrow, width);
    (result, flags ^ (CF | AF))
}

/// Sign, zero and parity of a result.
fn result_flags(result: u64, width: u8) -> u64 {
    flag(result == 0, ZF)
        | flag(result >> (8 * width - 1) & 1 != 0, SF)
        | flag((result as u8).count_ones() & 1 == 0, PF)
}

fn flag(is_set: bool, flag: u64) -> u64 {
    u64::from(is_set) * flag
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The flags by definition: exact arithmetic in a wider type, bit by bit.
    fn slow(op: Op, a: u64, b: u64, rflags: u64, width: u8) -> (u64, u64) {
        let bits = u32::from(width) * 8;
        let signed = |value: u64| i128::from((value << (64 - bits)) as i64 >> (64 - bits));
        let modulus = 1_i128 << bits;
        let carry = i128::from(rflags & 1);
        let (exact, exact_signed, low) = match op {
            Op::Add | Op::Adc => {
                let c = if op == Op::Adc { carry } else { 0 };
                let low = (a & 15) + (b & 15) + c as u64 > 15;
                (i128::from(a) + i128::from(b) + c, signed(a) + signed(b) + c, low)
            }
            Op::Sub | Op::Sbb => {
                let c = if op == Op::Sbb { carry } else { 0 };
                let low = i128::from(a & 15) - i128::from(b & 15) - c < 0;
                (i128::from(a) - i128::from(b) - c, signed(a) - signed(b) - c, low)
            }
            Op::And => (i128::from(a & b), signed(a & b), false),
            Op::Or => (i128::from(a | b), signed(a | b), false),
            Op::Xor => (i128::from(a ^ b), signed(a ^ b), false),
            _ => panic!("no arithmetic of two operands"),
        };
        let result = exact.rem_euclid(modulus) as u64;
        let mut flags = rflags & !0x8d5;
        flags |= u64::from(!(0..modulus).contains(&exact));
        flags |= u64::from((0..8).filter(|i| result >> i & 1 != 0).count() % 2 == 0) << 2;
        flags |= u64::from(low) << 4;
        flags |= u64::from(result == 0) << 6;
        flags |= (result >> (bits - 1) & 1) << 7;
        flags |= u64::from(signed(result) != exact_signed) << 11;
        (result, flags)
    }

    fn operand() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            prop::sample::select(vec![0, 1, 0x7f, 0x80, 0xff, 1 << 31, 1 << 63, u64::MAX]),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn results_and_flags_are_those_of_exact_arithmetic(
            op in prop::sample::select(&Op::NUMBERED),
            a in operand(),
            b in operand(),
            rflags in any::<u64>(),
            width in prop::sample::select(vec![1_u8, 2, 4, 8]),
        ) {
            let (a, b) = (a & width_mask(width), b & width_mask(width));
            let run = |op, b| execute(op, a, b, rflags, width);
            prop_assert_eq!(run(op, b), slow(op, a, b, rflags, width));
            prop_assert_eq!(run(Op::Neg, b), slow(Op::Sub, 0, a, rflags, width));
            let (up, up_flags) = slow(Op::Add, a, 1, rflags, width);
            prop_assert_eq!(run(Op::Inc, b), (up, up_flags & !1 | rflags & 1));
            let (down, down_flags) = slow(Op::Sub, a, 1, rflags, width);
            prop_assert_eq!(run(Op::Dec, b), (down, down_flags & !1 | rflags & 1));
            prop_assert_eq!(run(Op::Not, b), (a ^ width_mask(width), rflags));
            prop_assert_eq!(run(Op::Write, b), (b, rflags));
        }

        #[test]
        fn bit_operations_change_one_bit_and_give_its_old_value(
            a in any::<u64>(),
            bit in 0_u8..64,
            rflags in any::<u64>(),
        ) {
            let run = |op| execute(op, a, bit.into(), rflags, 8);
            let flags = rflags & !1 | a >> bit & 1;
            let one = 1_u64 << bit;
            prop_assert_eq!(run(Op::Bts), (a | one, flags));
            prop_assert_eq!(run(Op::Btr), (a & !one, flags));
            prop_assert_eq!(run(Op::Btc), (a ^ one, flags));
        }
    }
}
