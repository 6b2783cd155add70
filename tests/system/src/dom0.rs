//! Typing at dom0's shell and reading its answers.
//!
//! Each command is followed by `echo status-N=$?` with a new N: the printed number can be told from
//! the echo of what was typed and from everything printed before, so an answer is complete when that
//! line has come, however the line editor draws and even where a command prints an older screen.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::exit_code::End;
use crate::machine::Failure;
use crate::qemu::Hypervisor;
use crate::screen::visible_lines;
use crate::session::{Session, Watched};

/// What the shell prints when it waits for a command.
pub const PROMPT: &str = "dom0# ";

/// The key that leaves a domain's console.
pub const LEAVE_CONSOLE: &str = "\x1d";

/// How long a boot to the prompt may take before a test gives up; the budget itself is a test.
const BOOT_LIMIT: Duration = Duration::from_secs(40);

/// Characters typed at once at Xen, and the longest time it gets to take them.
const TYPED_AT_ONCE: usize = 12;
const BETWEEN_PIECES: Duration = Duration::from_millis(15);
/// Letters that the screen shows without scrolling sideways.
const FITS_THE_SCREEN: usize = 60;

/// How long one command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// What a command printed, and its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The lines, without the echo of the command.
    pub lines: Vec<String>,
    /// The exit status.
    pub status: i32,
}

/// What is in use, by name.
pub type Counts = BTreeMap<String, u64>;

/// One row of `zl list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainRow {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u32,
    /// Its memory.
    pub mib: u64,
    /// The six state letters.
    pub state: String,
}

/// A dom0 that stands at its prompt.
pub struct Dom0<'a> {
    watched: Watched<'a>,
    hypervisor: Hypervisor,
    commands: u32,
    /// From the start of QEMU to the prompt.
    pub boot_took: Duration,
}

