//! One running QEMU and its serial line.
//!
//! A reader thread collects everything the machine prints; [`Machine::expect`] waits for text with
//! a deadline and consumes up to it. A guard thread ends a machine that outlives its limit, and
//! dropping the machine ends it too, always through the handle of the process that was started.
//! A line in which the hypervisor reports a bug of its own fails every later wait.

use std::fmt;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::exit_code::End;
use crate::qemu::Boot;

/// No machine of the tests lives longer than this.
const LIFE_LIMIT: Duration = Duration::from_secs(300);

/// How long the last words of a dying hypervisor are waited for.
const EPITAPH: Duration = Duration::from_millis(1500);

/// More than any test prints; a machine that prints more is in a loop.
const OUTPUT_LIMIT_BYTES: usize = 64 << 20;

/// Why a wait did not end as wished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure(text)
    }
}

/// What the reader threads have collected.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    /// What QEMU itself has said amid a line of the machine, until that line ends.
    aside: Vec<u8>,
    open_streams: usize,
    overflowed: bool,
}

impl Output {
    /// Every stream was read to its end: nothing more will come.
    fn ended(&self) -> bool {
        self.open_streams == 0
    }

    /// Takes what a stream brought. QEMU's own words, on standard error, wait for the end of a line:
    /// a warning in the middle of a word would hide the word.
    fn take(&mut self, source: Source, bytes: &[u8]) {
        match source {
            Source::Machine => self.bytes.extend_from_slice(bytes),
            Source::Qemu => self.aside.extend_from_slice(bytes),
        }
        if self.bytes.last().is_none_or(|byte| *byte == b'\n') {
            self.bytes.append(&mut self.aside);
        }
    }

    fn len(&self) -> usize {
        self.bytes.len() + self.aside.len()
    }

    /// One stream has ended.
    fn end(&mut self) {
        self.open_streams -= 1;
        if self.ended() {
            self.bytes.append(&mut self.aside);
        }
    }
}

/// Who speaks through a stream.
#[derive(Clone, Copy)]
enum Source {
    /// Standard output: the serial line.
    Machine,
    /// Standard error.
    Qemu,
}

#[derive(Default)]
struct Line {
    output: Mutex<Output>,
    changed: Condvar,
}

impl Line {
    /// A reader that panicked has still left valid bytes behind.
    fn lock(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A QEMU process under watch.
pub struct Machine {
    child: Arc<Mutex<Child>>,
    stdin: Option<ChildStdin>,
    line: Arc<Line>,
    consumed: usize,
    started: Instant,
}

impl Machine {
    /// Starts QEMU.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(boot: &Boot) -> Result<Machine, Failure> {
        Machine::spawn(boot.command())
    }

    /// Starts any program that speaks through its standard streams, as QEMU does here.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(mut command: Command) -> Result<Machine, Failure> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let started = Instant::now();
        let mut child = command
            .spawn()
            .map_err(|error| Failure(format!("{program} could not be started: {error}")))?;
        let line = Arc::new(Line::default());
        let stdin = child.stdin.take();
        let streams = [
            child.stdout.take().map(|stream| (Source::Machine, boxed(stream))),
            child.stderr.take().map(|stream| (Source::Qemu, boxed(stream))),
        ];
        line.lock().open_streams = streams.iter().flatten().count();
        for (source, stream) in streams.into_iter().flatten() {
            let line = Arc::clone(&line);
            thread::spawn(move || collect(stream, source, &line));
        }
        let child = Arc::new(Mutex::new(child));
        guard(&child, started + LIFE_LIMIT);
        Ok(Machine { child, stdin, line, consumed: 0, started })
    }

    /// When QEMU was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Waits for `text` and returns what came before it; both are consumed.
    ///
    /// # Errors
    /// When the deadline passes, the machine ends, or the hypervisor reports a bug first.
    pub fn expect(&mut self, text: &str, within: Duration) -> Result<String, Failure> {
        self.expect_any(&[text], within).map(|(_, before)| before)
    }

