//! Start of day: from the boot loader's state to a kernel in which everything works.
//!
//! The order is the contents of this module: memory first, then the console, then everything that
//! needs the heap. `entry.S` calls `pvkernel_start`; it ends in the program's main function.

use pvkernel_core::cmdline::CommandLine;
use pvkernel_core::frames::FrameAllocator;
use spin::Once;

use crate::console_line::Line;
use crate::cpu::{cr0, cr4};
use crate::directmap::{self, Early, Image};
use crate::layout::{direct_va, Pfn, DIRECT_BASE, PAGE, VIRT_BASE, WINDOW_BASE};
use crate::multiboot::{self, Info, Region, MAX_CMDLINE};
use crate::{apic, chipset, clocks, console, cpu, event, frames, mmu, thread, trap};

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

/// Memory the boot tables map.
const BOOT_LIMIT: u64 = 1 << 30;
/// Memory below this is left to the firmware.
const LOW_MEMORY: u64 = 1 << 20;
/// Memory behind this has no place in the direct map.
const HIGHEST: u64 = WINDOW_BASE - DIRECT_BASE;

#[cfg(target_os = "none")]
mod symbols {
    // SAFETY: defined in entry.S, link.ld and by `entry!`, with these types.
    unsafe extern "C" {
        pub static boot_stack_guard: u8;
        pub static image_start: u8;
        pub static image_text: u8;
        pub static image_rodata: u8;
        pub static image_data: u8;
        pub static image_end: u8;
        pub fn pvkernel_main() -> !;
    }
}

/// On a host nothing is ever started; the names only have to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    #![allow(non_upper_case_globals, clippy::missing_safety_doc)]
    pub static boot_stack_guard: u8 = 0;
    pub static image_start: u8 = 0;
    pub static image_text: u8 = 0;
    pub static image_rodata: u8 = 0;
    pub static image_data: u8 = 0;
    pub static image_end: u8 = 0;
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
    let loader = multiboot::parse(info.into(), boot_memory).expect("the loader says what there is");
    init_cpu();
    init_memory(&loader);
    let boot = BOOT_INFO.call_once(|| read_boot_info(&loader, entry_tsc));
    chipset::init(boot);
    apic::init();
    clocks::init(entry_tsc);
    thread::init();
    console::start_input();
    event::enable_upcalls();
    // SAFETY: `entry!` defines the function with this signature.
    unsafe { symbols::pvkernel_main() }
}

/// Memory as the boot tables show it.
fn boot_memory(at: u64, len: u64) -> Option<&'static [u8]> {
    if at == 0 || at.checked_add(len)? > BOOT_LIMIT {
        return None;
    }
    let start = core::ptr::with_exposed_provenance::<u8>((VIRT_BASE + at) as usize);
    // SAFETY: mapped, as the limit says; the loader is gone, and until its words have been copied
    // nobody writes anywhere but to the image.
    Some(unsafe { core::slice::from_raw_parts(start, len as usize) })
}

/// Turns on what the processor has to protect the kernel from programs and from itself.
fn init_cpu() {
    mmu::find_features();
    let [_, ebx7, ecx7, _] = if cpu::cpuid(0, 0)[0] >= 7 { cpu::cpuid(7, 0) } else { [0; 4] };
    let optional = [(ebx7, 7, cr4::SMEP), (ebx7, 20, cr4::SMAP), (ecx7, 2, cr4::UMIP)];
    let present = optional.iter().filter(|(word, bit, _)| word >> bit & 1 != 0);
    let flags = present.fold(cr4::PAE | cr4::SSE, |flags, (_, _, flag)| flags | flag);
    // SAFETY: only bits this processor has; nothing of a program is mapped.
    unsafe { cpu::write_cr4(flags) };
    // SAFETY: paging and protection stay on.
    unsafe { cpu::write_cr0(cr0::KERNEL) };
}

fn image() -> Image {
    Image {
        text: &raw const symbols::image_text as u64,
        rodata: &raw const symbols::image_rodata as u64,
        data: &raw const symbols::image_data as u64,
        end: &raw const symbols::image_end as u64,
        guard: &raw const symbols::boot_stack_guard as u64,
    }
}

