//! Where a run is: its port on the loopback address and its token.
//!
//! `cargo xtask run` writes a file per run (`offer`), readable by its owner only, and removes it at
//! the end. Who
//! has the file has the run. `zl` takes the one that `--run` or `ZENDO_RUN` names, else the newest of
//! a run that lives.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use zl_client::Token;

use crate::{unreachable, Result};

/// Version of the file's form.
const VERSION: u32 = 1;
/// Names the file, if set.
const VARIABLE: &str = "ZENDO_RUN";
/// The folder of run files, below a checkout.
const FOLDER: &str = "target/zendo/run";
/// Longest file that is read.
const LONGEST: u64 = 4096;

/// What `zl` needs to know about a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The port on the loopback address.
    pub port: u16,
    /// The secret.
    pub token: Token,
    /// The process that runs it.
    pub pid: u32,
    /// The file that says so.
    pub file: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Form {
    v: u32,
    port: u16,
    token: String,
    pid: u32,
}

/// A token that nobody can guess.
///
/// # Errors
/// The host gives no random numbers.
pub fn new_token() -> io::Result<Token> {
    random().map(Token::new)
}

/// Random bytes of the host.
pub(crate) fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The text of a run file.
pub(crate) fn text(port: u16, token: &Token, pid: u32) -> io::Result<String> {
    let form = Form { v: VERSION, port, token: token.digits().to_string(), pid };
    serde_json::to_string(&form).map_err(io::Error::other)
}

/// Reads one run file.
///
/// # Errors
/// It is missing or no run file.
pub fn read(file: &Path) -> Result<Run> {
    let wrong = |what: &dyn std::fmt::Display| {
        unreachable(format!(
            "{}: {what}; a run file is what 'cargo xtask run' writes",
            file.display()
        ))
    };
    let mut text = String::new();
    let opened = File::open(file).map_err(|error| wrong(&error))?;
    opened.take(LONGEST).read_to_string(&mut text).map_err(|error| wrong(&error))?;
    let form: Form = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    if form.v != VERSION {
        return Err(wrong(&format!("version {} is not {VERSION}", form.v)));
    }
    let token = Token::parse(&form.token).ok_or_else(|| wrong(&"the token is not 64 digits"))?;
    Ok(Run { port: form.port, token, pid: form.pid, file: file.to_path_buf() })
}

/// The run to talk to: `given`, or what the environment names, or the newest that lives.
///
/// # Errors
/// There is none, as one line that says what to do.
pub fn find(given: Option<&Path>) -> Result<Run> {
    if let Some(file) = given {
        return read(file);
    }
    if let Some(file) = env::var_os(VARIABLE).filter(|file| !file.is_empty()) {
        return read(Path::new(&file));
    }
    newest(&folders())
}

/// Folders in which run files may be: of the checkout around this place, of the one this program was
/// started from, of the one it was built from.
fn folders() -> Vec<PathBuf> {
    let here = env::current_dir().ok();
    let program = env::current_exe().ok();
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let starts = [here, program, Some(built)].into_iter().flatten();
    let mut found: Vec<PathBuf> = Vec::new();
    for start in starts {
        let folder = start.ancestors().map(|above| above.join(FOLDER)).find(|f| f.is_dir());
        found.extend(folder.filter(|folder| !found.contains(folder)));
    }
    found
}

/// The newest run that lives, of the first folder that has one.
fn newest(folders: &[PathBuf]) -> Result<Run> {
    for folder in folders {
        let Ok(entries) = folder.read_dir() else { continue };
        let files = entries.flatten().map(|entry| entry.path());
        let runs = files.filter_map(|file| Some((age(&file)?, read(&file).ok()?)));
        let mut live: Vec<_> = runs.filter(|(_, run)| lives(run.pid)).collect();
        live.sort_by_key(|(age, _)| *age);
        let count = live.len();
        if let Some((_, run)) = live.pop() {
            if count > 1 {
                let file = run.file.display();
                eprintln!("zl: {count} runs live, the newest is {file}; choose with --run FILE");
            }
            return Ok(run);
        }
    }
    let advice = "start one with 'cargo xtask run', or name its file with --run FILE";
    Err(unreachable(format!("no run of Zendo was found; {advice}")))
}

fn age(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|data| data.modified()).ok()
}

pub(crate) fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists() || !Path::new("/proc/self").exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("zl-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn the_newest_run_that_lives_is_taken() {
        let folder = folder("newest");
        fs::create_dir_all(&folder).unwrap();
        let token = new_token().unwrap();
        let me = std::process::id();
        // A process with the largest number is not there.
        for (name, port, pid) in [("a", 1, me), ("b", 2, me), ("dead", 3, u32::MAX)] {
            let text = text(port, &token, pid).unwrap();
            fs::write(folder.join(format!("{name}.json")), text).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        fs::write(folder.join("nonsense.json"), "{").unwrap();
        let run = newest(&[PathBuf::from("/nonexistent"), folder.clone()]).unwrap();
        assert_eq!((run.port, run.pid), (2, me));
        assert!(run.token == token);
        for name in ["a", "b"] {
            fs::remove_file(folder.join(format!("{name}.json"))).unwrap();
        }
        let error = newest(std::slice::from_ref(&folder)).unwrap_err();
        assert!(error.text.starts_with("no run of Zendo was found; start one"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn files_that_are_no_run_files_are_refused_in_one_line() {
        let folder = folder("wrong");
        fs::create_dir_all(&folder).unwrap();
        for (text, part) in [
            ("", "EOF while parsing"),
            ("{\"v\":2,\"port\":1,\"token\":\"\",\"pid\":1}", "version 2 is not 1"),
            ("{\"v\":1,\"port\":1,\"token\":\"ab\",\"pid\":1}", "the token is not 64 digits"),
            ("{\"v\":1,\"port\":70000,\"token\":\"\",\"pid\":1}", "invalid value"),
        ] {
            let file = folder.join("run.json");
            fs::write(&file, text).unwrap();
            let error = read(&file).unwrap_err();
            assert!(error.text.contains(part) && !error.text.contains('\n'), "{error}");
            assert_eq!(error.status.number(), 6);
        }
        assert!(read(Path::new("/nonexistent")).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
