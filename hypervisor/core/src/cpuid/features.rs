//! Which feature bits of the processor a PV64 guest is shown.
//!
//! Used by `policy`. The lists are the answer to "why does my guest not see X": a bit is shown if
//! the processor has it and it stands in a list here. Everything else is hidden, also bits nobody
//! knows yet. The names are those of the public header `arch-x86/cpufeatureset.h`, with which
//! `tests/cpuid_header.rs` compares the lists.
//!
//! Hidden for good reasons, among others: PSE, PSE36, PAGE1GB (a guest would make superpages), PGE
//! and PCID (the TLB is the hypervisor's), SMEP, SMAP, UMIP, PKU (they do not work in ring 3), VMX,
//! SVM, X2APIC, TSC_DEADLINE, MONITOR, XSAVES, MPX, CET.

/// A feature: its name and its bit in the word.
pub type Feature = (&'static str, u32);

/// The word with the bits of a list set.
#[must_use]
pub const fn mask(list: &[Feature]) -> u32 {
    let mut word = 0;
    let mut rest = list;
    while let [(_, bit), tail @ ..] = rest {
        word |= 1 << *bit;
        rest = tail;
    }
    word
}

/// Leaf 1, edx.
pub const LEAF_1_EDX: &[Feature] = &[
    ("FPU", 0),
    ("DE", 2),
    ("TSC", 4),
    ("MSR", 5),
    ("PAE", 6),
    ("MCE", 7),
    ("CX8", 8),
    ("APIC", 9),
    ("SEP", 11),
    ("MCA", 14),
    ("CMOV", 15),
    ("PAT", 16),
    ("CLFLUSH", 19),
    ("ACPI", 22),
    ("MMX", 23),
    ("FXSR", 24),
    ("SSE", 25),
    ("SSE2", 26),
    ("SS", 27),
    ("HTT", 28),
];

/// Leaf 1, ecx.
pub const LEAF_1_ECX: &[Feature] = &[
    ("SSE3", 0),
    ("PCLMULQDQ", 1),
    ("SSSE3", 9),
    ("FMA", 12),
    ("CX16", 13),
    ("SSE4_1", 19),
    ("SSE4_2", 20),
    ("MOVBE", 22),
    ("POPCNT", 23),
    ("AESNI", 25),
    ("XSAVE", 26),
    ("AVX", 28),
    ("F16C", 29),
    ("RDRAND", 30),
    ("HYPERVISOR", 31),
];

/// Leaf 0x80000001, edx, without the bits AMD repeats from leaf 1.
pub const EXTENDED_1_EDX: &[Feature] = &[
    ("SYSCALL", 11),
    ("NX", 20),
    ("MMXEXT", 22),
    ("FFXSR", 25),
    ("RDTSCP", 27),
    ("LM", 29),
    ("3DNOWEXT", 30),
    ("3DNOW", 31),
];

/// Leaf 0x80000001, ecx.
pub const EXTENDED_1_ECX: &[Feature] = &[
    ("LAHF_LM", 0),
    ("CMP_LEGACY", 1),
    ("ABM", 5),
    ("SSE4A", 6),
    ("MISALIGNSSE", 7),
    ("3DNOWPREFETCH", 8),
    ("XOP", 11),
    ("FMA4", 16),
    ("TBM", 21),
];

/// Leaf 0xd, subleaf 1, eax.
pub const XSTATE_1_EAX: &[Feature] = &[("XSAVEOPT", 0), ("XSAVEC", 1), ("XGETBV1", 2)];

/// Leaf 7, ebx.
pub const LEAF_7_EBX: &[Feature] = &[
    ("FSGSBASE", 0),
    ("BMI1", 3),
    ("AVX2", 5),
    ("FDP_EXCP_ONLY", 6),
    ("BMI2", 8),
    ("ERMS", 9),
    ("NO_FPU_SEL", 13),
    ("AVX512F", 16),
    ("AVX512DQ", 17),
    ("RDSEED", 18),
    ("ADX", 19),
    ("AVX512_IFMA", 21),
    ("CLFLUSHOPT", 23),
    ("CLWB", 24),
    ("AVX512PF", 26),
    ("AVX512ER", 27),
    ("AVX512CD", 28),
    ("SHA", 29),
    ("AVX512BW", 30),
    ("AVX512VL", 31),
];

/// Leaf 7, ecx.
pub const LEAF_7_ECX: &[Feature] = &[
    ("PREFETCHWT1", 0),
    ("AVX512_VBMI", 1),
    ("AVX512_VBMI2", 6),
    ("GFNI", 8),
    ("VAES", 9),
    ("VPCLMULQDQ", 10),
    ("AVX512_VNNI", 11),
    ("AVX512_BITALG", 12),
    ("AVX512_VPOPCNTDQ", 14),
    ("RDPID", 22),
    ("CLDEMOTE", 25),
];

/// Leaf 7, edx.
pub const LEAF_7_EDX: &[Feature] =
    &[("AVX512_4VNNIW", 2), ("AVX512_4FMAPS", 3), ("FSRM", 4), ("MD_CLEAR", 10), ("SERIALIZE", 14)];

/// Leaf 7, subleaf 1, eax.
pub const LEAF_7_1_EAX: &[Feature] =
    &[("AVX_VNNI", 4), ("AVX512_BF16", 5), ("FZRM", 10), ("FSRS", 11), ("FSRCS", 12)];

/// Leaf 7, subleaf 2, edx.
pub const LEAF_7_2_EDX: &[Feature] = &[("MCDT_NO", 5)];

/// Leaf 0x80000007, edx; shown to domains that never migrate.
pub const EXTENDED_7_EDX: &[Feature] = &[("ITSC", 8)];

/// Leaf 0x80000008, ebx.
pub const EXTENDED_8_EBX: &[Feature] =
    &[("CLZERO", 0), ("RSTR_FP_ERR_PTRS", 2), ("SSB_NO", 26), ("BTC_NO", 29)];

/// Leaf 0x80000021, eax.
pub const EXTENDED_21_EAX: &[Feature] = &[
    ("LFENCE_DISPATCH", 2),
    ("VERW_CLEAR", 5),
    ("NSCB", 6),
    ("IBPB_BRTYPE", 28),
    ("SRSO_NO", 29),
    ("SRSO_US_NO", 30),
];

/// Leaf 0x80000021, ecx.
pub const EXTENDED_21_ECX: &[Feature] = &[("TSA_SQ_NO", 1), ("TSA_L1_NO", 2)];

/// Features Xen shows to every guest and this hypervisor does not: they come with model-specific
/// registers that would have to be switched with the vCPU, or (RTM) are broken on most processors.
pub const NOT_OFFERED: &[&str] = &[
    "DBEXT",
    "IBPB",
    "IBPB_RET",
    "IBRSB",
    "STIBP",
    "SSBD",
    "SBPB",
    "INTEL_PSFD",
    "ARCH_CAPS",
    "RTM",
];

/// Bits of leaf 0x80000001 edx that AMD processors repeat from leaf 1 edx.
pub const COMMON_EDX: u32 = 0x0183_f3ff;

/// Leaf 1 edx: memory type range registers, for the control domain only.
pub const MTRR: u32 = 1 << 12;
/// Leaf 1 ecx: frequency control, for the control domain only.
pub const EIST: u32 = 1 << 7;
/// Leaf 1 ecx: MONITOR and MWAIT, for the control domain and not through the prefix.
pub const MONITOR: u32 = 1 << 3;
/// Leaf 1 ecx: XSAVE exists.
pub const XSAVE: u32 = 1 << 26;
/// Leaf 1 ecx: XSAVE is enabled.
pub const OSXSAVE: u32 = 1 << 27;
/// Leaf 1 ecx: running under a hypervisor.
pub const HYPERVISOR: u32 = 1 << 31;
/// Leaf 1 edx: time-stamp counter.
pub const TSC: u32 = 1 << 4;
/// Leaf 1 edx: debug extensions.
pub const DE: u32 = 1 << 2;
/// Leaf 7 ebx: instructions for segment bases.
pub const FSGSBASE: u32 = 1 << 0;
/// Leaf 7 ecx: RDPID.
pub const RDPID: u32 = 1 << 22;
/// Leaf 0x80000001 edx: not-executable pages.
pub const NX: u32 = 1 << 20;
/// Leaf 0x80000001 edx: RDTSCP.
pub const RDTSCP: u32 = 1 << 27;
/// Leaf 0xd subleaf 1 eax: compact save format.
pub const XSAVEC: u32 = 1 << 1;

/// Features of leaf 1 ecx that need AVX state.
pub const AVX_LEAF_1_ECX: u32 = 1 << 12 | 1 << 28 | 1 << 29;
/// Features of leaf 0x80000001 ecx that need AVX state.
pub const AVX_EXTENDED_1_ECX: u32 = 1 << 11 | 1 << 16;
/// Features of leaf 7 that need AVX state: ebx, ecx, and eax of subleaf 1.
pub const AVX_LEAF_7: (u32, u32, u32) = (1 << 5, 1 << 9 | 1 << 10, 1 << 4);
/// Features of leaf 7 that need AVX-512 state: ebx, ecx, edx, and eax of subleaf 1.
pub const AVX512_LEAF_7: (u32, u32, u32, u32) = (
    1 << 16 | 1 << 17 | 1 << 21 | 1 << 26 | 1 << 27 | 1 << 28 | 1 << 30 | 1 << 31,
    1 << 1 | 1 << 6 | 1 << 11 | 1 << 12 | 1 << 14,
    1 << 2 | 1 << 3,
    1 << 5,
);
