//! What a person asked for: one value per verb.
//!
//! Made from words by `Command::parse`, carried out by `run`.

use crate::args::{wrong, Args};
use crate::devices::DeviceCommand;
use crate::scripts::script;
use crate::top;
use crate::verbs::{find, Verb, ANY_OUTPUT, OUTPUT, VERBS};
use crate::xenstore::StoreCommand;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use zl_toolstack::config::keys::nearest;
use zl_toolstack::config::shown;
use zl_toolstack::lifecycle::Manner;
use zl_toolstack::ToolError;

/// How results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people, as `xl` shows it.
    Table,
    /// For scripts.
    Json,
    /// Names only, one per line.
    Name,
}

/// How much `create` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// Nothing.
    Quiet,
    /// As `xl` does.
    Normal,
    /// Also how long it took.
    Verbose,
}

/// The domains a verb is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// All but the control domain.
    All,
    /// These, by name or number.
    Some(Vec<String>),
}

/// A verb with its options and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Create a domain.
    Create {
        /// The configuration.
        file: String,
        /// `key=value`.
        overrides: Vec<String>,
        /// Attach to its console.
        attach: bool,
        /// Leave it paused.
        paused: bool,
        /// Only read the configuration.
        dry_run: bool,
        /// How much to say.
        talk: Talk,
    },
    /// End domains.
    Destroy(Vec<String>),
    /// List domains.
    List {
        /// These only; all when empty.
        who: Vec<String>,
        /// Configurations as JSON.
        long: bool,
        /// More columns.
        verbose: bool,
        /// How.
        output: Output,
    },
    /// About the machine.
    Info(Output),
    /// Attach to a console.
    Console {
        /// Of which domain.
        who: String,
        /// The key that leaves.
        leave: u8,
    },
    /// What a domain printed.
    Logs {
        /// Which.
        who: String,
        /// Go on with what it prints.
        follow: bool,
        /// Only so many last lines.
        lines: Option<usize>,
    },
    /// Stop domains for a while.
    Pause(Vec<String>),
    /// Let domains run.
    Unpause(Vec<String>),
    /// Power domains off.
    Shutdown {
        /// Which.
        who: Targets,
        /// Ask them, or not.
        manner: Manner,
        /// Wait this many seconds for their end; not at all when absent.
        wait_s: Option<u64>,
    },
    /// Reboot domains.
    Reboot {
        /// Which.
        who: Targets,
        /// Ask them, or not.
        manner: Manner,
    },
    /// Rename a domain.
    Rename {
        /// Which.
        who: String,
        /// Its new name.
        name: String,
    },
    /// Print the number of a domain.
    Domid(String),
    /// Print the name of a domain.
    Domname(String),
    /// How long domains exist.
    Uptime {
        /// These only; all when empty.
        who: Vec<String>,
        /// The short form.
        short: bool,
        /// How.
        output: Output,
    },
    /// List vCPUs.
    VcpuList {
        /// Of these only; of all when empty.
        who: Vec<String>,
        /// How.
        output: Output,
    },
    /// Something with devices.
    Devices(DeviceCommand),
    /// What domains do, again and again.
    Top(top::Options),
    /// Messages of the hypervisor.
    Dmesg {
        /// Forget them afterwards.
        forget: bool,
    },
    /// Look at the store and change it.
    Xenstore(StoreCommand, Output),
    /// Counts of what can leak.
    DebugCounts,
    /// Copy a file between the host and dom0.
    Copy {
        /// Where it is.
        from: String,
        /// Where it goes.
        to: String,
    },
    /// A command of dom0's shell, given on the host.
    Dom0(Vec<String>),
    /// Something the place it runs in does for those who work on it.
    Debug(Vec<String>),
    /// The completion script of a shell.
    Completion(String),
    /// Help, about one topic or all.
    Help(Option<String>),
    /// A verb whose answer is for scripts, also when its words make no sense.
    Json {
        /// Its name.
        verb: &'static str,
        /// What it means.
        command: Result<Box<Command>, ToolError>,
    },
}

/// In front of the name of a file of the control domain.
pub const DOM0: &str = "dom0:";
/// Topics of `debug` beside `counts`.
pub const TOPICS: &[&str] = &["diskbench", "ram-drop", "restart-blkback", "restart-netback"];

/// ^], which leaves a console unless told otherwise.
pub const LEAVE: u8 = 0x1d;

