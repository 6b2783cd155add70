//! The part of the teaching kernel that knows no machine.
//!
//! `platform` holds the six traits a backend implements; everything else is written against them
//! or against nothing at all. The scheduler, the timers and the frame allocator are plain data
//! structures: they take time and events as arguments and are tested on the host.
//!
//! Who uses it: the backends (`pvkernel-xen`) and the programs that run on them.
//!
//! Invariants, as absences: no unsafe code, no hypercalls, no machine frames, no instructions. The
//! core knows pseudo-physical frames by plain number only.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "hosted"))]
extern crate std;

pub mod blkfront;
pub mod cmdline;
pub mod console;
pub mod device;
pub mod direct;
pub mod elf;
pub mod events;
pub mod frames;
pub mod fs;
pub mod heap;
pub mod kernel;
#[cfg(feature = "net")]
pub mod net;
pub mod netfront;
pub mod os;
pub mod platform;
pub mod proc;
pub mod ranges;
pub mod refs;
pub mod sched;
pub mod sleep_lock;
pub mod sync;
pub mod syscall;
pub mod tables;
pub mod timer;
pub mod vm;
pub mod wait;
