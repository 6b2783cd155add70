//! The shell's commands about files, carried out.

use super::{format_disk, read, with, PIECE};
use crate::services::stack;
use crate::terminal::Terminal;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use pvkernel_xen::thread;
use zl_cli::FileVerb;
use zl_files::{Entry, FileError, FileId, Kind, What};
use zl_toolstack::config::shown;
use zl_toolstack::staged::is_path;
use zl_toolstack::{Status, ToolError};

/// Folders below each other that `rm -r` goes down.
const DEEPEST: u32 = 32;
const SECONDS_A_DAY: u64 = 86_400;

/// Carries one command out.
pub fn carry_out(verb: &FileVerb, terminal: &dyn Terminal) -> Result<Status, ToolError> {
    match verb {
        FileVerb::List { path: None, .. } => list_archive(terminal),
        FileVerb::List { path: Some(path), long } => list(path, *long, terminal)?,
        FileVerb::Show(file) => show(file, terminal)?,
        FileVerb::Copy { from, to } => copy(from, to, terminal)?,
        FileVerb::Move { from, to } => {
            let to = target(from, to)?;
            with(|files| files.rename(from, &to))?;
        }
        FileVerb::Remove { paths, recursive } => {
            for path in paths {
                remove(path, *recursive, 0)?;
            }
        }
        FileVerb::MakeFolder { paths, parents } => {
            for path in paths {
                make_folder(path, *parents)?;
            }
        }
        FileVerb::Resize { path, size } => resize(path, *size)?,
        FileVerb::Space => space(terminal)?,
        FileVerb::Sync => with(|files| files.sync())?,
        FileVerb::Format { force } => format_disk(*force)?,
    }
    Ok(Status::Ok)
}

fn failed(path: &str, what: What) -> ToolError {
    ToolError::failed(format!("{}", FileError::new(path, what)))
}

fn list_archive(terminal: &dyn Terminal) {
    let mut text = String::new();
    for (name, data) in stack().archive().files() {
        text.push_str(&format!("{:>9} {name}\n", data.len()));
    }
    terminal.print(&text);
}

fn list(path: &str, long: bool, terminal: &dyn Terminal) -> Result<(), ToolError> {
    let entries = with(|files| {
        let stat = files.stat(path)?;
        match stat.kind {
            Kind::Folder => files.list(path),
            _ => Ok(Vec::from([Entry { name: String::from(path), stat }])),
        }
    })?;
    let mut text = String::new();
    for Entry { name, stat } in &entries {
        let mark = if stat.kind == Kind::Folder { "/" } else { "" };
        if long {
            let when = date(stat.changed_s);
            text.push_str(&format!("{:>12} {:>12} {when} ", stat.size, stat.used));
        } else {
            text.push_str(&format!("{:>12} ", stat.size));
        }
        text.push_str(&format!("{}{mark}\n", shown(name)));
    }
    terminal.print(&text);
    Ok(())
}

