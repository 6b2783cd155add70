//! The few ACPI tables the hypervisor reads, from bytes.
//!
//! `crate::acpi` maps the tables and calls these functions. Firmware is not hostile but may be broken:
//! everything is bounds-checked, and what does not parse is treated as missing.

/// The little-endian number of `len` bytes at `offset`.
fn number(bytes: &[u8], offset: usize, len: usize) -> Option<u64> {
    let field = bytes.get(offset..offset.checked_add(len)?)?;
    Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// 32 bits at `offset`.
fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    number(bytes, offset, 4).map(|number| number as u32)
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Bytes of the header every table starts with.
pub const HEADER: usize = 36;

/// The list of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// Where it is.
    pub address: u64,
    /// Bytes of an address in it: 4 in an RSDT, 8 in an XSDT.
    pub entry_bytes: usize,
}

/// Looks for the root pointer in an area of firmware memory; it lies on a multiple of 16.
pub fn find_root(area: &[u8]) -> Option<Root> {
    (0..area.len()).step_by(16).find_map(|offset| root_at(&area[offset..]))
}

/// The root pointer at the start of `bytes`.
pub fn root_at(bytes: &[u8]) -> Option<Root> {
    if !bytes.starts_with(b"RSD PTR ") || sum(bytes.get(..20)?) != 0 {
        return None;
    }
    match number(bytes, 24, 8) {
        Some(address) if bytes[15] >= 2 && address != 0 => Some(Root { address, entry_bytes: 8 }),
        _ => Some(Root { address: number(bytes, 16, 4)?, entry_bytes: 4 }),
    }
}

/// Length of a whole table, from its header.
pub fn table_length(header: &[u8]) -> Option<usize> {
    number(header, 4, 4).map(|length| length as usize).filter(|length| *length >= HEADER)
}

/// Addresses in a list of tables.
pub fn table_addresses(list: &[u8], entry_bytes: usize) -> impl Iterator<Item = u64> + '_ {
    let offsets = (HEADER..list.len()).step_by(entry_bytes);
    offsets.map_while(move |offset| number(list, offset, entry_bytes))
}

/// One entry of the table of interrupt controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadtEntry {
    /// A processor that can be used, by the number of its local APIC.
    LocalApic(u32),
    /// An I/O APIC: address and first line.
    IoApic(u32, u32),
    /// An ISA interrupt that is not where it seems: its number, its line, and flags.
    Override(u8, u32, u16),
}

/// Address of the local APICs.
pub fn madt_local_apic(madt: &[u8]) -> Option<u64> {
    number(madt, HEADER, 4)
}

/// The entries of the table of interrupt controllers that the hypervisor uses.
pub fn madt_entries(madt: &[u8]) -> impl Iterator<Item = MadtEntry> + '_ {
    let mut offset = HEADER + 8;
    core::iter::from_fn(move || {
        let entry = madt.get(offset..)?;
        let length = usize::from(*entry.get(1)?);
        if length < 2 {
            return None;
        }
        offset += length;
        entry.get(..length)
    })
    .filter_map(madt_entry)
}

fn madt_entry(entry: &[u8]) -> Option<MadtEntry> {
    match entry[0] {
        // Flag 0: enabled. A processor that could only be plugged in later is left out.
        0 if u32_at(entry, 4)? & 1 != 0 => Some(MadtEntry::LocalApic(u32::from(entry[3]))),
        1 => Some(MadtEntry::IoApic(u32_at(entry, 4)?, u32_at(entry, 8)?)),
        2 => Some(MadtEntry::Override(entry[3], u32_at(entry, 4)?, number(entry, 8, 2)? as u16)),
        _ => None,
    }
}

/// How to switch the machine off and to reset it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fadt {
    /// Address of the table with the sleep states.
    pub dsdt: u64,
    /// Port that switches ACPI mode on, and the value for it.
    pub smi_command: (u16, u8),
    /// Power control ports; 0 for none.
    pub pm1_control: [u16; 2],
    /// Reset port and the value for it.
    pub reset: Option<(u16, u8)>,
}

/// Reads the fixed table.
pub fn fadt(table: &[u8]) -> Option<Fadt> {
    const RESET_SUPPORTED: u32 = 1 << 10;
    const SPACE_IO: u8 = 1;
    let reset = match (u32_at(table, 112)?, table.get(116), number(table, 120, 8), table.get(128)) {
        (flags, Some(&SPACE_IO), Some(port), Some(&value)) if flags & RESET_SUPPORTED != 0 => {
            u16::try_from(port).ok().map(|port| (port, value))
        }
        _ => None,
    };
    Some(Fadt {
        dsdt: number(table, 40, 4)?,
        smi_command: (u32_at(table, 48)? as u16, *table.get(52)?),
        pm1_control: [u32_at(table, 64)? as u16, u32_at(table, 68)? as u16],
        reset,
    })
}

