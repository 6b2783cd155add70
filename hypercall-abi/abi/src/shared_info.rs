//! The shared page: events and time, written by both sides at any moment.
//!
//! These are layouts for offsets and for building the page. Live access needs atomic operations
//! and is the business of whoever maps the page.

use crate::addr::Mfn;
use crate::macros::{abi_struct, consts};
use crate::xen::LEGACY_MAX_VCPUS;

abi_struct! {
    /// Parameters that turn the time stamp counter into system time.
    VcpuTimeInfo {
        /// Odd while the structure is being written.
        version: u32,
        /// Padding.
        _pad0: u32,
        /// Counter at the last update.
        tsc_timestamp: u64,
        /// System time at the last update.
        system_time_ns: u64,
        /// Multiplier, scaled by 2^32.
        tsc_to_system_mul: u32,
        /// Shift of the counter before multiplying; negative is to the right.
        tsc_shift: i8,
        /// `PVCLOCK_*`.
        flags: u8,
        /// Padding.
        _pad1: [u8; 2],
    }
}

/// Flag of `VcpuTimeInfo`: time never goes back across vCPUs.
pub const PVCLOCK_TSC_STABLE_BIT: u8 = 1;
/// Flag of `VcpuTimeInfo`: the guest was stopped.
pub const PVCLOCK_GUEST_STOPPED: u8 = 2;

impl VcpuTimeInfo {
    /// System time at counter value `tsc`. The caller follows the version protocol.
    #[must_use]
    pub const fn system_time_at(&self, tsc: u64) -> u64 {
        let delta = tsc.wrapping_sub(self.tsc_timestamp);
        let delta = if self.tsc_shift >= 0 {
            match delta.checked_shl(self.tsc_shift as u32) {
                Some(shifted) => shifted,
                None => 0,
            }
        } else {
            match delta.checked_shr(self.tsc_shift.unsigned_abs() as u32) {
                Some(shifted) => shifted,
                None => 0,
            }
        };
        let scaled = (delta as u128 * self.tsc_to_system_mul as u128) >> 32;
        self.system_time_ns.wrapping_add(scaled as u64)
    }
}

abi_struct! {
    /// The part of a vCPU's structure that belongs to the architecture.
    ArchVcpuInfo {
        /// Address of the last page fault.
        cr2: u64,
        /// Padding.
        pad: u64,
    }
}

abi_struct! {
    /// The structure of one vCPU.
    VcpuInfo {
        /// Not 0: an event waits.
        evtchn_upcall_pending: u8,
        /// Not 0: events are masked.
        evtchn_upcall_mask: u8,
        /// Padding.
        _pad: [u8; 6],
        /// Bit map of the words with pending ports.
        evtchn_pending_sel: u64,
        /// Architecture.
        arch: ArchVcpuInfo,
        /// Time.
        time: VcpuTimeInfo,
    }
}

abi_struct! {
    /// The part of the shared page that belongs to the architecture.
    ArchSharedInfo {
        /// One more than the largest pseudo-physical frame.
        max_pfn: u64,
        /// Frame with the frames of the frame list's frames.
        pfn_to_mfn_frame_list_list: Mfn,
        /// Bits of module `nmi`.
        nmi_reason: u64,
        /// Root table under which the linear frame list is mapped.
        p2m_cr3: u64,
        /// Address of the linear frame list.
        p2m_vaddr: u64,
        /// Odd while the frame list is being changed.
        p2m_generation: u64,
    }
}

abi_struct! {
    /// The shared page.
    SharedInfo {
        /// The first vCPUs.
        vcpu_info: [VcpuInfo; LEGACY_MAX_VCPUS],
        /// Raised ports.
        evtchn_pending: [u64; 64],
        /// Masked ports.
        evtchn_mask: [u64; 64],
        /// Odd while the wall clock is being written.
        wc_version: u32,
        /// Wall clock at system time 0: seconds, low half.
        wc_sec: u32,
        /// Wall clock at system time 0: nanoseconds.
        wc_nsec: u32,
        /// Wall clock at system time 0: seconds, high half.
        wc_sec_hi: u32,
        /// Architecture.
        arch: ArchSharedInfo,
    }
}

consts! { usize:
    /// Offset of the pending bits.
    OFFSET_EVTCHN_PENDING = core::mem::offset_of!(SharedInfo, evtchn_pending);
    /// Offset of the mask bits.
    OFFSET_EVTCHN_MASK = core::mem::offset_of!(SharedInfo, evtchn_mask);
    /// Offset of the wall clock.
    OFFSET_WC_VERSION = core::mem::offset_of!(SharedInfo, wc_version);
    /// Bytes between the structures of two vCPUs.
    VCPU_INFO_SIZE = core::mem::size_of::<VcpuInfo>();
}
