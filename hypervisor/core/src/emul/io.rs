//! Who may access which port.
//!
//! Called when a port access is emulated. First the guest's own rules ([`has_privilege`], then the
//! bitmap of user programs), then the hypervisor's ([`classify`]): what the domain has a right to
//! is done, a few ports are virtual, and the rest reads as all ones and swallows writes.
//!
//! Invariant: the ports of the real-time clock and of PCI configuration are never accessed
//! directly for a guest, whatever rights it has.

use crate::trap::Mode;

/// Number of ports.
pub const NR_PORTS: u32 = 0x1_0000;

/// Whether the virtual I/O privilege level allows ports (and CLI and STI) without a bitmap.
#[inline]
#[must_use]
pub const fn has_privilege(mode: Mode, iopl: u8, has_architectural_iopl: bool) -> bool {
    match mode {
        Mode::Kernel => has_architectural_iopl || iopl >= 1,
        Mode::User => iopl >= 3,
    }
}

/// The two bytes of a guest's port bitmap that hold the bits of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapBytes {
    /// Offset of the first byte in the bitmap; the second follows it.
    pub offset: u16,
    /// Bit of the first port in the two bytes.
    shift: u16,
    mask: u16,
}

impl BitmapBytes {
    /// The bytes for `width` ports from `port`; `None` if the bitmap of `nr_ports` bits does not
    /// reach that far, which denies the access.
    #[must_use]
    pub fn new(port: u16, width: u8, nr_ports: u32) -> Option<Self> {
        let end = u32::from(port) + u32::from(width);
        let is_covered = end <= nr_ports.min(NR_PORTS);
        let mask = 1_u16.checked_shl(u32::from(width))?.wrapping_sub(1);
        is_covered.then_some(Self { offset: port / 8, shift: port % 8, mask })
    }

    /// Whether the second byte is needed, so that a bitmap that ends before it is no obstacle.
    #[must_use]
    pub fn needs_second(&self) -> bool {
        self.mask << self.shift > 0xff
    }

    /// Whether all bits of the access are clear; unreadable bytes deny it.
    #[must_use]
    pub fn allows(&self, first: Option<u8>, second: Option<u8>) -> bool {
        let second = if self.needs_second() { second } else { Some(0) };
        let (Some(first), Some(second)) = (first, second) else {
            return false;
        };
        (u16::from_le_bytes([first, second]) >> self.shift) & self.mask == 0
    }
}

/// Ports the hypervisor plays itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VirtualPort {
    /// Counter and control of the interval timer's channel 2, and the speaker port.
    Pit,
    /// Index register of the real-time clock.
    RtcIndex,
    /// Data register of the real-time clock.
    RtcData,
    /// Address register of PCI configuration space.
    PciAddress,
    /// Data register of PCI configuration space, with the byte in it.
    PciData {
        /// First byte.
        offset: u8,
    },
}

/// How an access is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortAccess {
    /// On the real ports.
    Direct,
    /// By a virtual device; the whole access belongs to it.
    Virtual(VirtualPort),
    /// Byte by byte: real where the bit is set, else all ones and no effect.
    Bytes {
        /// Bit *n*: the domain has a right to the *n*th port.
        allowed: u8,
    },
}

/// Decides about an access of 1, 2 or 4 bytes. `has_right` tells whether the domain has a right to
/// a port.
#[must_use]
pub fn classify(port: u16, width: u8, mut has_right: impl FnMut(u16) -> bool) -> PortAccess {
    if let Some(device) = never_direct(port, width) {
        return PortAccess::Virtual(device);
    }
    let mut allowed = 0;
    for byte in 0..width.min(4) {
        // Ports beyond the last one do not exist, nobody has a right to them.
        let port = port.checked_add(u16::from(byte));
        if port.is_some_and(|port| may_be_direct(port) && has_right(port)) {
            allowed |= 1 << byte;
        }
    }
    let all = (1_u8 << width.min(4)) - 1;
    match (allowed == all, port, width) {
        (true, ..) => PortAccess::Direct,
        (false, 0x42 | 0x43 | 0x61, 1) => PortAccess::Virtual(VirtualPort::Pit),
        _ => PortAccess::Bytes { allowed },
    }
}

