//! The system that programs see: processes and files on a kernel with user mode.
//!
//! A backend's image calls `run` from its main thread with what it found: the archive of programs, disks,
//! the ways to end the machine. `run` makes the tree of files, starts the thread of the console and the
//! first process, and comes back when that has ended. What is here is what all processes share.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use pvkernel_abi::Errno;

use crate::device::block::BlockDevice;
use crate::fs::{Archive, DevFs, Keys, Limits, MakeFileSystem, RamFs, Tty, Vfs};
use crate::kernel::Kernel;
#[cfg(feature = "net")]
use crate::net::Stack as IpStack;
use crate::platform::{Stack, User};
use crate::println;
use crate::proc::{self, Meters, Processes};
use crate::vm::{Pool, PAGE};
use crate::wait::WaitQueue;

/// How long a process runs while others want to.
pub const SLICE_NS: u64 = 10_000_000;

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerEnd {
    /// It is switched off.
    Off,
    /// It starts again.
    Reboot,
}

/// What a system is made of, beside its kernel.
pub struct Setup {
    /// The archive of programs: `bin/NAME`, and other files.
    pub archive: Option<&'static [u8]>,
    /// Disks and their names in `/dev`.
    pub disks: Vec<(String, Arc<dyn BlockDevice>)>,
    /// Understands what is on a disk, for the system call `mount`.
    pub make: Option<MakeFileSystem>,
    /// Waits until something was typed; `None` if nobody ever types.
    pub wait_input: Option<fn()>,
    /// Ends the machine.
    pub power: fn(PowerEnd) -> !,
    /// Finds a network card and starts IP on it; called once, in a thread of its own, so that nobody waits
    /// for a card.
    #[cfg(feature = "net")]
    pub network: Option<Box<dyn FnOnce() -> Option<&'static IpStack> + Send>>,
}

/// The system.
pub struct Os {
    /// Its threads.
    pub kernel: &'static Kernel,
    /// The machine's user mode.
    pub user: &'static dyn User,
    /// Frames of processes.
    pub pool: &'static Pool,
    /// All files.
    pub vfs: &'static Vfs,
    /// All processes.
    pub processes: Processes,
    power: fn(PowerEnd) -> !,
    /// IP, as soon as there is any.
    #[cfg(feature = "net")]
    pub(crate) network: spin::Once<&'static IpStack>,
    /// IP with itself, from its first use on.
    #[cfg(feature = "net")]
    pub(crate) loopback: spin::Once<&'static IpStack>,
    /// The process whose program the machine is ready to run, or 0.
    current: AtomicU32,
    slice_end_ns: AtomicU64,
    pub(crate) meters: Meters,
    over: AtomicBool,
    status: AtomicI32,
    end: WaitQueue,
    /// When ^C was typed and there was nothing to end, because the shell was between two programs; or 0.
    pub(crate) missed_ns: AtomicU64,
}

impl Os {
    /// Whether the machine is ready to run a process's program.
    pub(crate) fn is_current(&self, pid: u32) -> bool {
        self.current.load(Ordering::Relaxed) == pid
    }

    /// Notes that it is, and until when that one may run while others want to.
    pub(crate) fn set_current(&self, pid: u32, slice_end_ns: u64) {
        self.current.store(pid, Ordering::Relaxed);
        self.slice_end_ns.store(slice_end_ns, Ordering::Relaxed);
    }

    /// Whoever runs next has to be made ready first.
    pub(crate) fn nobody_is_current(&self) {
        self.current.store(0, Ordering::Relaxed);
    }

    pub(crate) fn slice_end_ns(&self) -> u64 {
        self.slice_end_ns.load(Ordering::Relaxed)
    }

    /// Waits until the first process has ended: its status.
    pub(crate) fn wait_first(&self) -> i32 {
        self.end.wait_until(self.kernel, || self.over.swap(false, Ordering::AcqRel));
        self.status.load(Ordering::Relaxed)
    }

    /// The first process has ended, and with it the system.
    pub(crate) fn first_ended(&self, status: i32) {
        self.status.store(status, Ordering::Relaxed);
        self.over.store(true, Ordering::Release);
        self.end.wake_all(self.kernel);
    }

