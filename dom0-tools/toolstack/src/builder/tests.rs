//! The domain builder on a recording hypervisor, with every call made to fail once.

use super::*;
use crate::client::fake::{tiny_kernel, tiny_kernel_with, FakeHypervisor};
use crate::config::read_config;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno};
use proptest::prelude::*;

fn config(text: &str) -> DomainConfig {
    let base = "name = 'a'\nkernel = 'k'\n";
    let text = String::from(base) + text;
    read_config("a.cfg", text.as_bytes(), &[]).unwrap().config
}

fn request<'a>(
    config: &'a DomainConfig,
    kernel: &'a [u8],
    ramdisk: Option<&'a [u8]>,
) -> Request<'a> {
    Request { config, uuid: Uuid::from_seed(1), kernel, ramdisk }
}

#[test]
fn a_built_domain_finds_its_start_page_through_its_own_tables() {
    let fake = FakeHypervisor::new(64);
    let config = config("memory = 16\nextra = 'mode=fast'");
    let kernel = tiny_kernel(5000, 9000);
    let paused = build(&fake, &request(&config, &kernel, Some(b"ramdisk!"))).unwrap();
    let domain = paused.domain();
    let info = fake.start_info(domain).expect("start page");
    assert!(info.magic.starts_with(b"xen-3.0-x86_64\0"));
    assert_eq!(info.nr_pages, 4096);
    assert_eq!(info.cmd_line(), b"mode=fast");
    assert_eq!(info.console_mfn, paused.console().frame);
    assert_eq!(info.console_evtchn, paused.console().port);
    assert_ne!(info.console_evtchn, info.store_evtchn);
    assert_eq!(info.mod_len, 4096);
    let mfn_list_pfn = (info.mfn_list - 0xffff_ffff_8000_0000) / 4096;
    let p2m = fake.guest_memory(domain, mfn_list_pfn, 16);
    assert_eq!(p2m, fake.p2m_bytes(domain, 2));
    let ramdisk_pfn = (info.mod_start - 0xffff_ffff_8000_0000) / 4096;
    assert_eq!(fake.guest_memory(domain, ramdisk_pfn, 10), b"ramdisk!\0\0");
    assert!(!fake.is_runnable(domain));
}

#[test]
fn the_image_is_whole_and_its_bss_is_zero() {
    let fake = FakeHypervisor::new(64);
    let config = config("memory = 8");
    let kernel = tiny_kernel(10_000, 9_000);
    let paused = build(&fake, &request(&config, &kernel, None)).unwrap();
    let domain = paused.domain();
    for (pfn, page) in kernel[0x1000..].chunks(4096).enumerate() {
        assert_eq!(fake.guest_memory(domain, pfn as u64, page.len()), page, "page {pfn}");
    }
    let bss = fake.guest_memory(domain, 3, 4096);
    assert!(bss.iter().all(|byte| *byte == 0));
}

#[test]
fn the_shared_page_masks_events_of_all_early_vcpus() {
    let fake = FakeHypervisor::new(64);
    let config = config("memory = 8");
    let kernel = tiny_kernel(100, 0);
    let paused = build(&fake, &request(&config, &kernel, None)).unwrap();
    let shared = fake.shared_info(paused.domain());
    for vcpu in 0..32 {
        assert_eq!(shared[vcpu * 64..vcpu * 64 + 2], [0, 1], "vCPU {vcpu}");
    }
    assert!(shared[32 * 64..].iter().all(|byte| *byte == 0));
}

#[test]
fn the_first_two_grants_name_the_rings() {
    let fake = FakeHypervisor::new(64);
    let config = config("memory = 8");
    let kernel = tiny_kernel(100, 0);
    let paused = build(&fake, &request(&config, &kernel, None)).unwrap();
    let info = fake.start_info(paused.domain()).unwrap();
    let table = fake.grant_table(paused.domain());
    for (entry, frame) in [info.console_mfn, info.store_mfn].into_iter().enumerate() {
        let bytes = &table[entry * 8..entry * 8 + 8];
        assert_eq!(bytes[..4], [1, 0, 0, 0]);
        assert_eq!(bytes[4..], (frame.get() as u32).to_le_bytes());
    }
}

#[test]
fn a_small_domain_needs_few_calls() {
    let fake = FakeHypervisor::new(64);
    let config = config("memory = 16");
    let kernel = tiny_kernel(30_000, 9_000);
    let paused = build(&fake, &request(&config, &kernel, None)).unwrap();
    assert!(fake.calls().len() <= 20, "{:?}", fake.calls());
    let _ = paused.release();
}

#[test]
fn dropping_a_paused_domain_destroys_it() {
    let fake = FakeHypervisor::new(64);
    let before = fake.counts();
    let config = config("memory = 16");
    drop(build(&fake, &request(&config, &tiny_kernel(1, 1), None)).unwrap());
    assert_eq!(fake.counts(), before);
}

