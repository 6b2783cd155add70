//! The 128 bytes behind the head of `domctl`, `sysctl` and `platform_op`.
//!
//! The three hypercalls share one shape: a head with command and version, then a union of one
//! structure per command. Which structure is right follows from the command and is known only to
//! the code that handles it; every bit pattern is a valid value of each of them.

use core::mem::size_of;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of the union.
pub const PAYLOAD_SIZE: usize = 128;

/// The union, as aligned bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Payload([u64; PAYLOAD_SIZE / 8]);

impl Payload {
    /// The first bytes as a `T`.
    #[must_use]
    pub fn get<T: FromBytes>(&self) -> T {
        const { assert!(size_of::<T>() <= PAYLOAD_SIZE) };
        match T::read_from_prefix(self.0.as_bytes()) {
            Ok((value, _)) => value,
            Err(_) => T::new_zeroed(),
        }
    }

    /// Overwrites the first bytes with `value`; the rest stays.
    pub fn set<T: IntoBytes + Immutable>(&mut self, value: &T) {
        const { assert!(size_of::<T>() <= PAYLOAD_SIZE) };
        for (to, from) in self.0.as_mut_bytes().iter_mut().zip(value.as_bytes()) {
            *to = *from;
        }
    }
}
