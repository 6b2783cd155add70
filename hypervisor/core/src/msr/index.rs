//! Numbers of model-specific registers, and the bits of them that matter here.

/// Time-stamp counter.
pub const TSC: u32 = 0x10;
/// Platform identification.
pub const PLATFORM_ID: u32 = 0x17;
/// Base of the local APIC.
pub const APIC_BASE: u32 = 0x1b;
/// Locks features.
pub const FEATURE_CONTROL: u32 = 0x3a;
/// Speculation control.
pub const SPEC_CTRL: u32 = 0x48;
/// Level of the microcode.
pub const MICROCODE_LEVEL: u32 = 0x8b;
/// Platform information.
pub const PLATFORM_INFO: u32 = 0xce;
/// Maximum performance counter.
pub const MPERF: u32 = 0xe7;
/// Actual performance counter.
pub const APERF: u32 = 0xe8;
/// Features of the processor that are not in CPUID.
pub const ARCH_CAPABILITIES: u32 = 0x10a;
/// Enables miscellaneous features.
pub const MISC_FEATURES_ENABLES: u32 = 0x140;
/// Machine check: number of banks.
pub const MCG_CAP: u32 = 0x179;
/// Machine check: status.
pub const MCG_STATUS: u32 = 0x17a;
/// Performance status.
pub const PERF_STATUS: u32 = 0x198;
/// Performance control.
pub const PERF_CTL: u32 = 0x199;
/// Clock modulation.
pub const THERM_CONTROL: u32 = 0x19a;
/// Thermal status.
pub const THERM_STATUS: u32 = 0x19c;
/// Miscellaneous features.
pub const MISC_ENABLE: u32 = 0x1a0;
/// Performance versus energy.
pub const ENERGY_PERF_BIAS: u32 = 0x1b0;
/// Memory types of the page attribute table.
pub const PAT: u32 = 0x277;
/// Capabilities of performance monitoring.
pub const PERF_CAPABILITIES: u32 = 0x345;
/// Supervisor state components.
pub const XSS: u32 = 0xda0;
/// Installs hypercall stubs.
pub const HYPERCALL_PAGE: u32 = hypercall_abi::cpuid::HYPERCALL_MSR_BASE;
/// Extended features: SYSCALL, long mode, NX.
pub const EFER: u32 = 0xc000_0080;
/// Base of fs.
pub const FS_BASE: u32 = 0xc000_0100;
/// Base of gs.
pub const GS_BASE: u32 = 0xc000_0101;
/// Base of gs that SWAPGS exchanges.
pub const KERNEL_GS_BASE: u32 = 0xc000_0102;
/// What RDTSCP gives besides the counter.
pub const TSC_AUX: u32 = 0xc000_0103;
/// AMD: system configuration.
pub const AMD_SYSCFG: u32 = 0xc001_0010;
/// AMD: hardware configuration.
pub const AMD_HWCR: u32 = 0xc001_0015;
/// AMD: north bridge configuration.
pub const AMD_NB_CFG: u32 = 0xc001_001f;
/// AMD: base of memory-mapped configuration space.
pub const AMD_MMIO_CONFIG: u32 = 0xc001_0058;
/// AMD: decode configuration.
pub const AMD_DE_CFG: u32 = 0xc001_1029;

/// EFER bits a guest sees: SCE, LME, LMA, NX, LMSLE, FFXSR.
pub const EFER_VISIBLE: u64 = 1 << 0 | 1 << 8 | 1 << 10 | 1 << 11 | 1 << 13 | 1 << 14;
/// The page attribute table: WB, WT, UC-, UC, WC, WP, UC, UC.
pub const PAT_VALUE: u64 = 0x0000_0501_0007_0406;
/// Base of the local APIC, enabled.
pub const APIC_BASE_VALUE: u64 = 0xfee0_0800;
/// Bit of the APIC base: this is the boot processor.
pub const APIC_BASE_BSP: u64 = 0x100;
/// Feature control: locked, nothing enabled.
pub const FEATURE_CONTROL_LOCKED: u64 = 1;
/// Decode configuration: LFENCE serialises.
pub const DE_CFG_LFENCE: u64 = 2;
/// Miscellaneous features that guests do not have: performance monitoring, MONITOR.
pub const MISC_ENABLE_CLEAR: u64 = 1 << 7 | 1 << 18;
/// Miscellaneous unavailabilities: branch trace, precise events, task priority messages.
pub const MISC_ENABLE_SET: u64 = 1 << 11 | 1 << 12 | 1 << 23;

/// Whether a register belongs to Intel's architectural performance monitoring.
#[must_use]
pub const fn is_intel_counter(msr: u32) -> bool {
    matches!(msr, 0xc1..=0xc8 | 0x186..=0x18d | 0x309..=0x30c | 0x38d..=0x390)
}

/// Whether a register belongs to AMD's performance monitoring.
#[must_use]
pub const fn is_amd_counter(msr: u32) -> bool {
    matches!(msr, 0xc001_0000..=0xc001_0007 | 0xc001_0200..=0xc001_020b)
}

/// Whether a register belongs to AMD's performance states.
#[must_use]
pub const fn is_amd_pstate(msr: u32) -> bool {
    matches!(msr, 0xc001_0041 | 0xc001_0042 | 0xc001_0061..=0xc001_006b)
}

/// Whether a register describes AMD's memory map: SYSCFG, IORR, TOP_MEM, TSEG.
#[must_use]
pub const fn is_amd_memory_map(msr: u32) -> bool {
    matches!(msr, AMD_SYSCFG | 0xc001_0016..=0xc001_001a | 0xc001_001d | 0xc001_0112 | 0xc001_0113)
}

/// Whether a register is refused whatever the domain asked for: it has effects or secrets of the
/// whole machine, or belongs to a feature that is hidden.
#[must_use]
pub const fn is_always_refused(msr: u32) -> bool {
    matches!(
        msr,
        0x48 | 0x49                     // SPEC_CTRL, PRED_CMD
            | 0x4e | 0x4f               // PPIN
            | 0x79                      // microcode update
            | 0x10a | 0x10b             // ARCH_CAPABILITIES, FLUSH_CMD
            | 0x10f | 0x122 | 0x123     // TSX_FORCE_ABORT, TSX_CTRL, MCU_OPT_CTRL
            | 0x560..=0x587             // processor trace
            | 0x6a0..=0x6a8             // CET
            | 0x800..=0x8ff             // x2APIC
            | 0xda0                     // XSS
            | 0x4000_0000..=0x4000_01ff // the hypervisor's own
            | 0xc000_0081..=0xc000_0084 // STAR, LSTAR, CSTAR, SFMASK
            | 0x174..=0x176             // SYSENTER
            | 0xc001_0020               // microcode update
            | 0xc001_02f0 | 0xc001_02f1 // PPIN
            | 0xc001_1019..=0xc001_101b // address masks of breakpoints
            | 0xc001_1027
    )
}