/// What must not be overwritten: the image and the boot module.
fn used(loader: &Info) -> [Region; 2] {
    let start = &raw const symbols::image_start as u64;
    [(start - VIRT_BASE, image().end - VIRT_BASE), loader.module.unwrap_or_default()]
}

/// Memory as this kernel uses it.
fn usable(loader: &Info) -> impl Iterator<Item = Region> + Clone + '_ {
    let cut = |(start, end): &Region| ((*start).max(LOW_MEMORY), (*end).min(HIGHEST));
    loader.regions().iter().map(cut).filter(|(start, end)| start < end)
}

/// The first number behind those of all frames.
fn frame_limit(loader: &Info) -> usize {
    (usable(loader).map(|region| region.1).max().unwrap_or(0) / PAGE) as usize
}

/// Page tables and the frame allocator's bitmap come to lie in the first room there is; all memory
/// that is not used then is free.
fn init_memory(loader: &Info) {
    let count = frame_limit(loader);
    let end = count as u64 * PAGE;
    let words = FrameAllocator::words_for(count);
    let tables = directmap::tables(end, &image());
    let bytes = tables * PAGE + (words as u64 * 8).next_multiple_of(PAGE);
    let [kernel, module] = used(loader);
    let low = (0, LOW_MEMORY);
    let room = loader.room(bytes, &[kernel, module, low], BOOT_LIMIT);
    let room = room.expect("there is memory for page tables");
    let first = room / PAGE;
    let mut early = Early(first..first + tables);
    // SAFETY: the room is unused, and mapped by the boot tables.
    let root = unsafe { directmap::build(loader.regions(), &image(), &mut early) };
    mmu::init(root);
    // SAFETY: the image, its stack among it, is mapped by the new tables where it was.
    unsafe { cpu::write_cr3(root.paddr()) };
    mmu::direct_map_ready();
    let bitmap = direct_va(Pfn::new(first + tables)) as usize;
    let bitmap = core::ptr::with_exposed_provenance_mut::<u64>(bitmap);
    // SAFETY: the frames are unused, mapped writable in the direct map, and any bits are words.
    let bitmap = unsafe { core::slice::from_raw_parts_mut(bitmap, words) };
    frames::init(bitmap, count, count);
    free_all_but(usable(loader), &[kernel, module, (room, room + bytes)]);
}

/// Gives the frames of all regions to the allocator, less those in use.
fn free_all_but(regions: impl Iterator<Item = Region>, used: &[Region]) {
    for (start, end) in regions {
        let mut at = start;
        while at < end {
            let inside = used.iter().find(|other| other.0 < at + PAGE && at < other.1);
            let next = used.iter().map(|other| other.0).filter(|other| *other > at);
            let stop = match inside {
                Some(other) => other.1.next_multiple_of(PAGE),
                None => next.min().unwrap_or(end).min(end) / PAGE * PAGE,
            };
            if inside.is_none() {
                frames::free(Pfn::new(at / PAGE), ((stop - at) / PAGE) as usize);
            }
            at = stop;
        }
    }
}

fn read_boot_info(loader: &Info, entry_tsc: u64) -> BootInfo {
    let pages = usable(loader).map(|(start, end)| (end - start) / PAGE).sum::<u64>();
    BootInfo {
        nr_pages: pages as usize,
        frame_limit: frame_limit(loader),
        cmdline: leak_cmdline(loader),
        ramdisk: ramdisk(loader),
        entry_tsc,
    }
}

/// The command line, copied to memory that lives for ever.
fn leak_cmdline(loader: &Info) -> &'static str {
    static COPY: Once<[u8; MAX_CMDLINE]> = Once::new();
    let text = loader.cmdline();
    let copy = COPY.call_once(|| {
        let mut copy = [0; MAX_CMDLINE];
        copy.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        copy
    });
    core::str::from_utf8(&copy[..text.len()]).unwrap_or("")
}

fn ramdisk(loader: &Info) -> Option<&'static [u8]> {
    let (start, end) = loader.module.filter(|module| module.1 <= HIGHEST)?;
    let data = core::ptr::with_exposed_provenance::<u8>((DIRECT_BASE + start) as usize);
    // SAFETY: the loader put the module there; its frames are never given to the frame allocator.
    Some(unsafe { core::slice::from_raw_parts(data, (end - start) as usize) })
}
