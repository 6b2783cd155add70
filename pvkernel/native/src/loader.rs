//! What the boot loader left: memory, the boot module, the words for this kernel.
//!
//! `multiboot` reads the loader's words; here is what they mean for the frames. `boot` asks here; on the
//! hypervisor the builder's words are in `builder`.

use pvkernel_core::cmdline;

use crate::boot::BootInfo;
use crate::frames;
use crate::image::Image;
use crate::layout::{Pfn, DIRECT_BASE, PAGE, VIRT_BASE, WINDOW_BASE};
use crate::multiboot::{self, Info, Region};

/// Memory the boot tables map.
const BOOT_LIMIT: u64 = 1 << 30;
/// Memory below this is left to the firmware.
const LOW_MEMORY: u64 = 1 << 20;
/// Memory behind this has no place in the direct map.
const HIGHEST: u64 = WINDOW_BASE - DIRECT_BASE;

/// Reads the loader's words.
pub(crate) fn parse(info: u32) -> Info {
    multiboot::parse(info.into(), boot_memory).expect("the loader says what there is")
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

/// What this kernel was started with.
pub(crate) fn read(loader: &Info, entry_tsc: u64) -> BootInfo {
    let pages = usable(loader).map(|(start, end)| (end - start) / PAGE).sum::<u64>();
    BootInfo {
        nr_pages: pages as usize,
        frame_limit: frame_limit(loader),
        cmdline: cmdline::keep(loader.cmdline()),
        ramdisk: ramdisk(loader),
        entry_tsc,
    }
}

/// What must not be overwritten: the image and the boot module.
fn used(loader: &Info, image: &Image) -> [Region; 2] {
    [(image.start - VIRT_BASE, image.end - VIRT_BASE), loader.module.unwrap_or_default()]
}

/// Memory as this kernel uses it.
fn usable(loader: &Info) -> impl Iterator<Item = Region> + Clone + '_ {
    let cut = |(start, end): &Region| ((*start).max(LOW_MEMORY), (*end).min(HIGHEST));
    loader.regions().iter().map(cut).filter(|(start, end)| start < end)
}

/// The first number behind those of all frames.
pub(crate) fn frame_limit(loader: &Info) -> usize {
    (usable(loader).map(|region| region.1).max().unwrap_or(0) / PAGE) as usize
}

/// The first of so many consecutive frames that nobody uses and the boot tables map.
pub(crate) fn room(loader: &Info, image: &Image, pages: u64) -> u64 {
    let [kernel, module] = used(loader, image);
    let room = loader.room(pages * PAGE, &[kernel, module, (0, LOW_MEMORY)], BOOT_LIMIT);
    room.expect("there is memory for page tables") / PAGE
}

/// Gives all frames to the allocator, less those in use, and less these.
pub(crate) fn free_all_but(loader: &Info, image: &Image, frames: (u64, u64)) {
    let [kernel, module] = used(loader, image);
    let used = [kernel, module, (frames.0 * PAGE, frames.1 * PAGE)];
    usable(loader).for_each(|region| free_region(region, &used));
}

fn free_region((start, end): Region, used: &[Region]) {
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

fn ramdisk(loader: &Info) -> Option<&'static [u8]> {
    let (start, end) = loader.module.filter(|module| module.1 <= HIGHEST)?;
    let data = core::ptr::with_exposed_provenance::<u8>((DIRECT_BASE + start) as usize);
    // SAFETY: the loader put the module there; its frames are never given to the frame allocator.
    Some(unsafe { core::slice::from_raw_parts(data, (end - start) as usize) })
}
