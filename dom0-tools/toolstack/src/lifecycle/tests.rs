//! Life histories of domains on a recording hypervisor.

use super::policy::QUICK_DEATH_NS;
use super::*;
use crate::client::fake::{tiny_kernel, Counts, FakeHypervisor};
use crate::config::read_config;
use crate::error::{Status, ToolError};
use alloc::boxed::Box;
use alloc::format;
use hypercall_abi::sched::shutdown;
use hypercall_abi::{DomId, Errno};
use proptest::prelude::*;
use pv_xenbus::{path, Tx};
use zl_xenstore::{Hooks, Quota, Shared};

pub(super) type Stack = Toolstack<'static, FakeHypervisor>;

fn archive() -> Archive<'static> {
    let kernel: &'static [u8] = Box::leak(tiny_kernel(3000, 100).into_boxed_slice());
    Archive::from_files([("hello", kernel), ("bad", b"not a kernel"), ("disk", b"ramdisk")])
}

pub(super) fn machine() -> (FakeHypervisor, Stack, Counts) {
    let (fake, stack, counts, _) = machine_with_store();
    (fake, stack, counts)
}

pub(super) fn machine_with_store() -> (FakeHypervisor, Stack, Counts, &'static Shared) {
    let fake = FakeHypervisor::new(64);
    let counts = fake.counts();
    let store: &'static Shared = Box::leak(Box::new(Shared::new(Quota::default(), Hooks::NONE)));
    (fake.clone(), Toolstack::new(fake, archive(), store), counts, store)
}

/// All paths of the store.
fn paths(stack: &Stack) -> Vec<String> {
    let mut paths = alloc::vec![String::from("/")];
    let mut next = 0;
    while let Some(top) = paths.get(next).cloned() {
        let names = stack.store().list(Tx::NONE, &top).unwrap();
        paths.extend(names.iter().map(|name| path::child(&top, name)));
        next += 1;
    }
    paths
}

pub(super) fn config(name: &str, more: &str) -> crate::config::DomainConfig {
    let text = format!("name = '{name}'\nkernel = 'hello'\nmemory = 8\n{more}");
    read_config("t.cfg", text.as_bytes(), &[]).unwrap().config
}

pub(super) fn create(stack: &mut Stack, name: &str, more: &str) -> DomId {
    stack.create(config(name, more), StartMode::Running).unwrap().domain
}

#[test]
fn a_created_domain_runs_and_is_listed_by_name() {
    let (fake, mut stack, _) = machine();
    let domain = create(&mut stack, "web", "");
    assert!(fake.is_runnable(domain));
    let rows = stack.list().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].name.as_deref(), Some("Domain-0"));
    assert_eq!(rows[1].name.as_deref(), Some("web"));
    assert_eq!(stack.find("web"), Ok(domain));
    assert_eq!(stack.find("1"), Ok(domain));
    assert_eq!(stack.find("Domain-0"), Ok(DomId::DOM0));
}

#[test]
fn a_domain_made_of_files_that_were_sent_can_be_started_again() {
    let (fake, mut stack, _) = machine();
    let mut sent = crate::staged::Staged::default();
    sent.add_only_copy("mine", alloc::sync::Arc::new(tiny_kernel(3000, 100)));
    stack.stage(sent);
    let first = create(&mut stack, "a", "kernel = 'mine'\non_reboot = 'restart'");
    stack.stage(crate::staged::Staged::default());
    assert!(stack.create(config("b", "kernel = 'mine'"), StartMode::Running).is_err());
    for _ in 0..2 {
        fake.set_time_ns(fake.now_ns() + 2 * QUICK_DEATH_NS);
        let now = stack.find("a").unwrap();
        fake.guest_shuts_down(now, shutdown::REBOOT);
        stack.handle_ends();
        stack.stage(crate::staged::Staged::default());
    }
    assert_ne!(stack.find("a").unwrap(), first);
}

#[test]
fn a_paused_domain_waits_for_unpause() {
    let (fake, mut stack, _) = machine();
    let created = stack.create(config("a", ""), StartMode::Paused).unwrap();
    assert!(!fake.is_runnable(created.domain));
    stack.unpause(created.domain).unwrap();
    assert!(fake.is_runnable(created.domain));
    let error = stack.unpause(created.domain).unwrap_err();
    assert!(error.text.contains("EINVAL") && error.text.contains("it is not paused"), "{error}");
}

