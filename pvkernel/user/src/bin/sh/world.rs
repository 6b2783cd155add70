//! What words ask for: output of scripts, and files.
//!
//! For `$(...)` there are two children: one runs the script, the other collects what it writes. The shell
//! itself only waits for them, so that ^C ends them as it ends a program.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use pvkernel_user::file::{entries, pipe, File};
use pvkernel_user::io::STDOUT;
use pvkernel_user::process::wait_for;
use pvkernel_user::shell::{Expanded, Script, Variables, World, MAX_BYTES};
use pvkernel_user::{sys, Result};

use crate::redirect::become_fd;
use crate::run::Shell;

impl World for Shell {
    fn variables(&self) -> &Variables {
        &self.variables
    }

    fn output(&mut self, script: &Rc<Script>) -> Expanded<String> {
        let written = self.written_by(script).map_err(|why| format!("$(...): {}", why.text()));
        let bytes = written??;
        Ok(String::from_utf8(bytes).unwrap_or_else(|bad| {
            // What is no text would be no argument.
            String::from_utf8_lossy(bad.as_bytes()).into_owned()
        }))
    }

    fn names(&mut self, folder: &str) -> Vec<String> {
        let entries = entries(folder).unwrap_or_default();
        entries.into_iter().map(|entry| entry.name).collect()
    }

    fn exists(&mut self, path: &str) -> bool {
        sys::stat(path.as_bytes()).is_ok()
    }
}

impl Shell {
    fn written_by(&mut self, script: &Script) -> Result<Expanded<Vec<u8>>> {
        let (read, write) = pipe()?;
        let writer = match sys::fork()? {
            0 => {
                drop(read);
                sys::exit(self.write_to(write, script))
            }
            pid => pid,
        };
        drop(write);
        let collected = collector(read);
        let status = wait_for(writer)?;
        let (result, collector) = collected?;
        self.substituted = self.heed(status);
        let is_whole = wait_for(collector)?.is_success();
        if status.is_killed() {
            return Ok(Err("$(...): killed".to_string()));
        }
        if !is_whole {
            return Ok(Err(format!("$(...): more than {MAX_BYTES} bytes")));
        }
        result.rest(MAX_BYTES).map(Ok)
    }

    fn write_to(&mut self, output: File, script: &Script) -> i32 {
        self.become_child();
        match become_fd(output, STDOUT) {
            Ok(()) => self.script(script),
            Err(why) => self.fail(why.text()),
        }
    }
}

/// A child that reads all there is, up to the bound, and then hands it over through a pipe that holds it
/// all. It fails when there is more.
fn collector(from: File) -> Result<(File, u32)> {
    let (read, write) = pipe()?;
    match sys::fork()? {
        0 => {
            drop(read);
            let done = from.rest(MAX_BYTES).and_then(|whole| write.write_all(&whole));
            sys::exit(i32::from(done.is_err()))
        }
        pid => Ok((read, pid)),
    }
}
