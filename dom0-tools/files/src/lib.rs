//! The files of the control domain: an ext4 on its disk, behind a small and careful face.
//!
//! [`Files`] is a mounted file system on a [`Disk`]; the control domain's service keeps one behind a
//! lock whose holder may wait, and `xtask` makes images with [`format`]. Every failure is a
//! [`FileError`] that names the path and the rule.
//!
//! A file can be held ([`Hold`]) and used as a disk past the file system ([`image`]); it is nobody else's
//! meanwhile.
//!
//! Invariants: paths are absolute, `.` and `..` are refused, names are text; nothing here grows with
//! what a file contains. What is written is durable after `sync`, and the journal keeps names and sizes
//! consistent at any other moment. The format itself is the crate `rsext4`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod change;
mod disk;
mod error;
mod files;
mod held;
pub mod image;
mod numbers;
mod path;
mod places;
mod room;

pub use disk::{format, Disk, DiskError};
pub use error::{FileError, What};
pub use files::{Entry, Extent, FileId, Files, Kind, Space, Stat};
pub use held::Hold;
pub use numbers::{Named, Place};
pub use places::{NoMemory, Piece, Places};