impl Command {
    /// Reads the words behind `zl`.
    ///
    /// # Errors
    /// An unknown verb or words that do not fit it, as one line with what to try.
    pub fn parse(words: &[String]) -> Result<Self, ToolError> {
        let Some((name, rest)) = words.split_first() else { return Ok(Self::Help(None)) };
        if name == "-h" || name == "--help" {
            return Ok(Self::Help(None));
        }
        let verb = find(name).ok_or_else(|| unknown_verb(name))?;
        if rest.iter().any(|word| word == "-h" || word == "--help") {
            return Ok(Self::Help(Some(verb.name.to_string())));
        }
        let command = Args::parse(verb, rest).and_then(|args| Self::of(verb, args));
        match wants_json(rest) {
            true => Ok(Self::Json { verb: verb.name, command: command.map(Box::new) }),
            false => command,
        }
    }

    fn of(verb: &'static Verb, mut args: Args) -> Result<Self, ToolError> {
        let output = output(verb, &args)?;
        let who = core::mem::take(&mut args.operands);
        if let Some(command) = StoreCommand::of(verb, &args, &who) {
            return command.map(|command| Self::Xenstore(command, output));
        }
        if let Some(command) = DeviceCommand::of(verb, &args, &who, output)? {
            return Ok(Self::Devices(command));
        }
        let first = || who.first().cloned().unwrap_or_default();
        Ok(match verb.name {
            "create" => return create(verb, &args, who),
            "destroy" => Self::Destroy(who),
            "list" => {
                let output = if args.has('q') { Output::Name } else { output };
                Self::List { who, long: args.has('l'), verbose: args.has('v'), output }
            }
            "info" => Self::Info(output),
            "console" => Self::Console { leave: leave(verb, &args)?, who: first() },
            "logs" => {
                let lines = lines(verb, &args)?;
                Self::Logs { who: first(), follow: args.has('f'), lines }
            }
            "cp" => {
                let to = who.get(1).cloned().unwrap_or_default();
                if first().starts_with(DOM0) == to.starts_with(DOM0) {
                    return Err(wrong(verb, "one of the two must begin with 'dom0:'"));
                }
                Self::Copy { from: first(), to }
            }
            "dom0" => Self::Dom0(who),
            "completion" => match script(&first()) {
                Some(_) => Self::Completion(first()),
                None => {
                    let what = format!("no script for '{}'", shown(&first()));
                    return Err(wrong(verb, &what));
                }
            },
            "pause" => Self::Pause(who),
            "unpause" => Self::Unpause(who),
            "shutdown" => Self::Shutdown {
                wait_s: wait_s(verb, &args)?,
                manner: manner(&args),
                who: targets(verb, &args, who)?,
            },
            "reboot" => Self::Reboot { manner: manner(&args), who: targets(verb, &args, who)? },
            "rename" => {
                let name = who.get(1).cloned().unwrap_or_default();
                Self::Rename { who: first(), name }
            }
            "domid" => Self::Domid(first()),
            "domname" => Self::Domname(first()),
            "uptime" => Self::Uptime { short: args.has('s'), output, who },
            "vcpu-list" => Self::VcpuList { who, output },
            "top" => Self::Top(top_options(verb, &args)?),
            "dmesg" => Self::Dmesg { forget: args.has('c') },
            "debug" => match first().as_str() {
                "counts" => Self::DebugCounts,
                topic if TOPICS.contains(&topic) => Self::Debug(who),
                other => return Err(wrong(verb, &format!("unknown topic '{}'", shown(other)))),
            },
            _ => Self::Help(who.first().cloned()),
        })
    }
}

fn top_options(verb: &'static Verb, args: &Args) -> Result<top::Options, ToolError> {
    let default = top::Options::default();
    let delay_ms = match args.value('d') {
        None => default.delay_ms,
        Some(text) => top::Options::delay_from(text).ok_or_else(|| {
            let what = format!("'{}' is no delay, expected 0.01 to 3600 seconds", shown(text));
            wrong(verb, &what)
        })?,
    };
    let iterations = match args.value('i') {
        None => None,
        Some(text) => Some(
            text.parse()
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(|| wrong(verb, &format!("'{}' is no number of looks", shown(text))))?,
        ),
    };
    let json = args.value('o') == Some("json");
    Ok(top::Options {
        delay_ms,
        iterations,
        batch: args.has('b') || json,
        json,
        nets: args.has('n'),
        disks: args.has('x'),
        vcpus: args.has('v'),
        full_names: args.has('f'),
    })
}

