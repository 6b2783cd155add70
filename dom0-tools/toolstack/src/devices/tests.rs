//! Devices in a store.

use super::map_store::MapStore;
use super::*;
use crate::config::read_config;
use crate::config::DomainConfig;
use alloc::vec::Vec;
use hypercall_abi::Errno;
use proptest::prelude::*;
use pv_xenbus::{Perm, Rights, Store, Tx};

const GUEST: DomId = DomId::new(7);

fn config(devices: &str) -> DomainConfig {
    let text = format!("name = 'a'\nkernel = 'x'\n{devices}");
    let mut config = read_config("t.cfg", text.as_bytes(), &[]).unwrap().config;
    for vif in &mut config.vifs {
        vif.mac = vif.mac.or(Some(crate::config::Mac([0, 0x16, 0x3e, 1, 2, 3])));
    }
    config
}

fn devices(config: &DomainConfig) -> Vec<Device<'_>> {
    config.disks.iter().map(Device::Disk).chain(config.vifs.iter().map(Device::Vif)).collect()
}

fn attach_all(store: &MapStore, text: &str) {
    attach(store, GUEST, &devices(&config(text))).unwrap();
}

const BOTH: &str = "disk = ['ram:64M,xvda,w', 'phy:vdb,xvdb,r']\nvif = ['ip=10.0.2.40,rate=10Mb/s,mtu=9000,antispoof=1']";

#[test]
fn a_disk_has_the_nodes_of_xen() {
    let store = MapStore::default();
    attach_all(&store, "disk = ['phy:vdb,xvdb,r']");
    let nodes = store.nodes();
    let below = |prefix: &str| -> Vec<(&str, &str)> {
        let strip = |(path, value)| Some((str::strip_prefix(path, prefix)?, value));
        nodes
            .iter()
            .map(|(path, value)| (path.as_str(), value.as_str()))
            .filter_map(strip)
            .collect()
    };
    assert_eq!(
        below("/local/domain/7/device/vbd/51728/"),
        [
            ("backend", "/local/domain/0/backend/vbd/7/51728"),
            ("backend-id", "0"),
            ("device-type", "disk"),
            ("state", "1"),
            ("trusted", "1"),
            ("virtual-device", "51728"),
        ]
    );
    assert_eq!(
        below("/local/domain/0/backend/vbd/7/51728/"),
        [
            ("bootable", "1"),
            ("dev", "xvdb"),
            ("device-type", "disk"),
            ("discard-enable", "1"),
            ("frontend", "/local/domain/7/device/vbd/51728"),
            ("frontend-id", "7"),
            ("mode", "r"),
            ("online", "1"),
            ("params", "vdb"),
            ("removable", "0"),
            ("state", "1"),
            ("type", "phy"),
        ]
    );
}

#[test]
fn a_card_has_the_nodes_of_xen() {
    let store = MapStore::default();
    attach_all(&store, BOTH);
    let value = |path: &str| store.text(Tx::NONE, path).unwrap();
    let back = "/local/domain/0/backend/vif/7/0";
    for (name, expected) in [
        ("mac", "00:16:3e:01:02:03"),
        ("bridge", "xenbr0"),
        ("handle", "0"),
        ("type", "vif"),
        ("ip", "10.0.2.40"),
        ("rate", "62500,50000"),
        ("mtu", "9000"),
        ("antispoof", "1"),
        ("isolated", "0"),
        ("frontend", "/local/domain/7/device/vif/0"),
    ] {
        assert_eq!(value(&format!("{back}/{name}")), expected, "{name}");
    }
    let front = "/local/domain/7/device/vif/0";
    assert_eq!(value(&format!("{front}/mac")), "00:16:3e:01:02:03");
    assert_eq!(value(&format!("{front}/backend")), back);
    assert_eq!(value(&format!("{front}/handle")), "0");
}

#[test]
fn each_half_owns_its_directory_and_may_read_the_other() {
    let store = MapStore::default();
    attach_all(&store, BOTH);
    let perm = |domain: DomId, rights| Perm { domain, rights };
    let of_guest = [perm(GUEST, Rights::None), perm(DomId::DOM0, Rights::Read)];
    let of_dom0 = [perm(DomId::DOM0, Rights::None), perm(GUEST, Rights::Read)];
    for (path, expected) in [
        ("/local/domain/7/device/vbd/51712", of_guest),
        ("/local/domain/7/device/vbd/51712/state", of_guest),
        ("/local/domain/7/device/vif/0", of_guest),
        ("/local/domain/7/device/vif/0/mtu", of_dom0),
        ("/local/domain/0/backend/vbd/7/51712", of_dom0),
        ("/local/domain/0/backend/vbd/7/51712/params", of_dom0),
        ("/local/domain/0/backend/vif/7/0/state", of_dom0),
    ] {
        assert_eq!(store.perms(Tx::NONE, path).unwrap(), expected, "{path}");
    }
}

#[test]
fn a_device_is_attached_once() {
    let store = MapStore::default();
    attach_all(&store, BOTH);
    let before = store.nodes();
    let again = config("disk = ['ram:4K,xvdc,w', 'ram:4K,xvda,w']");
    let error = attach(&store, GUEST, &devices(&again)).unwrap_err();
    assert!(
        error.text.contains("disk xvdc, disk xvda of domain 7") && error.text.contains("EEXIST"),
        "{error}"
    );
    assert_eq!(store.nodes(), before);
}

