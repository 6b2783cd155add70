//! Model-specific registers without state: what reading and writing them does, in tables.
//!
//! Used by [`super::read`] and [`super::write`] for registers they do not handle themselves. The
//! tables are the answer to "why does my guest fault on this register".
//!
//! Invariant: registers with effects on, or secrets of, the whole machine are in the table for all
//! processors, as refused; so are those of features that are hidden. They are refused even if the
//! domain asked for relaxed registers.

use super::{MsrPolicy, Read, Write};
use crate::cpuid::Vendor;
use core::ops::RangeInclusive;

/// Some registers, and what a read and a write do; nothing where they are as those of unknown
/// registers.
pub type Rule = (RangeInclusive<u32>, Option<Read>, Option<Write>);

const REAL: Option<Read> = Some(Read::Hardware { clear: 0, set: 0 });
const ZERO: Option<Read> = Some(Read::Value(0));
const HIDDEN: Option<Read> = Some(Read::Fault);
const IGNORED: Option<Write> = Some(Write::Done);
const REFUSED: Option<Write> = Some(Write::Fault);

/// The page attribute table: WB, WT, UC-, UC, WC, WP, UC, UC.
const PAT: Option<Read> = Some(Read::Value(0x0000_0501_0007_0406));
/// Miscellaneous features: performance monitoring and MONITOR do not exist, branch trace and precise
/// events are unavailable, task priority messages are off.
const MISC_ENABLE: Option<Read> =
    Some(Read::Hardware { clear: 1 << 7 | 1 << 18, set: 1 << 11 | 1 << 12 | 1 << 23 });

const ALL: &[Rule] = &[
    (0x8b..=0x8b, REAL, None),                    // level of the microcode
    (0xce..=0xce, ZERO, REFUSED),                 // platform information: no CPUID faulting
    (0x140..=0x140, ZERO, REFUSED),               // enables features such as CPUID faulting
    (0x179..=0x17a, ZERO, REFUSED),               // machine check: no banks, no status
    (0x277..=0x277, PAT, REFUSED),                // page attribute table
    (0x345..=0x345, ZERO, REFUSED),               // capabilities of performance monitoring
    (0x4000_0000..=0x4000_0000, ZERO, REFUSED),   // installs hypercall stubs
    (0x48..=0x49, HIDDEN, REFUSED),               // SPEC_CTRL, PRED_CMD
    (0x4e..=0x4f, HIDDEN, REFUSED),               // PPIN
    (0x79..=0x79, HIDDEN, REFUSED),               // microcode update
    (0x10a..=0x10b, HIDDEN, REFUSED),             // ARCH_CAPABILITIES, FLUSH_CMD
    (0x10f..=0x10f, HIDDEN, REFUSED),             // TSX_FORCE_ABORT
    (0x122..=0x123, HIDDEN, REFUSED),             // TSX_CTRL, MCU_OPT_CTRL
    (0x174..=0x176, HIDDEN, REFUSED),             // SYSENTER
    (0x560..=0x587, HIDDEN, REFUSED),             // processor trace
    (0x6a0..=0x6a8, HIDDEN, REFUSED),             // CET
    (0x800..=0x8ff, HIDDEN, REFUSED),             // x2APIC
    (0xda0..=0xda0, HIDDEN, REFUSED),             // XSS
    (0x4000_0001..=0x4000_01ff, HIDDEN, REFUSED), // the hypervisor's own
    (0xc000_0081..=0xc000_0084, HIDDEN, REFUSED), // STAR, LSTAR, CSTAR, SFMASK
    (0xc001_0020..=0xc001_0020, HIDDEN, REFUSED), // microcode update
    (0xc001_02f0..=0xc001_02f1, HIDDEN, REFUSED), // PPIN
    (0xc001_1019..=0xc001_101b, HIDDEN, REFUSED), // address masks of breakpoints
    (0xc001_1027..=0xc001_1027, HIDDEN, REFUSED), // address mask of breakpoint 0
];

const INTEL: &[Rule] = &[
    (0x17..=0x17, REAL, None),                 // platform identification
    (0x3a..=0x3a, Some(Read::Value(1)), None), // feature control: locked, nothing enabled
    (0xc1..=0xc8, ZERO, IGNORED),              // performance counters
    (0xe7..=0xe8, None, IGNORED),              // MPERF, APERF
    (0x186..=0x18d, ZERO, IGNORED),            // performance event selection
    (0x198..=0x198, ZERO, None),               // performance status
    (0x199..=0x199, ZERO, IGNORED),            // performance control
    (0x19a..=0x19a, None, IGNORED),            // clock modulation
    (0x19c..=0x19c, ZERO, None),               // thermal status
    (0x1a0..=0x1a0, MISC_ENABLE, IGNORED),     // miscellaneous features
    (0x1b0..=0x1b0, None, IGNORED),            // performance versus energy
    (0x309..=0x30c, ZERO, IGNORED),            // fixed performance counters
    (0x38d..=0x390, ZERO, IGNORED),            // control of performance counters
];

const AMD: &[Rule] = &[
    (0xe7..=0xe8, None, IGNORED),               // MPERF, APERF
    (0xc001_0000..=0xc001_0007, ZERO, IGNORED), // performance counters
    (0xc001_0015..=0xc001_0015, ZERO, IGNORED), // hardware configuration
    (0xc001_001f..=0xc001_001f, ZERO, IGNORED), // north bridge configuration
    (0xc001_0041..=0xc001_0042, ZERO, IGNORED), // old performance states
    (0xc001_0061..=0xc001_006b, ZERO, IGNORED), // performance states
    (0xc001_0200..=0xc001_020b, ZERO, IGNORED), // extended performance counters
    (0xc001_1029..=0xc001_1029, Some(Read::Value(2)), IGNORED), // decoding: LFENCE serialises
];

/// AMD processors of families 0x10 to 0x16.
const AMD_FAMILY_10: &[Rule] = &[
    (0xc001_0058..=0xc001_0058, ZERO, IGNORED), // base of memory-mapped configuration space
];

/// The control domain on AMD processors: it may know the memory map.
const AMD_CONTROL_DOMAIN: &[Rule] = &[
    (0xc001_0010..=0xc001_0010, REAL, None), // system configuration
    (0xc001_0016..=0xc001_001a, REAL, None), // I/O ranges, top of memory
    (0xc001_001d..=0xc001_001d, REAL, None), // second top of memory
    (0xc001_0112..=0xc001_0113, REAL, None), // memory of the system management mode
];

/// The rule for a register, if there is one.
pub fn find(msr: u32, policy: &MsrPolicy) -> Option<&'static Rule> {
    let is_amd = policy.vendor == Vendor::Amd;
    let tables = [
        (true, ALL),
        (policy.vendor == Vendor::Intel, INTEL),
        (is_amd, AMD),
        (is_amd && (0x10..=0x16).contains(&policy.family), AMD_FAMILY_10),
        (is_amd && policy.is_hardware_domain, AMD_CONTROL_DOMAIN),
    ];
    let rules = tables.into_iter().filter(|(applies, _)| *applies).flat_map(|(_, rules)| rules);
    rules.into_iter().find(|(registers, ..)| registers.contains(&msr))
}
