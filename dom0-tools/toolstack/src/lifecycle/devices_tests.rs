//! Devices of domains, on a recording hypervisor and with the real store.

use super::tests::{config, create, machine_with_store, Stack};
use super::*;
use crate::client::Hypervisor;
use crate::config::{DiskConfig, VifConfig};
use crate::devices::Kind;
use crate::error::{Status, ToolError};
use alloc::format;
use alloc::string::ToString;
use hypercall_abi::sched::shutdown;
use hypercall_abi::DomId;
use proptest::prelude::*;
use pv_xenbus::{Store, Tx};

const BOTH: &str = "disk = ['file:/images/a.img,xvda,w']\nvif = ['']";

/// Plays the back halves: writes a node of each device of a domain.
fn backs_say(stack: &Stack, domain: DomId, name: &str, value: &str) {
    let all =
        Kind::ALL.iter().flat_map(|kind| crate::devices::attached(stack.store(), domain, *kind));
    for id in all {
        stack.store().write(Tx::NONE, &format!("{}/{name}", id.back()), value.as_bytes()).unwrap();
    }
}

fn back_nodes(store: &dyn Store) -> usize {
    let count = |kind: &Kind| {
        store.list(Tx::NONE, &format!("/local/domain/0/backend/{}", kind.word())).unwrap().len()
    };
    Kind::ALL.iter().map(count).sum()
}

fn started(stack: &mut Stack, name: &str, more: &str) -> DomId {
    let created = stack.create(config(name, more), StartMode::Running).unwrap();
    backs_say(stack, created.domain, "state", "2");
    stack.serve_devices();
    stack.verdict(created.wait.unwrap()).unwrap().unwrap();
    created.domain
}

fn disk(spec: &str) -> DiskConfig {
    DiskConfig::parse(spec).unwrap()
}

fn vif(spec: &str) -> VifConfig {
    VifConfig::parse(spec, &mut Vec::new()).unwrap()
}

#[test]
fn a_domain_runs_when_its_back_halves_are_ready() {
    let (fake, mut stack, _, _) = machine_with_store();
    let created = stack.create(config("a", BOTH), StartMode::Running).unwrap();
    let wait = created.wait.unwrap();
    assert!(!fake.is_runnable(created.domain));
    assert_eq!(stack.verdict(wait), None);
    assert_eq!(stack.unpause(created.domain).unwrap_err().status, Status::Refused);
    assert!(stack.next_limit_ns().is_some());
    let back = format!("/local/domain/0/backend/vbd/{}/51712/state", created.domain);
    stack.store().write(Tx::NONE, &back, b"2").unwrap();
    stack.serve_devices();
    assert_eq!(stack.verdict(wait), None);
    backs_say(&stack, created.domain, "state", "2");
    stack.serve_devices();
    assert!(fake.is_runnable(created.domain));
    assert_eq!(stack.verdict(wait), Some(Ok(())));
    assert_eq!((stack.verdict(wait), stack.next_limit_ns()), (None, None));
}

#[test]
fn a_paused_domain_with_devices_stays_paused() {
    let (fake, mut stack, _, _) = machine_with_store();
    let created = stack.create(config("a", BOTH), StartMode::Paused).unwrap();
    backs_say(&stack, created.domain, "hotplug-status", "connected");
    stack.serve_devices();
    assert_eq!(stack.verdict(created.wait.unwrap()), Some(Ok(())));
    assert!(!fake.is_runnable(created.domain));
    stack.unpause(created.domain).unwrap();
}

#[test]
fn a_back_half_that_fails_ends_the_domain_with_one_line() {
    let (fake, mut stack, before, store) = machine_with_store();
    let created = stack.create(config("a", BOTH), StartMode::Running).unwrap();
    let error = format!("/local/domain/0/backend/vbd/{}/51712/error", created.domain);
    store.write(Tx::NONE, &error, b"2 /images/a.img: no such file; see 'ls /images'").unwrap();
    stack.serve_devices();
    let error = stack.verdict(created.wait.unwrap()).unwrap().unwrap_err();
    assert_eq!(
        error.text,
        "a does not start: disk xvda: /images/a.img: no such file; see 'ls /images'"
    );
    assert_eq!(fake.counts(), before);
    assert_eq!(back_nodes(store), 0);
    assert!(stack.names().next().is_none() && !stack.has_notices());
}

