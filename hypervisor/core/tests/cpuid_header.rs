//! The lists of visible features against the annotations of the public header, where it is
//! installed: capital A means that every guest sees the feature by default.

use hv_core::cpuid::features::{self as f, Word};
use std::collections::BTreeMap;

const HEADER: &str = "/usr/include/xen/arch-x86/cpufeatureset.h";

/// Words of the header that are features of CPUID leaves; 16 and 17 are a model-specific register.
const WORDS: [(u32, Word); 13] = [
    (0, f::LEAF_1_EDX),
    (1, f::LEAF_1_ECX),
    (2, f::EXTENDED_1_EDX),
    (3, f::EXTENDED_1_ECX),
    (4, f::XSTATE_1_EAX),
    (5, f::LEAF_7_EBX),
    (6, f::LEAF_7_ECX),
    (8, f::EXTENDED_8_EBX),
    (9, f::LEAF_7_EDX),
    (10, f::LEAF_7_1_EAX),
    (11, f::EXTENDED_21_EAX),
    (13, f::LEAF_7_2_EDX),
    (18, f::EXTENDED_21_ECX),
];

/// Features Xen shows to every guest and this hypervisor does not; `features` says why.
const NOT_OFFERED: [&str; 10] = [
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

/// Special features without the letter, whose value is simply the processor's.
const PASSED_THROUGH: [&str; 2] = ["FDP_EXCP_ONLY", "NO_FPU_SEL"];

/// Name, word, bit and annotation of a line like `XEN_CPUFEATURE(FPU, 0*32+ 0) /*A  text */`.
fn parse(line: &str) -> Option<(&str, u32, u32, &str)> {
    let (inside, comment) = line.strip_prefix("XEN_CPUFEATURE(")?.split_once(')')?;
    let (name, place) = inside.split_once(',')?;
    let (word, bit) = place.split_once("*32+")?;
    let letters = comment.trim().strip_prefix("/*")?.split(' ').next()?;
    Some((name, word.trim().parse().ok()?, bit.trim().parse().ok()?, letters))
}

#[test]
fn exactly_the_features_for_all_guests_are_visible() {
    let Ok(header) = std::fs::read_to_string(HEADER) else {
        println!("skipped: {HEADER} not found (package libxen-dev)");
        return;
    };
    let mut annotated: BTreeMap<u32, Vec<(String, u32)>> = BTreeMap::new();
    let mut seen = 0;
    for (name, word, bit, letters) in header.lines().filter_map(parse) {
        seen += 1;
        let is_for_all = letters.contains('A') || PASSED_THROUGH.contains(&name);
        if is_for_all && !NOT_OFFERED.contains(&name) {
            annotated.entry(word).or_default().push((name.into(), bit));
        }
    }
    assert!(seen > 200, "only {seen} features found in the header");
    for (word, list) in WORDS {
        let items = [list.plain, list.avx, list.avx512].map(|text| text.split(", "));
        let items = items.into_iter().flatten().filter(|item| !item.is_empty());
        let mut ours: Vec<(String, u32)> = items
            .map(|item| item.split_once(' ').unwrap())
            .map(|(name, bit)| (name.into(), bit.parse().unwrap()))
            .collect();
        let bits = ours.iter().fold(0, |word, (_, bit)| word | 1 << bit);
        assert_eq!(list.shown(u64::MAX), bits, "word {word}");
        ours.sort_by_key(|(_, bit)| *bit);
        let mut theirs = annotated.remove(&word).unwrap_or_default();
        theirs.sort_by_key(|(_, bit)| *bit);
        assert_eq!(ours, theirs, "word {word}");
    }
    annotated.remove(&16);
    annotated.remove(&17);
    assert!(annotated.is_empty(), "words without a list: {annotated:?}");
}
