//! `kv`: keys and values over TCP, kept on a disk.

mod change;
mod crc;
pub mod disk;
mod layout;
pub mod log;
pub mod protocol;
pub mod server;
