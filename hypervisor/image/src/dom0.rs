//! Starting dom0: the first boot module is its kernel, the second its ramdisk.
//!
//! The plan comes from `pv-builder`, as for every other domain; here it is carried out with the
//! hypervisor's own means: frames are written through the direct map, and references are taken as
//! hypercalls of a toolstack would take them.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::Ordering;
use hv_core::page::{Level, PageTables, Stop};
use hv_machine::boot::{BootInfo, Module};
use hv_machine::{directmap, frames, warn};
use hypercall_abi::addr::{Mfn, Pfn, PAGE_SIZE};
use hypercall_abi::errno::Errno;
use hypercall_abi::ids::{DomId, EvtchnPort};
use hypercall_abi::memory::e820;
use hypercall_abi::start_info::Sif;
use pv_builder::{
    BuildKind, Console, FileCopy, KernelError, KernelInfo, Params, Plan, PlanError, StartInfoValues,
};
use zerocopy::IntoBytes;

use crate::control::context;
use crate::domain::create::{self, MAX_GRANT_FRAMES, MAX_MAPTRACK_FRAMES};
use crate::domain::{lifecycle, memory, DomainRef};
use crate::host::Host;
use crate::hypercall::mmu::BUDGET;
use crate::{options, trap};

/// Frames allocated at a time for dom0's memory, as a power of two.
const BLOCK_ORDER: u32 = 9;
const PAGE: u64 = PAGE_SIZE as u64;
/// Slack above its memory that dom0 may be charged with.
const MAX_PAGES_SLACK: u64 = 256;

/// Why dom0 could not be started.
pub enum Error {
    /// No boot module was given.
    NoModule,
    /// The kernel is not acceptable.
    Kernel(KernelError),
    /// It does not fit.
    Plan(PlanError),
    /// Not enough memory in the machine.
    NoMemory(u64),
    /// A step of the start was refused.
    Refused(&'static str, Errno),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoModule => write!(f, "no boot module; give the kernel with -initrd"),
            Self::Kernel(error) => write!(f, "its kernel: {error}"),
            Self::Plan(error) => write!(f, "{error}"),
            Self::NoMemory(pages) => {
                write!(f, "{pages} pages wanted and not free; try a smaller dom0_mem=")
            }
            Self::Refused(step, errno) => write!(f, "{step}: {errno}"),
        }
    }
}

/// Builds dom0 from the boot modules and makes it runnable.
///
/// # Errors
/// What is wrong with the modules or the machine.
pub fn start(boot: &'static BootInfo) -> Result<(), Error> {
    let kernel = boot.modules.first().ok_or(Error::NoModule)?;
    let ramdisk = boot.modules.get(1);
    let image = read_module(kernel)?;
    let info = KernelInfo::parse(&image).map_err(Error::Kernel)?;
    let nr_pages = options::get().dom0_mem / PAGE;
    let plan = Plan::new(
        &info,
        Params {
            kind: BuildKind::Dom0,
            nr_pages,
            ramdisk_len: ramdisk.map(|module| module.len),
            cmdline: kernel.string,
            start_info_extra: 0,
        },
    )
    .map_err(Error::Plan)?;
    let dom = make_domain(nr_pages)?;
    let builder = Builder { p2m: give_memory(&dom, nr_pages)?, dom, plan };
    builder.load(&info, &image, ramdisk);
    builder.write_tables();
    builder.start_running()?;
    boot.modules.iter().for_each(free_module);
    Ok(())
}

/// A copy of a module's bytes.
fn read_module(module: &Module) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let len = module.len as usize;
    bytes.try_reserve_exact(len).map_err(|_| Error::NoMemory(module.len.div_ceil(PAGE)))?;
    bytes.resize(len, 0);
    for (index, page) in bytes.chunks_mut(PAGE_SIZE).enumerate() {
        directmap::read_bytes(Mfn::new(module.start_mfn.get() + index as u64), 0, page);
    }
    Ok(bytes)
}

fn make_domain(nr_pages: u64) -> Result<DomainRef, Error> {
    let params = create::Params {
        id: Some(DomId::DOM0),
        privileged: true,
        handle: [0; 16],
        max_vcpus: 1,
        max_port: hypercall_abi::evtchn::NR_CHANNELS_2L - 1,
        grant_frames: MAX_GRANT_FRAMES,
        maptrack_frames: MAX_MAPTRACK_FRAMES,
    };
    let dom = create::create(&params).map_err(|errno| Error::Refused("creating it", errno))?;
    dom.pages.lock().max = nr_pages + MAX_PAGES_SLACK;
    dom.vcpus_created.store(true, Ordering::SeqCst);
    give_rights(&dom).map_err(|errno| Error::Refused("giving it rights", errno))?;
    Ok(dom)
}

