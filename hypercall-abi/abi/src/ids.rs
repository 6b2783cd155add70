//! The numbers that name things: domains, vCPUs, event ports, grants and virtual interrupts.
//!
//! Used in every structure that names such a thing. A number here is a claim; whether the thing
//! exists is found out where it is looked up.

use crate::macros::newtype;

newtype! {
    /// Number of a domain.
    DomId(u16)
}

impl DomId {
    /// The first number that no real domain can have.
    pub const FIRST_RESERVED: Self = Self(0x7ff0);
    /// The calling domain.
    pub const SELF: Self = Self(0x7ff0);
    /// Owner of frames that are device memory.
    pub const IO: Self = Self(0x7ff1);
    /// Owner of hypervisor frames that are shared with guests.
    pub const XEN: Self = Self(0x7ff2);
    /// Owner of frames used by memory sharing.
    pub const COW: Self = Self(0x7ff3);
    /// No domain.
    pub const INVALID: Self = Self(0x7ff4);
    /// The domain of the idle vCPUs.
    pub const IDLE: Self = Self(0x7fff);
    /// Bits of a `foreigndom` argument that hold a domain number.
    pub const MASK: u16 = 0x7fff;
    /// The domain the hypervisor builds at boot.
    pub const DOM0: Self = Self(0);

    /// Whether a real domain can have this number.
    #[must_use]
    pub const fn is_real(self) -> bool {
        self.0 < Self::FIRST_RESERVED.0
    }
}

newtype! {
    /// Number of a vCPU within its domain.
    VcpuId(u32)
}

newtype! {
    /// Number of an event channel within its domain; 0 is never a valid channel.
    EvtchnPort(u32)
}

newtype! {
    /// Index of an entry in a grant table.
    GrantRef(u32)
}

impl GrantRef {
    /// Entry the toolstack reserves for the console ring.
    pub const RESERVED_CONSOLE: Self = Self(0);
    /// Entry the toolstack reserves for the xenstore ring.
    pub const RESERVED_XENSTORE: Self = Self(1);
}

newtype! {
    /// Number of a virtual interrupt, bound to a port with `EVTCHNOP_bind_virq`.
    Virq(u32)
}

impl Virq {
    /// Timer of one vCPU.
    pub const TIMER: Self = Self(0);
    /// Debug request, per vCPU.
    pub const DEBUG: Self = Self(1);
    /// Input on the hypervisor's console, for the control domain.
    pub const CONSOLE: Self = Self(2);
    /// A domain was shut down, crashed or disappeared, for the control domain.
    pub const DOM_EXC: Self = Self(3);
    /// Trace buffers hold data.
    pub const TBUF: Self = Self(4);
    /// A debugger event.
    pub const DEBUGGER: Self = Self(6);
    /// A profiling sample, per vCPU.
    pub const XENOPROF: Self = Self(7);
    /// The hypervisor's console ring was written to.
    pub const CON_RING: Self = Self(8);
    /// The state of a physical CPU changed.
    pub const PCPU_STATE: Self = Self(9);
    /// A memory event.
    pub const MEM_EVENT: Self = Self(10);
    /// Argo message, per domain.
    pub const ARGO: Self = Self(11);
    /// The host is short of memory.
    pub const ENOMEM: Self = Self(12);
    /// Performance monitoring, per vCPU.
    pub const XENPMU: Self = Self(13);
    /// First of eight architecture interrupts.
    pub const ARCH_0: Self = Self(16);
    /// Machine check, the first architecture interrupt on x86.
    pub const MCA: Self = Self(16);
    /// How many virtual interrupts there are.
    pub const COUNT: u32 = 24;

    /// Whether each vCPU has its own binding of this interrupt.
    #[must_use]
    pub const fn is_per_vcpu(self) -> bool {
        matches!(self, Self::TIMER | Self::DEBUG | Self::XENOPROF | Self::XENPMU)
    }

    /// Whether the interrupt exists once in the whole machine and has one receiving domain.
    #[must_use]
    pub const fn is_global(self) -> bool {
        matches!(
            self,
            Self::CONSOLE
                | Self::DOM_EXC
                | Self::TBUF
                | Self::DEBUGGER
                | Self::CON_RING
                | Self::PCPU_STATE
                | Self::MEM_EVENT
                | Self::ENOMEM
        ) || (self.0 >= Self::ARCH_0.0 && self.0 < Self::COUNT)
    }
}