#[test]
fn refusals_name_the_file_the_rule_and_what_to_try() {
    let fake = FakeHypervisor::new(64);
    let before = fake.counts();
    let refused = |text: &str, kernel: &[u8]| {
        let config = config(text);
        let error = build(&fake, &request(&config, kernel, None)).err().expect("refused");
        assert!(!error.text.contains('\n'));
        error.text
    };
    assert!(refused("", b"no").starts_with("k: not an ELF file; give a PV64 kernel"));
    let kernel = tiny_kernel(100, 0);
    let cut = kernel.get(..0x1010).unwrap();
    assert!(refused("", cut).starts_with("k: segment 0 ends beyond the file"));
    let text = refused("memory = 1", &tiny_kernel(100, 2 << 20));
    assert!(text.starts_with("k: too little memory: kernel and ramdisk need at least"), "{text}");
    let text = refused("memory = 65", &kernel);
    assert!(text.starts_with("too little memory: 'a' wants 65 MiB, 64 MiB are free"), "{text}");
    let text = refused("max_event_channels = 3\nmemory = 64", &kernel);
    assert!(text.contains("gave only"), "{text}");
    assert_eq!(fake.counts(), before);
}

#[test]
fn a_kernel_may_ask_for_stubs_and_for_ramdisk_and_frame_list_elsewhere() {
    const HYPERCALL_PAGE: u32 = 2;
    const INIT_P2M: u32 = 15;
    const MOD_START_PFN: u32 = 16;
    let p2m_va = 0x80_0000_0000;
    let notes = [(HYPERCALL_PAGE, 0xffff_ffff_8000_1000), (INIT_P2M, p2m_va), (MOD_START_PFN, 1)];
    let kernel = tiny_kernel_with(9000, 0, &notes);
    let fake = FakeHypervisor::new(64);
    let config = config("memory = 16");
    let paused = build(&fake, &request(&config, &kernel, Some(b"elsewhere"))).unwrap();
    let domain = paused.domain();
    assert_eq!(fake.guest_memory(domain, 1, 8), [0xcc; 8]);
    let info = fake.start_info(domain).unwrap();
    assert_eq!(info.mfn_list, p2m_va);
    assert_eq!(fake.guest_memory(domain, info.first_p2m_pfn, 64), fake.p2m_bytes(domain, 8));
    assert_eq!(fake.guest_memory(domain, info.mod_start, 9), b"elsewhere");
}

/// Number of calls that a successful build makes.
fn calls_of_a_build(config: &DomainConfig, kernel: &[u8]) -> usize {
    let fake = FakeHypervisor::new(64);
    drop(build(&fake, &request(config, kernel, Some(b"r"))).unwrap());
    fake.calls().len()
}

#[test]
fn a_failure_of_any_call_leaves_nothing_behind() {
    let config = config("memory = 12\ncpu_weight = 100");
    let kernel = tiny_kernel(5000, 100);
    let calls = calls_of_a_build(&config, &kernel);
    // The last call is the destruction by the drop above.
    for number in 0..calls - 1 {
        let fake = FakeHypervisor::new(64);
        let before = fake.counts();
        fake.fail_call(number, Errno::ENOMEM);
        let result = build(&fake, &request(&config, &kernel, Some(b"r")));
        let failed = fake.calls().get(number).copied().unwrap_or("none");
        // Without large extents or capabilities a build goes on another way.
        let may_go_on = ["populate_physmap", "physinfo"].contains(&failed);
        assert!(result.is_err() || may_go_on, "call {number}, {failed}, went unnoticed");
        drop(result);
        assert_eq!(fake.counts(), before, "after the failure of call {number}, {failed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_failure_in_any_build_leaves_nothing_behind(
        memory in 4u64..20,
        code in 1usize..40_000,
        bss in 0usize..200_000,
        ramdisk in proptest::option::of(1usize..60_000),
        number in 0usize..24,
        errno in proptest::sample::select(Errno::ALL),
    ) {
        let fake = FakeHypervisor::new(64);
        let before = fake.counts();
        let config = config(&format!("memory = {memory}"));
        let kernel = tiny_kernel(code, bss);
        let ramdisk: Option<Vec<u8>> = ramdisk.map(|len| alloc::vec![7; len]);
        fake.fail_call(number, errno);
        let result = build(&fake, &request(&config, &kernel, ramdisk.as_deref()));
        if let Err(error) = &result {
            prop_assert!(!error.text.contains('\n') && error.text.contains("; "), "{}", error.text);
        }
        fake.heal();
        drop(result);
        prop_assert_eq!(fake.counts(), before);
    }
}

#[test]
fn memory_comes_page_by_page_where_there_are_no_large_extents() {
    let fake = FakeHypervisor::new(64);
    let config = config("memory = 9");
    let kernel = tiny_kernel(100, 0);
    let populate = fake_call_number(&config, &kernel, "populate_physmap");
    fake.fail_call(populate, Errno::ENOMEM);
    let paused = build(&fake, &request(&config, &kernel, None)).unwrap();
    let small = fake.calls().iter().filter(|call| **call == "populate_physmap").count();
    assert!(small > 4, "{small}");
    assert_eq!(fake.start_info(paused.domain()).unwrap().nr_pages, 9 * 256);
    assert_eq!(paused.release(), DomId::new(1));
}

fn fake_call_number(config: &DomainConfig, kernel: &[u8], name: &str) -> usize {
    let fake = FakeHypervisor::new(64);
    drop(build(&fake, &request(config, kernel, None)).unwrap());
    fake.calls().iter().position(|call| *call == name).unwrap()
}
