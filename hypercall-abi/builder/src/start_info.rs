//! The start info page of a plan.
//!
//! Called last, when the frames and event ports are known that only the builder of the running
//! domain can know. Everything else comes from the plan.
//!
//! Invariant: the structure describes the layout of the plan it was made from, nothing is chosen
//! here.

use crate::layout::{BuildKind, Plan, Region, START_INFO_LEN};
use hypercall_abi::addr::{Mfn, PAGE_SIZE};
use hypercall_abi::ids::EvtchnPort;
use hypercall_abi::start_info::{Sif, StartInfo, MAGIC};

/// The console part of the start info, which depends on the kind of domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// A ring page and its event port.
    Ring {
        /// Frame of the ring.
        mfn: Mfn,
        /// The guest's port.
        port: EvtchnPort,
    },
    /// A description of the screen follows the structure; zero bytes for none.
    Screen {
        /// Bytes of the description.
        len: u32,
    },
}

/// What is known only after the domain exists.
#[derive(Clone, Copy, Debug)]
pub struct StartInfoValues {
    /// Machine address of the shared information.
    pub shared_info_maddr: u64,
    /// Flags beyond the ones the layout decides.
    pub flags: Sif,
    /// Frame of the xenstore ring; frame 0 for none.
    pub store_mfn: Mfn,
    /// The guest's port for xenstore; port 0 for none.
    pub store_port: EvtchnPort,
    /// The console.
    pub console: Console,
}

impl Plan {
    /// The contents of the start info page, apart from what may follow the structure.
    #[must_use]
    pub fn start_info(&self, values: &StartInfoValues) -> StartInfo {
        let mut info = StartInfo {
            nr_pages: self.nr_pages,
            shared_info_maddr: values.shared_info_maddr,
            flags: values.flags,
            store_mfn: values.store_mfn,
            store_evtchn: values.store_port,
            pt_base: self.tables.va.unwrap_or(0),
            nr_pt_frames: self.tables.pages,
            mfn_list: self.p2m.va.unwrap_or(0),
            ..StartInfo::default()
        };
        put_text(&mut info.magic, MAGIC);
        if self.kind == BuildKind::Dom0 && self.pae_mode_yes {
            if let Some(byte) = info.magic.get_mut(MAGIC.len()) {
                *byte = b'p';
            }
        }
        put_text(&mut info.cmd_line, self.cmdline.as_bytes());
        match values.console {
            Console::Ring { mfn, port } => {
                info.console_mfn = mfn;
                info.console_evtchn = port;
            }
            Console::Screen { len: 0 } => {}
            Console::Screen { len } => info.set_dom0_console(START_INFO_LEN as u32, len),
        }
        self.put_ramdisk(&mut info);
        if self.has_separate_p2m {
            info.first_p2m_pfn = self.p2m.first.get();
            info.nr_p2m_frames = self.p2m.pages + self.p2m_tables.pages;
        }
        info
    }

    /// The toolstack gives the length in whole pages, as guests of Xen know it; the hypervisor
    /// gives dom0 the exact length.
    fn put_ramdisk(&self, info: &mut StartInfo) {
        let Some(ramdisk) = self.ramdisk else { return };
        info.mod_len = match self.kind {
            BuildKind::Dom0 => self.ramdisk_len,
            BuildKind::DomU => ramdisk.pages * PAGE_SIZE as u64,
        };
        match ramdisk {
            Region { va: Some(va), .. } => info.mod_start = va,
            Region { va: None, first, .. } => {
                info.mod_start = first.get();
                info.flags |= Sif::MOD_START_PFN;
            }
        }
    }
}

/// Copies a text that leaves at least one zero behind it.
fn put_text(field: &mut [u8], text: &[u8]) {
    let room = field.len().saturating_sub(1);
    field.iter_mut().take(room).zip(text).for_each(|(to, from)| *to = *from);
}
