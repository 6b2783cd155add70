//! The console service: what a domain prints is kept, what a person types reaches it.
//!
//! `lifecycle` owns one [`Console`] per domain and pumps it whenever its event port fires and once
//! more after the domain died. The ring page is shared with the domain: nothing in it is believed.
//!
//! Invariant: a byte that the domain published before it died is in the scrollback, unless newer
//! bytes pushed it out of the bounded buffer; a domain whose ring makes no sense loses its console
//! and nothing else.

mod last_words;
mod scrollback;
#[cfg(test)]
mod tests;

pub use last_words::LastWords;
pub use scrollback::Scrollback;

use crate::builder::Channel;
use crate::client::{Access, ForeignMemory, Hypervisor};
use crate::error::ToolError;
use alloc::collections::VecDeque;
use hypercall_abi::io::console as layout;
use hypercall_abi::{DomId, EvtchnPort};
use pv_ring::{ByteRing, Consumer, Producer, RingCorrupt};

/// Most bytes typed ahead that are kept for a domain that does not read.
const LONGEST_INPUT: usize = 4096;

/// The service's end of a domain's console.
pub struct Console<H: Hypervisor> {
    hypervisor: H,
    page: H::Mapping,
    port: EvtchnPort,
    output: Consumer,
    input: Producer,
    typed: VecDeque<u8>,
    /// Set when the domain wrote impossible indices: its ring is not touched again.
    corrupt: Option<RingCorrupt>,
    scrollback: Scrollback,
}

impl<H: Hypervisor> Console<H> {
    /// Connects to the console of a domain.
    ///
    /// # Errors
    /// The hypercall that failed; nothing stays mapped or bound.
    pub fn connect(hypervisor: H, domain: DomId, channel: Channel) -> Result<Self, ToolError> {
        let page = hypervisor.map_foreign(domain, &[channel.frame], Access::ReadWrite);
        let page = page.map_err(|errno| {
            let argument = format_args!("foreigndom={domain}, console frame {:#x}", channel.frame);
            ToolError::hypercall("mmu_update", argument, errno, "create the domain again")
        })?;
        let port = hypervisor.bind_port(domain, channel.port).map_err(|errno| {
            let argument = format_args!("remote_dom={domain}, remote_port={}", channel.port);
            let advice = "destroy a domain to get ports";
            ToolError::hypercall("EVTCHNOP_bind_interdomain", argument, errno, advice)
        })?;
        let output = Consumer::attach(&OutputRing(&page));
        let input = Producer::attach(&InputRing(&page));
        Ok(Self {
            hypervisor,
            page,
            port,
            output,
            input,
            typed: VecDeque::new(),
            corrupt: None,
            scrollback: Scrollback::default(),
        })
    }

    /// The service's port, which fires when the domain did something.
    #[must_use]
    pub fn port(&self) -> EvtchnPort {
        self.port
    }

    /// What the domain printed.
    #[must_use]
    pub fn scrollback(&self) -> &Scrollback {
        &self.scrollback
    }

    /// Ends the service and keeps what was printed. Bytes that wait are taken first.
    #[must_use]
    pub fn into_scrollback(mut self) -> Scrollback {
        self.pump();
        core::mem::take(&mut self.scrollback)
    }

    /// Takes what the domain printed and gives it what was typed. One pass over the ring: a domain
    /// that prints all the time cannot hold the service, it notifies again.
    pub fn pump(&mut self) {
        if self.corrupt.is_some() {
            return;
        }
        if let Err(corrupt) = self.pump_checked() {
            self.scrollback.append(b"\r\n[the console ring of this domain is corrupt]\r\n");
            self.corrupt = Some(corrupt);
        }
    }

    fn pump_checked(&mut self) -> Result<(), RingCorrupt> {
        let mut buffer = [0; layout::OUT_SIZE];
        let printed = self.output.read(&OutputRing(&self.page), &mut buffer)?;
        self.scrollback.append(buffer.get(..printed).unwrap_or(&[]));
        let taken = self.input.write(&InputRing(&self.page), self.typed.make_contiguous())?;
        self.typed.drain(..taken);
        if self.typed.is_empty() {
            self.typed = VecDeque::new();
        }
        if printed > 0 || taken > 0 {
            self.hypervisor.notify(self.port);
        }
        Ok(())
    }

    /// Types bytes at the domain; returns how many were taken. What does not fit the ring waits,
    /// up to a bound.
    pub fn type_in(&mut self, bytes: &[u8]) -> usize {
        let room = LONGEST_INPUT.saturating_sub(self.typed.len());
        let taken = bytes.len().min(room);
        self.typed.extend(bytes.iter().take(taken));
        self.pump();
        taken
    }
}

impl<H: Hypervisor> Drop for Console<H> {
    fn drop(&mut self) {
        self.hypervisor.close_port(self.port);
    }
}

/// The direction from the domain.
struct OutputRing<'m, M>(&'m M);

/// The direction to the domain.
struct InputRing<'m, M>(&'m M);

fn read_byte<M: ForeignMemory>(page: &M, at: usize) -> u8 {
    let mut byte = [0];
    page.read(at, &mut byte);
    byte[0]
}

impl<M: ForeignMemory> ByteRing for OutputRing<'_, M> {
    const SIZE: u32 = layout::OUT_SIZE as u32;

    fn load_prod(&self) -> u32 {
        self.0.load_u32(layout::OFFSET_OUT_PROD)
    }

    fn load_cons(&self) -> u32 {
        self.0.load_u32(layout::OFFSET_OUT_CONS)
    }

    fn store_prod(&self, prod: u32) {
        self.0.store_u32(layout::OFFSET_OUT_PROD, prod);
    }

    fn store_cons(&self, cons: u32) {
        self.0.store_u32(layout::OFFSET_OUT_CONS, cons);
    }

    fn read_byte(&self, offset: u32) -> u8 {
        read_byte(self.0, layout::IN_SIZE + offset as usize)
    }

    fn write_byte(&self, offset: u32, byte: u8) {
        self.0.write(layout::IN_SIZE + offset as usize, &[byte]);
    }
}

impl<M: ForeignMemory> ByteRing for InputRing<'_, M> {
    const SIZE: u32 = layout::IN_SIZE as u32;

    fn load_prod(&self) -> u32 {
        self.0.load_u32(layout::OFFSET_IN_PROD)
    }

    fn load_cons(&self) -> u32 {
        self.0.load_u32(layout::OFFSET_IN_CONS)
    }

    fn store_prod(&self, prod: u32) {
        self.0.store_u32(layout::OFFSET_IN_PROD, prod);
    }

    fn store_cons(&self, cons: u32) {
        self.0.store_u32(layout::OFFSET_IN_CONS, cons);
    }

    fn read_byte(&self, offset: u32) -> u8 {
        read_byte(self.0, offset as usize)
    }

    fn write_byte(&self, offset: u32, byte: u8) {
        self.0.write(offset as usize, &[byte]);
    }
}