impl<'a> Dom0<'a> {
    /// Boots dom0 to its prompt.
    ///
    /// # Errors
    /// When the prompt does not come.
    pub fn boot(session: &'a Session<'a>) -> Result<Dom0<'a>, Failure> {
        Dom0::boot_with(session, "")
    }

    /// Boots dom0 with `words` on its command line.
    ///
    /// # Errors
    /// When the prompt does not come.
    pub fn boot_with(session: &'a Session<'a>, words: &str) -> Result<Dom0<'a>, Failure> {
        let boot = session.images.dom0_boot(session.hypervisor, words)?;
        Dom0::from_machine(session.start(boot)?, session.hypervisor)
    }

    /// Waits for the prompt of a machine that was just started.
    ///
    /// # Errors
    /// When the prompt does not come.
    pub fn from_machine(
        mut watched: Watched<'a>,
        hypervisor: Hypervisor,
    ) -> Result<Dom0<'a>, Failure> {
        watched.machine.expect(PROMPT, BOOT_LIMIT)?;
        let boot_took = watched.machine.started().elapsed();
        Ok(Dom0 { watched, hypervisor, commands: 0, boot_took })
    }

    /// The machine below.
    pub fn machine(&mut self) -> &mut crate::machine::Machine {
        &mut self.watched.machine
    }

    /// Types a command and waits for its status.
    ///
    /// # Errors
    /// When no status comes.
    pub fn run(&mut self, command: &str) -> Result<Answer, Failure> {
        self.run_within(command, COMMAND_LIMIT)
    }

    /// As [`Dom0::run`], with another deadline.
    ///
    /// # Errors
    /// When no status comes.
    pub fn run_within(&mut self, command: &str, within: Duration) -> Result<Answer, Failure> {
        let context = |failure: Failure| Failure(format!("`{command}`: {failure}"));
        self.commands += 1;
        // Of constant length: what is typed must not make dom0's line buffer grow between counts.
        let marker = format!("status-{:06}=", self.commands);
        self.type_in(&format!("{command}\recho {marker}$?\r")).map_err(context)?;
        let mut printed = String::new();
        let mut wanted = format!("\n{marker}");
        let number = loop {
            printed += &self.machine().expect(&wanted, within).map_err(context)?;
            let number = self.machine().expect("\n", within).map_err(context)?;
            // A line of a service's between two letters of the echo makes it begin a line. The end of
            // that line is read by now, and the status may be the next.
            if number.trim() != "$?" {
                break number;
            }
            wanted.clone_from(&marker);
        };
        self.machine().expect(PROMPT, within).map_err(context)?;
        let number = number.trim();
        let status = number
            .parse()
            .map_err(|_| Failure(format!("`{command}`: the shell printed {marker}{number}")))?;
        printed.push('\n');
        let lines = answer_lines(&visible_lines(printed.as_bytes()), command, &marker);
        Ok(Answer { lines, status })
    }

    /// Types, at Xen as a person does: its buffer for what comes in holds 32 bytes, and what does not fit
    /// is lost.
    fn type_in(&mut self, text: &str) -> Result<(), Failure> {
        if self.hypervisor == Hypervisor::Zendo {
            return self.machine().send(text);
        }
        let mut rest = text;
        while !rest.is_empty() {
            let typed = text.len() - rest.len();
            let end =
                rest.char_indices().map(|(at, _)| at).nth(TYPED_AT_ONCE).unwrap_or(rest.len());
            let (piece, later) = rest.split_at(end);
            let echoed = self.machine().printed() + piece.len();
            self.machine().send(piece)?;
            // Nothing is echoed while a command runs, and a line that does not fit the screen is drawn
            // again at each letter; then the time has to be enough.
            if typed < FITS_THE_SCREEN {
                self.machine().until_printed(echoed, BETWEEN_PIECES);
            } else {
                std::thread::sleep(BETWEEN_PIECES);
            }
            rest = later;
        }
        Ok(())
    }

    /// Runs a command that must succeed.
    ///
    /// # Errors
    /// When it does not.
    pub fn ok(&mut self, command: &str) -> Result<Answer, Failure> {
        let answer = self.run(command)?;
        if answer.status == 0 {
            return Ok(answer);
        }
        let said = answer.lines.join("\n    | ");
        Err(Failure(format!("`{command}` ended with status {}\n    | {said}", answer.status)))
    }

    /// Runs a command that must be refused: one line, and a status that is not zero. The line with
    /// which `create` says what it reads, as `xl` does, is no complaint and does not count.
    ///
    /// # Errors
    /// When it succeeds, or says nothing, or says more than a line.
    pub fn refused(&mut self, command: &str) -> Result<String, Failure> {
        let answer = self.run(command)?;
        let said: Vec<&String> = answer.lines.iter().filter(|line| is_complaint(line)).collect();
        match (answer.status, said.as_slice()) {
            (0, _) => Err(Failure(format!("`{command}` succeeded; it had to be refused"))),
            (_, [line]) => Ok(line.to_string()),
            (status, lines) => Err(Failure(format!(
                "`{command}` was refused with {} lines (status {status}), one is wanted: {lines:?}",
                lines.len()
            ))),
        }
    }

    /// Repeats a command until its lines satisfy `done`.
    ///
    /// # Errors
    /// When the command fails, or the deadline passes first.
    pub fn until(
        &mut self,
        command: &str,
        seconds: u64,
        done: impl Fn(&[String]) -> bool,
    ) -> Result<Answer, Failure> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            let answer = self.ok(command)?;
            if done(&answer.lines) {
                return Ok(answer);
            }
            if Instant::now() > deadline {
                let said = answer.lines.join("\n    | ");
                let what = format!("`{command}` did not change as expected within {seconds} s");
                return Err(Failure(format!("{what}\n    | {said}")));
            }
        }
    }

    /// The rows of `zl list`.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn domains(&mut self) -> Result<Vec<DomainRow>, Failure> {
        let answer = self.ok("zl list")?;
        read_table(&answer.lines)
    }

    /// Waits until no domain called `name` is listed.
    ///
    /// # Errors
    /// When it is still there at the deadline.
    pub fn until_gone(&mut self, name: &str, seconds: u64) -> Result<(), Failure> {
        let gone = |lines: &[String]| {
            read_table(lines).is_ok_and(|rows| !rows.iter().any(|row| row.name == name))
        };
        self.until("zl list", seconds, gone).map(|_| ())
    }

    /// The counters of `zl debug counts`, which must not drift.
    ///
    /// # Errors
    /// When the line cannot be read.
    pub fn counts(&mut self) -> Result<Counts, Failure> {
        let answer = self.ok("zl debug counts")?;
        let mut counts = read_counts(&answer.lines.join(" "));
        if self.hypervisor == Hypervisor::Xen {
            // Xen frees late and keeps frames back for each CPU; that is its own business.
            counts.remove("free_frames");
        }
        match counts.is_empty() {
            true => Err(Failure(format!("`zl debug counts` printed {:?}", answer.lines))),
            false => Ok(counts),
        }
    }

    /// Attaches to a domain's console, waits for each text in turn, and leaves.
    ///
    /// # Errors
    /// When a text does not come, or the prompt does not come back.
    pub fn console(&mut self, name: &str, texts: &[&str], seconds: u64) -> Result<(), Failure> {
        let within = Duration::from_secs(seconds);
        let context = |failure: Failure| Failure(format!("console of {name}: {failure}"));
        self.machine().send(&format!("zl console {name}\r"))?;
        for text in texts {
            self.machine().expect(text, within).map_err(context)?;
        }
        self.machine().send(LEAVE_CONSOLE)?;
        self.machine().expect(PROMPT, within).map_err(context)?;
        Ok(())
    }

    /// Fails unless a `ticker` ticks on: it must say a number that its console did not show yet.
    ///
    /// # Errors
    /// When no new tick comes.
    pub fn ticks_on(&mut self, name: &str, seconds: u64) -> Result<(), Failure> {
        let within = Duration::from_secs(seconds);
        let context = |failure: Failure| Failure(format!("ticks of {name}: {failure}"));
        self.machine().send(&format!("zl console {name}\r"))?;
        let before = self.machine().expect("tick ", within).map_err(context)?;
        self.machine().send(LEAVE_CONSOLE)?;
        let rest = self.machine().expect(PROMPT, within).map_err(context)?;
        let next = newest_tick(&format!("{before}tick {rest}")) + 1;
        self.console(name, &[&format!("tick {next}")], seconds)
    }

    /// Powers the machine off from the shell and checks both witnesses.
    ///
    /// # Errors
    /// When the machine does not end, or ends for another reason.
    pub fn poweroff(mut self) -> Result<(), Failure> {
        self.machine().send("poweroff\r")?;
        let within = Duration::from_secs(15);
        if self.hypervisor == Hypervisor::Xen {
            // Xen stands still with this line; QEMU goes on, and is ended when it is dropped.
            return self.machine().expect("halting machine", within).map(|_| ());
        }
        match self.machine().wait_end(within)? {
            End::Poweroff => Ok(()),
            other => Err(Failure(format!("`poweroff` ended the machine by: {other}"))),
        }
    }
}

