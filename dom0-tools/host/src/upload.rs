//! The files `zl create FILE` needs that lie on the host.
//!
//! The configuration is read here as dom0 will read it, and every file it names is looked for beside
//! it. Kernel, ramdisk and the configuration itself go into dom0's memory, under the names they have
//! in the configuration and for this connection only; disk images go to dom0's disk, once: a disk that
//! is there already keeps what its domain wrote. What is not on the host is left to dom0.

use std::fs;
use std::path::{Path, PathBuf};

use zl_client::message::{Reply, Request, Room};
use zl_toolstack::config::disk::Backing;
use zl_toolstack::config::{read_config, DomainConfig};
use zl_toolstack::ToolError;

use crate::copy::put;
use crate::session::{read, unexpected, Session};
use crate::Result;

/// Longest configuration that is taken for one.
const LONGEST_CONFIG: u64 = 1 << 20;

/// A file to send.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    path: PathBuf,
    name: String,
    room: Room,
}

/// Sends what a configuration names and the host has; only the configuration when nothing is to be
/// created of it.
pub fn send_for(
    session: &mut Session,
    file: &str,
    overrides: &[String],
    only_config: bool,
) -> Result<()> {
    let path = Path::new(file);
    let Some(bytes) = config_bytes(path)? else { return Ok(()) };
    let config = read_config(file, &bytes, overrides)?.config;
    let folder = path.parent().unwrap_or(Path::new(""));
    let wanted = if only_config { Vec::new() } else { files_of(&config, folder) };
    for wanted in wanted {
        send(session, &wanted)?;
    }
    let config = Wanted { path: path.to_path_buf(), name: file.to_string(), room: Room::Memory };
    send(session, &config)
}

/// The bytes of a configuration on the host; `None` when dom0 is to look for it.
fn config_bytes(path: &Path) -> Result<Option<Vec<u8>>> {
    let failed =
        |error: &dyn std::fmt::Display| ToolError::failed(format!("{}: {error}", path.display()));
    match path.metadata() {
        Ok(metadata) if metadata.len() > LONGEST_CONFIG => {
            Err(failed(&"longer than 1 MiB, so it is no configuration; name a .cfg file"))
        }
        Ok(metadata) if metadata.is_file() => {
            fs::read(path).map(Some).map_err(|error| failed(&error))
        }
        Ok(_) => Err(failed(&"this is no regular file; name a .cfg file")),
        Err(_) => Ok(None),
    }
}

/// The files of a configuration that lie on the host.
fn files_of(config: &DomainConfig, folder: &Path) -> Vec<Wanted> {
    let in_memory = [Some(&config.kernel), config.ramdisk.as_ref()].into_iter().flatten();
    let in_memory = in_memory.map(|name| (name, name.clone(), Room::Memory));
    let on_disk = config.disks.iter().filter_map(|disk| match &disk.target {
        Backing::File(name) => Some((name, disk.target.params(), Room::Disk)),
        _ => None,
    });
    let wanted = in_memory.chain(on_disk).map(|(local, name, room)| Wanted {
        path: folder.join(local),
        name,
        room,
    });
    wanted.filter(|wanted| wanted.path.is_file()).collect()
}

fn send(session: &mut Session, wanted: &Wanted) -> Result<()> {
    if wanted.room == Room::Disk && is_there(session, &wanted.name)? {
        let (local, name) = (wanted.path.display(), &wanted.name);
        eprintln!("{local}: dom0 has {name} and keeps it; 'zl cp {local} dom0:{name}' replaces it");
        return Ok(());
    }
    put(session, &wanted.path, &wanted.name, wanted.room)
}

fn is_there(session: &mut Session, name: &str) -> Result<bool> {
    session.send(&Request::Has { name })?;
    let payload = session.frame()?;
    match read(&payload)? {
        Reply::Found(found) => Ok(found.is_some()),
        other => Err(unexpected(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_the_configuration_is_sent_and_the_rest_is_not() {
        let folder = std::env::temp_dir().join(format!("zl-upload-{}", std::process::id()));
        fs::create_dir_all(folder.join("img")).unwrap();
        for file in ["kernel", "img/a.img"] {
            fs::write(folder.join(file), "x").unwrap();
        }
        let text = b"name='x'\nkernel='kernel'\nramdisk='inside'\n\
            disk=['file:img/a.img,xvda,w', 'file:other.img,xvdb,w', 'ram:64M,xvdc,w']";
        let config = read_config("x.cfg", text, &[]).unwrap().config;
        let found = files_of(&config, &folder);
        fs::remove_dir_all(&folder).unwrap();
        let names: Vec<_> = found.iter().map(|file| (file.name.as_str(), file.room)).collect();
        assert_eq!(names, [("kernel", Room::Memory), ("/images/img/a.img", Room::Disk)]);
        assert_eq!(found[0].path, folder.join("kernel"));
    }

    #[test]
    fn configurations_that_are_none_are_refused_before_anything_is_sent() {
        assert_eq!(config_bytes(Path::new("/nonexistent.cfg")), Ok(None));
        let error = config_bytes(Path::new("/proc")).unwrap_err();
        assert!(error.text.contains("no regular file"), "{error}");
    }
}
