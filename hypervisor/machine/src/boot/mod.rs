//! From the boot loader to the image's `boot` hook, one step per line.
//!
//! `hv_boot` is called by `start.S` on the boot stack, with the boot tables; `hv_boot_on_own_stack`
//! goes on once there are page tables, an allocator and per-CPU windows. What is found out on the
//! way stays in the modules concerned; the image gets a [`BootInfo`].

mod memory;
mod paging;
mod smp;

use crate::cpu::{self, start};
use crate::entry::{self, hooks::hooks, regs::CPUINFO_SIZE};
use crate::irq::apic;
use crate::mem::{fixups, pt};
use crate::percpu::{self, CpuId, MAX_CPUS};
use crate::pure::multiboot::{self, LoaderInfo, Physical};
use crate::sync::Once;
use crate::{acpi, cpuinfo, layout, log, panic, serial, time};
use alloc::{boxed::Box, vec::Vec};
use core::arch::global_asm;
use core::sync::atomic::Ordering;
use hypercall_abi::memory::E820Entry;
use hypercall_abi::Mfn;

global_asm!(
    include_str!("start.S"),
    IMAGE_BASE = const layout::IMAGE_BASE,
    IMAGE_L4_INDEX = const pt::index(layout::IMAGE_BASE, 4),
    IMAGE_L3_INDEX = const pt::index(layout::IMAGE_BASE, 3),
    MB1_MAGIC = const 0x1bad_b002_u32,
    // Modules on pages, memory information, address fields.
    MB1_FLAGS = const 0x1_0003,
    MB2_MAGIC = const 0xe852_50d6_u32,
    PRESENT = const pt::bits::PRESENT,
    WRITE = const pt::bits::WRITE,
    LARGE = const pt::bits::LARGE,
    CR4_PAE = const cpu::cr4::PAE,
    STACK_SIZE = const layout::STACK_SIZE,
    CPUINFO_SIZE = const CPUINFO_SIZE,
    MAX_CPUS = const MAX_CPUS,
    PERCPU_STRIDE = const layout::PERCPU_STRIDE,
    FIRST_STACK_HEAD = const entry::stack_head(0),
    options(att_syntax),
);

/// A file the boot loader has loaded.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// First frame; the file starts at its first byte.
    pub start_mfn: Mfn,
    /// Bytes.
    pub len: u64,
    /// Command line, without a file name.
    pub string: &'static str,
}

/// What the image is told about the machine.
#[derive(Debug)]
pub struct BootInfo {
    /// The hypervisor's command line, without a file name.
    pub cmdline: &'static str,
    /// Files, in the order of the command line. Their frames are not free; give them back with
    /// `frames::free_range` when they are no longer needed.
    pub modules: Vec<Module>,
    /// The firmware's memory map.
    pub memory_map: Vec<E820Entry>,
    /// Time stamp counter at the first instruction.
    pub entry_tsc: u64,
}

/// What the boot loader said, read through the direct map.
static LOADER: Once<LoaderInfo<'static>> = Once::new();

/// Physical memory as it is mapped at present.
struct Mapped {
    /// Address behind what is mapped.
    limit: u64,
}

impl Physical<'static> for Mapped {
    fn bytes(&self, address: u64, len: u64) -> Option<&'static [u8]> {
        if address == 0 || address.checked_add(len)? > self.limit {
            return None;
        }
        let start = pt::phys_to_virt(address);
        // SAFETY: mapped, as the limit says, and kept out of the allocator by `memory::init`; the
        // boot loader is gone, so nobody writes there.
        Some(unsafe { core::slice::from_raw_parts(start, len as usize) })
    }
}

/// First Rust code: on the boot stack, with the first GiB mapped.
#[no_mangle]
extern "C" fn hv_boot(magic: u32, info: u32, entry_tsc: u64) -> ! {
    cpuinfo::prepare(CpuId(0));
    serial::init();
    fixups::remove_smap_switches();
    memory::init(&multiboot::parse(magic, info, &Mapped { limit: layout::HUGE_PAGE }));
    let direct_view = Mapped { limit: layout::DIRECT_END - layout::DIRECT_BASE };
    LOADER.call_once(|| multiboot::parse(magic, info, &direct_view));
    paging::build_window(0);
    // SAFETY: the window of CPU 0 exists; nothing on the boot stack is used again.
    unsafe { entry::call_on_stack(0, hv_boot_on_own_stack, entry_tsc) }
}

fn boot_info(loader: &LoaderInfo<'static>, entry_tsc: u64) -> BootInfo {
    let text = |bytes| {
        let text = core::str::from_utf8(bytes).unwrap_or("");
        multiboot::without_file_name(text, loader.has_file_names)
    };
    let module = |raw: &multiboot::RawModule<'static>| Module {
        start_mfn: Mfn::from_maddr(raw.start),
        len: raw.end.saturating_sub(raw.start),
        string: text(raw.string),
    };
    BootInfo {
        cmdline: text(loader.cmdline),
        modules: loader.modules.as_slice().iter().map(module).collect(),
        memory_map: loader.regions.as_slice().to_vec(),
        entry_tsc,
    }
}

/// The rest of the boot processor's way, on its own stack.
extern "C" fn hv_boot_on_own_stack(entry_tsc: u64) -> ! {
    cpuinfo::prepare(CpuId(0));
    let loader = LOADER.get().expect("the boot loader's information was read before");
    let info = &*Box::leak(Box::new(boot_info(loader, entry_tsc)));
    read_options(info.cmdline);
    start::init(0);
    paging::free_boot_stack();
    let firmware = acpi::init(loader.root_pointer);
    apic::map(firmware.local_apic);
    apic::mask_legacy_controllers();
    apic::enable();
    apic::set_id(0, apic::id());
    // The others come up while the clocks are measured.
    let expected = smp::start_others(&firmware.apic_ids);
    time::init(entry_tsc);
    serial::enable_interrupt();
    smp::wait_for(expected);
    percpu::info().released.store(1, Ordering::SeqCst);
    (hooks().boot)(info);
    smp::release_others();
    entry::enter_exit_loop()
}

fn read_options(cmdline: &str) {
    for word in cmdline.split_ascii_whitespace() {
        match word.split_once('=') {
            Some(("loglvl", level)) => log::set_level(level),
            Some(("exit", "debug")) => panic::exit_emulator_on_panic(),
            _ => {}
        }
    }
}
