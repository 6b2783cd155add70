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
#[must_use]
pub const fn has_privilege(mode: Mode, iopl: u8, has_architectural_iopl: bool) -> bool {
    match mode {
        Mode::Kernel => has_architectural_iopl || iopl >= 1,
        Mode::User => iopl >= 3,
    }
}

/// Whether a guest's port bitmap of `nr_ports` bits allows its user programs an access: all bits of
/// the access must be there and clear. `byte` reads a byte of the bitmap, each at most once; an
/// unreadable one denies the access. A bitmap that ends right behind the access is no obstacle.
pub fn bitmap_allows(
    port: u16,
    width: u8,
    nr_ports: u32,
    mut byte: impl FnMut(u16) -> Option<u8>,
) -> bool {
    let last = u32::from(port) + u32::from(width) - 1;
    if last >= nr_ports.min(NR_PORTS) {
        return false;
    }
    let (first_byte, last_byte) = (port / 8, (last / 8) as u16);
    let second = if last_byte == first_byte { Some(0) } else { byte(last_byte) };
    let (Some(first), Some(second)) = (byte(first_byte), second) else { return false };
    let mask = (1_u16 << width) - 1;
    u16::from_le_bytes([first, second]) >> (port % 8) & mask == 0
}

/// Index register of the real-time clock.
pub const RTC_INDEX: u16 = 0x70;
/// Data register of the real-time clock.
pub const RTC_DATA: u16 = 0x71;
/// Address register of PCI configuration space.
pub const PCI_ADDRESS: u16 = 0xcf8;
/// Data register of PCI configuration space: its first byte,
pub const PCI_DATA: u16 = 0xcfc;
/// and its last.
pub const PCI_DATA_END: u16 = 0xcff;

/// How an access is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortAccess {
    /// On the real ports.
    Direct,
    /// By the hypervisor, which plays one of the four registers above; all of the access is in it.
    Virtual,
    /// Byte by byte: real where the bit *n* is set, because the domain has a right to the *n*th
    /// port, else all ones and no effect.
    Bytes(u8),
}

/// Decides about an access of 1, 2 or 4 bytes. `has_right` tells whether the domain has a right to
/// a port.
#[must_use]
pub fn classify(port: u16, width: u8, mut has_right: impl FnMut(u16) -> bool) -> PortAccess {
    match (port, width) {
        (RTC_INDEX | RTC_DATA, 1) | (PCI_ADDRESS, 4) => return PortAccess::Virtual,
        (PCI_DATA..=PCI_DATA_END, _) if (port & 3) + u16::from(width) <= 4 => {
            return PortAccess::Virtual;
        }
        _ => {}
    }
    // The clock and PCI configuration data are not even part of a wider direct access, and nobody
    // has a right to ports beyond the last one.
    let is_ours = |port| matches!(port, RTC_INDEX | RTC_DATA | PCI_DATA..=PCI_DATA_END);
    let mut may_access = |port| !is_ours(port) && has_right(port);
    let bit = |byte| u8::from(port.checked_add(byte).is_some_and(&mut may_access)) << byte;
    let allowed = (0..u16::from(width)).map(bit).sum::<u8>();
    match allowed.count_ones() == u32::from(width) {
        true => PortAccess::Direct,
        false => PortAccess::Bytes(allowed),
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
        assert_eq!(classify(0x3f8, 1, none), PortAccess::Bytes(0));
        assert_eq!(classify(0x60, 4, |port| port == 0x62), PortAccess::Bytes(4));
        assert_eq!(classify(0x61, 1, none), PortAccess::Bytes(0));
        assert_eq!(classify(0x61, 1, |_| true), PortAccess::Direct);
        assert_eq!(classify(0x71, 1, |_| true), PortAccess::Virtual);
        assert_eq!(classify(0xcf8, 4, |_| true), PortAccess::Virtual);
        assert_eq!(classify(0xcf8, 1, none), PortAccess::Bytes(0));
        assert_eq!(classify(0xcfe, 2, |_| true), PortAccess::Virtual);
        assert_eq!(classify(0xcff, 2, |_| true), PortAccess::Bytes(2));
        assert_eq!(classify(0x6f, 4, |_| true), PortAccess::Bytes(9));
        assert_eq!(classify(0xffff, 4, |_| true), PortAccess::Bytes(1));
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
            let mut reads = Vec::new();
            let got = bitmap_allows(port, width, nr_ports, |at| {
                reads.push(at);
                bitmap.get(usize::from(at)).copied()
            });
            reads.dedup();
            prop_assert!(reads.len() <= 2, "every byte is read once");
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn unreadable_bytes_deny_but_only_if_they_are_needed() {
        let allows = |port, readable: u16| {
            bitmap_allows(port, 4, NR_PORTS, |at| (at == readable).then_some(0))
        };
        assert!(allows(8, 1) && !allows(8, 2), "ports 8 to 11 are in byte 1");
        assert!(!allows(14, 1) && !allows(14, 2), "ports 14 to 17 are in bytes 1 and 2");
        assert!(bitmap_allows(14, 4, NR_PORTS, |_| Some(0)));
    }
}
