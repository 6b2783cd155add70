//! The tables of this machine.

use super::parse::{self, Fadt, MadtEntry, Root};
use crate::irq::{self, Polarity, Trigger};
use crate::mem::mmio;
use crate::sync::Once;
use alloc::vec::Vec;

/// Where a root pointer may be when the boot loader has not given it.
const SCAN_START: u64 = 0xe_0000;
const SCAN_LEN: u64 = 0x2_0000;
/// Tables larger than this are taken for broken.
const TABLE_LIMIT: usize = 1 << 20;
const DEFAULT_LOCAL_APIC: u64 = 0xfee0_0000;

static FADT: Once<Fadt> = Once::new();
static OFF_STATE: Once<[u8; 2]> = Once::new();
static HPET: Once<u64> = Once::new();

/// What the firmware says about processors.
pub(crate) struct Found {
    /// Address of the local APICs' registers.
    pub(crate) local_apic: u64,
    /// Numbers of the local APICs of usable processors.
    pub(crate) apic_ids: Vec<u32>,
}

/// The fixed table, if there is one.
pub(crate) fn fadt() -> Option<&'static Fadt> {
    FADT.get()
}

/// Sleep types of "off", if they were found.
pub(crate) fn off_state() -> Option<[u8; 2]> {
    OFF_STATE.get().copied()
}

/// Address of the event timer, if there is one.
pub(crate) fn find_hpet() -> Option<u64> {
    HPET.get().copied()
}

fn map_table(maddr: u64) -> Option<&'static [u8]> {
    let header = mmio::map_firmware(maddr, parse::HEADER as u64)?;
    let length = parse::table_length(header).filter(|length| *length <= TABLE_LIMIT)?;
    // Small tables mostly lie in the page that is mapped already, but not always.
    mmio::map_firmware(maddr, length as u64)
}

fn find_root(given: Option<&[u8]>) -> Option<Root> {
    given
        .and_then(parse::root_at)
        .or_else(|| parse::find_root(mmio::map_firmware(SCAN_START, SCAN_LEN)?))
}

/// Reads all tables. `root_pointer` is the boot loader's copy of it, if it gave one.
pub(crate) fn init(root_pointer: Option<&[u8]>) -> Found {
    let mut found = Found { local_apic: DEFAULT_LOCAL_APIC, apic_ids: Vec::new() };
    let Some(root) = find_root(root_pointer) else { return found };
    let (list, wide) = match root {
        Root::Rsdt(address) => (map_table(address), false),
        Root::Xsdt(address) => (map_table(address), true),
    };
    for address in parse::table_addresses(list.unwrap_or(&[]), wide) {
        if let Some(table) = map_table(address) {
            read_table(table, &mut found);
        }
    }
    found
}

fn read_table(table: &'static [u8], found: &mut Found) {
    match table.get(..4) {
        Some(b"APIC") => read_madt(table, found),
        Some(b"FACP") => {
            if let Some(fadt) = parse::fadt(table) {
                let fadt = FADT.call_once(|| fadt);
                let off = map_table(fadt.dsdt).and_then(parse::sleep_type_off);
                if let Some(off) = off {
                    OFF_STATE.call_once(|| off);
                }
            }
        }
        Some(b"HPET") => {
            if let Some(address) = parse::hpet_address(table) {
                HPET.call_once(|| address);
            }
        }
        _ => {}
    }
}

fn read_madt(madt: &[u8], found: &mut Found) {
    if let Some(address) = parse::madt_local_apic(madt) {
        found.local_apic = address;
    }
    for entry in parse::madt_entries(madt) {
        match entry {
            MadtEntry::LocalApic(id) => found.apic_ids.push(id),
            MadtEntry::IoApic(address, gsi_base) => irq::add_ioapic(u64::from(address), gsi_base),
            MadtEntry::Override(isa, gsi, flags) => {
                // Two bits each: 1 is high or edge, 3 is low or level, 0 is the bus default.
                let polarity = if flags & 3 == 3 { Polarity::Low } else { Polarity::High };
                let trigger = if flags >> 2 & 3 == 3 { Trigger::Level } else { Trigger::Edge };
                irq::isa_override(isa, gsi, trigger, polarity);
            }
        }
    }
}