/// What a command printed: the lines between its echo and that of the question for its status.
fn answer_lines(visible: &[String], command: &str, marker: &str) -> Vec<String> {
    let echo = visible.iter().position(|line| line.ends_with(command.trim_end()));
    let after = visible.iter().skip(echo.map_or(0, |at| at + 1));
    let mut lines: Vec<String> = after.take_while(|line| !line.contains(marker)).cloned().collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// Neither blank nor the line that says what is read.
fn is_complaint(line: &str) -> bool {
    !line.is_empty() && !line.starts_with("Parsing config from ")
}

/// Reads the rows below the header of `zl list`.
fn read_table(lines: &[String]) -> Result<Vec<DomainRow>, Failure> {
    let header = lines.iter().position(|line| line.starts_with("Name") && line.contains("State"));
    let Some(header) = header else {
        return Err(Failure(format!("`zl list` printed no header: {lines:?}")));
    };
    // What follows is typed into the next prompt, and may be torn by a line of dom0's own.
    let rows =
        lines.iter().skip(header + 1).take_while(|line| !line.starts_with(PROMPT.trim_end()));
    let rows = rows.filter(|line| !line.is_empty());
    rows.map(|line| {
        read_row(line).ok_or_else(|| Failure(format!("`zl list` printed an odd row: {line:?}")))
    })
    .collect()
}

/// Reads `name id mib vcpus state seconds`.
fn read_row(line: &str) -> Option<DomainRow> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_string();
    let (id, mib) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let state = words.nth(1)?.to_string();
    words.next()?.parse::<f64>().ok()?;
    Some(DomainRow { name, id, mib, state })
}

/// The highest number behind `tick ` in a text.
fn newest_tick(text: &str) -> u64 {
    let numbers = text.split("tick ").filter_map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    numbers.max().unwrap_or(0)
}

/// Reads `key=value` words.
pub(crate) fn read_counts(text: &str) -> Counts {
    let pair = |word: &str| {
        let (key, value) = word.split_once('=')?;
        Some((key.to_string(), value.parse().ok()?))
    };
    text.split_whitespace().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_string).collect()
    }

    #[test]
    fn an_answer_lies_between_the_echo_and_the_next_prompt() {
        let seen = lines("zl domid a\n7\n\ndom0# echo status-2=$?");
        assert_eq!(answer_lines(&seen, "zl domid a", "status-2="), ["7"]);
    }

    #[test]
    fn an_answer_may_show_an_older_screen() {
        let seen = lines("zl dmesg\ndom0# ls\ndom0# echo status-1=$?\ndom0# echo status-2=$?");
        let answer = answer_lines(&seen, "zl dmesg", "status-2=");
        assert_eq!(answer, ["dom0# ls", "dom0# echo status-1=$?"]);
    }

    #[test]
    fn a_silent_command_has_no_lines() {
        let seen = lines("dom0# zl destroy a\ndom0# echo status-2=$?");
        assert!(answer_lines(&seen, "zl destroy a", "status-2=").is_empty());
    }

    #[test]
    fn the_table_of_list_is_read_by_columns() {
        let table = lines(concat!(
            "Name                                        ID   Mem VCPUs\tState\tTime(s)\n",
            "Domain-0                                     0    32     1     r-----       1.5\n",
            "tick                                         2    16     1     -b----       0.0\n",
        ));
        let rows = read_table(&table).expect("a table");
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[1].name.as_str(), rows[1].id, rows[1].mib), ("tick", 2, 16));
        assert_eq!(rows[1].state, "-b----");
        let torn = [table, lines("dom0# ecblkback: domain 3: its disk is given up")].concat();
        assert_eq!(read_table(&torn).expect("a table"), rows);
        assert!(read_table(&lines("no table")).is_err());
        assert!(read_table(&lines("Name ID Mem VCPUs State Time(s)\nx y")).is_err());
    }

    #[test]
    fn the_newest_tick_is_the_highest_number() {
        assert_eq!(newest_tick("[attached]\r\ntick 9\r\ntick 10\r\n[detached]"), 10);
        assert_eq!(newest_tick("no number: tick "), 0);
    }

    #[test]
    fn counters_are_key_value_words() {
        let counts = read_counts("free_frames=12 ports=3 name=x");
        assert_eq!(counts.len(), 2);
        assert_eq!(counts.get("free_frames"), Some(&12));
    }
}
