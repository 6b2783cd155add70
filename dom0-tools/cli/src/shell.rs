//! The shell, as far as it is text: lines in, steps out.
//!
//! Whoever owns the screen hands lines to [`Shell::steps`] and carries each step out; the status of
//! one step is visible to the next as `$?`.
//!
//! Invariant: the memory a shell uses does not grow with the lines it has seen, so that counts of
//! memory before and after a test can be compared.

use crate::command::Command;
use crate::edit::History;
use crate::file_verbs::{self, FileVerb};
use crate::help::{self, BUILTINS};
use crate::net_tools::{self, NetTool};
use crate::words::{split, Words};
use crate::xenstore::PREFIX;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use zl_toolstack::config::keys::nearest;
use zl_toolstack::config::shown;
use zl_toolstack::{Status, ToolError};

/// The prompt of the control domain.
pub const PROMPT: &str = "dom0# ";
/// Longest sleep of the shell, in seconds.
const LONGEST_SLEEP_S: u64 = 3600;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A verb of `zl`.
    Zl(Command),
    /// Print a text.
    Print(String),
    /// Print a complaint; its status becomes the status.
    Complain(ToolError),
    /// Do something with files.
    File(FileVerb),
    /// Show memory.
    Free,
    /// List the devices of the machine.
    Devices,
    /// Test and measure a disk of the machine.
    DiskTest {
        /// Its name.
        disk: String,
        /// Whether its first sectors are overwritten.
        writes: bool,
    },
    /// Ask the network something.
    Net(NetTool),
    /// Clear the screen.
    Clear,
    /// Wait, in milliseconds.
    Sleep(u64),
    /// Do something and say how long it took.
    Time(Box<Step>),
    /// Switch the machine off.
    PowerOff,
    /// Start the machine again.
    Reboot,
}

/// What a shell remembers.
#[derive(Debug, Default)]
pub struct Shell {
    /// Lines typed so far.
    pub history: History,
    status: u8,
}

impl Shell {
    /// The last status.
    #[must_use]
    pub fn status(&self) -> u8 {
        self.status
    }

    /// Remembers the status of a step.
    pub fn set_status(&mut self, status: Status) {
        self.status = status.number();
    }

    /// The commands of a line.
    ///
    /// # Errors
    /// A quote without its end.
    pub fn split(&self, line: &str) -> Result<Vec<Words>, ToolError> {
        split(line).map_err(ToolError::usage)
    }

    /// What one command of a line asks for now.
    #[must_use]
    pub fn step(&self, words: &Words) -> Step {
        let words: Vec<String> = words.iter().map(|word| word.expand(self.status)).collect();
        self.step_of(&words)
    }

    /// What these words ask for, which somebody else split.
    #[must_use]
    pub fn step_of(&self, words: &[String]) -> Step {
        self.try_step(words).unwrap_or_else(Step::Complain)
    }

    fn try_step(&self, words: &[String]) -> Result<Step, ToolError> {
        let Some((name, rest)) = words.split_first() else { return Ok(Step::Print(String::new())) };
        if let Some(verb) = file_verbs::parse(name, rest) {
            return verb.map(Step::File);
        }
        let step = match name.as_str() {
            "zl" | "xl" => return Command::parse(rest).map(Step::Zl),
            "echo" => return Ok(Step::Print(rest.join(" ") + "\n")),
            "sleep" => return one_word(name, rest, "SECONDS").and_then(|word| sleep(&word)),
            "disk-test" => return disk_test(rest),
            "help" => return help(rest),
            name if net_tools::COMMANDS.contains(&name) => {
                return net_tools::parse(name, rest).map(Step::Net);
            }
            "time" if rest.is_empty() => {
                return Err(ToolError::usage("time needs a command; usage: time COMMAND"));
            }
            "time" => return self.try_step(rest).map(|step| Step::Time(Box::new(step))),
            "free" => Step::Free,
            "devices" => Step::Devices,
            "clear" => Step::Clear,
            "poweroff" => Step::PowerOff,
            "reboot" => Step::Reboot,
            "history" => Step::Print(self.history_text()),
            _ if name.starts_with(PREFIX) => return Command::parse(words).map(Step::Zl),
            _ => return Err(unknown_command(name)),
        };
        match rest.first() {
            None => Ok(step),
            Some(extra) => {
                let hint = match name.as_str() {
                    "reboot" => "; for a domain use 'zl reboot DOMAIN'",
                    _ => "",
                };
                let extra = shown(extra);
                Err(ToolError::usage(format!("{name} takes no words, not '{extra}'{hint}")))
            }
        }
    }

