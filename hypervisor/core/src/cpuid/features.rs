//! Which feature bits of the processor a PV64 guest is shown.
//!
//! Used by `policy`. The lists are the answer to "why does my guest not see X": a bit is shown if
//! the processor has it, it stands in a list here, and the hypervisor switches the state it needs.
//! Everything else is hidden, also bits nobody knows yet. The names are those of the public header
//! `arch-x86/cpufeatureset.h`, with which `tests/cpuid_header.rs` compares the lists.
//!
//! Hidden for good reasons, among others: PSE, PSE36, PAGE1GB (a guest would make superpages), PGE
//! and PCID (the TLB is the hypervisor's), SMEP, SMAP, UMIP, PKU (they do not work in ring 3), VMX,
//! SVM, X2APIC, TSC_DEADLINE, MONITOR, XSAVES, MPX, CET, ITSC (nobody
//! promises that the domain never migrates).
//!
//! Xen shows a few more to every guest: DBEXT, IBPB, IBPB_RET, IBRSB, STIBP, SSBD, SBPB, INTEL_PSFD
//! and ARCH_CAPS come with model-specific registers that would have to be switched with the vCPU,
//! and RTM is broken on most processors.

use crate::emul::cr::{XCR0_AVX, XCR0_AVX512};

/// The features of one register: lists of names, each with its bit. The lists are text, so that
/// they can be read; they become masks when the hypervisor is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// Features that need nothing.
    pub plain: &'static str,
    /// Features that need AVX state.
    pub avx: &'static str,
    /// Features that need AVX-512 state.
    pub avx512: &'static str,
    masks: [u32; 3],
}

impl Word {
    const fn new(plain: &'static str, avx: &'static str, avx512: &'static str) -> Self {
        Self { plain, avx, avx512, masks: [mask(plain), mask(avx), mask(avx512)] }
    }

    const fn plain(plain: &'static str) -> Self {
        Self::new(plain, "", "")
    }

    /// The bits that are shown when a guest may enable these state components.
    pub const fn shown(&self, offered_xcr0: u64) -> u32 {
        let [mut shown, avx, avx512] = self.masks;
        if offered_xcr0 & XCR0_AVX != 0 {
            shown |= avx;
        }
        if offered_xcr0 & XCR0_AVX512 == XCR0_AVX512 {
            shown |= avx512;
        }
        shown
    }
}

/// The word with the bits of a list set. Anything but names with bits below 32 does not compile.
const fn mask(list: &str) -> u32 {
    let mut word = 0;
    let mut rest = list.as_bytes();
    while !rest.is_empty() {
        let mut bit = 0;
        while let [byte, tail @ ..] = rest {
            rest = tail;
            match byte {
                b',' => break,
                // A number starts behind a space; digits of the name before it do not count.
                b' ' => bit = 0,
                b'0'..=b'9' => bit = bit * 10 + (*byte - b'0') as u32,
                _ => bit = 32,
            }
        }
        word |= 1 << bit;
    }
    word
}

/// Leaf 1, edx.
pub const LEAF_1_EDX: Word = Word::plain(
    "FPU 0, DE 2, TSC 4, MSR 5, PAE 6, MCE 7, CX8 8, APIC 9, SEP 11, MCA 14, CMOV 15, PAT 16, \
     CLFLUSH 19, ACPI 22, MMX 23, FXSR 24, SSE 25, SSE2 26, SS 27, HTT 28",
);
/// Leaf 1, ecx.
pub const LEAF_1_ECX: Word = Word::new(
    "SSE3 0, PCLMULQDQ 1, SSSE3 9, CX16 13, SSE4_1 19, SSE4_2 20, MOVBE 22, POPCNT 23, AESNI 25, \
     XSAVE 26, RDRAND 30, HYPERVISOR 31",
    "FMA 12, AVX 28, F16C 29",
    "",
);
/// Leaf 0x80000001, edx, without the bits AMD repeats from leaf 1.
pub const EXTENDED_1_EDX: Word =
    Word::plain("SYSCALL 11, NX 20, MMXEXT 22, FFXSR 25, RDTSCP 27, LM 29, 3DNOWEXT 30, 3DNOW 31");
/// Leaf 0x80000001, ecx.
pub const EXTENDED_1_ECX: Word = Word::new(
    "LAHF_LM 0, CMP_LEGACY 1, ABM 5, SSE4A 6, MISALIGNSSE 7, 3DNOWPREFETCH 8, TBM 21",
    "XOP 11, FMA4 16",
    "",
);
/// Leaf 0xd, subleaf 1, eax.
pub const XSTATE_1_EAX: Word = Word::plain("XSAVEOPT 0, XSAVEC 1, XGETBV1 2");
/// Leaf 7, ebx.
pub const LEAF_7_EBX: Word = Word::new(
    "FSGSBASE 0, BMI1 3, FDP_EXCP_ONLY 6, BMI2 8, ERMS 9, NO_FPU_SEL 13, RDSEED 18, ADX 19, \
     CLFLUSHOPT 23, CLWB 24, SHA 29",
    "AVX2 5",
    "AVX512F 16, AVX512DQ 17, AVX512_IFMA 21, AVX512PF 26, AVX512ER 27, AVX512CD 28, AVX512BW 30, \
     AVX512VL 31",
);
/// Leaf 7, ecx.
pub const LEAF_7_ECX: Word = Word::new(
    "PREFETCHWT1 0, GFNI 8, RDPID 22, CLDEMOTE 25",
    "VAES 9, VPCLMULQDQ 10",
    "AVX512_VBMI 1, AVX512_VBMI2 6, AVX512_VNNI 11, AVX512_BITALG 12, AVX512_VPOPCNTDQ 14",
);
/// Leaf 7, edx.
pub const LEAF_7_EDX: Word =
    Word::new("FSRM 4, MD_CLEAR 10, SERIALIZE 14", "", "AVX512_4VNNIW 2, AVX512_4FMAPS 3");
/// Leaf 7, subleaf 1, eax.
pub const LEAF_7_1_EAX: Word =
    Word::new("FZRM 10, FSRS 11, FSRCS 12", "AVX_VNNI 4", "AVX512_BF16 5");
/// Leaf 7, subleaf 2, edx.
pub const LEAF_7_2_EDX: Word = Word::plain("MCDT_NO 5");
/// Leaf 0x80000008, ebx.
pub const EXTENDED_8_EBX: Word = Word::plain("CLZERO 0, RSTR_FP_ERR_PTRS 2, SSB_NO 26, BTC_NO 29");
/// Leaf 0x80000021, eax.
pub const EXTENDED_21_EAX: Word = Word::plain(
    "LFENCE_DISPATCH 2, VERW_CLEAR 5, NSCB 6, IBPB_BRTYPE 28, SRSO_NO 29, SRSO_US_NO 30",
);
/// Leaf 0x80000021, ecx.
pub const EXTENDED_21_ECX: Word = Word::plain("TSA_SQ_NO 1, TSA_L1_NO 2");

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
/// Leaf 0x80000001 edx: RDTSCP.
pub const RDTSCP: u32 = 1 << 27;
/// Leaf 0xd subleaf 1 eax: compact save format.
pub const XSAVEC: u32 = 1 << 1;