    /// `poweroff`: 0 ends the machine, 1 starts it again.
    ///
    /// # Errors
    /// `EINVAL` for anything else.
    pub(crate) fn power_off(&self, how: u64) -> Result<u64, Errno> {
        let end = match how {
            0 => PowerEnd::Off,
            1 => PowerEnd::Reboot,
            _ => return Err(Errno::EINVAL),
        };
        // A disk that fails now cannot be helped.
        let _ = self.vfs.end();
        (self.power)(end)
    }
}

/// Runs a system until its first process ends: the status of that. `args` are the first program's path and
/// its arguments.
///
/// # Errors
/// There is no user mode (`ENODEV`), or the first program cannot be started.
pub fn run(kernel: &'static Kernel, setup: Setup, args: &[&[u8]]) -> Result<i32, Errno> {
    let os = start(kernel, setup)?;
    proc::start_first(os, args.first().copied().unwrap_or_default(), args)?;
    Ok(os.wait_first())
}

/// Makes a system without processes.
///
/// # Errors
/// As `run`.
pub fn start(kernel: &'static Kernel, setup: Setup) -> Result<&'static Os, Errno> {
    let platform = kernel.platform();
    let user = platform.user.ok_or(Errno::ENODEV)?;
    let pool = Box::leak(Box::new(Pool::new(platform.mmu, user)));
    let place: &'static spin::Once<&'static Os> = Box::leak(Box::new(spin::Once::new()));
    let on_interrupt = || {
        if let Some(os) = place.get() {
            os.interrupt();
        }
    };
    let tty = Arc::new(Tty::new(kernel, platform.console, Box::new(on_interrupt)));
    let vfs = tree(kernel, &setup, &tty)?;
    let os = place.call_once(|| {
        Box::leak(Box::new(Os {
            kernel,
            user,
            pool,
            vfs,
            processes: Processes::new(),
            power: setup.power,
            #[cfg(feature = "net")]
            network: spin::Once::new(),
            #[cfg(feature = "net")]
            loopback: spin::Once::new(),
            current: AtomicU32::new(0),
            slice_end_ns: AtomicU64::new(0),
            meters: Meters::new(),
            over: AtomicBool::new(false),
            status: AtomicI32::new(0),
            end: WaitQueue::new(),
            missed_ns: AtomicU64::new(0),
        }))
    });
    #[cfg(feature = "net")]
    if let Some(find) = setup.network {
        let serve = move || {
            if let Some(stack) = find() {
                os.network.call_once(|| stack);
            }
        };
        kernel.spawn("network", serve).map_err(|_| Errno::ENOMEM)?;
    }
    if let Some(wait_input) = setup.wait_input {
        let serve = move || loop {
            wait_input();
            tty.pump();
        };
        kernel.spawn_on("console", Stack::Small, serve).map_err(|_| Errno::ENOMEM)?;
    }
    Ok(os)
}

/// The tree of files: memory at `/`, the archive's programs at `/bin` and all of it at `/boot`, devices at
/// `/dev`.
fn tree(kernel: &'static Kernel, setup: &Setup, tty: &Arc<Tty>) -> Result<&'static Vfs, Errno> {
    let platform = kernel.platform();
    let limit = platform.mmu.free_frames() as u64 * PAGE / 4;
    let root = Arc::new(RamFs::new(platform.clock, limit));
    let vfs: &'static Vfs =
        Box::leak(Box::new(Vfs::new(kernel, root, setup.make, Limits::default())));
    let at = vfs.root();
    for folder in [&b"/bin"[..], b"/boot", b"/dev", b"/mnt", b"/tmp"] {
        vfs.mkdir(&at, folder)?;
    }
    let mut devices = DevFs::new();
    let console: Arc<Tty> = Arc::clone(tty);
    devices.add("console", console);
    devices.add("keys", Arc::new(Keys::new(Arc::clone(tty))));
    for (name, disk) in &setup.disks {
        devices.add_disk(kernel, name, Arc::clone(disk));
    }
    vfs.mount(&at, b"/dev", Arc::new(devices), b"")?;
    match setup.archive.map(Archive::new) {
        None => println!("os: no archive of programs was given"),
        Some(Err(bad)) => println!("os: the archive of programs: {bad}"),
        Some(Ok(archive)) => {
            if let Some(bin) = archive.within(b"bin") {
                vfs.mount(&at, b"/bin", Arc::new(bin), b"")?;
            }
            vfs.mount(&at, b"/boot", Arc::new(archive), b"")?;
        }
    }
    Ok(vfs)
}