#[test]
fn destroy_gives_everything_back() {
    let (fake, mut stack, before) = machine();
    let nodes = paths(&stack);
    for round in 0..5 {
        let domain = create(&mut stack, "a", "");
        assert_ne!(fake.counts(), before);
        stack.destroy(domain).unwrap();
        assert_eq!(fake.counts(), before, "round {round}");
        assert_eq!(paths(&stack), nodes, "round {round}");
    }
    assert!(stack.names().next().is_none());
}

#[test]
fn unknown_domains_are_named_with_a_hint() {
    let (_fake, mut stack, _) = machine();
    create(&mut stack, "ticker", "");
    let refused = |who: &str| stack.find(who).unwrap_err();
    assert_eq!(refused("tikcer").text, "no domain named 'tikcer'; did you mean 'ticker'?");
    assert_eq!(refused("zz").text, "no domain named 'zz'; see 'zl list'");
    assert_eq!(refused("7").text, "no domain with id 7; see 'zl list'");
    assert_eq!(refused("70000").status, Status::NoDomain);
    assert_eq!(refused("32752").status, Status::NoDomain);
}

#[test]
fn a_name_is_used_once() {
    let (fake, mut stack, _) = machine();
    create(&mut stack, "a", "");
    let counts = fake.counts();
    let error = stack.create(config("a", ""), StartMode::Running).unwrap_err();
    assert!(error.text.starts_with("the name 'a' is taken by domain 1"), "{error}");
    assert_eq!(fake.counts(), counts);
    let other = create(&mut stack, "b", "");
    assert!(stack.rename(other, "a").unwrap_err().text.contains("is taken"));
    assert!(stack.rename(other, "99").unwrap_err().text.contains("all digits"));
    stack.rename(other, "c").unwrap();
    assert_eq!(stack.find("c"), Ok(other));
    assert_eq!(stack.rename(DomId::DOM0, "x").unwrap_err().status, Status::Refused);
}

#[test]
fn missing_and_wrong_files_are_named() {
    let (fake, mut stack, before) = machine();
    let mut refused = |kernel: &str, ramdisk: Option<&str>| -> ToolError {
        let mut config = config("a", "");
        config.kernel = kernel.into();
        config.ramdisk = ramdisk.map(Into::into);
        stack.create(config, StartMode::Running).unwrap_err()
    };
    let text = refused("helo", None).text;
    assert_eq!(text, "kernel: no file 'helo' in the boot archive; did you mean 'hello'?");
    assert!(refused("hello", Some("nope")).text.starts_with("ramdisk: no file 'nope'"));
    assert!(refused("bad", None).text.starts_with("bad: not an ELF file"));
    assert_eq!(fake.counts(), before);
}

#[test]
fn the_control_domain_is_left_alone() {
    let (_fake, mut stack, _) = machine();
    for result in [
        stack.destroy(DomId::DOM0),
        stack.pause(DomId::DOM0),
        stack.shutdown(DomId::DOM0, Manner::Ask),
        stack.reboot(DomId::DOM0, Manner::Force),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.status, Status::Refused);
        assert!(error.text.starts_with("Domain-0 cannot be"), "{error}");
    }
}

#[test]
fn a_domain_that_powers_off_is_destroyed_and_reported() {
    let (fake, mut stack, before) = machine();
    let domain = create(&mut stack, "a", "");
    fake.guest_prints(domain, b"bye\n");
    fake.set_time_ns(2_501_000_000);
    fake.guest_shuts_down(domain, shutdown::POWEROFF);
    stack.handle_ends();
    assert_eq!(fake.counts(), before);
    assert_eq!(stack.take_notices(), ["a (id 1) powered off after 2.500 s; destroyed"]);
    assert_eq!(stack.logs("a").unwrap(), b"bye\n");
    let hint = stack.find("a").unwrap_err().text;
    assert_eq!(hint, "no domain named 'a'; it has ended, its last output is in 'zl logs a'");
}

#[test]
fn a_crashed_domain_is_kept_when_asked_and_acted_on_once() {
    let (fake, mut stack, before) = machine();
    let domain = create(&mut stack, "a", "on_crash = 'preserve'");
    fake.guest_shuts_down(domain, shutdown::CRASH);
    stack.handle_ends();
    stack.handle_ends();
    assert_eq!(stack.take_notices().len(), 1);
    assert_eq!(stack.find("a"), Ok(domain));
    assert!(stack.has_ended(domain));
    assert_eq!(stack.shutdown(domain, Manner::Ask).unwrap_err().status, Status::Refused);
    stack.destroy(domain).unwrap();
    assert_eq!(fake.counts(), before);
}

