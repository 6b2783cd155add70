//! What is in flight.
//!
//! A request gets a number, which comes back with its answer. It stays here until then, whatever
//! becomes of the ring, so it can be asked again on the next one.

use super::encode::Operation;
use alloc::vec::Vec;
use hypercall_abi::io::block::{BlkifRequest, BlkifResponse, RSP_OKAY};
use pv_ring::{FrontRing, RingCorrupt, SlotRing};

/// How the back half broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontError {
    /// Its indices make no sense.
    Corrupt(RingCorrupt),
    /// It answered what was not asked.
    UnknownAnswer(u64),
}

impl core::fmt::Display for FrontError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Corrupt(corrupt) => corrupt.fmt(f),
            Self::UnknownAnswer(id) => write!(f, "request {id} was answered but not asked"),
        }
    }
}

#[derive(Debug)]
struct Asked<T> {
    operation: Operation,
    /// Whether it stands in the ring.
    is_sent: bool,
    owner: T,
}

/// Requests in flight, each with what its owner wants to find again.
#[derive(Debug)]
pub struct Front<T> {
    ring: FrontRing,
    asked: Vec<Option<Asked<T>>>,
    free: Vec<u16>,
    /// Pushed and not published.
    is_unpublished: bool,
}

impl<T> Front<T> {
    /// A front half of a ring with `slots` slots, with nothing in flight.
    #[must_use]
    pub fn new(slots: u16) -> Self {
        let asked = (0..slots).map(|_| None).collect();
        let free = (0..slots).rev().collect();
        Self { ring: FrontRing::new(), asked, free, is_unpublished: false }
    }

    /// Whether nothing more can be asked.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Requests without answer.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.asked.len() - self.free.len()
    }

    /// Takes a request in and gives it a number, or gives the owner back.
    ///
    /// # Errors
    /// When every number is in use.
    pub fn accept(&mut self, operation: Operation, owner: T) -> Result<u16, T> {
        let Some(number) = self.free.pop() else { return Err(owner) };
        let Some(place) = self.asked.get_mut(usize::from(number)) else { return Err(owner) };
        *place = Some(Asked { operation, is_sent: false, owner });
        Ok(number)
    }

    /// A request that was accepted.
    #[must_use]
    pub fn operation(&self, number: u16) -> Option<Operation> {
        Some(self.asked.get(usize::from(number))?.as_ref()?.operation)
    }

    /// The owner of a request.
    #[must_use]
    pub fn owner(&self, number: u16) -> Option<&T> {
        Some(&self.asked.get(usize::from(number))?.as_ref()?.owner)
    }

    /// Puts a request into the ring.
    pub fn send<R>(&mut self, ring: &R, number: u16, slot: &BlkifRequest)
    where
        R: SlotRing<Req = BlkifRequest, Rsp = BlkifResponse>,
    {
        let Some(asked) = self.asked.get_mut(usize::from(number)).and_then(Option::as_mut) else {
            return;
        };
        // There are as many numbers as slots, so there is room.
        if !asked.is_sent && self.ring.push(ring, slot).is_ok() {
            asked.is_sent = true;
            self.is_unpublished = true;
        }
    }

    /// Publishes what was sent; true if the back half is to be notified.
    pub fn publish<R>(&mut self, ring: &R) -> bool
    where
        R: SlotRing<Req = BlkifRequest, Rsp = BlkifResponse>,
    {
        core::mem::take(&mut self.is_unpublished) && self.ring.publish(ring)
    }

    /// Takes the next answer: whose it is, and whether it is a success.
    ///
    /// # Errors
    /// When the back half broke the protocol; the ring is of no use any more.
    pub fn answer<R>(&mut self, ring: &R) -> Result<Option<(T, Operation, bool)>, FrontError>
    where
        R: SlotRing<Req = BlkifRequest, Rsp = BlkifResponse>,
    {
        let Some(answer) = self.ring.pop(ring).map_err(FrontError::Corrupt)? else {
            return Ok(None);
        };
        let unknown = FrontError::UnknownAnswer(answer.id);
        let number = u16::try_from(answer.id).map_err(|_| unknown)?;
        let place = self.asked.get_mut(usize::from(number)).ok_or(unknown)?;
        let asked = place.take_if(|asked| asked.is_sent).ok_or(unknown)?;
        self.free.push(number);
        Ok(Some((asked.owner, asked.operation, answer.status == RSP_OKAY)))
    }

    /// Asks to be notified of the next answer; true if there is one already.
    ///
    /// # Errors
    /// When the back half broke the protocol.
    pub fn arm<R>(&self, ring: &R) -> Result<bool, FrontError>
    where
        R: SlotRing<Req = BlkifRequest, Rsp = BlkifResponse>,
    {
        self.ring.arm(ring).map_err(FrontError::Corrupt)
    }

    /// Begins with a new ring; everything in flight is to be sent again.
    pub fn restart<R>(&mut self, ring: &R)
    where
        R: SlotRing<Req = BlkifRequest, Rsp = BlkifResponse>,
    {
        self.ring = FrontRing::init(ring);
        self.is_unpublished = false;
        self.asked.iter_mut().flatten().for_each(|asked| asked.is_sent = false);
    }

    /// Requests that are not in the ring.
    #[must_use]
    pub fn unsent(&self) -> Vec<u16> {
        let is_unsent = |asked: &&Asked<T>| !asked.is_sent;
        let numbers = self.asked.iter().zip(0..);
        numbers.filter_map(|(asked, at)| asked.as_ref().filter(is_unsent).map(|_| at)).collect()
    }

    /// Takes a request out that will never be answered.
    pub fn give_up(&mut self, number: u16) -> Option<(T, Operation)> {
        let asked = self.asked.get_mut(usize::from(number))?.take()?;
        self.free.push(number);
        Some((asked.owner, asked.operation))
    }

    /// Takes everything out.
    pub fn give_up_all(&mut self) -> Vec<(T, Operation)> {
        let numbers = 0..self.asked.len() as u16;
        numbers.filter_map(|number| self.give_up(number)).collect()
    }
}