    /// Waits for whichever of `texts` comes first; returns its index and what came before it.
    ///
    /// # Errors
    /// As [`Machine::expect`].
    pub fn expect_any(
        &mut self,
        texts: &[&str],
        within: Duration,
    ) -> Result<(usize, String), Failure> {
        let deadline = Instant::now() + within;
        let line = Arc::clone(&self.line);
        let mut output = line.lock();
        loop {
            let fresh = output.bytes.get(self.consumed..).unwrap_or_default();
            if let Some(bug) = reported_bug(from_line_start(&output.bytes, self.consumed)) {
                drop(output);
                return Err(self.epitaph(&bug));
            }
            if let Some((index, start, end)) = first_match(fresh, texts) {
                let before = String::from_utf8_lossy(fresh.get(..start).unwrap_or_default());
                let before = before.into_owned();
                self.consumed += end;
                return Ok((index, before));
            }
            if output.overflowed {
                return Err(Failure(format!("more than {OUTPUT_LIMIT_BYTES} bytes were printed")));
            }
            if output.ended() {
                drop(output);
                return Err(self.gone(texts));
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return Err(timed_out(texts, within, fresh));
            };
            output = wait(&line, output, left);
        }
    }

    /// Types `text`.
    ///
    /// # Errors
    /// When the machine is gone.
    pub fn send(&mut self, text: &str) -> Result<(), Failure> {
        let stdin = self.stdin.as_mut().ok_or(Failure("the serial line is closed".into()))?;
        let result = stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush());
        result.map_err(|error| Failure(format!("typing at the serial line: {error}")))
    }

    /// Bytes printed so far.
    pub fn printed(&self) -> usize {
        self.line.lock().bytes.len()
    }

    /// Waits until so many bytes were printed in all, or the time has passed.
    pub fn until_printed(&self, bytes: usize, within: Duration) {
        let deadline = Instant::now() + within;
        let mut output = self.line.lock();
        while output.bytes.len() < bytes && !output.ended() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return };
            output = wait(&self.line, output, left);
        }
    }

    /// Waits for the end of QEMU and says why it ended; everything printed counts as consumed.
    ///
    /// # Errors
    /// When it is still running at the deadline, or reported a bug of the hypervisor before it ended.
    pub fn wait_end(&mut self, within: Duration) -> Result<End, Failure> {
        let deadline = Instant::now() + within;
        let line = Arc::clone(&self.line);
        let mut output = line.lock();
        while !output.ended() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                let fresh = output.bytes.get(self.consumed..).unwrap_or_default();
                return Err(timed_out(&["<end of QEMU>"], within, fresh));
            };
            output = wait(&line, output, left);
        }
        let bug = reported_bug(from_line_start(&output.bytes, self.consumed));
        self.consumed = output.bytes.len();
        drop(output);
        let end = self.reap();
        match bug {
            Some(bug) => Err(Failure(format!("the hypervisor reported: {bug} ({end})"))),
            None => Ok(end),
        }
    }

    /// Everything printed so far, consumed or not.
    pub fn transcript(&self) -> Vec<u8> {
        self.line.lock().bytes.clone()
    }

    /// Ends QEMU now.
    pub fn kill(&mut self) {
        self.stdin = None;
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // Both fail only when the process has ended already, which is what is wanted.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Collects the status of a QEMU whose output has ended.
    fn reap(&self) -> End {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.wait().map_or(End::Killed, End::from_status)
    }

    /// The failure of a machine that ended while text was awaited.
    fn gone(&self, texts: &[&str]) -> Failure {
        let end = self.reap();
        let last = last_lines(&self.transcript(), 12);
        Failure(format!("the machine ended ({end}) before '{}'\n{last}", texts.join("' or '")))
    }

    /// Lets a dying hypervisor finish its last words.
    fn epitaph(&mut self, bug: &str) -> Failure {
        let deadline = Instant::now() + EPITAPH;
        let line = Arc::clone(&self.line);
        let mut output = line.lock();
        while !output.ended() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            output = wait(&line, output, left);
        }
        let last = last_lines(&output.bytes, 40);
        Failure(format!("the hypervisor reported: {bug}\n{last}"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

fn boxed<R: Read + Send + 'static>(stream: R) -> Box<dyn Read + Send> {
    Box::new(stream)
}

/// Moves bytes from QEMU to the shared buffer until the pipe ends.
fn collect(mut stream: Box<dyn Read + Send>, source: Source, line: &Line) {
    let mut chunk = [0u8; 4096];
    loop {
        let count = stream.read(&mut chunk).unwrap_or(0);
        let mut output = line.lock();
        match chunk.get(..count) {
            Some(bytes) if !bytes.is_empty() && output.len() < OUTPUT_LIMIT_BYTES => {
                output.take(source, bytes);
            }
            Some([]) | None => output.end(),
            Some(_) => output.overflowed = true,
        }
        line.changed.notify_all();
        if count == 0 || output.overflowed {
            return;
        }
    }
}

/// Ends the machine at `deadline`, whatever the test is doing.
fn guard(child: &Arc<Mutex<Child>>, deadline: Instant) {
    let child = Arc::downgrade(child);
    thread::spawn(move || {
        while Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(500));
            if child.strong_count() == 0 {
                return;
            }
        }
        if let Some(child) = child.upgrade() {
            let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
        }
    });
}

