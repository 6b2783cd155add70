//! Layouts of the pages two domains share: rings of devices, console and store.
//!
//! Only layouts; the index arithmetic is the crate `pv-ring`, the access is whoever maps the page.

pub mod block;
pub mod console;
pub mod net;
pub mod ring;
pub mod xenbus;
pub mod xs_wire;
