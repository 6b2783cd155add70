//! Page-table hypercalls: `mmu_update`, `mmuext_op`, `update_va_mapping`.

use crate::addr::{GuestVa, Mfn};
use crate::ids::DomId;
use crate::macros::{abi_struct, consts};

abi_struct! {
    /// One request of `mmu_update`: the low three bits of `ptr` are the command.
    MmuUpdate {
        /// Machine address of the entry, or command bits.
        ptr: u64,
        /// New contents.
        val: u64,
    }
}

impl MmuUpdate {
    /// Bits of `ptr` that hold the command.
    pub const CMD_MASK: u64 = 7;

    /// A request with command `cmd` for the 8-byte aligned machine address `maddr`.
    #[must_use]
    pub const fn new(cmd: u64, maddr: u64, val: u64) -> Self {
        Self { ptr: (maddr & !Self::CMD_MASK) | (cmd & Self::CMD_MASK), val }
    }

    /// The command.
    #[must_use]
    pub const fn cmd(&self) -> u64 {
        self.ptr & Self::CMD_MASK
    }

    /// The machine address.
    #[must_use]
    pub const fn maddr(&self) -> u64 {
        self.ptr & !Self::CMD_MASK
    }
}

consts! { u64:
    /// `mmu_update`: checked change of an entry.
    MMU_NORMAL_PT_UPDATE = 0;
    /// `mmu_update`: change of the machine-to-physical array.
    MMU_MACHPHYS_UPDATE = 1;
    /// `mmu_update`: as 0, keeps the accessed and dirty bits that are set.
    MMU_PT_UPDATE_PRESERVE_AD = 2;
    /// `mmu_update`: as 0, the frame is not translated.
    MMU_PT_UPDATE_NO_TRANSLATE = 3;
}

/// Bit of a `count` argument that only the hypervisor's own continuations set.
pub const MMU_UPDATE_PREEMPTED: u32 = 1 << 31;

/// The two domains named by the `foreigndom` argument of `mmu_update`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignDom {
    /// Owner of the frames being mapped.
    pub frames: DomId,
    /// Owner of the page tables; `None` for the caller.
    pub tables: Option<DomId>,
}

impl ForeignDom {
    /// Splits the argument: bits 15:0 frames, bits 31:16 owner of the tables plus one.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        let tables = match (raw >> 16) as u16 {
            0 => None,
            plus_one => Some(DomId::new(plus_one - 1)),
        };
        Self { frames: DomId::new(raw as u16), tables }
    }

    /// Builds the argument. The table owner must be a real domain to be representable.
    #[must_use]
    pub const fn to_raw(self) -> u32 {
        let tables = match self.tables {
            None => 0,
            Some(owner) => owner.get() as u32 + 1,
        };
        self.frames.get() as u32 | tables << 16
    }
}

abi_struct! {
    /// One operation of `mmuext_op`. The meaning of the arguments depends on the command.
    MmuextOp {
        /// A number of module `mmuext`.
        cmd: u32,
        /// Padding.
        _pad: u32,
        /// Frame or linear address.
        arg1: u64,
        /// Count, address of a vCPU bitmap, or source frame.
        arg2: u64,
    }
}

impl MmuextOp {
    /// An operation on a frame.
    #[must_use]
    pub const fn with_mfn(cmd: u32, mfn: Mfn) -> Self {
        Self { cmd, _pad: 0, arg1: mfn.get(), arg2: 0 }
    }

    /// An operation on a linear address.
    #[must_use]
    pub const fn with_linear(cmd: u32, linear_addr: u64, arg2: u64) -> Self {
        Self { cmd, _pad: 0, arg1: linear_addr, arg2 }
    }

    /// The first argument as a frame.
    #[must_use]
    pub const fn mfn(&self) -> Mfn {
        Mfn::new(self.arg1)
    }

    /// The first argument as a linear address.
    #[must_use]
    pub const fn linear_addr(&self) -> GuestVa {
        GuestVa::new(self.arg1)
    }

    /// The second argument as a count; the interface defines only its low 32 bits.
    #[must_use]
    pub const fn nr_ents(&self) -> u32 {
        self.arg2 as u32
    }

    /// The second argument as the address of a vCPU bitmap.
    #[must_use]
    pub const fn vcpumask(&self) -> GuestVa {
        GuestVa::new(self.arg2)
    }

    /// The second argument as a frame.
    #[must_use]
    pub const fn src_mfn(&self) -> Mfn {
        Mfn::new(self.arg2)
    }
}

/// Commands of `mmuext_op`.
pub mod mmuext {
    use crate::macros::consts;

