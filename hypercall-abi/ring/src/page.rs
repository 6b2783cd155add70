//! The console page and the store page as atomics.
//!
//! Whoever has such a page mapped makes one reference of these types to it; from then on all
//! access is safe code. The layout is the one of `hypercall_abi::io`, asserted below.

use crate::byte::ByteRing;
use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicU32, AtomicU8, Ordering};
use hypercall_abi::io::console::{self, XenconsInterface};
use hypercall_abi::io::xs_wire::{self, XenstoreDomainInterface};

/// One direction of a ring whose bytes and indices are atomics.
#[derive(Clone, Copy, Debug)]
pub struct AtomicByteRing<'page, const N: usize> {
    bytes: &'page [AtomicU8; N],
    cons: &'page AtomicU32,
    prod: &'page AtomicU32,
}

impl<'page, const N: usize> AtomicByteRing<'page, N> {
    /// A ring of these bytes and indices.
    #[must_use]
    pub const fn new(
        bytes: &'page [AtomicU8; N],
        cons: &'page AtomicU32,
        prod: &'page AtomicU32,
    ) -> Self {
        Self { bytes, cons, prod }
    }
}

impl<const N: usize> ByteRing for AtomicByteRing<'_, N> {
    const SIZE: u32 = N as u32;

    fn load_prod(&self) -> u32 {
        self.prod.load(Ordering::Acquire)
    }

    fn load_cons(&self) -> u32 {
        self.cons.load(Ordering::Acquire)
    }

    fn store_prod(&self, prod: u32) {
        self.prod.store(prod, Ordering::Release);
    }

    fn store_cons(&self, cons: u32) {
        self.cons.store(cons, Ordering::Release);
    }

    fn read_byte(&self, offset: u32) -> u8 {
        self.bytes.get(offset as usize).map_or(0, |byte| byte.load(Ordering::Relaxed))
    }

    fn write_byte(&self, offset: u32, value: u8) {
        if let Some(byte) = self.bytes.get(offset as usize) {
            byte.store(value, Ordering::Relaxed);
        }
    }
}

/// The console page of a domain.
#[derive(Debug)]
#[repr(C)]
pub struct ConsolePage {
    input: [AtomicU8; console::IN_SIZE],
    output: [AtomicU8; console::OUT_SIZE],
    in_cons: AtomicU32,
    in_prod: AtomicU32,
    out_cons: AtomicU32,
    out_prod: AtomicU32,
}

const _: () = {
    assert!(size_of::<ConsolePage>() == size_of::<XenconsInterface>());
    assert!(offset_of!(ConsolePage, output) == offset_of!(XenconsInterface, out));
    assert!(offset_of!(ConsolePage, in_cons) == offset_of!(XenconsInterface, in_cons));
    assert!(offset_of!(ConsolePage, in_prod) == offset_of!(XenconsInterface, in_prod));
    assert!(offset_of!(ConsolePage, out_cons) == offset_of!(XenconsInterface, out_cons));
    assert!(offset_of!(ConsolePage, out_prod) == offset_of!(XenconsInterface, out_prod));
};

impl ConsolePage {
    /// An empty page, as a builder leaves it.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            input: [const { AtomicU8::new(0) }; console::IN_SIZE],
            output: [const { AtomicU8::new(0) }; console::OUT_SIZE],
            in_cons: AtomicU32::new(0),
            in_prod: AtomicU32::new(0),
            out_cons: AtomicU32::new(0),
            out_prod: AtomicU32::new(0),
        }
    }

    /// The direction towards the guest: the console service produces, the guest consumes.
    #[must_use]
    pub const fn input(&self) -> AtomicByteRing<'_, { console::IN_SIZE }> {
        AtomicByteRing::new(&self.input, &self.in_cons, &self.in_prod)
    }

    /// The direction from the guest: the guest produces, the console service consumes.
    #[must_use]
    pub const fn output(&self) -> AtomicByteRing<'_, { console::OUT_SIZE }> {
        AtomicByteRing::new(&self.output, &self.out_cons, &self.out_prod)
    }
}

impl Default for ConsolePage {
    fn default() -> Self {
        Self::new()
    }
}

/// The store page of a domain.
#[derive(Debug)]
#[repr(C)]
pub struct XenstorePage {
    req: [AtomicU8; xs_wire::RING_SIZE],
    rsp: [AtomicU8; xs_wire::RING_SIZE],
    req_cons: AtomicU32,
    req_prod: AtomicU32,
    rsp_cons: AtomicU32,
    rsp_prod: AtomicU32,
    server_features: AtomicU32,
    connection: AtomicU32,
    error: AtomicU32,
}

const _: () = {
    assert!(size_of::<XenstorePage>() == size_of::<XenstoreDomainInterface>());
    assert!(offset_of!(XenstorePage, rsp) == offset_of!(XenstoreDomainInterface, rsp));
    assert!(offset_of!(XenstorePage, req_cons) == offset_of!(XenstoreDomainInterface, req_cons));
    assert!(offset_of!(XenstorePage, req_prod) == offset_of!(XenstoreDomainInterface, req_prod));
    assert!(offset_of!(XenstorePage, rsp_cons) == offset_of!(XenstoreDomainInterface, rsp_cons));
    assert!(offset_of!(XenstorePage, rsp_prod) == offset_of!(XenstoreDomainInterface, rsp_prod));
    assert!(offset_of!(XenstorePage, error) == offset_of!(XenstoreDomainInterface, error));
};

impl XenstorePage {
    /// An empty page, as a builder leaves it.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            req: [const { AtomicU8::new(0) }; xs_wire::RING_SIZE],
            rsp: [const { AtomicU8::new(0) }; xs_wire::RING_SIZE],
            req_cons: AtomicU32::new(0),
            req_prod: AtomicU32::new(0),
            rsp_cons: AtomicU32::new(0),
            rsp_prod: AtomicU32::new(0),
            server_features: AtomicU32::new(0),
            connection: AtomicU32::new(0),
            error: AtomicU32::new(0),
        }
    }

    /// Requests: the domain produces, the store consumes.
    #[must_use]
    pub const fn requests(&self) -> AtomicByteRing<'_, { xs_wire::RING_SIZE }> {
        AtomicByteRing::new(&self.req, &self.req_cons, &self.req_prod)
    }

    /// Answers and watch events: the store produces, the domain consumes.
    #[must_use]
    pub const fn responses(&self) -> AtomicByteRing<'_, { xs_wire::RING_SIZE }> {
        AtomicByteRing::new(&self.rsp, &self.rsp_cons, &self.rsp_prod)
    }

    /// What the store can do, `xs_wire::SERVER_FEATURE_*`.
    #[must_use]
    pub const fn server_features(&self) -> &AtomicU32 {
        &self.server_features
    }

    /// `xs_wire::CONNECTED` or `xs_wire::RECONNECT`.
    #[must_use]
    pub const fn connection(&self) -> &AtomicU32 {
        &self.connection
    }

    /// `xs_wire::ERROR_*`.
    #[must_use]
    pub const fn error(&self) -> &AtomicU32 {
        &self.error
    }
}

impl Default for XenstorePage {
    fn default() -> Self {
        Self::new()
    }
}