#[test]
fn a_removed_device_leaves_nothing() {
    let store = MapStore::default();
    store.mkdir(Tx::NONE, "/local/domain/7/device").unwrap();
    store.mkdir(Tx::NONE, "/local/domain/0/backend/vbd").unwrap();
    store.mkdir(Tx::NONE, "/local/domain/0/backend/vif").unwrap();
    let before = store.nodes();
    attach_all(&store, BOTH);
    for kind in Kind::ALL {
        for id in attached(&store, GUEST, kind) {
            remove(&store, &id).unwrap();
            remove(&store, &id).unwrap();
        }
    }
    assert_eq!(store.nodes(), before);
}

#[test]
fn the_back_halves_of_a_domain_go_with_it() {
    let store = MapStore::default();
    attach_all(&store, BOTH);
    remove_all(&store, GUEST);
    assert!(!store
        .nodes()
        .iter()
        .any(|(path, _)| path.contains("backend/vbd/7") || path.contains("backend/vif/7")));
    remove_all(&store, GUEST);
}

#[test]
fn detaching_asks_the_back_half_first() {
    let store = MapStore::default();
    attach_all(&store, BOTH);
    let ids = attached(&store, GUEST, Kind::Vbd);
    assert_eq!(ids.len(), 2);
    begin_detach(&store, &ids[0]).unwrap();
    let back = ids[0].back();
    assert_eq!(store.text(Tx::NONE, &format!("{back}/online")).unwrap(), "0");
    assert_eq!(store.text(Tx::NONE, &format!("{back}/state")).unwrap(), "5");
    assert_eq!(progress(&store, &ids[0]), Progress::Waiting);
    store.write(Tx::NONE, &format!("{back}/state"), b"6").unwrap();
    assert_eq!(progress(&store, &ids[0]), Progress::Closed);
    remove(&store, &ids[0]).unwrap();
    assert_eq!(progress(&store, &ids[0]), Progress::Gone);
    let error = begin_detach(&store, &ids[0]).unwrap_err();
    assert_eq!(error.text, "domain 7 has no disk xvda; see 'zl block-list 7'");
}

#[test]
fn progress_follows_the_back_half() {
    let store = MapStore::default();
    attach_all(&store, BOTH);
    let id = attached(&store, GUEST, Kind::Vif)[0];
    let write = |name: &str, value: &[u8]| {
        store.write(Tx::NONE, &format!("{}/{name}", id.back()), value).unwrap()
    };
    assert_eq!(progress(&store, &id), Progress::Waiting);
    write("hotplug-status", b"connected");
    assert_eq!(progress(&store, &id), Progress::Ready);
    write("hotplug-status", b"");
    for state in [b"2", b"3", b"4"] {
        write("state", state);
        assert_eq!(progress(&store, &id), Progress::Ready);
    }
    write("error", b"2 /images/x.img: no such file\nsecond line");
    assert_eq!(progress(&store, &id), Progress::Failed("/images/x.img: no such file".into()));
    write("error", b"");
    write("hotplug-status", b"error");
    assert!(matches!(progress(&store, &id), Progress::Failed(_)));
    write("hotplug-error", b"xenbr0 is full");
    assert_eq!(progress(&store, &id), Progress::Failed("xenbr0 is full".into()));
}

#[test]
fn lists_show_what_both_halves_say() {
    let store = MapStore::default();
    attach_all(&store, BOTH);
    let id = attached(&store, GUEST, Kind::Vbd)[0];
    let front = id.front();
    for (name, value) in [("ring-ref", "8"), ("event-channel", "5"), ("state", "4")] {
        store.write(Tx::NONE, &format!("{front}/{name}"), value.as_bytes()).unwrap();
    }
    // A guest may write what it likes into its own directory.
    store.write(Tx::NONE, &format!("{front}/backend"), b"/local/domain/9").unwrap();
    let row = disk_row(&store, &id);
    assert_eq!((row.vdev, row.name.as_str(), row.target.as_str()), (51712, "xvda", "ram:67108864"));
    assert_eq!((row.ring_ref, row.halves.evtch, row.halves.state), (Some(8), Some(5), Some(4)));
    assert_eq!(row.halves.backend_path, "/local/domain/0/backend/vbd/7/51712");
    store.write(Tx::NONE, &format!("{front}/ring-ref"), b"\x1b[2J99999999999").unwrap();
    assert_eq!(disk_row(&store, &id).ring_ref, None);
    let card = vif_row(&store, &attached(&store, GUEST, Kind::Vif)[0]);
    assert_eq!((card.idx, card.mac.as_str(), card.tx_ring_ref), (0, "00:16:3e:01:02:03", None));
}

proptest! {
    /// Whatever call of the store fails, all nodes of the devices are there or none.
    #[test]
    fn attaching_is_all_or_nothing(number in 0u32..80, remove_fails: bool) {
        let store = MapStore::default();
        store.mkdir(Tx::NONE, "/local/domain/7/device").unwrap();
        let before = store.nodes();
        store.fail_call(number, Errno::ENOSPC);
        let all = config(BOTH);
        let done = attach(&store, GUEST, &devices(&all));
        store.heal();
        match done {
            Ok(()) => {
                prop_assert_eq!(attached(&store, GUEST, Kind::Vbd).len(), 2);
                prop_assert_eq!(attached(&store, GUEST, Kind::Vif).len(), 1);
                if remove_fails {
                    let id = attached(&store, GUEST, Kind::Vbd)[0];
                    let there = store.nodes();
                    store.fail_call(number % 8, Errno::ENOMEM);
                    let removed = remove(&store, &id);
                    store.heal();
                    if removed.is_err() {
                        prop_assert_eq!(store.nodes(), there);
                    }
                }
            }
            Err(error) => {
                prop_assert!(error.text.contains("ENOSPC"), "{}", error);
                prop_assert_eq!(store.nodes(), before);
            }
        }
    }
}
