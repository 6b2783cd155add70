//! Rings of requests and responses that share slots: block and network devices.
//!
//! The front end writes requests, the back end answers each of them into a slot. A slot is free
//! again when its response was read. Each end keeps its indices privately and reads the other's
//! published index once per step.

use crate::{filled, RingCorrupt};
use core::sync::atomic::{fence, Ordering};

/// A ring of slots in shared memory.
///
/// An implementation only moves values. The loads of indices must be acquire loads and the stores
/// release stores; a request or response must be copied, never handed out in place.
pub trait SlotRing {
    /// A request.
    type Req;
    /// A response.
    type Rsp;

    /// Slots of the ring, a power of two.
    const SLOTS: u32;

    /// Requests published, acquire.
    fn load_req_prod(&self) -> u32;
    /// Publishes requests, release.
    fn store_req_prod(&self, prod: u32);
    /// Count of requests at which the back end wants to be notified.
    fn load_req_event(&self) -> u32;
    /// Sets the count of requests at which the back end wants to be notified.
    fn store_req_event(&self, event: u32);
    /// Responses published, acquire.
    fn load_rsp_prod(&self) -> u32;
    /// Publishes responses, release.
    fn store_rsp_prod(&self, prod: u32);
    /// Count of responses at which the front end wants to be notified.
    fn load_rsp_event(&self) -> u32;
    /// Sets the count of responses at which the front end wants to be notified.
    fn store_rsp_event(&self, event: u32);
    /// Copies the request out of `slot`, which is below `SLOTS`.
    fn read_req(&self, slot: u32) -> Self::Req;
    /// Copies a request into `slot`, which is below `SLOTS`.
    fn write_req(&self, slot: u32, req: &Self::Req);
    /// Copies the response out of `slot`, which is below `SLOTS`.
    fn read_rsp(&self, slot: u32) -> Self::Rsp;
    /// Copies a response into `slot`, which is below `SLOTS`.
    fn write_rsp(&self, slot: u32, rsp: &Self::Rsp);

    /// Orders every access before it with every access behind it.
    fn full_fence(&self) {
        fence(Ordering::SeqCst);
    }
}

/// Why nothing was put into a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// Front end: every slot holds a request without response. Back end: there is no request left
    /// to answer.
    Full,
}

/// Mask that turns an index into a slot.
const fn mask<R: SlotRing>() -> u32 {
    const { assert!(R::SLOTS.is_power_of_two()) };
    R::SLOTS - 1
}

/// Whether the step of a published index from `old` to `new` passes `event`.
fn passes(old: u32, new: u32, event: u32) -> bool {
    new.wrapping_sub(event) < new.wrapping_sub(old)
}

/// The end that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontRing {
    req_prod: u32,
    req_published: u32,
    rsp_cons: u32,
}

impl FrontRing {
    /// A front end of a ring that was never used.
    #[must_use]
    pub const fn new() -> Self {
        Self { req_prod: 0, req_published: 0, rsp_cons: 0 }
    }

    /// Makes the ring as if it was never used.
    pub fn init<R: SlotRing>(ring: &R) -> Self {
        ring.store_req_prod(0);
        ring.store_rsp_prod(0);
        ring.store_req_event(1);
        ring.store_rsp_event(1);
        Self::new()
    }

    /// Free slots.
    #[must_use]
    pub fn free<R: SlotRing>(&self) -> u32 {
        R::SLOTS.saturating_sub(self.req_prod.wrapping_sub(self.rsp_cons))
    }

    /// Puts a request into the next slot without publishing it.
    ///
    /// # Errors
    /// Every slot is in use.
    pub fn push<R: SlotRing>(&mut self, ring: &R, req: &R::Req) -> Result<(), PushError> {
        if self.free::<R>() == 0 {
            return Err(PushError::Full);
        }
        ring.write_req(self.req_prod & mask::<R>(), req);
        self.req_prod = self.req_prod.wrapping_add(1);
        Ok(())
    }

    /// Publishes what was pushed; true if the back end is to be notified.
    #[must_use]
    pub fn publish<R: SlotRing>(&mut self, ring: &R) -> bool {
        let old = self.req_published;
        ring.store_req_prod(self.req_prod);
        self.req_published = self.req_prod;
        // The index must be visible before the event is read, or both ends may sleep.
        ring.full_fence();
        passes(old, self.req_prod, ring.load_req_event())
    }