    consts! { u32:
        /// Pins a table of level 1.
        PIN_L1_TABLE = 0;
        /// Pins a table of level 2.
        PIN_L2_TABLE = 1;
        /// Pins a table of level 3.
        PIN_L3_TABLE = 2;
        /// Pins a table of level 4.
        PIN_L4_TABLE = 3;
        /// Unpins a table.
        UNPIN_TABLE = 4;
        /// Loads the root table of kernel mode.
        NEW_BASEPTR = 5;
        /// Flushes the calling vCPU.
        TLB_FLUSH_LOCAL = 6;
        /// Flushes one address on the calling vCPU.
        INVLPG_LOCAL = 7;
        /// Flushes a set of vCPUs.
        TLB_FLUSH_MULTI = 8;
        /// Flushes one address on a set of vCPUs.
        INVLPG_MULTI = 9;
        /// Flushes all vCPUs of the domain.
        TLB_FLUSH_ALL = 10;
        /// Flushes one address on all vCPUs of the domain.
        INVLPG_ALL = 11;
        /// Writes back the caches of this CPU.
        FLUSH_CACHE = 12;
        /// Sets the local descriptor table.
        SET_LDT = 13;
        /// Loads the root table of user mode.
        NEW_USER_BASEPTR = 15;
        /// Zeroes a frame.
        CLEAR_PAGE = 16;
        /// Copies a frame.
        COPY_PAGE = 17;
        /// Writes back the caches of all CPUs.
        FLUSH_CACHE_GLOBAL = 18;
        /// Superpages; not for 64-bit guests.
        MARK_SUPER = 19;
        /// Superpages; not for 64-bit guests.
        UNMARK_SUPER = 20;
    }
}

/// Flags of `update_va_mapping`.
pub mod uvmf {
    use crate::macros::consts;

    consts! { u64:
        /// No flush.
        NONE = 0;
        /// Flush everything.
        TLB_FLUSH = 1;
        /// Flush the address.
        INVLPG = 2;
        /// Bits that hold the kind of flush.
        FLUSHTYPE_MASK = 3;
        /// The rest of the word points to a vCPU bitmap.
        MULTI = 0;
        /// Only the calling vCPU.
        LOCAL = 0;
        /// All vCPUs of the domain.
        ALL = 4;
    }
}

/// Bits of a page-table entry.
pub mod pte {
    use crate::addr::Mfn;
    use crate::macros::consts;

    consts! { u64:
        /// The entry maps something.
        PRESENT = 1 << 0;
        /// Writable.
        RW = 1 << 1;
        /// Reachable from ring 3; always set by the hypervisor.
        USER = 1 << 2;
        /// Write-through.
        PWT = 1 << 3;
        /// Not cached.
        PCD = 1 << 4;
        /// Read or written since last cleared.
        ACCESSED = 1 << 5;
        /// Written since last cleared.
        DIRTY = 1 << 6;
        /// Attribute bit at level 1.
        PAT = 1 << 7;
        /// Superpage at levels 2 and 3.
        PSE = 1 << 7;
        /// Survives a change of the root table.
        GLOBAL = 1 << 8;
        /// First of three bits for guests' own use.
        AVAIL0 = 1 << 9;
        /// All bits for guests' own use below the frame number.
        AVAIL_MASK = 7 << 9;
        /// The bits that hold the frame.
        FRAME_MASK = 0x000f_ffff_ffff_f000;
        /// A kernel page of a guest, as far as level 1 is concerned.
        GUEST_KERNEL = 1 << 52;
        /// All software bits above the frame number.
        AVAIL_HIGH_MASK = 0x7ff0_0000_0000_0000;
        /// Not executable.
        NX = 1 << 63;
    }

    /// Entries in a table of any level.
    pub const ENTRIES: usize = 512;
    /// Bits of an address one level translates.
    pub const BITS_PER_LEVEL: u32 = 9;

    /// The frame an entry holds.
    #[must_use]
    pub const fn mfn(entry: u64) -> Mfn {
        Mfn::from_maddr(entry & FRAME_MASK)
    }

    /// An entry with this frame and these flags; frame bits that do not fit are dropped.
    #[must_use]
    pub const fn make(mfn: Mfn, flags: u64) -> u64 {
        (mfn.maddr() & FRAME_MASK) | (flags & !FRAME_MASK)
    }

    /// Index of the entry that translates `va` in a table of `level` 1 to 4.
    #[must_use]
    pub const fn index(va: u64, level: u32) -> usize {
        let shift = crate::addr::PAGE_SHIFT + BITS_PER_LEVEL * level.saturating_sub(1);
        match va.checked_shr(shift) {
            Some(bits) => bits as usize & (ENTRIES - 1),
            None => 0,
        }
    }
}
