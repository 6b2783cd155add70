//! The devices of a machine that a person runs: dom0's disk, further ones, and two network cards.
//!
//! `run`, `xen run` and `gdb` use it. Dom0's own disk is a sparse file beside the images which stays
//! from run to run; nothing here replaces it unless `--fresh-disk` says so. Ports are those of the
//! loopback address only.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use system_tests::devices::{Disk, Forward, Nic, WEB_IP};
use system_tests::disk_image;
use system_tests::qemu::Boot;

use crate::args::Args;
use crate::paths::Paths;
use crate::Result;

/// Bytes of a new disk of dom0; the file is sparse.
const DOM0_DISK_BYTES: u64 = 512 << 20;

/// Where a person looks for the web page of a guest, and how many ports behind it are tried.
const WEB_PORT: u16 = 8080;
const WEB_PORT_TRIES: u16 = 100;

/// What is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices {
    own_disk: bool,
    fresh: bool,
    disks: Vec<PathBuf>,
    net: bool,
}

/// The host's ports that lead into a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// To the guest that serves pages.
    pub web: u16,
    /// To dom0's management.
    pub management: u16,
}

impl Devices {
    /// Takes `--no-disk`, `--fresh-disk`, `--no-net` and each `--disk FILE` from the command line.
    pub fn take(args: &mut Args) -> Result<Devices> {
        let mut disks = Vec::new();
        while let Some(file) = args.value("--disk")? {
            disks.push(existing(&file)?);
        }
        let (own_disk, fresh) = (!args.flag("--no-disk"), args.flag("--fresh-disk"));
        Ok(Devices { own_disk, fresh, disks, net: !args.flag("--no-net") })
    }

    /// The machine's own disk, if it is wanted: made when it is not there, or not wanted as it is.
    pub fn own_disk(&self, path: &Path, bytes: u64) -> Result<Option<Disk>> {
        if !self.own_disk {
            return Ok(None);
        }
        if self.fresh && path.exists() {
            fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        if !path.exists() {
            disk_image::make(path, bytes)?;
        }
        Ok(Some(Disk::kept(path)))
    }

    /// Files of the disks that were named.
    pub fn further(&self) -> &[PathBuf] {
        &self.disks
    }

    /// Whether the machine has a network.
    pub fn has_net(&self) -> bool {
        self.net
    }

    /// Adds them to a machine; the answer is where its networks are reached, if it has any.
    pub fn attach(&self, paths: &Paths, boot: &mut Boot) -> Result<Option<Ports>> {
        boot.disks.extend(self.own_disk(&paths.images().join("dom0.img"), DOM0_DISK_BYTES)?);
        boot.disks.extend(self.disks.iter().map(|file| Disk::kept(file)));
        if !self.net {
            return Ok(None);
        }
        let ports = Ports { web: web_port()?, management: free_port()? };
        let web = Forward { host_port: ports.web, guest_ip: WEB_IP, guest_port: 80 };
        boot.nics.push(Nic::uplink(vec![web]));
        boot.nics.push(Nic::management(ports.management));
        Ok(Some(ports))
    }
}

/// The file of a further disk, refused here and not by QEMU if it cannot be one.
fn existing(file: &str) -> Result<PathBuf> {
    let found = fs::metadata(file).map_err(|error| format!("--disk {file}: {error}"))?;
    match found.len() {
        0 => Err(format!("--disk {file}: it is empty, so the disk would have no sector")),
        bytes if bytes % 512 != 0 => {
            Err(format!("--disk {file}: its {bytes} bytes are no multiple of 512, a sector"))
        }
        _ => Ok(PathBuf::from(file)),
    }
}

/// The first free port from the usual one on.
fn web_port() -> Result<u16> {
    let mut tried = WEB_PORT..WEB_PORT + WEB_PORT_TRIES;
    let last = tried.end - 1;
    tried
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or(format!("no port of 127.0.0.1 from {WEB_PORT} to {last} is free; try --no-net"))
}

/// A port nobody listens at. Another program may take it before QEMU does; QEMU then says so.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Result<Devices> {
        let mut args = Args::new(text.split_whitespace().map(str::to_string).collect());
        let devices = Devices::take(&mut args)?;
        args.finish().map(|()| devices)
    }

    #[test]
    fn a_person_gets_a_disk_and_a_network_unless_they_are_refused() {
        let all = taken("");
        assert_eq!(all, Ok(Devices { own_disk: true, fresh: false, disks: vec![], net: true }));
        let none = taken("--no-net --no-disk");
        assert_eq!(none, Ok(Devices { own_disk: false, fresh: false, disks: vec![], net: false }));
    }

    #[test]
    fn a_further_disk_must_be_a_file_of_whole_sectors() {
        let error = taken("--disk /nonexistent.img").expect_err("there is none");
        assert!(error.starts_with("--disk /nonexistent.img: "), "{error}");
        let file = std::env::temp_dir().join(format!("zendo-disk-{}", std::process::id()));
        fs::write(&file, [0; 700]).expect("a temporary file");
        let text = format!("--disk {}", file.display());
        let error = taken(&text).expect_err("700 bytes are no disk");
        assert!(error.contains("no multiple of 512"), "{error}");
        fs::write(&file, [0; 1024]).expect("a temporary file");
        let twice = taken(&format!("{text} {text}")).map(|devices| devices.disks.len());
        fs::remove_file(&file).expect("the temporary file");
        assert_eq!(twice, Ok(2));
    }

    #[test]
    fn a_used_port_is_passed_over() {
        let first = web_port().expect("a free port");
        let _taken = TcpListener::bind(("127.0.0.1", first)).expect("it was free");
        assert!(web_port().expect("another free port") > first);
    }
}
