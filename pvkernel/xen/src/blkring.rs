//! The ring of a disk in shared memory.
//!
//! Both halves use it: the front half on a page of its own, the back half on the page it mapped. Slots
//! are copied whole; the index arithmetic is the crate `pv-ring`.

use core::sync::atomic::Ordering;

use hypercall_abi::io::block::{BlkifRequest, BlkifResponse};
use hypercall_abi::io::ring::{slots_per_page, HEADER_SIZE};
use pv_ring::SlotRing;
use zerocopy::{FromZeros, IntoBytes};

use crate::shared::SharedMemory;

const REQ_PROD: usize = 0;
const REQ_EVENT: usize = 4;
const RSP_PROD: usize = 8;
const RSP_EVENT: usize = 12;

const SLOT: usize = size_of::<BlkifRequest>();

/// A ring of one page.
#[derive(Clone, Copy, Debug)]
pub struct BlkRing<'page> {
    page: &'page SharedMemory,
}

impl<'page> BlkRing<'page> {
    /// The ring in a page.
    ///
    /// # Panics
    /// If the memory is less than a page.
    #[must_use]
    pub fn new(page: &'page SharedMemory) -> Self {
        assert!(page.len() >= hypercall_abi::PAGE_SIZE, "a ring is a page");
        Self { page }
    }

    const fn offset(slot: u32) -> usize {
        HEADER_SIZE + (slot % Self::SLOTS) as usize * SLOT
    }
}

impl SlotRing for BlkRing<'_> {
    type Req = BlkifRequest;
    type Rsp = BlkifResponse;

    const SLOTS: u32 = slots_per_page(SLOT);

    fn load_req_prod(&self) -> u32 {
        self.page.u32_at(REQ_PROD).load(Ordering::Acquire)
    }

    fn store_req_prod(&self, prod: u32) {
        self.page.u32_at(REQ_PROD).store(prod, Ordering::Release);
    }

    fn load_req_event(&self) -> u32 {
        self.page.u32_at(REQ_EVENT).load(Ordering::Acquire)
    }

    fn store_req_event(&self, event: u32) {
        self.page.u32_at(REQ_EVENT).store(event, Ordering::Release);
    }

    fn load_rsp_prod(&self) -> u32 {
        self.page.u32_at(RSP_PROD).load(Ordering::Acquire)
    }

    fn store_rsp_prod(&self, prod: u32) {
        self.page.u32_at(RSP_PROD).store(prod, Ordering::Release);
    }

    fn load_rsp_event(&self) -> u32 {
        self.page.u32_at(RSP_EVENT).load(Ordering::Acquire)
    }

    fn store_rsp_event(&self, event: u32) {
        self.page.u32_at(RSP_EVENT).store(event, Ordering::Release);
    }

    fn read_req(&self, slot: u32) -> BlkifRequest {
        let mut request = BlkifRequest::new_zeroed();
        self.page.read(Self::offset(slot), request.as_mut_bytes());
        request
    }

    fn write_req(&self, slot: u32, req: &BlkifRequest) {
        self.page.write(Self::offset(slot), req.as_bytes());
    }

    fn read_rsp(&self, slot: u32) -> BlkifResponse {
        let mut response = BlkifResponse::new_zeroed();
        self.page.read(Self::offset(slot), response.as_mut_bytes());
        response
    }

    fn write_rsp(&self, slot: u32, rsp: &BlkifResponse) {
        self.page.write(Self::offset(slot), rsp.as_bytes());
    }
}
