//! Starting dom0: the first boot module is its kernel, the second its ramdisk.
//!
//! The plan comes from `pv-builder`, as for every other domain; here it is carried out with the
//! hypervisor's own means: frames are written through the direct map, and references are taken as
//! hypercalls of a toolstack would take them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::sync::atomic::Ordering;
use hv_core::page::Level;
use hv_core::rangeset::RangeSet;
use hv_machine::boot::{BootInfo, Module};
use hv_machine::layout::LOW_MEMORY;
use hv_machine::{cpu, directmap, frames, irq, warn};
use hypercall_abi::domctl::CreateDomain;
use hypercall_abi::memory::e820;
use hypercall_abi::start_info::Sif;
use hypercall_abi::{DomId, Errno, EvtchnPort, Mfn, Pfn, PAGE_SIZE};
use pv_builder::{BuildKind, Console, FileCopy, KernelInfo, Params, Plan, StartInfoValues};
use zerocopy::IntoBytes;

use crate::control::context;
use crate::control::rights::Rights;
use crate::domain::{create, lifecycle, memory, DomainRef};
use crate::host::to_end;
use crate::{boot, options, trap};

/// Frames allocated at a time for dom0's memory, as a power of two.
const BLOCK_ORDER: u32 = 9;
const PAGE: u64 = PAGE_SIZE as u64;
/// Slack above its memory that dom0 may be charged with.
const MAX_PAGES_SLACK: u64 = 256;

/// Why dom0 could not be started, for the person who boots the machine.
type Failure = String;

fn refused(step: &'static str) -> impl Fn(Errno) -> Failure {
    move |errno| format!("{step}: {errno}")
}

fn no_memory(pages: u64) -> Failure {
    format!("{pages} pages wanted and not free; try a smaller dom0_mem=")
}

/// Builds dom0 from the boot modules and makes it runnable.
///
/// # Errors
/// What is wrong with the modules or the machine.
pub fn start(boot: &'static BootInfo) -> Result<(), Failure> {
    let kernel = boot.modules.first().ok_or("no boot module; give the kernel with -initrd")?;
    let ramdisk = boot.modules.get(1);
    if let unused @ 1.. = boot.modules.len().saturating_sub(2) {
        warn!("{unused} boot modules are not used: dom0 takes a kernel and a ramdisk");
    }
    let image = read_module(kernel)?;
    let info = KernelInfo::parse(&image).map_err(|error| format!("its kernel: {error}"))?;
    let nr_pages = options::get().dom0_mem / PAGE;
    let params = Params {
        kind: BuildKind::Dom0,
        nr_pages,
        ramdisk_len: ramdisk.map(|module| module.len),
        cmdline: kernel.string,
        start_info_extra: 0,
    };
    let plan = Plan::new(&info, params).map_err(|error| error.to_string())?;
    let dom = make_domain(nr_pages)?;
    let builder = Builder { p2m: give_memory(&dom, nr_pages)?, dom, plan };
    builder.load(&info, &image, ramdisk);
    builder.write_tables();
    builder.start_running()?;
    for module in &boot.modules {
        let first = module.start_mfn.get();
        frames::free_range(first..first + module.len.div_ceil(PAGE));
    }
    Ok(())
}

/// A copy of a module's bytes.
fn read_module(module: &Module) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let len = module.len as usize;
    bytes.try_reserve_exact(len).map_err(|_| no_memory(module.len.div_ceil(PAGE)))?;
    bytes.resize(len, 0);
    for (number, page) in (module.start_mfn.get()..).zip(bytes.chunks_mut(PAGE_SIZE)) {
        directmap::read_bytes(Mfn::new(number), 0, page);
    }
    Ok(bytes)
}

fn make_domain(nr_pages: u64) -> Result<DomainRef, Failure> {
    let config = CreateDomain {
        max_vcpus: 1,
        max_evtchn_port: u32::MAX,
        max_grant_frames: -1,
        max_maptrack_frames: -1,
        grant_opts: 1,
        ..CreateDomain::default()
    };
    let dom = create::create(Some(DomId::DOM0), &config).map_err(refused("creating it"))?;
    dom.pages.lock().max = nr_pages + MAX_PAGES_SLACK;
    dom.vcpus_created.store(true, Ordering::SeqCst);
    *dom.rights.lock() = rights().map_err(refused("giving it rights"))?;
    dom.has_devices.store(true, Ordering::SeqCst);
    Ok(dom)
}

/// Everything but what the hypervisor uses itself: interrupt controllers, timer, serial port, RAM.
fn rights() -> Result<Rights, Errno> {
    const KEPT_PORTS: [RangeInclusive<u64>; 6] =
        [0x20..=0x21, 0x40..=0x43, 0x61..=0x61, 0xa0..=0xa1, 0x3f8..=0x3ff, 0xf4..=0xf7];
    const KEPT_FRAMES: [RangeInclusive<u64>; 2] = [0xfee00..=0xfeeff, 0xfec00..=0xfec00];
    const KEPT_LINES: [RangeInclusive<u64>; 3] = [0..=0, 2..=2, 4..=4];
    let frames = 1u64 << (cpu::features().maddr_bits - 12);
    let lines = u64::from(irq::GSI_VECTORS.min(irq::gsi_count().max(1)));
    let ram = boot::memory_map()
        .filter(|entry| entry.kind == e820::RAM)
        .map(|entry| (entry.start(), entry.start().saturating_add(entry.bytes())))
        .map(|(start, end)| start.max(LOW_MEMORY) / PAGE..=(end / PAGE).saturating_sub(1));
    Ok(Rights {
        ports: all_but(0..=0xffff, KEPT_PORTS)?,
        iomem: all_but(0..=frames - 1, KEPT_FRAMES.into_iter().chain(ram))?,
        irqs: all_but(0..=lines - 1, KEPT_LINES)?,
    })
}

