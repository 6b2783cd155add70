//! A domain: what it owns and what others may do to it.
//!
//! A domain is shared (`Arc`) between the table of domains, the CPUs that run it and whoever works
//! on it; it goes away when it is dead, out of the table and let go by all. Each group of fields is
//! guarded by the lock it lies in; `LOCKING.md` has the order of the locks.

pub mod create;
pub mod destroy;
pub mod lifecycle;
pub mod memory;
pub mod table;
pub mod vcpu;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use hv_core::evtchn::{Pollers, PortTable};
use hv_core::grant::{GrantTable, Maptrack};
use hv_core::page::{MmuState, PageList, PageTables};
use hv_machine::sync::Mutex;
use hypercall_abi::memory::E820Entry;
use hypercall_abi::{DomId, EvtchnPort, Mfn, VcpuId, PAGE_SIZE};

use crate::control::rights::Rights;
use crate::host::Host;
pub use vcpu::{Vcpu, VcpuState};

/// Frames a domain owns.
pub struct Pages {
    /// Ordinary frames, charged to the domain.
    pub list: PageList,
    /// Frames charged to the domain now.
    pub tot: u64,
    /// Most frames it may be charged with.
    pub max: u64,
    /// Frames of the hypervisor that the domain may map: shared info, grant table.
    pub special: Vec<Mfn>,
    /// While a step of teardown runs: frames released one behind the other, given back together.
    pub run: Option<Range<u64>>,
}

impl Pages {
    /// Whether no frame is left.
    pub fn is_empty(&self) -> bool {
        self.tot == 0 && self.special.is_empty()
    }
}

/// Event channels and who sleeps for them.
pub struct Ports {
    /// The channels.
    pub table: PortTable,
    /// vCPUs in `SCHEDOP_poll`.
    pub pollers: Pollers,
}

/// State a toolstack sets and reads.
#[derive(Default)]
pub struct Control {
    /// The toolstack's name for the domain.
    pub handle: [u8; 16],
    /// Memory map for `XENMEM_memory_map`.
    pub memory_map: Vec<E820Entry>,
    /// Seconds between the domain's wall clock and the machine's.
    pub time_offset_seconds: i64,
    /// Reason recorded by `SCHEDOP_shutdown_code`.
    pub early_code: Option<u32>,
    /// Port notified when the domain has suspended.
    pub suspend_port: Option<EvtchnPort>,
    /// Scheduling parameters as the toolstack sees them.
    pub weight: u16,
    /// Cap in percent of one CPU, 0 for none.
    pub cap: u16,
    /// Progress of teardown.
    pub teardown: destroy::Stage,
    /// Watchdog deadlines in ns, 0 when free.
    pub watchdogs: [u64; 2],
}

/// The words of a shared info frame.
pub type SharedPage = [AtomicU64; PAGE_SIZE / 8];

/// A domain.
pub struct Domain {
    /// Its number.
    pub id: DomId,
    /// Whether it is a control domain.
    pub privileged: bool,
    /// Whether its reads of registers that are there but not offered give 0 instead of a fault.
    pub relaxed_msrs: bool,
    /// The shared info frame.
    pub shared_info: Mfn,
    /// Its words. They are the domain's until it is dead: no port of a dying domain is opened.
    pub shared: &'static SharedPage,
    /// Its vCPUs; the table is complete when the domain is created.
    pub vcpus: Box<[Arc<Vcpu>]>,
    /// Whether the toolstack asked for the vCPUs.
    pub vcpus_created: AtomicBool,
    /// Page-table work; taken for every operation on this domain's page tables.
    pub mmu: Mutex<MmuState>,
    /// Frames.
    pub pages: Mutex<Pages>,
    /// Event channels.
    pub ports: Mutex<Ports>,
    /// Grants given.
    pub grants: Mutex<GrantTable>,
    /// Grants mapped.
    pub maptrack: Mutex<Maptrack>,
    /// What the toolstack sets.
    pub control: Mutex<Control>,
    /// Rights to device memory, ports and interrupts.
    pub rights: Mutex<Rights>,
    /// Whether any of these rights was given: such a domain may set cache attributes.
    pub has_devices: AtomicBool,
    /// Controllers that want the domain paused.
    pub pause_count: AtomicU32,
    /// Whether one of them is the toolstack (at most once counted).
    pub controller_pauses: AtomicU32,
    /// Shut down: all vCPUs stopped; the reason is in the low byte.
    pub shutdown: AtomicU32,
    /// Teardown began.
    pub dying: AtomicBool,
    /// Teardown done; only references of others keep frames alive.
    pub dead: AtomicBool,
    /// Bits of the assistance features.
    pub vm_assist: AtomicU64,
    /// CPUs whose TLB may hold translations of this domain.
    pub dirty_cpus: AtomicU64,
    /// The domain's CPU policy may still be replaced.
    pub created: AtomicBool,
}

/// Value of [`Domain::shutdown`] while the domain runs.
pub const NOT_SHUT_DOWN: u32 = u32::MAX;

impl Domain {
    /// The vCPU with this number.
    pub fn vcpu(&self, id: VcpuId) -> Option<&Vcpu> {
        self.vcpus.get(id.get() as usize).map(|vcpu| &**vcpu)
    }

    /// Whether something holds the whole domain off the CPUs.
    pub fn is_held(&self) -> bool {
        self.pause_count.load(Ordering::SeqCst) != 0
            || self.shutdown.load(Ordering::SeqCst) != NOT_SHUT_DOWN
            || self.dying.load(Ordering::SeqCst)
    }

    /// The reason for which the domain is shut down.
    pub fn shutdown_reason(&self) -> Option<u32> {
        let reason = self.shutdown.load(Ordering::SeqCst);
        (reason != NOT_SHUT_DOWN).then_some(reason)
    }

    /// Whether teardown began.
    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::SeqCst)
    }

    /// Whether an assistance feature is on.
    pub fn assisted(&self, feature: u32) -> bool {
        self.vm_assist.load(Ordering::Relaxed) >> feature & 1 != 0
    }

    /// Its page tables, changed on its own behalf. The caller holds the lock of [`Self::mmu`].
    pub fn tables(&self) -> PageTables<'static, Host> {
        PageTables::new(&Host, self.id, self.id)
    }

    /// Whether `self` may act on `target` as its controller (XSM_TARGET).
    pub fn controls(&self, target: &Domain) -> bool {
        self.privileged || self.id == target.id
    }
}

/// A domain others hold on to.
pub type DomainRef = Arc<Domain>;
