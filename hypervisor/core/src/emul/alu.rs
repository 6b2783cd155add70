//! Arithmetic with the flags the processor gives.
//!
//! Used by `apply`. Operands are the low `width` bytes; flags are returned as the bits of the flags
//! register. A flag that the manuals call undefined is 0.

use crate::trap::flags::{AF, ARITHMETIC, CF, OF, PF, SF, ZF};

/// An operation of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AluOp {
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
}

impl AluOp {
    /// The operation with this number in an opcode; number 7 compares and does not store.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Add,
            1 => Self::Or,
            2 => Self::Adc,
            3 => Self::Sbb,
            4 => Self::And,
            5 => Self::Sub,
            6 => Self::Xor,
            _ => return None,
        })
    }
}

/// The bits of an operand of `width` bytes (1, 2, 4 or 8).
#[inline]
#[must_use]
pub const fn width_mask(width: u8) -> u64 {
    match width {
        1 => 0xff,
        2 => 0xffff,
        4 => 0xffff_ffff,
        _ => u64::MAX,
    }
}

const fn sign_bit(width: u8) -> u64 {
    let mask = width_mask(width);
    mask ^ (mask >> 1)
}

/// Sign, zero and parity of a result.
const fn result_flags(result: u64, width: u8) -> u64 {
    let mut flags = 0;
    if result == 0 {
        flags |= ZF;
    }
    if result & sign_bit(width) != 0 {
        flags |= SF;
    }
    if (result as u8).count_ones() % 2 == 0 {
        flags |= PF;
    }
    flags
}

const fn flag_if(condition: bool, flag: u64) -> u64 {
    if condition {
        flag
    } else {
        0
    }
}

/// Sum and flags.
#[must_use]
pub const fn add(a: u64, b: u64, has_carry: bool, width: u8) -> (u64, u64) {
    let result = a.wrapping_add(b).wrapping_add(has_carry as u64) & width_mask(width);
    // Carries out of each position, as in a chain of full adders.
    let carries = a & b | (a | b) & !result;
    let overflow = (a ^ result) & (b ^ result);
    (result, chain_flags(carries, overflow, result, width))
}

/// Difference and flags.
#[must_use]
pub const fn sub(a: u64, b: u64, has_borrow: bool, width: u8) -> (u64, u64) {
    let result = a.wrapping_sub(b).wrapping_sub(has_borrow as u64) & width_mask(width);
    let borrows = !a & b | (!a | b) & result;
    let overflow = (a ^ b) & (a ^ result);
    (result, chain_flags(borrows, overflow, result, width))
}

const fn chain_flags(carries: u64, overflow: u64, result: u64, width: u8) -> u64 {
    result_flags(result, width)
        | flag_if(carries & sign_bit(width) != 0, CF)
        | flag_if(carries & 8 != 0, AF)
        | flag_if(overflow & sign_bit(width) != 0, OF)
}

/// Result and new flags register of an operation of two operands.
#[must_use]
pub const fn binary(op: AluOp, a: u64, b: u64, rflags: u64, width: u8) -> (u64, u64) {
    let mask = width_mask(width);
    let (a, b) = (a & mask, b & mask);
    let has_carry = rflags & CF != 0;
    let (result, flags) = match op {
        AluOp::Add => add(a, b, false, width),
        AluOp::Adc => add(a, b, has_carry, width),
        AluOp::Sub => sub(a, b, false, width),
        AluOp::Sbb => sub(a, b, has_carry, width),
        AluOp::Or => (a | b, result_flags(a | b, width)),
        AluOp::And => (a & b, result_flags(a & b, width)),
        AluOp::Xor => (a ^ b, result_flags(a ^ b, width)),
    };
    (result, rflags & !ARITHMETIC | flags)
}

/// Result and new flags register of INC (`is_up`) or DEC, which leave the carry alone.
#[must_use]
pub const fn step(a: u64, is_up: bool, rflags: u64, width: u8) -> (u64, u64) {
    let op = if is_up { AluOp::Add } else { AluOp::Sub };
    let (result, flags) = binary(op, a, 1, rflags, width);
    (result, flags & !CF | rflags & CF)
}

/// Result and new flags register of NEG.
#[must_use]
pub const fn negate(a: u64, rflags: u64, width: u8) -> (u64, u64) {
    binary(AluOp::Sub, 0, a, rflags, width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The flags by definition: exact arithmetic in a wider type, bit by bit.
    fn slow(op: AluOp, a: u64, b: u64, rflags: u64, width: u8) -> (u64, u64) {
        let bits = u32::from(width) * 8;
        let signed = |value: u64| i128::from((value << (64 - bits)) as i64 >> (64 - bits));
        let modulus = 1_i128 << bits;
        let carry = i128::from(rflags & 1);
        let (exact, exact_signed, low) = match op {
            AluOp::Add | AluOp::Adc => {
                let c = if op == AluOp::Adc { carry } else { 0 };
                let low = (a & 15) + (b & 15) + c as u64 > 15;
                (i128::from(a) + i128::from(b) + c, signed(a) + signed(b) + c, low)
            }
            AluOp::Sub | AluOp::Sbb => {
                let c = if op == AluOp::Sbb { carry } else { 0 };
                let low = i128::from(a & 15) - i128::from(b & 15) - c < 0;
                (i128::from(a) - i128::from(b) - c, signed(a) - signed(b) - c, low)
            }
            AluOp::And => (i128::from(a & b), signed(a & b), false),
            AluOp::Or => (i128::from(a | b), signed(a | b), false),
            AluOp::Xor => (i128::from(a ^ b), signed(a ^ b), false),
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
            number in 0_u8..7,
            a in operand(),
            b in operand(),
            rflags in any::<u64>(),
            width in prop::sample::select(vec![1_u8, 2, 4, 8]),
        ) {
            let op = AluOp::from_number(number).unwrap();
            let (a, b) = (a & width_mask(width), b & width_mask(width));
            prop_assert_eq!(binary(op, a, b, rflags, width), slow(op, a, b, rflags, width));
            prop_assert_eq!(negate(a, rflags, width), slow(AluOp::Sub, 0, a, rflags, width));
            let (up, up_flags) = slow(AluOp::Add, a, 1, rflags, width);
            prop_assert_eq!(step(a, true, rflags, width), (up, up_flags & !1 | rflags & 1));
            let (down, down_flags) = slow(AluOp::Sub, a, 1, rflags, width);
            prop_assert_eq!(step(a, false, rflags, width), (down, down_flags & !1 | rflags & 1));
        }
    }
}
