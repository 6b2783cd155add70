//! Files between the host and the control domain: `zl cp`, and what `create` sends.
//!
//! What arrives in dom0 takes the place of an older file only when all of it has come; the same holds
//! for files that come here.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use zl_cli::command::DOM0;
use zl_client::crc::Crc32;
use zl_client::message::{Bytes, Reply, Request, Room};
use zl_client::transfer::{Outgoing, CHUNK};
use zl_toolstack::ToolError;

use crate::progress::Progress;
use crate::session::{read, unexpected, Session};
use crate::Result;

/// `zl cp`: one of the two is in dom0.
pub fn copy(session: &mut Session, from: &str, to: &str) -> Result<()> {
    match (from.strip_prefix(DOM0), to.strip_prefix(DOM0)) {
        (None, Some(name)) => {
            let name = in_folder(name, from)?;
            put(session, Path::new(from), &name, Room::Disk)
        }
        (Some(name), None) => get(session, name, Path::new(to)),
        _ => Err(ToolError::usage("cp: one of the two must begin with 'dom0:'")),
    }
}

/// The name in dom0: a name that ends with a slash is a folder.
fn in_folder(name: &str, from: &str) -> Result<String> {
    if !name.ends_with('/') {
        return Ok(name.to_string());
    }
    match Path::new(from).file_name() {
        Some(last) => Ok(format!("{name}{}", last.to_string_lossy())),
        None => Err(ToolError::usage(format!("cp: {from}: which file?"))),
    }
}

/// Sends a file of the host.
pub fn put(session: &mut Session, path: &Path, name: &str, room: Room) -> Result<()> {
    let failed =
        |error: &dyn std::fmt::Display| ToolError::failed(format!("{}: {error}", path.display()));
    let mut file = File::open(path).map_err(|error| failed(&error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    if !metadata.is_file() {
        return Err(failed(&"this is no regular file; name a file"));
    }
    let len = metadata.len();
    session.send(&Request::Put { name, len, room })?;
    let mut progress = Progress::new(format!("sending {}", path.display()), len);
    let sent = send_bytes(session, &mut file, len, &mut progress, &failed);
    if sent.is_err() {
        progress.stop();
    }
    sent
}

fn send_bytes(
    session: &mut Session,
    file: &mut File,
    len: u64,
    progress: &mut Progress,
    failed: &dyn Fn(&dyn std::fmt::Display) -> ToolError,
) -> Result<()> {
    let mut outgoing = Outgoing::new(len);
    let mut chunk = vec![0; CHUNK];
    let mut has_window = false;
    progress.show(0);
    loop {
        // The first window says that the file is wanted at all.
        if has_window {
            if let Some(sum) = outgoing.finished() {
                session.send(&Request::PutEnd { sum })?;
                break;
            }
        }
        let allowed = outgoing.allowed();
        let answer = match allowed {
            0 => Some(session.frame()?),
            _ => session.frame_if_any()?,
        };
        if let Some(payload) = answer {
            match read(&payload)? {
                Reply::Window { up_to } => outgoing.window(up_to),
                other => return Err(unexpected(&other)),
            }
            has_window = true;
            continue;
        }
        let part = chunk.get_mut(..allowed).unwrap_or(&mut []);
        if let Err(error) = file.read_exact(part) {
            session.send(&Request::PutAbort)?;
            return Err(failed(&format!("{error}; the file became shorter meanwhile")));
        }
        session.send(&Request::Chunk(Bytes(part)))?;
        outgoing.sent(part);
        progress.show(outgoing.total_sent());
    }
    loop {
        let payload = session.frame()?;
        match read(&payload)? {
            Reply::Window { .. } => {}
            Reply::Stored => return Ok(()),
            other => return Err(unexpected(&other)),
        }
    }
}

/// Fetches a file of dom0.
fn get(session: &mut Session, name: &str, to: &Path) -> Result<()> {
    let to = match (to.is_dir(), Path::new(name).file_name()) {
        (true, Some(last)) => to.join(last),
        _ => to.to_path_buf(),
    };
    session.send(&Request::Get { name })?;
    let payload = session.frame()?;
    let Reply::File { len } = read(&payload)? else { return Err(unexpected(&read(&payload)?)) };
    let part = Part::new(&to)?;
    receive_bytes(session, len, part)
}

fn receive_bytes(session: &mut Session, len: u64, mut part: Part) -> Result<()> {
    let mut progress = Progress::new(format!("receiving {}", part.to.display()), len);
    let (mut came, mut crc) = (0, Crc32::default());
    progress.show(0);
    loop {
        let payload = session.frame()?;
        match read(&payload)? {
            Reply::Chunk(Bytes(bytes)) => {
                part.write(bytes)?;
                crc.add(bytes);
                came += bytes.len() as u64;
                progress.show(came);
            }
            Reply::FileEnd { sum } if sum == crc.value() && came == len => return part.keep(),
            Reply::FileEnd { .. } => {
                let text =
                    format!("{}: what came is not what was sent; try again", part.to.display());
                return Err(ToolError::failed(text));
            }
            other => return Err(unexpected(&other)),
        }
    }
}

/// A file that is not whole yet, beside the one it will be; it goes if it never is.
struct Part {
    to: PathBuf,
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl Part {
    fn new(to: &Path) -> Result<Self> {
        let mut name = to.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".part-{}", std::process::id()));
        let path = to.with_file_name(name);
        let file = File::create(&path)
            .map_err(|error| ToolError::failed(format!("{}: {error}", path.display())))?;
        Ok(Self { to: to.to_path_buf(), path, file, is_kept: false })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| ToolError::failed(format!("{}: {error}", self.path.display())))
    }

    fn keep(mut self) -> Result<()> {
        let renamed = fs::rename(&self.path, &self.to);
        renamed.map_err(|error| ToolError::failed(format!("{}: {error}", self.to.display())))?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_kept {
            // It may be gone already.
            let _ = fs::remove_file(&self.path);
        }
    }
}
