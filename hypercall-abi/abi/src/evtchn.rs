//! Event channels: the structures of `event_channel_op` and the FIFO layout.

use crate::addr::Mfn;
use crate::ids::{DomId, EvtchnPort, VcpuId, Virq};
use crate::macros::{abi_struct, consts};

consts! { u32:
    /// Binds to a port another domain offers.
    BIND_INTERDOMAIN = 0;
    /// Binds a virtual interrupt.
    BIND_VIRQ = 1;
    /// Binds a physical interrupt.
    BIND_PIRQ = 2;
    /// Closes a port.
    CLOSE = 3;
    /// Notifies the other end.
    SEND = 4;
    /// Describes a port.
    STATUS = 5;
    /// Offers a port to a domain.
    ALLOC_UNBOUND = 6;
    /// Makes a port for interrupts between the domain's own vCPUs.
    BIND_IPI = 7;
    /// Chooses the vCPU a port notifies.
    BIND_VCPU = 8;
    /// Unmasks a port.
    UNMASK = 9;
    /// Closes all ports.
    RESET = 10;
    /// FIFO: installs a control block.
    INIT_CONTROL = 11;
    /// FIFO: adds a page of event words.
    EXPAND_ARRAY = 12;
    /// FIFO: sets the priority of a port.
    SET_PRIORITY = 13;
}

/// Number of ports of the two-level layout.
pub const NR_CHANNELS_2L: u32 = 4096;

abi_struct! {
    /// Argument of `ALLOC_UNBOUND`.
    EvtchnAllocUnbound {
        /// In: domain that gets the port.
        dom: DomId,
        /// In: domain that may bind to it.
        remote_dom: DomId,
        /// Out: the port.
        port: EvtchnPort,
    }
}

abi_struct! {
    /// Argument of `BIND_INTERDOMAIN`.
    EvtchnBindInterdomain {
        /// In: domain that offers the port.
        remote_dom: DomId,
        /// Padding.
        _pad: u16,
        /// In: its port.
        remote_port: EvtchnPort,
        /// Out: the caller's new port.
        local_port: EvtchnPort,
    }
}

abi_struct! {
    /// Argument of `BIND_VIRQ`.
    EvtchnBindVirq {
        /// In: the virtual interrupt.
        virq: Virq,
        /// In: the vCPU to notify.
        vcpu: VcpuId,
        /// Out: the port.
        port: EvtchnPort,
    }
}

abi_struct! {
    /// Argument of `BIND_PIRQ`.
    EvtchnBindPirq {
        /// In: the physical interrupt.
        pirq: u32,
        /// In: `BIND_PIRQ_WILL_SHARE` or 0.
        flags: u32,
        /// Out: the port.
        port: EvtchnPort,
    }
}

/// Flag of `EvtchnBindPirq`: other domains may bind the interrupt too.
pub const BIND_PIRQ_WILL_SHARE: u32 = 1;

abi_struct! {
    /// Argument of `BIND_IPI`.
    EvtchnBindIpi {
        /// In: the vCPU to notify.
        vcpu: VcpuId,
        /// Out: the port.
        port: EvtchnPort,
    }
}

abi_struct! {
    /// Argument of `CLOSE`.
    EvtchnClose {
        /// In: the port.
        port: EvtchnPort,
    }
}

abi_struct! {
    /// Argument of `SEND`.
    EvtchnSend {
        /// In: the port.
        port: EvtchnPort,
    }
}

abi_struct! {
    /// Argument of `STATUS`.
    EvtchnStatus {
        /// In: the domain asked about.
        dom: DomId,
        /// Padding.
        _pad: u16,
        /// In: its port.
        port: EvtchnPort,
        /// Out: a number of module `status`.
        status: u32,
        /// Out: the vCPU the port notifies.
        vcpu: VcpuId,
        /// Out: what the port is connected to; use the functions.
        detail: [u32; 2],
    }
}

impl EvtchnStatus {
    /// Low word of the detail: domain of an unbound or interdomain port.
    #[must_use]
    pub const fn remote_dom(&self) -> DomId {
        DomId::new(self.detail[0] as u16)
    }

