//! Register frames: user registers, vCPU context, trap table entries and the `iret` frame.
//!
//! The hypervisor fills and reads them for `set_trap_table`, `iret`, `vcpu_op` and `domctl`; the
//! builder and pvkernel write them. Values are claims until the hypervisor has checked them.

use crate::addr::Mfn;
use crate::macros::{abi_flags, abi_struct, consts};

consts! { u16:
    /// Hypervisor code segment; a guest cannot load it.
    HYPERVISOR_CS = 0xe008;
    /// Hypervisor data segment; a guest cannot load it.
    HYPERVISOR_DS = 0xe010;
    /// Flat 32-bit code segment of ring 3.
    FLAT_RING3_CS32 = 0xe023;
    /// Flat 64-bit code segment of ring 3.
    FLAT_RING3_CS64 = 0xe033;
    /// Flat 32-bit data segment of ring 3.
    FLAT_RING3_DS32 = 0xe02b;
    /// Data segment of 64-bit code: none.
    FLAT_RING3_DS64 = 0;
    /// Stack segment of 32-bit code in ring 3.
    FLAT_RING3_SS32 = 0xe02b;
    /// Stack segment of 64-bit code in ring 3.
    FLAT_RING3_SS64 = 0xe02b;
    /// Code segment of a guest kernel.
    FLAT_KERNEL_CS = FLAT_RING3_CS64;
    /// Data segment of a guest kernel.
    FLAT_KERNEL_DS = FLAT_RING3_DS64;
    /// Stack segment of a guest kernel.
    FLAT_KERNEL_SS = FLAT_RING3_SS64;
    /// Code segment of a guest's user programs.
    FLAT_USER_CS = FLAT_RING3_CS64;
    /// Data segment of a guest's user programs.
    FLAT_USER_DS = FLAT_RING3_DS64;
    /// Stack segment of a guest's user programs.
    FLAT_USER_SS = FLAT_RING3_SS64;
}

/// First page of a descriptor table that belongs to the hypervisor.
pub const FIRST_RESERVED_GDT_PAGE: u64 = 14;
/// First byte of a descriptor table that belongs to the hypervisor.
pub const FIRST_RESERVED_GDT_BYTE: u64 = FIRST_RESERVED_GDT_PAGE * 4096;
/// First descriptor that belongs to the hypervisor.
pub const FIRST_RESERVED_GDT_ENTRY: u64 = FIRST_RESERVED_GDT_BYTE / 8;
/// Most descriptors a local descriptor table can have.
pub const MAX_LDT_ENTRIES: u64 = 8192;

abi_struct! {
    /// The registers of a vCPU as the interface shows them.
    CpuUserRegs {
        /// Register r15.
        r15: u64,
        /// Register r14.
        r14: u64,
        /// Register r13.
        r13: u64,
        /// Register r12.
        r12: u64,
        /// Register rbp.
        rbp: u64,
        /// Register rbx.
        rbx: u64,
        /// Register r11.
        r11: u64,
        /// Register r10.
        r10: u64,
        /// Register r9.
        r9: u64,
        /// Register r8.
        r8: u64,
        /// Register rax.
        rax: u64,
        /// Register rcx.
        rcx: u64,
        /// Register rdx.
        rdx: u64,
        /// Register rsi.
        rsi: u64,
        /// Register rdi.
        rdi: u64,
        /// Private to the hypervisor.
        error_code: u32,
        /// Private to the hypervisor.
        entry_vector: u32,
        /// Instruction pointer.
        rip: u64,
        /// Code segment.
        cs: u16,
        /// Padding.
        _pad0: u16,
        /// Event mask at entry; only ever written by the hypervisor.
        saved_upcall_mask: u8,
        /// Padding.
        _pad1: [u8; 3],
        /// Flags; the interrupt flag stands for the event mask.
        rflags: u64,
        /// Stack pointer.
        rsp: u64,
        /// Stack segment.
        ss: u16,
        /// Padding.
        _pad2: [u16; 3],
        /// Segment es.
        es: u16,
        /// Padding.
        _pad3: [u16; 3],
        /// Segment ds.
        ds: u16,
        /// Padding.
        _pad4: [u16; 3],
        /// Segment fs.
        fs: u16,
        /// Padding.
        _pad5: [u16; 3],
        /// Segment gs.
        gs: u16,
        /// Padding.
        _pad6: [u16; 3],
    }
}