/// Address of the event timer.
pub fn hpet_address(table: &[u8]) -> Option<u64> {
    // Address space 0 is memory.
    number(table, 44, 8).filter(|_| table[40] == 0)
}

/// The two sleep-type values of "off" (`_S5_`), found in the byte code without interpreting it: a
/// name, a package, its length, a count, then numbers.
pub fn sleep_type_off(dsdt: &[u8]) -> Option<[u8; 2]> {
    const BYTE_PREFIX: u8 = 0x0a;
    // 0x12 begins a package.
    let name = dsdt.windows(5).position(|bytes| bytes == b"_S5_\x12")?;
    let mut rest = dsdt.get(name + 4..)?;
    // The two high bits of the first length byte tell how many more there are.
    let length_bytes = usize::from(*rest.get(1)? >> 6) + 1;
    rest = rest.get(1 + length_bytes + 1..)?;
    let mut take = || {
        if *rest.first()? == BYTE_PREFIX {
            rest = &rest[1..];
        }
        let (value, behind) = rest.split_first()?;
        rest = behind;
        Some(*value)
    };
    Some([take()?, take()?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn root_pointer(revision: u8, rsdt: u32, xsdt: u64) -> Vec<u8> {
        let mut bytes = b"RSD PTR \0ZENDO \0".to_vec();
        bytes[15] = revision;
        bytes.extend_from_slice(&rsdt.to_le_bytes());
        bytes[8] = 0_u8.wrapping_sub(sum(&bytes));
        bytes.extend_from_slice(&36_u32.to_le_bytes());
        bytes.extend_from_slice(&xsdt.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes
    }

    #[test]
    fn the_root_is_found_on_a_multiple_of_16_only() {
        let mut area = vec![0; 32];
        area.extend_from_slice(&root_pointer(0, 0x1234, 0));
        assert_eq!(find_root(&area), Some(Root { address: 0x1234, entry_bytes: 4 }));
        area.insert(0, 0);
        assert_eq!(find_root(&area), None);
        assert_eq!(
            root_at(&root_pointer(2, 1, 0x55)),
            Some(Root { address: 0x55, entry_bytes: 8 })
        );
        assert_eq!(root_at(&root_pointer(2, 7, 0)), Some(Root { address: 7, entry_bytes: 4 }));
    }

    #[test]
    fn a_wrong_checksum_is_no_root() {
        let mut bytes = root_pointer(0, 1, 0);
        bytes[16] ^= 1;
        assert_eq!(root_at(&bytes), None);
    }

    #[test]
    fn entries_of_the_interrupt_table() {
        let mut madt = vec![0; HEADER];
        madt.extend_from_slice(&0xfee0_0000_u32.to_le_bytes());
        madt.extend_from_slice(&1_u32.to_le_bytes());
        madt.extend_from_slice(&[0, 8, 0, 3, 1, 0, 0, 0]);
        madt.extend_from_slice(&[0, 8, 1, 4, 0, 0, 0, 0]);
        madt.extend_from_slice(&[1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
        madt.extend_from_slice(&[2, 10, 0, 9, 9, 0, 0, 0, 13, 0]);
        madt.extend_from_slice(&[0, 0, 0]);
        let entries: Vec<_> = madt_entries(&madt).collect();
        let expected = [
            MadtEntry::LocalApic(3),
            MadtEntry::IoApic(0xfec0_0000, 0),
            MadtEntry::Override(9, 9, 13),
        ];
        assert_eq!(entries, expected);
        assert_eq!(madt_local_apic(&madt), Some(0xfee0_0000));
    }

    #[test]
    fn the_off_state_is_found_in_both_encodings() {
        let code = b"..\x08_S5_\x12\x06\x04\x00\x00\x00\x00";
        assert_eq!(sleep_type_off(code), Some([0, 0]));
        let code = b"..\x08_S5_\x12\x0a\x04\x0a\x07\x0a\x05\x00\x00";
        assert_eq!(sleep_type_off(code), Some([7, 5]));
        assert_eq!(sleep_type_off(b"_S5_\x12"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = find_root(&bytes);
            let _ = madt_entries(&bytes).count();
            let _ = fadt(&bytes);
            let _ = hpet_address(&bytes);
            let _ = sleep_type_off(&bytes);
            let _ = table_addresses(&bytes, 8).count();
        }
    }
}
