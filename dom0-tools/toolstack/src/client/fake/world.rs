//! The state of the simulated machine.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use hypercall_abi::domctl::{Dominf, GetDomainInfo, INVALID_MAX_VCPU_ID};
use hypercall_abi::memory::E820Entry;
use hypercall_abi::regs::VcpuGuestContext;
use hypercall_abi::start_info::StartInfo;
use hypercall_abi::{DomId, Errno, Mfn, PAGE_SIZE};
use zerocopy::FromBytes;

/// What is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Domains, dying ones included.
    pub domains: usize,
    /// Frames that belong to nobody.
    pub free_pages: u64,
    /// Ports of the caller.
    pub ports: usize,
    /// Mappings of the caller.
    pub mappings: usize,
}

/// A domain of the simulated machine.
#[derive(Default)]
pub(super) struct Domain {
    pub handle: [u8; 16],
    pub max_vcpus: u32,
    pub has_vcpus: bool,
    pub max_pages: u64,
    /// Machine frames by pseudo-physical frame.
    pub frames: BTreeMap<u64, Mfn>,
    pub shared_info: Mfn,
    pub grant_table: Mfn,
    pub max_port: u32,
    pub ports: u32,
    pub pause_count: u32,
    pub is_pinned: bool,
    pub context: Option<Box<VcpuGuestContext>>,
    pub memory_map: Vec<E820Entry>,
    pub shutdown: Option<u32>,
    pub is_dying: bool,
}

pub(super) struct World {
    pub calls: Vec<&'static str>,
    pub fail_at: Option<(usize, Errno)>,
    pub now_ns: u64,
    pub free_pages: u64,
    pub next_domain: u16,
    pub next_frame: u64,
    pub domains: BTreeMap<u16, Domain>,
    /// Contents of frames that were written; all others are zero.
    pub contents: BTreeMap<u64, Box<[u8; PAGE_SIZE]>>,
    /// Number of writable mappings of a frame by the caller.
    pub mapped: BTreeMap<u64, u32>,
    pub mappings: usize,
    pub ports: BTreeSet<u32>,
    pub notified: VecDeque<hypercall_abi::EvtchnPort>,
    pub messages: Vec<u8>,
}