abi_struct! {
    /// One entry of the table handed to `set_trap_table`; an address of 0 ends the table.
    TrapInfo {
        /// Exception vector.
        vector: u8,
        /// Bits 1:0 privilege for software interrupts, bit 2 masks events on entry.
        flags: u8,
        /// Code selector; not used for 64-bit guests.
        cs: u16,
        /// Padding.
        _pad: u32,
        /// Handler.
        address: u64,
    }
}

impl TrapInfo {
    /// Bits of `flags` that hold the privilege level for software interrupts.
    pub const FLAG_DPL_MASK: u8 = 3;
    /// Bit of `flags` that masks events on entry.
    pub const FLAG_MASK_EVENTS: u8 = 4;

    /// An entry for `vector`.
    #[must_use]
    pub const fn new(vector: u8, flags: u8, cs: u16, address: u64) -> Self {
        Self { vector, flags, cs, _pad: 0, address }
    }

    /// Least privileged level that may use the vector with INT.
    #[must_use]
    pub const fn dpl(&self) -> u8 {
        self.flags & Self::FLAG_DPL_MASK
    }

    /// Whether entry through this vector masks events.
    #[must_use]
    pub const fn masks_events(&self) -> bool {
        self.flags & Self::FLAG_MASK_EVENTS != 0
    }
}

abi_flags! {
    /// `VcpuGuestContext::flags`.
    Vgcf(u64) {
        /// `fpu_ctxt` holds a state.
        I387_VALID = 1 << 0;
        /// The vCPU is in its guest's kernel mode.
        IN_KERNEL = 1 << 2;
        /// The failsafe callback masks events.
        FAILSAFE_DISABLES_EVENTS = 1 << 3;
        /// The syscall callback masks events.
        SYSCALL_DISABLES_EVENTS = 1 << 4;
        /// The vCPU is up.
        ONLINE = 1 << 5;
    }
}

abi_struct! {
    /// All state of a vCPU, for `VCPUOP_initialise` and the `domctl` of the same purpose.
    VcpuGuestContext {
        /// FPU state in FXSAVE format.
        fpu_ctxt: [u8; 512],
        /// What is valid and which mode the vCPU is in.
        flags: Vgcf,
        /// General registers.
        user_regs: CpuUserRegs,
        /// The virtual interrupt descriptor table.
        trap_ctxt: [TrapInfo; 256],
        /// Address of the local descriptor table.
        ldt_base: u64,
        /// Number of descriptors in it.
        ldt_ents: u64,
        /// Frames of the global descriptor table.
        gdt_frames: [Mfn; 16],
        /// Number of descriptors in it.
        gdt_ents: u64,
        /// Stack segment on entry to the kernel.
        kernel_ss: u64,
        /// Stack pointer on entry to the kernel.
        kernel_sp: u64,
        /// Control registers 0 to 7; number 1 holds the root table of user mode.
        ctrlreg: [u64; 8],
        /// Debug registers 0 to 7.
        debugreg: [u64; 8],
        /// Entry point for events.
        event_callback_eip: u64,
        /// Entry point for failed segment loads.
        failsafe_callback_eip: u64,
        /// Entry point for SYSCALL from user mode.
        syscall_callback_eip: u64,
        /// Bit map of the assistance features.
        vm_assist: u64,
        /// Base of fs.
        fs_base: u64,
        /// Base of gs in kernel mode.
        gs_base_kernel: u64,
        /// Base of gs in user mode.
        gs_base_user: u64,
    }
}

abi_struct! {
    /// What the `iret` hypercall finds at the stack pointer.
    IretContext {
        /// Register rax.
        rax: u64,
        /// Register r11.
        r11: u64,
        /// Register rcx.
        rcx: u64,
        /// `VGCF_IN_SYSCALL` or 0.
        flags: u64,
        /// Instruction pointer.
        rip: u64,
        /// Code segment.
        cs: u64,
        /// Flags.
        rflags: u64,
        /// Stack pointer.
        rsp: u64,
        /// Stack segment.
        ss: u64,
    }
}

/// Bit of `IretContext::flags`: leave as SYSRET does, rcx and r11 are not restored.
pub const VGCF_IN_SYSCALL: u64 = 1 << 8;

/// Converts a control register that holds a root table to its frame.
#[must_use]
pub const fn cr3_to_mfn(cr3: u64) -> Mfn {
    Mfn::from_maddr(cr3)
}

/// Converts the frame of a root table to the form `ctrlreg` holds.
#[must_use]
pub const fn mfn_to_cr3(mfn: Mfn) -> u64 {
    mfn.maddr()
}
