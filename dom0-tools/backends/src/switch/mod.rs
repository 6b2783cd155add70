//! The switch that joins guests, dom0 and the machine's network.
//!
//! `table` remembers behind which port an address is; `checksum` and `segment` turn what guests send
//! among themselves into what a real network carries. All of it is decisions and bytes; frames and
//! ports are `net::hub`'s.

mod checksum;
mod packet;
mod segment;
mod table;

pub use checksum::{complete, seed, sum};
pub use packet::{Places, Transport, IP};
pub use segment::Cut;
pub use table::{Forward, PortId, Switch, ADDRESSES_PER_PORT};
