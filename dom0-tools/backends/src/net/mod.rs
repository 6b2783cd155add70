//! The back half of network cards.
//!
//! `gather` makes packets of a guest's slots, `scatter` puts frames into the pages a guest posted,
//! `rate` and `spoof` say what a guest may send, `outbox` is what waits for it: together they are a
//! `vif`. `local` is dom0's own port. `hub` joins them by the switch. All are decisions on copies; the
//! memory is moved by whoever implements `Copier` and `Wire`.

mod gather;
mod hub;
mod local;
mod outbox;
mod port;
mod rate;
mod scatter;
mod spoof;
mod vif;

pub use gather::{Gatherer, Packet, Part, Refusal, Step, MAX_PARTS};
pub use hub::{After, Copier, CopyIn, CopyOut, Hub};
pub use local::{LocalPort, Wake};
pub use outbox::{Outbox, MAX_WAITING};
pub use rate::{Bucket, Rate};
pub use scatter::{Posted, Sent, MAX_PAGES};
pub use spoof::Identity;
pub use vif::{Stats, VifOptions, Wire};