    fn history_text(&self) -> String {
        let mut text = String::new();
        for (number, line) in self.history.lines().enumerate() {
            text.push_str(&format!("{:>5}  {line}\n", number + 1));
        }
        text
    }
}

fn one_word(name: &str, rest: &[String], what: &str) -> Result<String, ToolError> {
    match rest {
        [word] => Ok(word.clone()),
        _ => Err(ToolError::usage(format!("{name} needs one word; usage: {name} {what}"))),
    }
}

fn disk_test(rest: &[String]) -> Result<Step, ToolError> {
    let (flags, names): (Vec<_>, Vec<_>) = rest.iter().partition(|word| word.starts_with('-'));
    match (&names[..], &flags[..]) {
        ([disk], []) => Ok(Step::DiskTest { disk: (*disk).clone(), writes: false }),
        ([disk], [flag]) if *flag == "-w" => {
            Ok(Step::DiskTest { disk: (*disk).clone(), writes: true })
        }
        _ => Err(ToolError::usage("disk-test needs one disk; usage: disk-test [-w] DISK")),
    }
}

/// Seconds with at most three decimals.
fn sleep(word: &str) -> Result<Step, ToolError> {
    let (whole, part) = word.split_once('.').unwrap_or((word, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = whole.parse::<u64>().ok().filter(|seconds| *seconds <= LONGEST_SLEEP_S);
    match seconds {
        Some(seconds) if is_digits(whole) && is_digits(part) && part.len() <= 3 => {
            let millis: u64 = format!("{part:0<3}").parse().unwrap_or(0);
            Ok(Step::Sleep(seconds * 1000 + millis))
        }
        _ => {
            let word = shown(word);
            Err(ToolError::usage(format!("'{word}' is no time; write seconds, for example 0.5")))
        }
    }
}

fn help(rest: &[String]) -> Result<Step, ToolError> {
    if rest.is_empty() {
        return Ok(Step::Print(help::builtins() + &help::verbs()));
    }
    let mut words = Vec::from([String::from("help")]);
    words.extend(rest.iter().cloned());
    Command::parse(&words).map(Step::Zl)
}

fn unknown_command(name: &str) -> ToolError {
    let hint = if crate::verbs::find(name).is_some() {
        format!("did you mean 'zl {name}'?")
    } else {
        match nearest(name, BUILTINS.iter().map(|(name, _)| *name)) {
            Some(near) => format!("did you mean '{near}'?"),
            None => String::from("see 'help'"),
        }
    };
    ToolError::usage(format!("unknown command '{}'; {hint}", shown(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(line: &str) -> Step {
        let shell = Shell::default();
        let commands = shell.split(line).unwrap();
        shell.step(&commands[0])
    }

    fn complaint(line: &str) -> String {
        match step(line) {
            Step::Complain(error) => {
                assert_eq!(error.status, Status::Usage);
                error.text
            }
            other => panic!("{line:?} gave {other:?}"),
        }
    }

    #[test]
    fn zl_and_xl_are_the_same() {
        assert_eq!(step("zl list"), step("xl list"));
        assert_eq!(step("zl xenstore-ls -f /vm"), step("xenstore-ls /vm -f"));
    }

    #[test]
    fn mistakes_say_what_was_probably_meant() {
        assert_eq!(complaint("list"), "unknown command 'list'; did you mean 'zl list'?");
        assert_eq!(complaint("hepl"), "unknown command 'hepl'; did you mean 'help'?");
        assert_eq!(complaint("zl lst"), "unknown verb 'lst'; did you mean 'zl list'?");
        assert_eq!(
            complaint("zl list -z"),
            "list: unknown option '-z'; usage: zl list [-l] [-v] [-q] [-o FORMAT] [DOMAIN ...]"
        );
        assert!(complaint("zl list -o xml").contains("'xml' is no format, expected table, json"));
        assert!(complaint("zl destroy").contains("too few words; usage: zl destroy DOMAIN"));
        assert!(complaint("zl create").contains("which configuration?"));
        assert!(complaint("zl create a b").contains("more than one configuration"));
        assert!(complaint("zl shutdown").contains("which domain?"));
        assert!(complaint("zl shutdown -a x").contains("either -a or names"));
        assert!(complaint("zl shutdown -w -t soon x").contains("'soon' is no number of seconds"));
        assert!(complaint("zl list -o").contains("-o needs a FORMAT"));
        assert!(complaint("zl list --long=1").contains("--long takes no value"));
        assert!(complaint("zl console a b").contains("unexpected 'b'"));
        assert!(complaint("xenstore-write /a").contains("too few words"));
        assert!(complaint("zl xenstore-write /a b /c").contains("a path without value"));
        assert!(complaint("xenstore-chmod /a x7").contains("'x7' is no permission"));
        assert!(complaint("xenstore-watch -n 0 /a").contains("'0' is no number of events"));
        assert!(complaint("xenstore-what").contains("unknown verb 'xenstore-what'"));
        assert!(complaint("zl debug mem").contains("unknown topic 'mem'"));
        assert!(complaint("reboot web").contains("for a domain use 'zl reboot DOMAIN'"));
        assert!(complaint("sleep soon").contains("'soon' is no time"));
        assert!(complaint("cat").contains("usage: cat FILE"));
    }

    #[test]
    fn options_may_be_joined_and_stand_anywhere() {
        let expected = step("zl create -c -p a.cfg memory=8");
        for line in ["zl create a.cfg -cp memory=8", "zl create --console memory=8 a.cfg -p"] {
            assert_eq!(step(line), expected);
        }
        assert_eq!(step("zl list -ojson"), step("zl list --output=json"));
        assert_eq!(step("zl create -f a.cfg"), step("zl create a.cfg"));
    }

    #[test]
    fn times_of_sleep_are_exact() {
        assert_eq!(step("sleep 2"), Step::Sleep(2000));
        assert_eq!(step("sleep 0.25"), Step::Sleep(250));
        assert!(matches!(step("sleep 1.2345"), Step::Complain(_)));
        assert!(matches!(step("sleep -1"), Step::Complain(_)));
        assert!(matches!(step("sleep 99999"), Step::Complain(_)));
    }

    #[test]
    fn a_disk_is_overwritten_only_when_asked_for() {
        let test = |writes| Step::DiskTest { disk: "vdb".into(), writes };
        assert_eq!(step("disk-test vdb"), test(false));
        assert_eq!(step("disk-test -w vdb"), test(true));
        for line in ["disk-test", "disk-test vda vdb", "disk-test -x vda", "disk-test -w"] {
            assert!(complaint(line).contains("usage: disk-test [-w] DISK"));
        }
        assert_eq!(step("devices"), Step::Devices);
    }

    #[test]
    fn time_takes_any_command() {
        assert_eq!(
            step("time ls"),
            Step::Time(Box::new(Step::File(FileVerb::List { path: None, long: false })))
        );
        assert_eq!(step("time zl list -q"), Step::Time(Box::new(step("zl list -q"))));
        assert!(complaint("time").contains("usage: time COMMAND"));
        assert!(complaint("time list").contains("did you mean 'zl list'?"));
    }

    #[test]
    fn the_status_is_a_word() {
        let mut shell = Shell::default();
        shell.set_status(Status::NoDomain);
        let commands = shell.split("echo status $?; echo $?").unwrap();
        assert_eq!(shell.step(&commands[0]), Step::Print("status 3\n".into()));
        shell.set_status(Status::Usage);
        assert_eq!(shell.step(&commands[1]), Step::Print("2\n".into()));
    }
}
