//! The start page: what a domain finds when it begins.
//!
//! Written by the builder (toolstack or hypervisor), read by the guest through rsi.

use crate::addr::Mfn;
use crate::ids::EvtchnPort;
use crate::macros::{abi_flags, abi_struct};

abi_flags! {
    /// `StartInfo::flags`.
    Sif(u32) {
        /// The domain is privileged.
        PRIVILEGED = 1 << 0;
        /// The domain was built by the hypervisor.
        INITDOMAIN = 1 << 1;
        /// The module is a list of modules.
        MULTIBOOT_MOD = 1 << 2;
        /// `mod_start` is a pseudo-physical frame.
        MOD_START_PFN = 1 << 3;
        /// The toolstack needs no three-level frame list.
        VIRT_P2M_4TOOLS = 1 << 4;
        /// Power management bits.
        PM_MASK = 0xff << 8;
    }
}

/// Bytes of the command line.
pub const MAX_GUEST_CMDLINE: usize = 1024;
/// The text at the beginning, followed by zeroes.
pub const MAGIC: &[u8] = b"xen-3.0-x86_64";

abi_struct! {
    /// The start page.
    StartInfo {
        /// `MAGIC`; a guest should compare only the beginning.
        magic: [u8; 32],
        /// Frames of the domain.
        nr_pages: u64,
        /// Machine address of the shared information.
        shared_info_maddr: u64,
        /// Flags.
        flags: Sif,
        /// Padding.
        _pad0: u32,
        /// Frame of the xenstore ring.
        store_mfn: Mfn,
        /// Its port.
        store_evtchn: EvtchnPort,
        /// Padding.
        _pad1: u32,
        /// Frame of the console ring; for dom0 use `dom0_console`.
        console_mfn: Mfn,
        /// Its port.
        console_evtchn: EvtchnPort,
        /// Padding.
        _pad2: u32,
        /// Address of the root table.
        pt_base: u64,
        /// Frames of the initial page tables.
        nr_pt_frames: u64,
        /// Address of the frame list.
        mfn_list: u64,
        /// Address or frame of the module.
        mod_start: u64,
        /// Bytes of the module.
        mod_len: u64,
        /// Command line, ended by a zero.
        cmd_line: [u8; MAX_GUEST_CMDLINE],
        /// First frame of the frame list where it has its own place.
        first_p2m_pfn: u64,
        /// Frames of the frame list where it has its own place.
        nr_p2m_frames: u64,
    }
}

impl StartInfo {
    /// For dom0: offset and size of the description of the screen; (0, 0) if there is none.
    #[must_use]
    pub const fn dom0_console(&self) -> (u32, u32) {
        let raw = self.console_mfn.get();
        (raw as u32, (raw >> 32) as u32)
    }

    /// For dom0: sets offset and size of the description of the screen.
    pub const fn set_dom0_console(&mut self, info_off: u32, info_size: u32) {
        self.console_mfn = Mfn::new(info_off as u64 | (info_size as u64) << 32);
    }

    /// The command line up to the first zero.
    #[must_use]
    pub fn cmd_line(&self) -> &[u8] {
        self.cmd_line.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}
