//! What a person asked for: one value per verb.
//!
//! Made from words by `Command::parse`, carried out by `run`.

use crate::args::{wrong, Args};
use crate::verbs::{find, Verb, VERBS};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use zl_toolstack::config::keys::nearest;
use zl_toolstack::config::shown;
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
    Console(String),
    /// What a domain printed.
    Logs(String),
    /// Stop domains for a while.
    Pause(Vec<String>),
    /// Let domains run.
    Unpause(Vec<String>),
    /// Power domains off.
    Shutdown {
        /// Which.
        who: Targets,
        /// Wait this many seconds for their end; not at all when absent.
        wait_s: Option<u64>,
    },
    /// Reboot domains.
    Reboot(Targets),
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
    /// Messages of the hypervisor.
    Dmesg {
        /// Forget them afterwards.
        forget: bool,
    },
    /// Counts of what can leak.
    DebugCounts,
    /// Help, about one topic or all.
    Help(Option<String>),
}

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
        let args = Args::parse(verb, rest)?;
        Self::of(verb, args)
    }

    fn of(verb: &'static Verb, mut args: Args) -> Result<Self, ToolError> {
        let output = output(verb, &args)?;
        let who = core::mem::take(&mut args.operands);
        let first = || who.first().cloned().unwrap_or_default();
        Ok(match verb.name {
            "create" => return create(verb, &args, who),
            "destroy" => Self::Destroy(who),
            "list" => {
                let output = if args.has('q') { Output::Name } else { output };
                Self::List { who, long: args.has('l'), verbose: args.has('v'), output }
            }
            "info" => Self::Info(output),
            "console" => Self::Console(first()),
            "logs" => Self::Logs(first()),
            "pause" => Self::Pause(who),
            "unpause" => Self::Unpause(who),
            "shutdown" => {
                Self::Shutdown { wait_s: wait_s(verb, &args)?, who: targets(verb, &args, who)? }
            }
            "reboot" => Self::Reboot(targets(verb, &args, who)?),
            "rename" => {
                let name = who.get(1).cloned().unwrap_or_default();
                Self::Rename { who: first(), name }
            }
            "domid" => Self::Domid(first()),
            "domname" => Self::Domname(first()),
            "uptime" => Self::Uptime { short: args.has('s'), output, who },
            "vcpu-list" => Self::VcpuList { who, output },
            "dmesg" => Self::Dmesg { forget: args.has('c') },
            "debug" => match first().as_str() {
                "counts" => Self::DebugCounts,
                other => return Err(wrong(verb, &format!("unknown topic '{}'", shown(other)))),
            },
            _ => Self::Help(who.first().cloned()),
        })
    }
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
        Some("name") => Ok(Output::Name),
        Some(other) => {
            let what = format!("'{}' is no format, expected table, json or name", shown(other));
            Err(wrong(verb, &what))
        }
    }
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
    let talk = match (args.has('q'), args.has('v')) {
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
