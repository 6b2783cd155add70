//! The front half of a network card, without a machine: which pages a frame lies in.
//!
//! `TxPages` finds consecutive pages for a frame that is sent, `request_slots` says what stands in the
//! ring for it. `Assembler` puts the pages of a received frame together. The pages of either direction
//! are used in a circle, so that a large frame is one piece of memory nearly always.
//!
//! Used by `pvkernel_xen::netfront`, which has the memory, the grants and the notifications.

mod rx;
mod tx;

pub use rx::{Assembler, Received, RxError};
pub use tx::{request_slots, TxPages, MAX_SEND_PAGES};