#[test]
fn back_halves_that_do_not_answer_end_the_wait() {
    let (fake, mut stack, before, store) = machine_with_store();
    let created = stack.create(config("a", BOTH), StartMode::Running).unwrap();
    fake.set_time_ns(LIMIT_NS * 2);
    stack.serve_devices();
    let error = stack.verdict(created.wait.unwrap()).unwrap().unwrap_err();
    assert_eq!(error.status, Status::Timeout);
    assert!(error.text.contains("disk xvda: no back end answered within 10 s"), "{error}");
    assert_eq!((fake.counts(), back_nodes(store)), (before, 0));
}

#[test]
fn a_verb_that_gave_up_leaves_a_notice_behind() {
    let (fake, mut stack, before, _) = machine_with_store();
    let created = stack.create(config("a", BOTH), StartMode::Running).unwrap();
    stack.leave_wait(created.wait.unwrap());
    fake.set_time_ns(LIMIT_NS * 2);
    stack.serve_devices();
    let notices = stack.take_notices();
    assert!(notices.len() == 1 && notices[0].contains("a does not start"), "{notices:?}");
    assert_eq!(fake.counts(), before);
}

#[test]
fn a_domain_that_is_destroyed_meanwhile_ends_the_wait() {
    let (fake, mut stack, before, store) = machine_with_store();
    let created = stack.create(config("a", BOTH), StartMode::Running).unwrap();
    stack.destroy(created.domain).unwrap();
    let error = stack.verdict(created.wait.unwrap()).unwrap().unwrap_err();
    assert_eq!(error.text, format!("domain {} ended meanwhile", created.domain));
    assert_eq!((fake.counts(), back_nodes(store)), (before, 0));
}

#[test]
fn a_restart_keeps_devices_and_addresses() {
    let (fake, mut stack, _, store) = machine_with_store();
    let domain = started(&mut stack, "a", BOTH);
    let mac = stack.config_of(domain).unwrap().vifs[0].mac.unwrap();
    let wait = stack.attach_disk(domain, disk("ram:more:64K,xvdc,w")).unwrap();
    backs_say(&stack, domain, "state", "4");
    stack.serve_devices();
    stack.verdict(wait).unwrap().unwrap();
    fake.guest_shuts_down(domain, shutdown::REBOOT);
    stack.handle_ends();
    let again = stack.find("a").unwrap();
    assert!(again != domain && !fake.is_runnable(again));
    assert_eq!(stack.config_of(again).unwrap().vifs[0].mac, Some(mac));
    assert_eq!(stack.disks(again).len(), 2);
    backs_say(&stack, again, "state", "2");
    stack.serve_devices();
    assert!(fake.is_runnable(again));
    stack.destroy(again).unwrap();
    assert_eq!(back_nodes(store), 0);
}

#[test]
fn what_one_domain_writes_is_nobody_elses() {
    let (_fake, mut stack, _, _) = machine_with_store();
    let domain = started(&mut stack, "a", "disk = ['file:/images/a.img,xvda,w', 'phy:vdb,xvdb,r']");
    let mut refused = |more: &str| -> ToolError {
        stack.create(config("b", more), StartMode::Running).unwrap_err()
    };
    let text = refused("disk = ['a.img,raw,xvdc,r']").text;
    let expected = format!(
        "disk xvdc: file:a.img is disk xvda of domain {domain} (a); detach it there, or use it \
         read-only on both sides"
    );
    assert_eq!(text, expected);
    assert!(refused("disk = ['phy:vdb,xvda,w']").text.contains("is disk xvdb of domain"));
    let twice = "disk = ['ram:x:4K,xvda,w', 'ram:x:8K,xvdb,r']";
    assert!(refused(twice).text.contains("ram:x:8192 is disk xvda, too"));
    started(&mut stack, "b", "disk = ['phy:vdb,xvda,r', 'ram:4K,xvdb,w', 'ram:4K,xvdc,w']");
}

#[test]
fn an_address_is_used_once() {
    let (_fake, mut stack, _, _) = machine_with_store();
    let first = started(&mut stack, "a", "vif = ['mac=00:16:3e:00:00:01', '', '']");
    let macs: Vec<_> =
        stack.config_of(first).unwrap().vifs.iter().map(|vif| vif.mac.unwrap()).collect();
    assert!(macs[1] != macs[2] && macs[1].to_string().starts_with("00:16:3e:"));
    let same = "vif = ['mac=00:16:3E:00:00:01']";
    let error = stack.create(config("b", same), StartMode::Running).unwrap_err();
    let expected =
        format!("vif 0: the address 00:16:3e:00:00:01 is used by domain {first} (a); leave mac out to get another");
    assert_eq!(error.text, expected);
    let made = format!("mac={}", macs[1]);
    assert!(stack.attach_vif(first, vif(&made)).unwrap_err().text.contains("is used by"));
}

