//! The keys of `xl.cfg`: which are used, which are for other machines, and which one was meant.
//!
//! Called by `domain` for every setting. A key is one of four kinds; anything else is a mistake,
//! answered with the nearest known key.

/// What to do with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Its value is used.
    Used,
    /// It belongs to HVM or PVH guests, to passed-through hardware or to graphics.
    NotForPv,
    /// It only tunes something this release does not have; ignoring it is safe.
    Ignored,
    /// A list of devices this release has no backend for; only the empty list is accepted.
    NoBackend,
}

/// Keys whose values are used.
pub const USED: &[&str] = &[
    "builder",
    "cap",
    "cmdline",
    "cpu_weight",
    "disk",
    "extra",
    "kernel",
    "max_event_channels",
    "max_grant_frames",
    "max_maptrack_frames",
    "maxmem",
    "maxvcpus",
    "memory",
    "name",
    "on_crash",
    "on_poweroff",
    "on_reboot",
    "on_watchdog",
    "ramdisk",
    "root",
    "type",
    "uuid",
    "vcpus",
    "vif",
];

const NOT_FOR_PV: &[&str] = &[
    "acpi",
    "acpi_s3",
    "acpi_s4",
    "altp2m",
    "apic",
    "bios",
    "boot",
    "device_model_args",
    "device_model_override",
    "device_model_version",
    "dtdev",
    "firmware",
    "gfx_passthru",
    "gfx_passthru_kind",
    "hap",
    "hdtype",
    "hpet",
    "hvm",
    "ioports",
    "iomem",
    "irqs",
    "keymap",
    "localtime",
    "mmio_hole",
    "monitor",
    "nested_hvm",
    "nestedhvm",
    "nographic",
    "nx",
    "opengl",
    "pae",
    "parallel",
    "passthrough",
    "pci",
    "pci_msitranslate",
    "pci_permissive",
    "pci_power_mgmt",
    "pci_seize",
    "pvh",
    "rdm",
    "rdm_mem_boundary",
    "sdl",
    "serial",
    "shadow_memory",
    "soundhw",
    "spice",
    "spicehost",
    "spiceport",
    "stdvga",
    "timer_mode",
    "usb",
    "usbdev",
    "usbctrl",
    "usbversion",
    "vdispl",
    "vfb",
    "vga",
    "videoram",
    "viridian",
    "vkb",
    "vnc",
    "vncconsole",
    "vncdisplay",
    "vnclisten",
    "vncpasswd",
    "vncunused",
    "vpt_align",
    "vsnd",
    "vtpm",
    "xen_platform_pci",
];

const IGNORED: &[&str] = &[
    "autoballoon",
    "claim_mode",
    "cpuid",
    "cpus",
    "cpus_soft",
    "driver_domain",
    "e820_host",
    "nodes",
    "nomigrate",
    "pool",
    "rtc_timeoffset",
    "seclabel",
    "suppress_spurious_page_faults",
    "tsc_mode",
    "vuart",
    "xend_suspend_evtchn_compat",
    "xenstore_quota",
];

const NO_BACKEND: &[&str] = &["bootloader", "channel", "p9", "pvcalls", "vif2"];

/// The kind of a key; `None` when nobody knows it.
#[must_use]
pub fn kind_of(key: &str) -> Option<KeyKind> {
    let tables = [
        (USED, KeyKind::Used),
        (NOT_FOR_PV, KeyKind::NotForPv),
        (IGNORED, KeyKind::Ignored),
        (NO_BACKEND, KeyKind::NoBackend),
    ];
    tables.into_iter().find(|(keys, _)| keys.contains(&key)).map(|(_, kind)| kind)
}

/// The used key that was probably meant.
#[must_use]
pub fn nearest_key(key: &str) -> Option<&'static str> {
    nearest(key, USED.iter().copied().chain(NO_BACKEND.iter().copied()))
}

/// The candidate that differs least from `word`, when it differs little enough to be a typing
/// mistake: one edit in three characters.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 32;
    if word.len() > LONGEST {
        return None;
    }
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn edit_distance(from: &str, to: &str) -> usize {
    const WIDTH: usize = 64;
    let from = from.as_bytes();
    let to = to.as_bytes();
    if to.len() >= WIDTH {
        return usize::MAX;
    }
    // Three rows of the table, indexed from the one before the last.
    let mut rows = [[0usize; WIDTH]; 3];
    for (column, cell) in rows[2].iter_mut().enumerate() {
        *cell = column;
    }
    for (row, a) in from.iter().enumerate() {
        rows.rotate_left(1);
        rows[2][0] = row + 1;
        for (column, b) in to.iter().enumerate() {
            let replaced = rows[1][column] + usize::from(a != b);
            let mut best = replaced.min(rows[1][column + 1] + 1).min(rows[2][column] + 1);
            let swapped = row > 0
                && column > 0
                && from.get(row - 1) == Some(b)
                && to.get(column - 1) == Some(a);
            if swapped {
                best = best.min(rows[0][column - 1] + 1);
            }
            rows[2][column + 1] = best;
        }
    }
    rows[2][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_find_the_key_that_was_meant() {
        assert_eq!(nearest_key("memroy"), Some("memory"));
        assert_eq!(nearest_key("kernal"), Some("kernel"));
        assert_eq!(nearest_key("on_crsh"), Some("on_crash"));
        assert_eq!(nearest_key("vcpu"), Some("vcpus"));
        assert_eq!(nearest_key("zzzzzz"), None);
    }

    #[test]
    fn edit_distance_counts_edits() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", "abc"), 0);
        assert_eq!(edit_distance("abc", "acb"), 1);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }

    #[test]
    fn no_key_is_in_two_tables() {
        for key in USED {
            assert!(
                !NOT_FOR_PV.contains(key) && !IGNORED.contains(key) && !NO_BACKEND.contains(key)
            );
        }
        for key in NOT_FOR_PV {
            assert!(!IGNORED.contains(key) && !NO_BACKEND.contains(key), "{key}");
        }
    }
}
