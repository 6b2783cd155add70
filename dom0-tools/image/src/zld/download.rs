//! Files a person fetches: those of the boot archive by name, those of the disk by path.

use super::remote::Remote;
use crate::files;
use crate::services::stack;
use alloc::format;
use zl_client::crc::Crc32;
use zl_client::message::{Bytes, Reply};
use zl_client::transfer::CHUNK;
use zl_files::{Kind, Stat};
use zl_toolstack::config::shown;
use zl_toolstack::staged::is_path;
use zl_toolstack::ToolError;

/// The length of a file; `None` when there is none of that name.
pub fn len_of(name: &str) -> Option<u64> {
    match is_path(name) {
        true => on_disk(name).ok().map(|stat| stat.size),
        false => archived(name).map(|data| data.len() as u64),
    }
}

/// Sends a file.
///
/// # Errors
/// There is no such file, or the disk failed.
pub fn send(remote: &Remote, name: &str) -> Result<(), ToolError> {
    let mut crc = Crc32::default();
    let mut send = |chunk: &[u8]| {
        crc.add(chunk);
        remote.say(&Reply::Chunk(Bytes(chunk)));
    };
    if is_path(name) {
        let stat = on_disk(name)?;
        remote.say(&Reply::File { len: stat.size });
        read_pieces(&stat, &mut send)?;
    } else {
        let data = archived(name).ok_or_else(|| {
            let text = format!("{}: no such file in the boot archive", shown(name));
            ToolError::failed(text + "; see 'zl dom0 ls', paths on the disk begin with '/'")
        })?;
        remote.say(&Reply::File { len: data.len() as u64 });
        data.chunks(CHUNK).for_each(send);
    }
    remote.say(&Reply::FileEnd { sum: crc.value() });
    Ok(())
}

fn read_pieces(stat: &Stat, send: &mut dyn FnMut(&[u8])) -> Result<(), ToolError> {
    let mut piece = alloc::vec![0; CHUNK];
    let mut place = 0;
    while place < stat.size {
        let count = files::with(|files| files.read(stat.id, place, &mut piece))?;
        if count == 0 {
            break;
        }
        send(piece.get(..count).unwrap_or(&[]));
        place += count as u64;
    }
    Ok(())
}

/// The archive is never given back, so its files may be held.
fn archived(name: &str) -> Option<&'static [u8]> {
    stack().archive().get(name)
}

fn on_disk(path: &str) -> Result<Stat, ToolError> {
    let stat = files::with(|files| files.stat(path))?;
    match stat.kind {
        Kind::File => Ok(stat),
        _ => Err(ToolError::failed(format!("{}: this is no file", shown(path)))),
    }
}