#[test]
fn devices_come_and_go_while_a_domain_runs() {
    let (_fake, mut stack, _, store) = machine_with_store();
    let domain = started(&mut stack, "a", BOTH);
    let wait = stack.attach_vif(domain, vif("mtu=9000")).unwrap();
    let id = stack.find_vif(domain, "1").unwrap();
    backs_say(&stack, domain, "state", "4");
    stack.serve_devices();
    assert_eq!(stack.verdict(wait), Some(Ok(())));
    assert_eq!(stack.vifs(domain).len(), 2);
    let mac = stack.vifs(domain)[1].mac.clone();
    assert_eq!(stack.find_vif(domain, &mac), Ok(id));
    let wait = stack.detach_device(id, false).unwrap().unwrap();
    stack.serve_devices();
    assert_eq!(stack.verdict(wait), None);
    store.write(Tx::NONE, &format!("{}/state", id.back()), b"6").unwrap();
    stack.serve_devices();
    assert_eq!(stack.verdict(wait), Some(Ok(())));
    assert_eq!((stack.vifs(domain).len(), stack.config_of(domain).unwrap().vifs.len()), (1, 1));
    // The number is free again.
    stack.attach_vif(domain, vif("")).unwrap();
    assert_eq!(stack.find_vif(domain, "1"), Ok(id));
}

#[test]
fn a_guest_that_does_not_let_go_keeps_its_disk_until_it_does() {
    let (fake, mut stack, _, store) = machine_with_store();
    let domain = started(&mut stack, "a", BOTH);
    let id = stack.find_disk(domain, "xvda").unwrap();
    assert_eq!(stack.find_disk(domain, "51712"), Ok(id));
    let wait = stack.detach_device(id, false).unwrap().unwrap();
    fake.set_time_ns(LIMIT_NS * 2);
    stack.serve_devices();
    let error = stack.verdict(wait).unwrap().unwrap_err();
    assert_eq!(error.status, Status::Timeout);
    assert!(error.text.starts_with("disk xvda of domain 1 is still in use there"), "{error}");
    assert_eq!(stack.disks(domain).len(), 1);
    store.write(Tx::NONE, &format!("{}/state", id.back()), b"6").unwrap();
    stack.serve_devices();
    assert!(stack.disks(domain).is_empty() && stack.config_of(domain).unwrap().disks.is_empty());
}

#[test]
fn force_removes_at_once() {
    let (_fake, mut stack, _, store) = machine_with_store();
    let domain = started(&mut stack, "a", BOTH);
    for who in [stack.find_disk(domain, "xvda"), stack.find_vif(domain, "0")] {
        assert_eq!(stack.detach_device(who.unwrap(), true), Ok(None));
    }
    assert_eq!(back_nodes(store), 0);
    assert!(stack.find_disk(domain, "xvda").unwrap_err().text.contains("has no disk xvda"));
    assert!(stack.find_disk(domain, "hda").unwrap_err().text.contains("emulated"));
    assert!(stack.find_vif(domain, "0").unwrap_err().text.contains("has no vif 0"));
    assert!(stack.find_vif(domain, "00:16:3e:00:00:09").unwrap_err().text.contains("no card with"));
    assert!(stack.find_vif(domain, "eth0").unwrap_err().text.contains("is no MAC address"));
}

#[test]
fn only_our_living_domains_take_devices() {
    let (fake, mut stack, _, _) = machine_with_store();
    let domain = create(&mut stack, "a", "on_poweroff = 'preserve'");
    assert_eq!(stack.attach_vif(DomId::DOM0, vif("")).unwrap_err().status, Status::Refused);
    let wait = stack.attach_disk(domain, disk("ram:4K,xvda,w")).unwrap();
    let again = stack.attach_disk(domain, disk("ram:4K,xvda,w")).unwrap_err();
    assert!(again.text.starts_with(&format!("domain {domain} has a disk xvda already")), "{again}");
    stack.leave_wait(wait);
    fake.guest_shuts_down(domain, shutdown::POWEROFF);
    stack.handle_ends();
    let ended = stack.attach_vif(domain, vif("")).unwrap_err();
    assert!(ended.text.contains("has ended and is kept"), "{ended}");
}