/// Everything but what the hypervisor uses itself: interrupt controllers, timer, serial port.
fn give_rights(dom: &DomainRef) -> Result<(), Errno> {
    const KEPT_PORTS: [(u64, u64); 6] =
        [(0x20, 0x21), (0x40, 0x43), (0x61, 0x61), (0xa0, 0xa1), (0x3f8, 0x3ff), (0xf4, 0xf7)];
    const LAPIC_FRAME: u64 = 0xfee00;
    const IOAPIC_FRAME: u64 = 0xfec00;
    let mut rights = dom.rights.lock();
    let rights = &mut *rights;
    let no_memory = |_| Errno::ENOMEM;
    rights.ports.insert(0..=0xffff).map_err(no_memory)?;
    for (first, last) in KEPT_PORTS {
        rights.ports.remove(first..=last).map_err(no_memory)?;
    }
    let end = 1u64 << (hv_machine::cpu::features().maddr_bits - 12);
    rights.iomem.insert(0..=end - 1).map_err(no_memory)?;
    rights.iomem.remove(LAPIC_FRAME..=LAPIC_FRAME + 0xff).map_err(no_memory)?;
    rights.iomem.remove(IOAPIC_FRAME..=IOAPIC_FRAME).map_err(no_memory)?;
    for entry in crate::boot::memory_map().filter(|entry| entry.kind == e820::RAM) {
        let (first, pages) = (entry.start() / PAGE, entry.bytes() / PAGE);
        if entry.start() >= 1 << 20 && pages > 0 {
            rights.iomem.remove(first..=first + pages - 1).map_err(no_memory)?;
        }
    }
    let lines = u64::from(hv_machine::irq::GSI_VECTORS.min(hv_machine::irq::gsi_count().max(1)));
    rights.irqs.insert(0..=lines - 1).map_err(no_memory)?;
    const KEPT_LINES: [u64; 3] = [0, 2, 4];
    for line in KEPT_LINES {
        rights.irqs.remove(line..=line).map_err(no_memory)?;
    }
    dom.has_devices.store(true, Ordering::SeqCst);
    Ok(())
}

/// Gives dom0 its memory; the index in the list is the pseudo-physical frame.
fn give_memory(dom: &DomainRef, nr_pages: u64) -> Result<Vec<Mfn>, Error> {
    let mut p2m = Vec::new();
    p2m.try_reserve_exact(nr_pages as usize).map_err(|_| Error::NoMemory(nr_pages))?;
    while (p2m.len() as u64) < nr_pages {
        let left = nr_pages - p2m.len() as u64;
        let order = if left >= 1 << BLOCK_ORDER { BLOCK_ORDER } else { 0 };
        let block = memory::give_block(dom, order, 0).map_err(|_| Error::NoMemory(nr_pages))?;
        for offset in 0..1u64 << order {
            let mfn = Mfn::new(block.get() + offset);
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
    fn write(&self, paddr: u64, bytes: &[u8]) {
        let mut at = paddr;
        let mut rest = bytes;
        while !rest.is_empty() {
            let offset = (at % PAGE) as usize;
            let (now, later) = rest.split_at(rest.len().min(PAGE_SIZE - offset));
            directmap::write_bytes(self.mfn(Pfn::from_paddr(at)), offset, now);
            at += now.len() as u64;
            rest = later;
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
            self.copy_module(region.first, module);
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

    fn copy_module(&self, first: Pfn, module: &Module) {
        for page in 0..module.len.div_ceil(PAGE) {
            let from = Mfn::new(module.start_mfn.get() + page);
            directmap::copy(self.mfn(Pfn::new(first.get() + page)), from);
        }
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

    /// Pins the root, sets the first vCPU up and lets it go.
    fn start_running(&self) -> Result<(), Error> {
        let root = self.mfn(self.plan.entry.root);
        let tables = PageTables::new(&Host, self.dom.id, self.dom.id);
        let mut mmu = self.dom.mmu.lock();
        loop {
            let mut budget = BUDGET;
            match tables.pin(&mut mmu, root, Level::L4, &mut budget) {
                Ok(()) => break,
                Err(Stop::Preempted) => {}
                Err(Stop::Refused(error)) => {
                    return Err(Error::Refused("pinning its root table", error.into()));
                }
            }
        }
        drop(mmu);
        let [vcpu, ..] = &*self.dom.vcpus else {
            return Err(Error::Refused("finding its vCPU", Errno::ENOENT));
        };
        context::set(&self.dom, vcpu, &self.plan.vcpu_context(root))
            .map_err(|errno| Error::Refused("setting its first vCPU up", errno))?;
        lifecycle::controller_unpause(&self.dom)
            .map_err(|errno| Error::Refused("letting it run", errno))
    }
}

/// Gives the frames of a module to the allocator; its bytes are not needed any more.
fn free_module(module: &Module) {
    frames::free_range(module.start_mfn, module.len.div_ceil(PAGE));
}