    /// Takes the next response.
    ///
    /// # Errors
    /// The back end claims to have answered more than was asked.
    pub fn pop<R: SlotRing>(&mut self, ring: &R) -> Result<Option<R::Rsp>, RingCorrupt> {
        let asked = self.req_published.wrapping_sub(self.rsp_cons);
        if filled(ring.load_rsp_prod(), self.rsp_cons, asked)? == 0 {
            return Ok(None);
        }
        let rsp = ring.read_rsp(self.rsp_cons & mask::<R>());
        self.rsp_cons = self.rsp_cons.wrapping_add(1);
        Ok(Some(rsp))
    }

    /// Responses that wait.
    ///
    /// # Errors
    /// The back end claims to have answered more than was asked.
    pub fn waiting<R: SlotRing>(&self, ring: &R) -> Result<u32, RingCorrupt> {
        let asked = self.req_published.wrapping_sub(self.rsp_cons);
        filled(ring.load_rsp_prod(), self.rsp_cons, asked)
    }

    /// Asks to be notified of the next response; true if one came in meanwhile, so that the caller
    /// must not sleep.
    ///
    /// # Errors
    /// The back end claims to have answered more than was asked.
    pub fn arm<R: SlotRing>(&self, ring: &R) -> Result<bool, RingCorrupt> {
        ring.store_rsp_event(self.rsp_cons.wrapping_add(1));
        ring.full_fence();
        self.waiting(ring).map(|waiting| waiting > 0)
    }
}

impl Default for FrontRing {
    fn default() -> Self {
        Self::new()
    }
}

/// The end that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackRing {
    rsp_prod: u32,
    rsp_published: u32,
    req_cons: u32,
}

impl BackRing {
    /// Takes over a ring at the responses that were published last; requests from there on count
    /// as not answered.
    pub fn attach<R: SlotRing>(ring: &R) -> Self {
        let rsp_prod = ring.load_rsp_prod();
        Self { rsp_prod, rsp_published: rsp_prod, req_cons: rsp_prod }
    }

    /// Takes the next request.
    ///
    /// # Errors
    /// The front end claims to have asked more than there are slots.
    pub fn pop<R: SlotRing>(&mut self, ring: &R) -> Result<Option<R::Req>, RingCorrupt> {
        let prod = ring.load_req_prod();
        filled(prod, self.rsp_prod, R::SLOTS)?;
        if filled(prod, self.req_cons, R::SLOTS)? == 0 {
            return Ok(None);
        }
        let req = ring.read_req(self.req_cons & mask::<R>());
        self.req_cons = self.req_cons.wrapping_add(1);
        Ok(Some(req))
    }

    /// Puts a response into the next slot without publishing it.
    ///
    /// # Errors
    /// Every request that was taken has its response.
    pub fn push<R: SlotRing>(&mut self, ring: &R, rsp: &R::Rsp) -> Result<(), PushError> {
        if self.rsp_prod == self.req_cons {
            return Err(PushError::Full);
        }
        ring.write_rsp(self.rsp_prod & mask::<R>(), rsp);
        self.rsp_prod = self.rsp_prod.wrapping_add(1);
        Ok(())
    }

    /// Publishes what was pushed; true if the front end is to be notified.
    #[must_use]
    pub fn publish<R: SlotRing>(&mut self, ring: &R) -> bool {
        let old = self.rsp_published;
        ring.store_rsp_prod(self.rsp_prod);
        self.rsp_published = self.rsp_prod;
        // The index must be visible before the event is read, or both ends may sleep.
        ring.full_fence();
        passes(old, self.rsp_prod, ring.load_rsp_event())
    }

    /// Asks to be notified of the next request; true if one came in meanwhile, so that the caller
    /// must not sleep.
    ///
    /// # Errors
    /// The front end claims to have asked more than there are slots.
    pub fn arm<R: SlotRing>(&self, ring: &R) -> Result<bool, RingCorrupt> {
        ring.store_req_event(self.req_cons.wrapping_add(1));
        ring.full_fence();
        filled(ring.load_req_prod(), self.req_cons, R::SLOTS).map(|waiting| waiting > 0)
    }
}
