//! What a domain may touch of the machine: device frames, I/O ports, interrupts.

use hv_core::rangeset::RangeSet;

/// The rights of one domain.
#[derive(Default)]
pub struct Rights {
    /// Device frames.
    pub iomem: RangeSet,
    /// I/O ports.
    pub ports: RangeSet,
    /// Physical interrupts.
    pub irqs: RangeSet,
}

impl Rights {
    /// No rights at all.
    pub const fn none() -> Self {
        Self { iomem: RangeSet::new(), ports: RangeSet::new(), irqs: RangeSet::new() }
    }

    /// Whether any right to device memory or ports was given.
    pub fn has_devices(&self) -> bool {
        !self.iomem.is_empty() || !self.ports.is_empty()
    }

    /// Takes all rights away.
    pub fn clear(&mut self) {
        *self = Self::none();
    }
}