#[test]
fn a_reboot_starts_a_new_domain_with_the_same_name_and_number() {
    let (fake, mut stack, _) = machine();
    let first = create(&mut stack, "a", "");
    let uuid = stack.row(first).unwrap().info.handle;
    stack.reboot(first, Manner::Ask).unwrap();
    stack.handle_ends();
    let second = stack.find("a").unwrap();
    assert_ne!(first, second);
    assert!(fake.is_runnable(second));
    assert!(stack.is_gone(first));
    assert_eq!(stack.row(second).unwrap().info.handle, uuid);
}

#[test]
fn rename_restart_keeps_the_old_domain_under_another_name() {
    let (fake, mut stack, before) = machine();
    let first = create(&mut stack, "a", "on_crash = 'rename-restart'");
    fake.guest_shuts_down(first, shutdown::CRASH);
    stack.handle_ends();
    let second = stack.find("a").unwrap();
    assert_eq!(stack.find("a-ended-1"), Ok(first));
    assert_ne!(first, second);
    assert_ne!(stack.row(first).unwrap().info.handle, stack.row(second).unwrap().info.handle);
    stack.destroy(first).unwrap();
    stack.destroy(second).unwrap();
    assert_eq!(fake.counts(), before);
}

#[test]
fn a_domain_that_dies_at_once_is_not_restarted_for_ever() {
    let (fake, mut stack, before) = machine();
    create(&mut stack, "a", "on_crash = 'restart'");
    let mut lives = 0;
    while let Ok(domain) = stack.find("a") {
        lives += 1;
        assert!(lives < 10);
        fake.guest_shuts_down(domain, shutdown::CRASH);
        stack.handle_ends();
    }
    assert_eq!(lives, 3);
    let last = stack.take_notices().pop().unwrap();
    assert!(last.ends_with("destroyed, not restarted: it died quickly 3 times in a row"), "{last}");
    assert_eq!(fake.counts(), before);
}

#[test]
fn a_long_life_forgives_quick_deaths() {
    let (fake, mut stack, _) = machine();
    create(&mut stack, "a", "on_crash = 'restart'");
    for _ in 0..6 {
        let domain = stack.find("a").unwrap();
        fake.set_time_ns(fake.now_ns() + QUICK_DEATH_NS);
        fake.guest_shuts_down(domain, shutdown::CRASH);
        stack.handle_ends();
    }
    assert!(stack.find("a").is_ok());
}

#[test]
fn a_domain_that_vanishes_is_forgotten() {
    let (fake, mut stack, before) = machine();
    let domain = create(&mut stack, "a", "");
    fake.destroy_domain(domain).unwrap();
    stack.handle_ends();
    assert_eq!(fake.counts(), before);
    assert!(stack.find("a").is_err());
}

#[test]
fn a_restart_that_fails_leaves_nothing_and_says_why() {
    let (fake, mut stack, before) = machine();
    let domain = create(&mut stack, "a", "on_crash = 'restart'");
    fake.guest_shuts_down(domain, shutdown::CRASH);
    // The calls are: list, destroy, physinfo, createdomain's physinfo, createdomain.
    fake.fail_call(4, Errno::ENOMEM);
    stack.handle_ends();
    fake.heal();
    let notice = stack.take_notices().pop().unwrap();
    assert!(notice.contains("but: domctl createdomain") && notice.contains("ENOMEM"), "{notice}");
    assert_eq!(fake.counts(), before);
}

#[test]
fn an_attached_reader_gets_the_last_byte_of_a_dying_domain() {
    let (fake, mut stack, before) = machine();
    let domain = create(&mut stack, "a", "");
    let console = stack.attach(domain).unwrap();
    fake.guest_prints(domain, b"first ");
    stack.pump_consoles();
    let text = stack.read_console(console, 0).unwrap();
    assert_eq!((text.bytes.as_slice(), &text.ended), (&b"first "[..], &None));
    fake.guest_prints(domain, b"last");
    fake.guest_shuts_down(domain, shutdown::POWEROFF);
    stack.handle_ends();
    let rest = stack.read_console(console, text.next).unwrap();
    assert_eq!(rest.bytes, b"last");
    assert_eq!(rest.ended.as_deref(), Some("powered off"));
    stack.detach(console);
    assert_eq!(stack.read_console(console, 0), None);
    assert_eq!(fake.counts(), before);
}