/// The clock and PCI configuration data are not even part of a wider direct access.
const fn may_be_direct(port: u16) -> bool {
    !matches!(port, 0x70 | 0x71 | 0xcfc..=0xcff)
}

fn never_direct(port: u16, width: u8) -> Option<VirtualPort> {
    match (port, width) {
        (0x70, 1) => Some(VirtualPort::RtcIndex),
        (0x71, 1) => Some(VirtualPort::RtcData),
        (0xcf8, 4) => Some(VirtualPort::PciAddress),
        (0xcfc..=0xcff, _) if (port & 3) + u16::from(width) <= 4 => {
            Some(VirtualPort::PciData { offset: (port & 3) as u8 })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_privilege_level_is_compared_by_mode() {
        assert!(!has_privilege(Mode::Kernel, 0, false));
        assert!(has_privilege(Mode::Kernel, 0, true));
        assert!(has_privilege(Mode::Kernel, 1, false));
        assert!(!has_privilege(Mode::User, 2, true));
        assert!(has_privilege(Mode::User, 3, false));
    }

    #[test]
    fn rights_virtual_ports_and_the_rest_are_told_apart() {
        let none = |_| false;
        assert_eq!(classify(0x3f8, 1, |_| true), PortAccess::Direct);
        assert_eq!(classify(0x3f8, 1, none), PortAccess::Bytes { allowed: 0 });
        assert_eq!(classify(0x60, 4, |port| port == 0x62), PortAccess::Bytes { allowed: 4 });
        assert_eq!(classify(0x61, 1, none), PortAccess::Virtual(VirtualPort::Pit));
        assert_eq!(classify(0x61, 1, |_| true), PortAccess::Direct);
        assert_eq!(classify(0x71, 1, |_| true), PortAccess::Virtual(VirtualPort::RtcData));
        assert_eq!(classify(0xcf8, 4, |_| true), PortAccess::Virtual(VirtualPort::PciAddress));
        assert_eq!(classify(0xcf8, 1, none), PortAccess::Bytes { allowed: 0 });
        let data = PortAccess::Virtual(VirtualPort::PciData { offset: 2 });
        assert_eq!(classify(0xcfe, 2, |_| true), data);
        assert_eq!(classify(0xcff, 2, |_| true), PortAccess::Bytes { allowed: 2 });
        assert_eq!(classify(0x6f, 4, |_| true), PortAccess::Bytes { allowed: 9 });
        assert_eq!(classify(0xffff, 4, |_| true), PortAccess::Bytes { allowed: 1 });
    }

    proptest! {
        #[test]
        fn the_bitmap_allows_exactly_the_clear_ports(
            port in 0_u16..400,
            width in prop::sample::select(vec![1_u8, 2, 4]),
            nr_ports in 0_u32..400,
            bitmap in prop::collection::vec(any::<u8>(), 60),
        ) {
            let expected = (0..u32::from(width)).all(|i| {
                let bit = u32::from(port) + i;
                bit < nr_ports && bitmap[bit as usize / 8] >> (bit % 8) & 1 == 0
            });
            let got = BitmapBytes::new(port, width, nr_ports).is_some_and(|bytes| {
                let at = usize::from(bytes.offset);
                bytes.allows(bitmap.get(at).copied(), bitmap.get(at + 1).copied())
            });
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn unreadable_bytes_deny_but_only_if_they_are_needed() {
        let inner = BitmapBytes::new(8, 4, NR_PORTS).unwrap();
        assert!(inner.allows(Some(0), None) && !inner.allows(None, Some(0)));
        let crossing = BitmapBytes::new(14, 4, NR_PORTS).unwrap();
        assert!(crossing.allows(Some(0), Some(0)) && !crossing.allows(Some(0), None));
    }
}