fn all_but(
    all: RangeInclusive<u64>,
    kept: impl IntoIterator<Item = RangeInclusive<u64>>,
) -> Result<RangeSet, Errno> {
    let mut set = RangeSet::default();
    set.insert(all)?;
    kept.into_iter().try_for_each(|range| set.remove(range))?;
    Ok(set)
}

/// Gives dom0 its memory; the index in the list is the pseudo-physical frame.
fn give_memory(dom: &DomainRef, nr_pages: u64) -> Result<Vec<Mfn>, Failure> {
    let mut p2m = Vec::new();
    p2m.try_reserve_exact(nr_pages as usize).map_err(|_| no_memory(nr_pages))?;
    while (p2m.len() as u64) < nr_pages {
        let left = nr_pages - p2m.len() as u64;
        let order = if left >= 1 << BLOCK_ORDER { BLOCK_ORDER } else { 0 };
        let first = memory::give_block(dom, order, 0).map_err(|_| no_memory(nr_pages))?.get();
        for mfn in (first..first + (1 << order)).map(Mfn::new) {
            frames::m2p_set(mfn, p2m.len() as u64);
            p2m.push(mfn);
        }
    }
    Ok(p2m)
}

struct Builder {
    dom: DomainRef,
    plan: Plan,
    p2m: Vec<Mfn>,
}

impl Builder {
    /// The frame behind a pseudo-physical one; the plan stays within the domain's memory.
    fn mfn(&self, pfn: Pfn) -> Mfn {
        self.p2m[pfn.get() as usize]
    }

    /// Writes bytes at a pseudo-physical address, page by page.
    fn write(&self, paddr: u64, mut bytes: &[u8]) {
        let mut at = paddr;
        while !bytes.is_empty() {
            let offset = (at % PAGE) as usize;
            let (now, later) = bytes.split_at(bytes.len().min(PAGE_SIZE - offset));
            directmap::write_bytes(self.mfn(Pfn::from_paddr(at)), offset, now);
            at += now.len() as u64;
            bytes = later;
        }
    }

    fn load(&self, info: &KernelInfo, image: &[u8], ramdisk: Option<&Module>) {
        for pfn in self.plan.kernel.first.get()..self.plan.kernel.end().get() {
            directmap::zero(self.mfn(Pfn::new(pfn)));
        }
        for FileCopy { paddr, file_offset, file_len, .. } in info.copies() {
            let (start, end) = (file_offset as usize, (file_offset + file_len) as usize);
            self.write(paddr, image.get(start..end).unwrap_or_default());
        }
        if let Some(table) = &info.symbol_table {
            self.write(table.paddr, &table.head);
        }
        if let (Some(module), Some(region)) = (ramdisk, self.plan.ramdisk) {
            for page in 0..module.len.div_ceil(PAGE) {
                let from = Mfn::new(module.start_mfn.get() + page);
                directmap::copy(self.mfn(Pfn::new(region.first.get() + page)), from);
            }
        }
        if let Some(pfn) = self.plan.hypercall_page {
            if trap::hypercall_page::install(&self.dom, self.mfn(pfn)).is_err() {
                warn!("dom0: no hypercall page");
            }
        }
        self.write(self.plan.p2m.first.paddr(), self.p2m.as_bytes());
        self.write_start_info();
        directmap::zero(self.mfn(self.plan.boot_stack.first));
    }

    fn write_start_info(&self) {
        let start_info = self.plan.start_info(&StartInfoValues {
            shared_info_maddr: self.dom.shared_info.maddr(),
            flags: Sif::PRIVILEGED | Sif::INITDOMAIN,
            store_mfn: Mfn::new(0),
            store_port: EvtchnPort::new(0),
            console: Console::Screen { len: 0 },
        });
        directmap::zero(self.mfn(self.plan.start_info.first));
        self.write(self.plan.start_info.first.paddr(), start_info.as_bytes());
    }

    fn write_tables(&self) {
        for table in self.plan.all_tables() {
            directmap::zero(self.mfn(table.pfn));
        }
        self.plan.page_tables(
            |pfn| self.mfn(pfn),
            |table, index, entry| {
                directmap::table(self.mfn(table))[index].store(entry, Ordering::Relaxed);
            },
        );
    }

    /// Pins the root, sets the first vCPU up and lets it go. A function of its own, because its context
    /// would fill the stack for everything else that happens here.
    #[inline(never)]
    fn start_running(&self) -> Result<(), Failure> {
        let (dom, root) = (&self.dom, self.mfn(self.plan.entry.root));
        to_end(|budget| dom.tables().pin(&mut dom.mmu.lock(), root, Level::L4, budget))
            .map_err(|error| refused("pinning its root table")(error.into()))?;
        context::set(dom, &dom.vcpus[0], &self.plan.vcpu_context(root))
            .map_err(refused("setting its first vCPU up"))?;
        lifecycle::controller_unpause(dom).map_err(refused("letting it run"))
    }
}
