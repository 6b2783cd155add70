//! The macros the modules of this crate are written with.
//!
//! `newtype!` makes a number that cannot be mixed up with another, `abi_struct!` a structure that
//! may be copied to and from raw bytes, `abi_flags!` a flag word, `consts!` a list of numbers. Used
//! only inside this crate.

/// Defines a `repr(transparent)` wrapper of an integer with `new` and `get` and nothing else.
macro_rules! newtype {
    ($(#[$meta:meta])* $name:ident($raw:ty)) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            ::zerocopy::FromBytes, ::zerocopy::IntoBytes, ::zerocopy::Immutable,
            ::zerocopy::KnownLayout,
        )]
        #[repr(transparent)]
        pub struct $name($raw);

        impl $name {
            /// Wraps a raw number; every number is a possible claim of a guest.
            #[must_use]
            pub const fn new(raw: $raw) -> Self {
                Self(raw)
            }

            /// The raw number.
            #[must_use]
            pub const fn get(self) -> $raw {
                self.0
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::core::fmt::LowerHex for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

/// Defines a `repr(C)` structure without hidden padding; padding is spelled out as `_pad` fields
/// because the byte conversions of zerocopy refuse structures with holes.
macro_rules! abi_struct {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, ::zerocopy::FromBytes, ::zerocopy::IntoBytes,
            ::zerocopy::Immutable, ::zerocopy::KnownLayout,
        )]
        #[repr(C)]
        pub struct $name {
            $($(#[$fmeta])* pub $field: $ty,)+
        }

        impl Default for $name {
            fn default() -> Self {
                ::zerocopy::FromZeros::new_zeroed()
            }
        }
    };
}

/// Defines a flag word that is stored as raw bits in structures. A value read from memory may hold
/// unknown bits; `all().contains(value)` or `from_bits(value.bits())` finds them.
macro_rules! abi_flags {
    ($(#[$meta:meta])* $name:ident($raw:ty) {
        $($(#[$($fmeta:tt)*])* $flag:ident = $value:expr;)+
    }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, ::zerocopy::FromBytes, ::zerocopy::IntoBytes,
            ::zerocopy::Immutable, ::zerocopy::KnownLayout,
        )]
        #[repr(transparent)]
        pub struct $name($raw);

        ::bitflags::bitflags! {
            impl $name: $raw {
                $($(#[$($fmeta)*])* const $flag = $value;)+
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                write!(f, "{}({:#x})", stringify!($name), self.bits())
            }
        }
    };
}

/// Defines the numbers of an open set, for example the commands of one hypercall.
macro_rules! consts {
    ($ty:ty: $($(#[$meta:meta])* $name:ident = $value:expr;)+) => {
        $($(#[$meta])* pub const $name: $ty = $value;)+
    };
}

pub(crate) use {abi_flags, abi_struct, consts, newtype};
