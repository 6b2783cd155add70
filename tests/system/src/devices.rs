//! Disks and network cards of the emulated machine, as words of QEMU's command line.
//!
//! Each becomes a modern virtio device on the PCI bus, in the order of the lists, so that dom0 finds
//! them in that order. A machine with neither gets no word at all, and looks as it did before there
//! were devices. Networks are QEMU's user network: no right of the host's is needed, and nothing but
//! the forwarded ports of the loopback address leads in.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// The card that leads out: the switch in dom0 joins it to the guests.
pub const UPLINK_MAC: &str = "52:54:00:5a:4c:00";

/// The card at which dom0 is managed, and which nothing else may use.
pub const MANAGEMENT_MAC: &str = "52:54:00:5a:4c:01";

/// Dom0's address on the network of management, as QEMU's DHCP server gives it to the only card there.
pub const MANAGEMENT_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 15);

/// The port at which dom0 is managed.
pub const MANAGEMENT_PORT: u16 = 7420;

/// The guest the forwarded port of the web leads to.
pub const WEB_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 80);

/// A disk on the PCI bus, whose contents are a file of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The file, raw: byte for byte what the machine sees.
    pub file: PathBuf,
    /// Whether the machine may only read it.
    pub read_only: bool,
    /// Whether a flush of the machine need not reach the host's disk: for tests, whose files nobody
    /// misses after a power failure of the host.
    pub may_lose: bool,
}

impl Disk {
    /// A disk for the files of a test: fast, and gone when the host fails.
    pub fn scratch(file: &Path) -> Disk {
        Disk { file: file.to_path_buf(), read_only: false, may_lose: true }
    }

    /// A disk for files somebody wants to keep.
    pub fn kept(file: &Path) -> Disk {
        Disk { file: file.to_path_buf(), read_only: false, may_lose: false }
    }
}

/// A TCP port of the host's loopback address that leads into the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The port at 127.0.0.1.
    pub host_port: u16,
    /// The address in the machine's network.
    pub guest_ip: Ipv4Addr,
    /// The port there.
    pub guest_port: u16,
}

/// A network card on the PCI bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Its address.
    pub mac: String,
    /// The network behind it, where that is not QEMU's 10.0.2.0/24.
    pub network: Option<String>,
    /// Whether the network leads nowhere but to the forwarded ports.
    pub is_restricted: bool,
    /// Ports that lead in.
    pub forwards: Vec<Forward>,
}

impl Nic {
    /// The card that leads out, with the ports that lead in.
    pub fn uplink(forwards: Vec<Forward>) -> Nic {
        Nic { mac: UPLINK_MAC.to_string(), network: None, is_restricted: false, forwards }
    }

    /// The card of management, reached at `host_port`.
    pub fn management(host_port: u16) -> Nic {
        let forward = Forward { host_port, guest_ip: MANAGEMENT_IP, guest_port: MANAGEMENT_PORT };
        Nic {
            mac: MANAGEMENT_MAC.to_string(),
            network: Some("10.0.3.0/24".to_string()),
            is_restricted: true,
            forwards: vec![forward],
        }
    }
}

/// The words for all devices.
pub fn words(disks: &[Disk], nics: &[Nic]) -> Vec<String> {
    let disks = disks.iter().enumerate().flat_map(|(index, disk)| disk_words(index, disk));
    let nics = nics.iter().enumerate().flat_map(|(index, nic)| nic_words(index, nic));
    disks.chain(nics).collect()
}

fn disk_words(index: usize, disk: &Disk) -> [String; 4] {
    let file = disk.file.display().to_string().replace(',', ",,");
    let mut drive = format!("if=none,id=d{index},format=raw,discard=unmap,file={file}");
    if disk.may_lose {
        drive.push_str(",cache=unsafe");
    }
    if disk.read_only {
        drive.push_str(",read-only=on");
    }
    let device = format!("virtio-blk-pci,drive=d{index},disable-legacy=on");
    ["-drive".to_string(), drive, "-device".to_string(), device]
}

fn nic_words(index: usize, nic: &Nic) -> [String; 4] {
    let mut network = format!("user,id=n{index}");
    if let Some(net) = &nic.network {
        network.push_str(&format!(",net={net}"));
    }
    if nic.is_restricted {
        network.push_str(",restrict=on");
    }
    for Forward { host_port, guest_ip, guest_port } in &nic.forwards {
        // Writing to a string cannot fail.
        let _ = write!(network, ",hostfwd=tcp:127.0.0.1:{host_port}-{guest_ip}:{guest_port}");
    }
    let mac = &nic.mac;
    // No option ROM: nothing is booted over the network, and it costs the firmware time.
    let device = format!("virtio-net-pci,netdev=n{index},mac={mac},disable-legacy=on,romfile=");
    ["-netdev".to_string(), network, "-device".to_string(), device]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_devices_gets_no_word() {
        assert!(words(&[], &[]).is_empty());
    }

    #[test]
    fn disks_and_cards_come_in_order_with_names_of_their_own() {
        let read_only = Disk { read_only: true, ..Disk::kept(Path::new("b,c.img")) };
        let line = words(&[Disk::scratch(Path::new("a.img")), read_only], &[Nic::uplink(vec![])]);
        let expected = [
            "-drive if=none,id=d0,format=raw,discard=unmap,file=a.img,cache=unsafe",
            "-device virtio-blk-pci,drive=d0,disable-legacy=on",
            "-drive if=none,id=d1,format=raw,discard=unmap,file=b,,c.img,read-only=on",
            "-device virtio-blk-pci,drive=d1,disable-legacy=on",
            "-netdev user,id=n0",
            "-device virtio-net-pci,netdev=n0,mac=52:54:00:5a:4c:00,disable-legacy=on,romfile=",
        ];
        assert_eq!(line.join(" "), expected.join(" "));
    }

    #[test]
    fn the_card_of_management_leads_nowhere_but_to_its_port_on_the_loopback_address() {
        let line = words(&[], &[Nic::management(4000)]).join(" ");
        assert!(line.contains("net=10.0.3.0/24,restrict=on,"), "{line}");
        assert!(line.contains("hostfwd=tcp:127.0.0.1:4000-10.0.3.15:7420"), "{line}");
    }
}