fn wait<'a>(
    line: &'a Line,
    output: MutexGuard<'a, Output>,
    left: Duration,
) -> MutexGuard<'a, Output> {
    let waited = line.changed.wait_timeout(output, left);
    waited.unwrap_or_else(PoisonError::into_inner).0
}

/// The earliest occurrence of any of `texts`: index, start, end.
fn first_match(bytes: &[u8], texts: &[&str]) -> Option<(usize, usize, usize)> {
    let found = texts.iter().enumerate().filter_map(|(index, text)| {
        let start = find(bytes, text.as_bytes())?;
        Some((index, start, start + text.len()))
    });
    found.min_by_key(|(_, start, _)| *start)
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len().max(1)).position(|window| window == text)
}

/// What was not consumed yet, with the beginning of its first line.
fn from_line_start(bytes: &[u8], consumed: usize) -> &[u8] {
    let before = bytes.get(..consumed).unwrap_or_default();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.get(start..).unwrap_or_default()
}

/// A line in which a hypervisor says that it is itself at fault.
fn reported_bug(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let guilty = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        let ours = lower.contains("(zendo)") && (lower.contains("panic") || lower.contains(" bug"));
        ours || lower.contains("(xen) panic on cpu") || lower.contains("(xen) xen bug at")
    };
    text.lines().find(guilty).map(|line| line.trim().to_string())
}

fn timed_out(texts: &[&str], within: Duration, fresh: &[u8]) -> Failure {
    let last = last_lines(fresh, 12);
    let wanted = texts.join("' or '");
    Failure(format!("'{wanted}' did not come within {:.1} s\n{last}", within.as_secs_f64()))
}

/// The last `count` lines, indented, for a report.
pub fn last_lines(bytes: &[u8], count: usize) -> String {
    let lines = crate::screen::visible_lines(bytes);
    let from = lines.len().saturating_sub(count);
    let shown = lines.iter().skip(from).map(|line| format!("    | {line}\n"));
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_text_wins_whatever_its_place_in_the_list() {
        let found = first_match(b"one two three", &["three", "two"]);
        assert_eq!(found, Some((1, 4, 7)));
        assert_eq!(first_match(b"one", &["two"]), None);
        assert_eq!(first_match(b"", &["two"]), None);
    }

    #[test]
    fn a_warning_of_qemu_does_not_cut_a_word() {
        let mut output = Output { open_streams: 2, ..Output::default() };
        output.take(Source::Qemu, b"qemu: starting\n");
        output.take(Source::Machine, b"one\nZ");
        output.take(Source::Qemu, b"qemu: warning\n");
        output.take(Source::Machine, b"ENDO-TEST\n");
        assert_eq!(output.bytes, b"qemu: starting\none\nZENDO-TEST\nqemu: warning\n");
        output.take(Source::Machine, b"> ");
        output.take(Source::Qemu, b"qemu: killed\n");
        output.end();
        output.end();
        assert!(output.bytes.ends_with(b"> qemu: killed\n"));
    }

    #[test]
    fn only_the_hypervisors_own_bugs_are_bugs() {
        assert!(reported_bug(b"x\n(zendo) PANIC: frame table\n").is_some());
        assert!(reported_bug(b"(zendo) BUG in evtchn\n").is_some());
        assert!(reported_bug(b"(XEN) Panic on CPU 0:\n").is_some());
        assert!(reported_bug(b"panic: the guest gave up\ncrash=panic\n").is_none());
    }
}
