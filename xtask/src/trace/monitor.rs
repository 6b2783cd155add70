//! QEMU's own monitor, over a socket: one command at a time, each answered by a prompt.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Result;

const PROMPT: &[u8] = b"(qemu) ";

/// How long a command may take.
const WITHIN: Duration = Duration::from_secs(20);

/// The words that make QEMU listen at `socket`.
pub fn words(socket: &Path) -> [String; 2] {
    ["-monitor".to_string(), format!("unix:{},server=on,wait=off", socket.display())]
}

/// A connection.
pub struct Monitor {
    stream: UnixStream,
    socket: PathBuf,
}

impl Monitor {
    /// Connects to a machine that runs already.
    pub fn connect(socket: &Path) -> Result<Monitor> {
        let failed = |error| format!("QEMU's monitor at {}: {error}", socket.display());
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_read_timeout(Some(WITHIN)).map_err(failed)?;
        let mut monitor = Monitor { stream, socket: socket.to_path_buf() };
        monitor.answer()?;
        Ok(monitor)
    }

    /// Runs a command that answers nothing if it succeeds.
    pub fn command(&mut self, command: &str) -> Result<()> {
        let sent = self.stream.write_all(format!("{command}\n").as_bytes());
        sent.map_err(|error| format!("QEMU's monitor: {error}"))?;
        let answer = self.answer()?;
        match complaint(&answer) {
            None => Ok(()),
            Some(text) => Err(format!("QEMU's monitor refused `{command}`: {text}")),
        }
    }

    /// Everything up to the next prompt.
    fn answer(&mut self) -> Result<String> {
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        while !answer.ends_with(PROMPT) {
            match self.stream.read(&mut chunk) {
                Ok(count @ 1..) => answer.extend_from_slice(&chunk[..count]),
                Ok(0) => return Err("QEMU closed its monitor".to_string()),
                Err(error) => return Err(format!("{}: {error}", self.socket.display())),
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// What an answer says besides the echo of the command, whose line ends in an escape sequence.
fn complaint(answer: &str) -> Option<String> {
    let said = answer.lines().skip(1).map(str::trim);
    let mut lines = said.filter(|line| !line.is_empty() && *line != "(qemu)");
    lines.next().map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_only_the_echo_is_success() {
        assert_eq!(complaint("singlestep on\u{1b}[K\r\n(qemu) "), None);
        let refused = "logg\u{1b}[K\r\nunknown command: 'logg'\r\n(qemu) ";
        assert_eq!(complaint(refused).as_deref(), Some("unknown command: 'logg'"));
    }
}