/// A complaint about a word that is no verb.
#[must_use]
pub fn unknown_verb(name: &str) -> ToolError {
    let hint = match nearest(name, VERBS.iter().map(|verb| verb.name)) {
        Some(near) => format!("did you mean 'zl {near}'?"),
        None => "see 'zl help'".to_string(),
    };
    ToolError::usage(format!("unknown verb '{}'; {hint}", shown(name)))
}

fn output(verb: &'static Verb, args: &Args) -> Result<Output, ToolError> {
    match args.value('o') {
        None | Some("table") => Ok(Output::Table),
        Some("json") => Ok(Output::Json),
        Some("name") if verb.has_own_json() => Ok(Output::Name),
        Some(other) => {
            let expected = if verb.has_own_json() { OUTPUT.help } else { ANY_OUTPUT.help };
            let what = format!("'{}' is no format, expected {expected}", shown(other));
            Err(wrong(verb, &what))
        }
    }
}

/// Whether the words behind a verb ask for JSON, whatever else is wrong with them.
fn wants_json(words: &[String]) -> bool {
    let mut words = words.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        let is_json = match word.as_str() {
            "-o" | "--output" => words.next().is_some_and(|value| value == "json"),
            joined => joined == "-ojson" || joined == "--output=json",
        };
        if is_json {
            return true;
        }
    }
    false
}

/// The key that leaves a console: `^X`, or the character itself.
fn leave(verb: &'static Verb, args: &Args) -> Result<u8, ToolError> {
    const CONTROL: u8 = 0x1f;
    let Some(text) = args.value('e') else { return Ok(LEAVE) };
    match text.as_bytes() {
        [b'^', key @ (b'@'..=b'_' | b'a'..=b'z')] => Ok(key & CONTROL),
        [key] if key.is_ascii() => Ok(*key),
        _ => {
            let what = format!("'{}' is no key, expected one as ^X", shown(text));
            Err(wrong(verb, &what))
        }
    }
}

fn lines(verb: &'static Verb, args: &Args) -> Result<Option<usize>, ToolError> {
    let number = |text: &str| {
        text.parse().map_err(|_| {
            let what = format!("'{}' is no number of lines", shown(text));
            wrong(verb, &what)
        })
    };
    args.value('n').map(number).transpose()
}

fn create(verb: &'static Verb, args: &Args, operands: Vec<String>) -> Result<Command, ToolError> {
    let (mut files, mut overrides) = (Vec::new(), Vec::new());
    for operand in operands {
        match operand.contains('=') {
            true => overrides.push(operand),
            false => files.push(operand),
        }
    }
    files.extend(args.value('f').map(String::from));
    let (Some(file), true) = (files.pop(), files.is_empty()) else {
        let what = match files.is_empty() {
            true => "which configuration?",
            false => "more than one configuration, or an override without '='",
        };
        return Err(wrong(verb, what));
    };
    let (attach, paused, dry_run) = (args.has('c'), args.has('p'), args.has('n'));
    let is_quiet = args.has('q') || args.value('o') == Some("json");
    let talk = match (is_quiet, args.has('v')) {
        (true, _) => Talk::Quiet,
        (false, true) => Talk::Verbose,
        (false, false) => Talk::Normal,
    };
    Ok(Command::Create { file, overrides, attach, paused, dry_run, talk })
}

fn targets(verb: &'static Verb, args: &Args, who: Vec<String>) -> Result<Targets, ToolError> {
    match (args.has('a'), who.is_empty()) {
        (true, true) => Ok(Targets::All),
        (false, false) => Ok(Targets::Some(who)),
        (true, false) => Err(wrong(verb, "either -a or names, not both")),
        (false, true) => Err(wrong(verb, "which domain?")),
    }
}

fn manner(args: &Args) -> Manner {
    match args.has('F') {
        true => Manner::Force,
        false => Manner::Ask,
    }
}

fn wait_s(verb: &'static Verb, args: &Args) -> Result<Option<u64>, ToolError> {
    const DEFAULT_S: u64 = 60;
    const LONGEST_S: u64 = 86_400;
    let seconds = match args.value('t') {
        None => DEFAULT_S,
        Some(text) => {
            text.parse().ok().filter(|seconds| *seconds <= LONGEST_S).ok_or_else(|| {
                let what = format!("'{}' is no number of seconds up to {LONGEST_S}", shown(text));
                wrong(verb, &what)
            })?
        }
    };
    Ok(args.has('w').then_some(seconds))
}
