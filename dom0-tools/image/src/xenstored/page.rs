//! The ring page of a domain as the store's line sees it.

use hypercall_abi::io::xs_wire::{XenstoreDomainInterface, RING_SIZE};
use pv_ring::ByteRing;
use zl_toolstack::client::ForeignMemory;
use zl_xenstore::line::{Page, Word};

use core::mem::offset_of;

/// A mapped ring page.
pub struct RingPage<M>(pub M);

/// One direction of it.
struct Direction<'m, M> {
    memory: &'m M,
    bytes: usize,
    cons: usize,
    prod: usize,
}

impl<M: ForeignMemory> Page for RingPage<M> {
    fn requests(&self) -> impl ByteRing + '_ {
        Direction {
            memory: &self.0,
            bytes: offset_of!(XenstoreDomainInterface, req),
            cons: offset_of!(XenstoreDomainInterface, req_cons),
            prod: offset_of!(XenstoreDomainInterface, req_prod),
        }
    }

    fn responses(&self) -> impl ByteRing + '_ {
        Direction {
            memory: &self.0,
            bytes: offset_of!(XenstoreDomainInterface, rsp),
            cons: offset_of!(XenstoreDomainInterface, rsp_cons),
            prod: offset_of!(XenstoreDomainInterface, rsp_prod),
        }
    }

    fn load(&self, word: Word) -> u32 {
        self.0.load_u32(offset(word))
    }

    fn store(&self, word: Word, value: u32) {
        self.0.store_u32(offset(word), value);
    }
}

fn offset(word: Word) -> usize {
    match word {
        Word::Features => offset_of!(XenstoreDomainInterface, server_features),
        Word::Connection => offset_of!(XenstoreDomainInterface, connection),
        Word::Error => offset_of!(XenstoreDomainInterface, error),
    }
}

impl<M: ForeignMemory> ByteRing for Direction<'_, M> {
    const SIZE: u32 = RING_SIZE as u32;

    fn load_prod(&self) -> u32 {
        self.memory.load_u32(self.prod)
    }

    fn load_cons(&self) -> u32 {
        self.memory.load_u32(self.cons)
    }

    fn store_prod(&self, prod: u32) {
        self.memory.store_u32(self.prod, prod);
    }

    fn store_cons(&self, cons: u32) {
        self.memory.store_u32(self.cons, cons);
    }

    fn read_byte(&self, offset: u32) -> u8 {
        let mut byte = [0];
        self.memory.read(self.bytes + offset as usize, &mut byte);
        byte[0]
    }

    fn write_byte(&self, offset: u32, byte: u8) {
        self.memory.write(self.bytes + offset as usize, &[byte]);
    }
}
