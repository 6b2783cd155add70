//! The forced-emulation prefix: `UD2` and the letters `xen` before an instruction.
//!
//! Called on every invalid opcode fault of a guest. Only CPUID is accepted behind the prefix; with
//! anything else the guest gets its fault at the `UD2`.

use super::code::Code;
use hypercall_abi::cpuid::EMULATE_PREFIX;

/// Opcode of CPUID.
const CPUID: [u8; 2] = [0x0f, 0xa2];
/// Length of the prefix.
pub const PREFIX_LEN: usize = EMULATE_PREFIX.len();
/// Length of prefix and CPUID together.
pub const CPUID_LEN: usize = PREFIX_LEN + CPUID.len();
/// Prefix and CPUID, padded to a word.
const SEQUENCE: [u8; 8] = {
    let [a, b, c, d, e] = EMULATE_PREFIX;
    let [f, g] = CPUID;
    [a, b, c, d, e, f, g, 0]
};

/// What stands at the faulting instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// The prefix and CPUID: emulate it and skip [`CPUID_LEN`] bytes.
    Cpuid,
    /// Something else: the fault is the guest's.
    Other,
    /// So far it could be the prefix, but the bytes end; fetching more may fault.
    Truncated,
}

/// Looks at the bytes at the faulting instruction.
#[inline]
#[must_use]
pub fn recognise(code: &Code) -> Forced {
    let wanted = u64::from_le_bytes(SEQUENCE);
    let fetched = code.fetched().min(CPUID_LEN);
    // Only the bytes that were fetched can differ.
    let difference = (code.first_word() ^ wanted) & ((1 << (8 * fetched)) - 1);
    match (difference, fetched) {
        (0, CPUID_LEN) => Forced::Cpuid,
        (0, _) => Forced::Truncated,
        _ => Forced::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_sequence_is_cpuid() {
        let whole = [0x0f, 0x0b, b'x', b'e', b'n', 0x0f, 0xa2, 0xcc];
        assert_eq!(recognise(&Code::new(&whole)), Forced::Cpuid);
        assert_eq!(recognise(&Code::new(&whole[..7])), Forced::Cpuid);
        for len in 0..7 {
            assert_eq!(recognise(&Code::new(&whole[..len])), Forced::Truncated, "{len}");
        }
        for i in 0..7 {
            let mut wrong = whole;
            wrong[i] ^= 1;
            assert_eq!(recognise(&Code::new(&wrong)), Forced::Other, "{i}");
        }
    }
}
