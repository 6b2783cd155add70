//! Start of day: from the boot loader's state to a kernel in which everything works.
//!
//! The order is the contents of this module: memory first, then the console, then everything that
//! needs the heap. `entry.S` calls `pvkernel_start`; it ends in the program's main function.

use pvkernel_core::cmdline::CommandLine;
use spin::Once;

use crate::console_line::Line;
use crate::directmap::{self, Early};
use crate::image::image;
use crate::layout::{Pfn, PAGE};
use crate::multiboot::{self, Info};
use crate::{apic, chipset, clocks, console, cpu, event, frames, loader, mmu, pte, thread, trap};

/// What this kernel was started with.
#[derive(Debug)]
pub struct BootInfo {
    /// Frames of the machine.
    pub nr_pages: usize,
    /// All their numbers are below this; some may be missing.
    pub frame_limit: usize,
    /// The command line; empty when it is not valid text.
    pub cmdline: &'static str,
    /// The boot module.
    pub ramdisk: Option<&'static [u8]>,
    /// Time stamp counter at the first instruction.
    pub entry_tsc: u64,
}

impl BootInfo {
    /// The words of the command line.
    #[must_use]
    pub const fn args(&self) -> CommandLine<'static> {
        CommandLine::new(self.cmdline)
    }
}

static BOOT_INFO: Once<BootInfo> = Once::new();

/// What this kernel was started with.
///
/// # Panics
/// Before the first steps of the boot.
#[must_use]
pub fn info() -> &'static BootInfo {
    BOOT_INFO.get().expect("set at boot")
}

#[cfg(target_os = "none")]
mod symbols {
    // SAFETY: defined by `entry!`, with this type.
    unsafe extern "C" {
        pub fn pvkernel_main() -> !;
    }
}

/// On a host nothing is ever started; the names only have to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    #![allow(non_upper_case_globals, clippy::missing_safety_doc)]
    pub unsafe extern "C" fn pvkernel_main() -> ! {
        crate::power::crash()
    }
}

/// First Rust code: `magic` and `info` are the boot loader's, `entry_tsc` is the time stamp counter at
/// the first instruction.
///
/// # Safety
/// Called by `entry.S`, once, with what the boot loader left in the registers.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn pvkernel_start(magic: u32, info: u32, entry_tsc: u64) -> ! {
    trap::install();
    console::init(Line::new());
    assert_eq!(magic, multiboot::MAGIC, "this kernel is started by a multiboot loader");
    let loader = loader::parse(info);
    pte::find_known();
    cpu::protect();
    init_memory(&loader);
    let boot = BOOT_INFO.call_once(|| loader::read(&loader, entry_tsc));
    chipset::init(boot);
    apic::init();
    clocks::init(entry_tsc);
    thread::init();
    console::start_input();
    event::enable_upcalls();
    // SAFETY: `entry!` defines the function with this signature.
    unsafe { symbols::pvkernel_main() }
}

/// Makes the kernel's own tables and the frame allocator, in the first room there is.
fn init_memory(loader: &Info) {
    let count = loader::frame_limit(loader);
    let tables = directmap::tables(count as u64 * PAGE, &image());
    let pages = tables + frames::bitmap_frames(count) as u64;
    let room = loader::room(loader, &image(), pages);
    let mut early = Early(room..room + tables);
    // SAFETY: the room is unused, and mapped by the boot tables; this runs once.
    let root = unsafe { directmap::build(loader.regions(), &image(), &mut early) };
    mmu::init(root);
    // SAFETY: the image, its stack among it, is mapped by the new tables where it was.
    unsafe { cpu::write_cr3(root.paddr()) };
    mmu::direct_map_ready();
    // SAFETY: the rest of the room is unused.
    unsafe { frames::init(Pfn::new(room + tables), count) };
    loader::free_all_but(loader, &image(), (room, room + pages));
}
