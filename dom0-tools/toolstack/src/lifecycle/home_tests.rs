//! What a domain finds in the store, and what it may do there.

use super::tests::{config, create, machine};
use super::*;
use crate::client::Hypervisor;
use alloc::format;
use alloc::string::ToString;
use hypercall_abi::sched::shutdown;
use hypercall_abi::{DomId, Errno};
use pv_xenbus::{Rights, Store, Tx};
use zl_xenstore::Conn;

#[test]
fn a_domain_finds_what_every_domain_finds() {
    let (_fake, mut stack, _) = machine();
    let domain = create(&mut stack, "web", "maxmem = 16");
    let store = stack.store();
    let text = |path: &str| store.text(Tx::NONE, &format!("/local/domain/{domain}/{path}"));
    assert_eq!(text("name").as_deref(), Ok("web"));
    assert_eq!(text("domid").as_deref(), Ok("1"));
    assert_eq!(text("memory/target").as_deref(), Ok("8192"));
    assert_eq!(text("memory/static-max").as_deref(), Ok("16384"));
    assert_eq!(text("cpu/0/availability").as_deref(), Ok("online"));
    assert_eq!(text("control/platform-feature-xs_reset_watches").as_deref(), Ok("1"));
    let vm = text("vm").unwrap();
    assert_eq!(store.text(Tx::NONE, &format!("{vm}/name")).as_deref(), Ok("web"));
    assert_ne!(text("store/port"), text("console/port"));
    assert_ne!(text("store/ring-ref"), text("console/ring-ref"));
    assert_eq!(store.text(Tx::NONE, "/local/domain/0/name").as_deref(), Ok("Domain-0"));
    let perms = store.perms(Tx::NONE, &format!("/local/domain/{domain}/memory/target")).unwrap();
    assert_eq!((perms[0].domain, perms[1].domain), (DomId::DOM0, domain));
    assert_eq!((perms[0].rights, perms[1].rights), (Rights::None, Rights::Read));
    let perms = store.perms(Tx::NONE, &format!("/local/domain/{domain}/data")).unwrap();
    assert_eq!((perms.len(), perms[0].domain), (1, domain));
}

#[test]
fn a_guest_may_write_what_is_its_own_and_reads_the_rest() {
    let (_fake, mut stack, _, store) = super::tests::machine_with_store();
    let domain = create(&mut stack, "web", "");
    let guest = Conn::Domain(domain);
    let home = format!("/local/domain/{domain}");
    let write = |path: &str| {
        store.with(|server| {
            server.run(guest, Tx::NONE, |session| session.write(&format!("{home}/{path}"), b"1"))
        })
    };
    for path in ["data/x", "control/feature-poweroff", "error/device", "attr/a/b", "shared"] {
        assert_eq!(write(path), Ok(()), "{path}");
    }
    for path in ["name", "memory/target", "device/vbd", "control/x", "store/port", "new"] {
        assert_eq!(write(path), Err(Errno::EACCES), "{path}");
    }
    let read = store
        .with(|server| server.run(guest, Tx::NONE, |session| session.read(&format!("{home}/vm"))));
    assert!(read.is_ok());
    stack.destroy(domain).unwrap();
    assert!(!store.with(|server| server.is_introduced(domain)));
}

#[test]
fn a_new_name_is_told() {
    let (fake, mut stack, _) = machine();
    let domain = create(&mut stack, "old", "on_crash = 'rename-restart'");
    stack.rename(domain, "new").unwrap();
    let name = |stack: &super::tests::Stack, domain: DomId| {
        stack.store().text(Tx::NONE, &format!("/local/domain/{domain}/name")).unwrap()
    };
    assert_eq!(name(&stack, domain), "new");
    fake.guest_shuts_down(domain, shutdown::CRASH);
    stack.handle_ends();
    assert_eq!(name(&stack, domain), "new-ended-1");
    let second = stack.find("new").unwrap();
    assert_eq!(name(&stack, second), "new");
}

#[test]
fn two_domains_with_one_uuid_share_what_it_names() {
    let (_fake, mut stack, _) = machine();
    let uuid = "uuid = '12345678-1234-4321-8765-0123456789ab'";
    let first = create(&mut stack, "a", uuid);
    let second = create(&mut stack, "b", uuid);
    let path = "/vm/12345678-1234-4321-8765-0123456789ab";
    stack.destroy(first).unwrap();
    assert!(stack.store().list(Tx::NONE, path).is_ok());
    stack.destroy(second).unwrap();
    assert_eq!(stack.store().list(Tx::NONE, path), Err(Errno::ENOENT));
}

#[test]
fn a_domain_that_ends_is_heard_of() {
    let (fake, mut stack, _, store) = super::tests::machine_with_store();
    let heard = alloc::sync::Arc::new(std::sync::Mutex::new(0));
    let count = heard.clone();
    let sink = alloc::sync::Arc::new(move |_: &str| *count.lock().unwrap() += 1);
    store.watch("@releaseDomain", sink).unwrap();
    let created = stack.create(config("a", "on_crash = 'preserve'"), StartMode::Running).unwrap();
    assert_eq!(*heard.lock().unwrap(), 1);
    fake.guest_shuts_down(created.domain, shutdown::CRASH);
    stack.handle_ends();
    stack.handle_ends();
    assert_eq!(*heard.lock().unwrap(), 2);
    stack.destroy(created.domain).unwrap();
    assert_eq!(heard.lock().unwrap().to_string(), "3");
}

#[test]
fn a_domain_that_hears_is_asked_and_others_are_stopped() {
    let (fake, mut stack, _, store) = super::tests::machine_with_store();
    let says = |domain: DomId, name: &str| {
        let path = format!("/local/domain/{domain}/control/{name}");
        store.text(Tx::NONE, &path).unwrap()
    };
    // It says that it obeys the one, not the other.
    let polite = create(&mut stack, "polite", "");
    let feature = format!("/local/domain/{polite}/control/feature-poweroff");
    store.write(Tx::NONE, &feature, b"1").unwrap();
    stack.shutdown(polite, Manner::Ask).unwrap();
    assert_eq!(says(polite, "shutdown"), "poweroff");
    stack.handle_ends();
    assert!(!stack.has_ended(polite));
    stack.shutdown(polite, Manner::Force).unwrap();
    stack.handle_ends();
    assert!(stack.is_gone(polite));
    // It watches, which is saying so.
    let watching = create(&mut stack, "watching", "on_reboot = 'destroy'");
    store.with(|server| server.watch(Conn::Domain(watching), "control/shutdown", b"t")).unwrap();
    stack.reboot(watching, Manner::Ask).unwrap();
    assert_eq!(says(watching, "shutdown"), "reboot");
    assert!(!stack.has_ended(watching));
    // It does neither.
    let deaf = create(&mut stack, "deaf", "");
    store.write(Tx::NONE, &feature.replace("1/", "3/"), b"0").unwrap();
    stack.shutdown(deaf, Manner::Ask).unwrap();
    stack.handle_ends();
    assert!(fake.domain_info(deaf).is_err());
}