/// A day and a time of day, UTC.
fn date(seconds: u64) -> String {
    let (days, time) = (seconds / SECONDS_A_DAY, seconds % SECONDS_A_DAY);
    // Days since 1 March of year 0, so that the leap day is the last of its year.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (time / 3600, time / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

fn show(file: &str, terminal: &dyn Terminal) -> Result<(), ToolError> {
    let data = match is_path(file) {
        true => read(file)?,
        false => archived(file, "cat")?,
    };
    let text = core::str::from_utf8(&data).map_err(|_| {
        let (file, len) = (shown(file), data.len());
        ToolError::failed(format!("cat: {file}: {len} bytes that are not text; it may be a kernel"))
    })?;
    terminal.print(text);
    if !text.ends_with('\n') {
        terminal.print("\n");
    }
    Ok(())
}

fn archived(file: &str, who: &str) -> Result<Vec<u8>, ToolError> {
    let stack = stack();
    let found = stack.archive().get(file).map(<[u8]>::to_vec);
    found.ok_or_else(|| {
        let file = shown(file);
        let text = format!("{who}: {file}: no such file in the boot archive; see 'ls'");
        ToolError::failed(text)
    })
}

/// The path something gets: inside of `to` if that is a folder.
fn target(from: &str, to: &str) -> Result<String, ToolError> {
    let is_folder = match with(|files| files.stat(to)) {
        Ok(stat) => stat.kind == Kind::Folder,
        Err(_) => false,
    };
    let name = from.trim_end_matches('/').rsplit('/').next().unwrap_or(from);
    Ok(match is_folder {
        true => format!("{}/{name}", to.trim_end_matches('/')),
        false => String::from(to),
    })
}

/// Copies piece by piece. What was begun is removed when it cannot be ended.
fn copy(from: &str, to: &str, terminal: &dyn Terminal) -> Result<(), ToolError> {
    let source = match is_path(from) {
        true => Source::Disk(with(|files| files.open(from))?),
        false => Source::Archive(archived(from, "cp")?),
    };
    let to = target(from, to)?;
    let file = with(|files| files.create(&to))?;
    let copied = copy_into(&source, file, terminal);
    if copied.is_err() {
        with(|files| files.remove(&to))?;
    }
    copied
}

enum Source {
    Disk(FileId),
    Archive(Vec<u8>),
}

fn copy_into(source: &Source, file: FileId, terminal: &dyn Terminal) -> Result<(), ToolError> {
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    loop {
        let piece = match source {
            Source::Archive(data) => {
                let rest = data.get(at..).unwrap_or_default();
                rest.get(..rest.len().min(PIECE)).unwrap_or_default()
            }
            Source::Disk(from) => {
                let count = with(|files| files.read(*from, at as u64, &mut buffer))?;
                buffer.get(..count).unwrap_or_default()
            }
        };
        if piece.is_empty() {
            return Ok(());
        }
        with(|files| files.write(file, at as u64, piece))?;
        at += piece.len();
        if terminal.take_interrupt() {
            return Err(ToolError::failed("interrupted; the copy was removed"));
        }
        thread::yield_now();
    }
}

fn remove(path: &str, recursive: bool, depth: u32) -> Result<(), ToolError> {
    let stat = with(|files| files.stat(path))?;
    if stat.kind != Kind::Folder {
        return with(|files| files.remove(path));
    }
    if !recursive {
        let text = format!("{}; 'rm -r' removes folders", FileError::new(path, What::IsFolder));
        return Err(ToolError::failed(text));
    }
    if depth > DEEPEST {
        return Err(failed(path, What::BadPath));
    }
    for entry in with(|files| files.list(path))? {
        remove(&format!("{}/{}", path.trim_end_matches('/'), entry.name), true, depth + 1)?;
        thread::yield_now();
    }
    match path.trim_matches('/') {
        "" => Ok(()),
        _ => with(|files| files.remove_folder(path)),
    }
}

fn make_folder(path: &str, parents: bool) -> Result<(), ToolError> {
    if !parents {
        return with(|files| files.make_folder(path));
    }
    let ends = path.char_indices().filter(|(at, c)| *at > 0 && *c == '/').map(|(at, _)| at);
    for end in ends.chain([path.len()]) {
        let part = path.get(..end).unwrap_or(path);
        with(|files| match files.make_folder(part) {
            Err(error) if error.what == What::Exists => match files.stat(part)?.kind {
                Kind::Folder => Ok(()),
                _ => Err(FileError::new(part, What::NotFolder)),
            },
            other => other,
        })?;
    }
    Ok(())
}

fn resize(path: &str, size: u64) -> Result<(), ToolError> {
    with(|files| {
        let (file, is_new) = match files.open(path) {
            Ok(file) => (file, false),
            Err(error) if error.what == What::Missing => (files.create(path)?, true),
            Err(error) => return Err(error),
        };
        let sized = files.set_size(file, size);
        if sized.is_err() && is_new {
            files.remove(path)?;
        }
        sized.map_err(|error| FileError::new(path, error.what))
    })
}

fn space(terminal: &dyn Terminal) -> Result<(), ToolError> {
    let space = with(|files| Ok(files.space()))?;
    let used = space.total.saturating_sub(space.free);
    let kib = |bytes: u64| bytes >> 10;
    let percent = (used * 100).checked_div(space.total).unwrap_or(0);
    terminal.print(&format!(
        "{:<10} {:>12} {:>12} {:>12} {:>5}\n{:<10} {:>12} {:>12} {:>12} {percent:>4}%\n",
        "disk",
        "KiB",
        "used",
        "free",
        "use",
        "vda",
        kib(space.total),
        kib(used),
        kib(space.free)
    ));
    Ok(())
}