#[derive(Clone, Debug)]
enum Step {
    Create(u8, u8),
    Destroy(u8),
    End(u8),
    AttachDisk(u8, u8),
    AttachVif(u8),
    Detach(u8, bool),
    Backs(u8, u8),
    Fail(u8),
    Time,
    LeaveAll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3u8, 0..4u8).prop_map(|(name, devices)| Step::Create(name, devices)),
        (0..3u8).prop_map(Step::Destroy),
        (0..3u8).prop_map(Step::End),
        (0..3u8, 0..3u8).prop_map(|(name, disk)| Step::AttachDisk(name, disk)),
        (0..3u8).prop_map(Step::AttachVif),
        (0..3u8, any::<bool>()).prop_map(|(name, force)| Step::Detach(name, force)),
        (0..3u8, 1..7u8).prop_map(|(name, state)| Step::Backs(name, state)),
        (0..3u8).prop_map(Step::Fail),
        Just(Step::Time),
        Just(Step::LeaveAll),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    /// Whatever happens in whatever order: every wait gets a verdict, no address is used twice, and
    /// nothing is left when all domains are destroyed.
    #[test]
    fn nothing_is_left_and_nobody_waits_for_ever(steps in steps()) {
        let (fake, mut stack, before, store) = machine_with_store();
        let mut waits = Vec::new();
        let mut now_ns = fake.now_ns();
        for step in steps {
            let find = |stack: &Stack, name: u8| stack.find(&format!("d{name}")).ok();
            match step {
                Step::Create(name, devices) => {
                    let more = ["", BOTH, "vif = ['', '']", "disk = ['phy:vdb,xvdb,r']"][usize::from(devices)];
                    if let Ok(created) = stack.create(config(&format!("d{name}"), more), StartMode::Running) {
                        waits.extend(created.wait);
                    }
                }
                Step::Destroy(name) => if let Some(domain) = find(&stack, name) {
                    stack.destroy(domain).unwrap();
                },
                Step::End(name) => if let Some(domain) = find(&stack, name) {
                    fake.guest_shuts_down(domain, shutdown::REBOOT);
                    stack.handle_ends();
                },
                Step::AttachDisk(name, which) => if let Some(domain) = find(&stack, name) {
                    let spec = format!("ram:{}4K,xvd{},w", ["", "x:", "y:"][usize::from(which)], char::from(b'c' + which));
                    waits.extend(stack.attach_disk(domain, disk(&spec)));
                },
                Step::AttachVif(name) => if let Some(domain) = find(&stack, name) {
                    waits.extend(stack.attach_vif(domain, vif("")));
                },
                Step::Detach(name, force) => if let Some(domain) = find(&stack, name) {
                    let first = Kind::ALL.iter().find_map(|kind| {
                        crate::devices::attached(stack.store(), domain, *kind).first().copied()
                    });
                    if let Some(id) = first {
                        waits.extend(stack.detach_device(id, force).ok().flatten());
                    }
                },
                Step::Backs(name, state) => if let Some(domain) = find(&stack, name) {
                    backs_say(&stack, domain, "state", &state.to_string());
                },
                Step::Fail(name) => if let Some(domain) = find(&stack, name) {
                    backs_say(&stack, domain, "error", "it is broken");
                },
                Step::Time => {
                    now_ns += LIMIT_NS;
                    fake.set_time_ns(now_ns);
                }
                Step::LeaveAll => waits.drain(..).for_each(|wait| stack.leave_wait(wait)),
            }
            stack.serve_devices();
            let mut macs: Vec<_> = stack.list().unwrap().iter()
                .filter_map(|row| stack.config_of(row.info.domain))
                .flat_map(|config| config.vifs.iter().map(|vif| vif.mac.unwrap())).collect();
            let all = macs.len();
            macs.sort();
            macs.dedup();
            prop_assert_eq!(macs.len(), all);
        }
        fake.set_time_ns(now_ns + LIMIT_NS);
        stack.serve_devices();
        for wait in waits {
            prop_assert!(stack.verdict(wait).is_some());
        }
        prop_assert_eq!(stack.next_limit_ns(), None);
        let rows = stack.list().unwrap();
        for domain in rows.iter().map(|row| row.info.domain).filter(|domain| *domain != DomId::DOM0) {
            // What the store knows and what the configuration says are the same devices.
            let config = stack.config_of(domain).unwrap();
            let known = config.disks.len() + config.vifs.len();
            prop_assert_eq!(known, stack.disks(domain).len() + stack.vifs(domain).len());
            stack.destroy(domain).unwrap();
        }
        prop_assert_eq!(fake.counts(), before);
        prop_assert_eq!(back_nodes(store), 0);
        prop_assert!(stack.waits.is_empty());
    }
}