impl World {
    pub fn new(free_pages: u64) -> Self {
        let dom0 = Domain { max_vcpus: 1, has_vcpus: true, ..Domain::default() };
        Self {
            calls: Vec::new(),
            fail_at: None,
            now_ns: 1_000_000,
            free_pages,
            next_domain: 1,
            next_frame: 0x1000,
            domains: BTreeMap::from([(0, dom0)]),
            contents: BTreeMap::new(),
            mapped: BTreeMap::new(),
            mappings: 0,
            ports: BTreeSet::new(),
            notified: VecDeque::new(),
            messages: b"(XEN) a message\n".to_vec(),
        }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            domains: self.domains.len(),
            free_pages: self.free_pages,
            ports: self.ports.len(),
            mappings: self.mappings,
        }
    }

    /// Notes a call and says whether it has to fail.
    pub fn call(&mut self, name: &'static str) -> Result<(), Errno> {
        let number = self.calls.len();
        self.calls.push(name);
        match self.fail_at {
            Some((at, errno)) if at == number => Err(errno),
            _ => Ok(()),
        }
    }

    pub fn domain(&mut self, domain: DomId) -> Result<&mut Domain, Errno> {
        let found = self.domains.get_mut(&domain.get());
        found.filter(|domain| !domain.is_dying).ok_or(Errno::ESRCH)
    }

    /// A new frame, charged to the free memory.
    pub fn take_frames(&mut self, count: u64) -> Result<Mfn, Errno> {
        if self.free_pages < count {
            return Err(Errno::ENOMEM);
        }
        self.free_pages -= count;
        let first = Mfn::new(self.next_frame);
        self.next_frame += count;
        Ok(first)
    }

    /// Frees what a dying domain has, unless the caller still maps some of it.
    pub fn reap(&mut self) {
        let dying: Vec<u16> =
            self.domains.iter().filter(|(_, d)| d.is_dying).map(|(id, _)| *id).collect();
        for id in dying {
            let Some(domain) = self.domains.get(&id) else { continue };
            let own = [domain.shared_info, domain.grant_table];
            let frames: Vec<Mfn> = domain.frames.values().copied().chain(own).collect();
            if frames.iter().any(|frame| self.mapped.contains_key(&frame.get())) {
                continue;
            }
            for frame in &frames {
                self.contents.remove(&frame.get());
            }
            self.free_pages += frames.len() as u64;
            self.domains.remove(&id);
        }
    }

    pub fn shut_down(&mut self, domain: DomId, reason: u32) {
        if let Ok(domain) = self.domain(domain) {
            domain.shutdown.get_or_insert(reason);
        }
    }

    pub fn is_runnable(&self, domain: DomId) -> bool {
        self.domains.get(&domain.get()).is_some_and(|domain| {
            let is_stopped = domain.is_dying || domain.shutdown.is_some();
            domain.pause_count == 0 && domain.context.is_some() && !is_stopped
        })
    }

    pub fn info(&self, id: u16, domain: &Domain) -> GetDomainInfo {
        let mut flags = Dominf::empty();
        flags.set(Dominf::DYING, domain.is_dying);
        flags.set(Dominf::PAUSED, domain.pause_count > 0);
        flags.set(Dominf::RUNNING, id == 0);
        flags.set(Dominf::BLOCKED, id != 0 && self.is_runnable(DomId::new(id)));
        if let Some(reason) = domain.shutdown {
            flags = flags.with_shutdown_reason(reason);
        }
        GetDomainInfo {
            domain: DomId::new(id),
            flags,
            tot_pages: if id == 0 { 64 * 256 } else { domain.frames.len() as u64 },
            max_pages: domain.max_pages,
            shared_info_frame: domain.shared_info,
            cpu_time_ns: u64::from(id) * 1_500_000_000,
            nr_online_vcpus: u32::from(domain.has_vcpus),
            max_vcpu_id: match domain.has_vcpus {
                true => domain.max_vcpus.saturating_sub(1),
                false => INVALID_MAX_VCPU_ID,
            },
            handle: domain.handle,
            ..GetDomainInfo::default()
        }
    }

    pub fn write(&mut self, frame: Mfn, offset: usize, bytes: &[u8]) {
        let page = self.contents.entry(frame.get()).or_insert_with(|| Box::new([0; PAGE_SIZE]));
        page[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    pub fn read(&self, frame: Mfn, offset: usize, into: &mut [u8]) {
        match self.contents.get(&frame.get()) {
            Some(page) => into.copy_from_slice(&page[offset..offset + into.len()]),
            None => into.fill(0),
        }
    }

    pub fn load_u32(&self, frame: Mfn, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        self.read(frame, offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    pub fn load_u64(&self, frame: Mfn, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        self.read(frame, offset, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// The frame a virtual address of a domain's first registers leads to.
    pub fn translate(&self, root: Mfn, va: u64) -> Option<Mfn> {
        let mut table = root;
        for shift in [39, 30, 21, 12] {
            let index = (va >> shift) as usize % 512;
            let entry = self.load_u64(table, index * 8);
            if entry & 1 == 0 {
                return None;
            }
            table = Mfn::new((entry & 0x000f_ffff_ffff_f000) >> 12);
        }
        Some(table)
    }

    /// The start page, found as the guest finds it: through `rsi` and its page tables.
    pub fn start_info(&self, domain: DomId) -> Option<StartInfo> {
        let context = self.domains.get(&domain.get())?.context.as_ref()?;
        let root = Mfn::from_maddr(context.ctrlreg[3]);
        let frame = self.translate(root, context.user_regs.rsi)?;
        let mut page = [0; PAGE_SIZE];
        self.read(frame, 0, &mut page);
        StartInfo::read_from_prefix(&page).ok().map(|(info, _)| info)
    }

    pub fn guest_memory(&self, domain: DomId, pfn: u64, len: usize) -> Vec<u8> {
        let mut bytes = alloc::vec![0; len];
        let frame = self.domains.get(&domain.get()).and_then(|domain| domain.frames.get(&pfn));
        if let Some(frame) = frame {
            self.read(*frame, 0, &mut bytes);
        }
        bytes
    }
}
