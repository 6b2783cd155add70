//! ACPI: finds the firmware's tables and gives their content to the modules that want it.
//!
//! Called once by the boot processor. Without ACPI the machine runs on one CPU, with the PIT as
//! reference clock and no device lines. What the tables mean is `pure::acpi`'s affair.

use crate::irq::{self, Signal};
use crate::mem::mmio;
use crate::pure::acpi::{self as parse, Fadt, MadtEntry};
use crate::sync::Once;
use alloc::vec::Vec;

/// Where a root pointer may be when the boot loader has not given it.
const SCAN_START: u64 = 0xe_0000;
const SCAN_LEN: u64 = 0x2_0000;
/// Tables larger than this are taken for broken.
const TABLE_LIMIT: usize = 1 << 20;
const DEFAULT_LOCAL_APIC: u64 = 0xfee0_0000;

/// What the firmware says about the machine.
#[derive(Default)]
pub(crate) struct Firmware {
    /// Address of the local APICs' registers.
    pub(crate) local_apic: u64,
    /// Numbers of the local APICs of usable processors.
    pub(crate) apic_ids: Vec<u32>,
    /// The fixed table.
    pub(crate) fadt: Option<Fadt>,
    /// Sleep types of "off".
    pub(crate) off_state: Option<[u8; 2]>,
    /// Address of the event timer.
    pub(crate) hpet: Option<u64>,
}

static FIRMWARE: Once<Firmware> = Once::new();

/// What the firmware says, once it has been read.
pub(crate) fn firmware() -> Option<&'static Firmware> {
    FIRMWARE.get()
}

fn map_table(maddr: u64) -> Option<&'static [u8]> {
    let header = mmio::map_firmware(maddr, parse::HEADER as u64)?;
    let length = parse::table_length(header).filter(|length| *length <= TABLE_LIMIT)?;
    // Small tables mostly lie in the page that is mapped already, but not always.
    mmio::map_firmware(maddr, length as u64)
}

/// Reads all tables. `root_pointer` is the boot loader's copy of it, if it gave one.
pub(crate) fn init(root_pointer: Option<&[u8]>) -> &'static Firmware {
    FIRMWARE.call_once(|| {
        let mut found = Firmware { local_apic: DEFAULT_LOCAL_APIC, ..Firmware::default() };
        let root = root_pointer
            .and_then(parse::root_at)
            .or_else(|| parse::find_root(mmio::map_firmware(SCAN_START, SCAN_LEN)?));
        let list = root.and_then(|root| Some((map_table(root.address)?, root.entry_bytes)));
        let addresses =
            list.into_iter().flat_map(|(list, size)| parse::table_addresses(list, size));
        addresses.filter_map(map_table).for_each(|table| read_table(table, &mut found));
        found
    })
}

fn read_table(table: &'static [u8], found: &mut Firmware) {
    match table.get(..4) {
        Some(b"APIC") => read_madt(table, found),
        Some(b"FACP") => {
            found.fadt = parse::fadt(table);
            let dsdt = found.fadt.and_then(|fadt| map_table(fadt.dsdt));
            found.off_state = dsdt.and_then(parse::sleep_type_off);
        }
        Some(b"HPET") => found.hpet = parse::hpet_address(table),
        _ => {}
    }
}

fn read_madt(madt: &[u8], found: &mut Firmware) {
    if let Some(address) = parse::madt_local_apic(madt) {
        found.local_apic = address;
    }
    for entry in parse::madt_entries(madt) {
        match entry {
            MadtEntry::LocalApic(id) => found.apic_ids.push(id),
            MadtEntry::IoApic(address, gsi_base) => irq::add_ioapic(u64::from(address), gsi_base),
            MadtEntry::Override(isa, gsi, flags) => {
                // Two bits each: 1 is high or edge, 3 is low or level, 0 is the bus default.
                let (is_low, is_level) = (flags & 3 == 3, flags >> 2 & 3 == 3);
                irq::isa_override(isa, gsi, Signal { is_level, is_low });
            }
        }
    }
}