#[test]
fn consoles_are_served_by_their_port() {
    let (fake, mut stack, _) = machine();
    let domain = create(&mut stack, "a", "");
    let console = stack.attach(domain).unwrap();
    stack.type_in(console, b"hi");
    assert_eq!(fake.guest_reads(domain), "hi");
    let port = fake.take_notification().unwrap();
    fake.guest_prints(domain, b"yes");
    stack.pump_port(port);
    assert_eq!(stack.read_console(console, 0).unwrap().bytes, b"yes");
    assert_eq!(stack.attach(DomId::DOM0).unwrap_err().status, Status::Refused);
}

#[test]
fn a_failure_of_any_call_of_create_leaves_nothing_behind() {
    let calls = {
        let (fake, mut stack, _) = machine();
        create(&mut stack, "a", "ramdisk = 'disk'");
        fake.calls().len()
    };
    for number in 0..calls {
        let (fake, mut stack, before) = machine();
        let nodes = paths(&stack);
        fake.fail_call(number, Errno::EINVAL);
        let result = stack.create(config("a", "ramdisk = 'disk'"), StartMode::Running);
        let failed = fake.calls().get(number).copied().unwrap_or("none");
        fake.heal();
        match result {
            Ok(created) => {
                assert!(["populate_physmap", "physinfo"].contains(&failed), "{failed} unnoticed");
                stack.destroy(created.domain).unwrap();
            }
            Err(error) => assert!(!error.text.contains('\n')),
        }
        assert_eq!(fake.counts(), before, "after the failure of call {number}, {failed}");
        assert_eq!(paths(&stack), nodes, "after the failure of call {number}, {failed}");
        assert!(stack.names().next().is_none());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Create(u8, bool),
    Destroy(u8),
    End(u8, u32),
    HandleEnds,
    FailNext(usize),
    Attach(u8),
    Detach,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..4, any::<bool>()).prop_map(|(name, paused)| Step::Create(name, paused)),
        (0u8..4).prop_map(Step::Destroy),
        (0u8..4, 0u32..6).prop_map(|(name, reason)| Step::End(name, reason)),
        Just(Step::HandleEnds),
        (0usize..30).prop_map(Step::FailNext),
        (0u8..4).prop_map(Step::Attach),
        Just(Step::Detach),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn after_any_history_destroying_all_gives_everything_back(
        steps in proptest::collection::vec(step(), 0..25),
        action in proptest::sample::select(&["destroy", "restart", "preserve", "rename-restart"][..]),
    ) {
        let (fake, mut stack, before) = machine();
        let nodes = paths(&stack);
        let more = format!("on_crash='{action}'; on_poweroff='{action}'; on_reboot='{action}'");
        let mut attached = alloc::vec::Vec::new();
        for step in steps {
            match step {
                Step::Create(name, paused) => {
                    let mode = if paused { StartMode::Paused } else { StartMode::Running };
                    let _ = stack.create(config(&format!("d{name}"), &more), mode);
                }
                Step::Destroy(name) => {
                    if let Ok(domain) = stack.find(&format!("d{name}")) {
                        let _ = stack.destroy(domain);
                    }
                }
                Step::End(name, reason) => {
                    if let Ok(domain) = stack.find(&format!("d{name}")) {
                        fake.guest_shuts_down(domain, reason);
                    }
                }
                Step::HandleEnds => stack.handle_ends(),
                Step::FailNext(number) => fake.fail_call(number, Errno::EBUSY),
                Step::Attach(name) => {
                    if let Ok(domain) = stack.find(&format!("d{name}")) {
                        attached.push(stack.attach(domain).unwrap());
                    }
                }
                Step::Detach => {
                    if let Some(console) = attached.pop() {
                        stack.detach(console);
                    }
                }
            }
        }
        fake.heal();
        let all: alloc::vec::Vec<DomId> =
            stack.list().unwrap().iter().map(|row| row.info.domain).collect();
        for domain in all.into_iter().filter(|domain| *domain != DomId::DOM0) {
            stack.destroy(domain).unwrap();
        }
        prop_assert_eq!(fake.counts(), before);
        prop_assert_eq!(paths(&stack), nodes);
    }
}