    /// Port at the other end of an interdomain port.
    #[must_use]
    pub const fn remote_port(&self) -> EvtchnPort {
        EvtchnPort::new(self.detail[1])
    }

    /// Number of a bound physical or virtual interrupt.
    #[must_use]
    pub const fn irq(&self) -> u32 {
        self.detail[0]
    }

    /// Describes an unbound port.
    pub const fn set_unbound(&mut self, remote: DomId) {
        self.status = status::UNBOUND;
        self.detail = [remote.get() as u32, 0];
    }

    /// Describes an interdomain port.
    pub const fn set_interdomain(&mut self, remote: DomId, port: EvtchnPort) {
        self.status = status::INTERDOMAIN;
        self.detail = [remote.get() as u32, port.get()];
    }

    /// Describes a port with a physical (`status::PIRQ`) or virtual (`status::VIRQ`) interrupt.
    pub const fn set_irq(&mut self, status: u32, irq: u32) {
        self.status = status;
        self.detail = [irq, 0];
    }
}

/// Values of `EvtchnStatus::status`.
pub mod status {
    use crate::macros::consts;

    consts! { u32:
        /// Not in use.
        CLOSED = 0;
        /// Waits for the other domain.
        UNBOUND = 1;
        /// Connected to another port.
        INTERDOMAIN = 2;
        /// A physical interrupt.
        PIRQ = 3;
        /// A virtual interrupt.
        VIRQ = 4;
        /// Between the domain's own vCPUs.
        IPI = 5;
    }
}

abi_struct! {
    /// Argument of `BIND_VCPU`.
    EvtchnBindVcpu {
        /// In: the port.
        port: EvtchnPort,
        /// In: the vCPU to notify.
        vcpu: VcpuId,
    }
}

abi_struct! {
    /// Argument of `UNMASK`.
    EvtchnUnmask {
        /// In: the port.
        port: EvtchnPort,
    }
}

abi_struct! {
    /// Argument of `RESET`.
    EvtchnReset {
        /// In: the domain.
        dom: DomId,
    }
}

abi_struct! {
    /// Argument of `INIT_CONTROL`.
    EvtchnInitControl {
        /// In: frame of the control block.
        control_gfn: Mfn,
        /// In: offset of the control block in the frame.
        offset: u32,
        /// In: the vCPU.
        vcpu: VcpuId,
        /// Out: width of the link field.
        link_bits: u8,
        /// Padding.
        _pad: [u8; 7],
    }
}

abi_struct! {
    /// Argument of `EXPAND_ARRAY`.
    EvtchnExpandArray {
        /// In: frame of the new page of event words.
        array_gfn: Mfn,
    }
}

abi_struct! {
    /// Argument of `SET_PRIORITY`.
    EvtchnSetPriority {
        /// In: the port.
        port: EvtchnPort,
        /// In: 0 (highest) to 15.
        priority: u32,
    }
}

/// The FIFO layout.
pub mod fifo {
    use crate::macros::{abi_struct, consts};

    consts! { u32:
        /// Highest priority.
        PRIORITY_MAX = 0;
        /// Priority of a new port.
        PRIORITY_DEFAULT = 7;
        /// Lowest priority.
        PRIORITY_MIN = 15;
        /// Number of queues.
        MAX_QUEUES = 16;
        /// Bit of an event word: raised.
        PENDING_BIT = 31;
        /// Bit of an event word: masked by the guest.
        MASKED_BIT = 30;
        /// Bit of an event word: in a queue.
        LINKED_BIT = 29;
        /// Bit of an event word: the hypervisor is changing the link.
        BUSY_BIT = 28;
        /// Width of the link field.
        LINK_BITS = 17;
        /// The link field.
        LINK_MASK = (1 << LINK_BITS) - 1;
        /// Number of ports.
        NR_CHANNELS = 1 << LINK_BITS;
    }

    abi_struct! {
        /// Shared page of one vCPU.
        EvtchnFifoControlBlock {
            /// Bit map of queues that are not empty.
            ready: u32,
            /// Reserved.
            _rsvd: u32,
            /// First port of each queue.
            head: [u32; MAX_QUEUES as usize],
        }
    }
}
