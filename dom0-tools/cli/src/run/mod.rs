//! Carries verbs out.
//!
//! The shell calls [`run`] with a command and the toolstack, prints the text and does what the
//! [`After`] says. The verbs that create are in `create`, those that only look in `look`.
//!
//! Invariant: a failure writes exactly one line and gives its status; a verb for several domains
//! goes on after a failure and gives the first bad status.

mod create;
#[cfg(test)]
mod device_tests;
mod devices;
#[cfg(test)]
mod golden;
mod look;
mod look_wide;
#[cfg(test)]
mod tests;
mod xenstore;
#[cfg(test)]
mod xenstore_tests;

use crate::command::{Command, Targets};
use crate::help;
use crate::printed::{Printer, Stream};
use crate::report::{Acted, Findings, Report};
use crate::scripts::script;
use crate::top;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::domctl::GetVcpuInfo;
use hypercall_abi::DomId;
use zl_toolstack::client::{Affinity, Hypervisor};
use zl_toolstack::devices::{IoStats, NoIo};
use zl_toolstack::lifecycle::{ConsoleId, Manner, WaitId};
use zl_toolstack::{Status, ToolError, Toolstack};

/// What remains to be done after a verb, by whoever owns the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Nothing,
    /// Attach to a console; it needs a `detach`.
    Attach {
        /// Which.
        console: ConsoleId,
        /// The key that leaves.
        leave: u8,
    },
    /// Show what a console holds from a place on, and what comes; it needs a `detach`.
    Follow {
        /// Which.
        console: ConsoleId,
        /// Where to begin.
        place: u64,
    },
    /// Print what changes in the store.
    Watch {
        /// At or below these paths.
        paths: Vec<String>,
        /// So many events, or without end.
        count: Option<u64>,
    },
    /// Do what these words of `debug` say.
    Debug(Vec<String>),
    /// Wait for back halves.
    WaitDevices {
        /// For what.
        wait: WaitId,
        /// Then attach to this console with this key to leave; it needs a `detach` in any case.
        console: Option<(ConsoleId, u8)>,
        /// Then tell how long the creation took.
        created: Option<Stopwatch>,
    },
    /// Show what domains do, again and again.
    Top(top::Options),
    /// Wait until nothing is left of these domains, a moment only.
    WaitGone(Vec<DomId>),
    /// Wait until these domains have ended.
    WaitEnded {
        /// Which.
        domains: Vec<DomId>,
        /// For how long.
        timeout_s: u64,
    },
}

impl After {
    /// Whether it shows things as they come, and not at one time.
    #[must_use]
    pub fn streams(&self) -> bool {
        matches!(
            self,
            Self::Attach { .. }
                | Self::Follow { .. }
                | Self::Watch { .. }
                | Self::Top(_)
                | Self::WaitDevices { console: Some(_), .. }
        )
    }
}

/// Measures a creation that goes on while back halves get ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopwatch {
    /// What was created.
    pub what: String,
    /// When that began.
    pub since_ns: u64,
}

impl Stopwatch {
    /// The line that tells it.
    #[must_use]
    pub fn line(&self, now_ns: u64) -> String {
        let us = now_ns.saturating_sub(self.since_ns) / 1000;
        format!("{} created in {}.{:03} ms\n", self.what, us / 1000, us % 1000)
    }
}

/// How a verb ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For scripts.
    pub status: Status,
    /// What remains to be done.
    pub after: After,
    /// The answer in JSON, if that was asked for; it is complete when all is done.
    pub report: Option<Report>,
}

/// Counts of the control domain itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalCounts {
    /// Frames nobody uses.
    pub free_frames: u64,
    /// Frames of all.
    pub total_frames: u64,
    /// Bytes of the heap in use.
    pub heap_bytes: u64,
    /// Frames of other domains mapped now.
    pub foreign_frames: u64,
    /// Frames of the grant table.
    pub grant_frames: u64,
}

/// The place the verbs run in.
pub trait Place {
    /// Counts of it.
    fn counts(&self) -> LocalCounts;

    /// What its back halves count.
    fn io(&self) -> &dyn IoStats {
        &NoIo
    }
}

/// One vCPU, for `vcpu-list`.
pub struct Vcpu {
    /// Name of its domain.
    pub name: String,
    /// Number of its domain.
    pub domain: u16,
    /// What the hypervisor says.
    pub info: GetVcpuInfo,
    /// Where it may run.
    pub affinity: Affinity,
}

/// The answer of a command that asks nothing of the control domain.
#[must_use]
pub fn without_dom0(command: &Command) -> Option<Result<String, ToolError>> {
    match command {
        Command::Completion(shell) => Some(Ok(String::from(script(shell).unwrap_or("")))),
        Command::Help(topic) => Some(help::topic(topic.as_deref())),
        _ => None,
    }
}

/// The document and status of a command that asks nothing of the control domain.
#[must_use]
pub fn document_without_dom0(
    verb: &'static str,
    answer: &Result<String, ToolError>,
) -> (String, Status) {
    let (text, findings) = match answer {
        Ok(text) => (text.clone(), Findings::default()),
        Err(error) => (String::new(), Findings::of(error)),
    };
    Report::new(verb, text, findings, false).close(&Ok(Status::Ok))
}

/// Carries a command out and writes its text to `out`.
pub fn run<H: Hypervisor + Clone>(
    command: &Command,
    stack: &mut Toolstack<'_, H>,
    place: &dyn Place,
    out: &mut dyn Printer,
) -> Outcome {
    let Command::Json { verb, command } = command else {
        let (after, findings) = run_in(command, stack, place, out);
        return Outcome { status: findings.status, after, report: None };
    };
    let (text, after, findings) = match command {
        Ok(command) => {
            let mut text = String::new();
            let (after, findings) = run_in(command, stack, place, &mut Results(&mut text));
            (text, after, findings)
        }
        Err(error) => (String::new(), After::Nothing, Findings::of(error)),
    };
    let status = findings.status;
    let report = Report::new(verb, text, findings, after.streams());
    Outcome { status, after, report: Some(report) }
}

fn run_in<H: Hypervisor + Clone>(
    command: &Command,
    stack: &mut Toolstack<'_, H>,
    place: &dyn Place,
    out: &mut dyn Printer,
) -> (After, Findings) {
    let mut session = Session { stack, place, out, findings: Findings::default() };
    let after = session.dispatch(command).unwrap_or_else(|error| {
        session.complain(&error);
        After::Nothing
    });
    (after, session.findings)
}

/// Takes results only: complaints are findings already.
struct Results<'a>(&'a mut String);

impl Printer for Results<'_> {
    fn print(&mut self, to: Stream, text: &str) {
        if to == Stream::Out {
            self.0.push_str(text);
        }
    }
}

pub(crate) use devices::Listed;

pub(crate) struct Session<'s, 'a, H: Hypervisor + Clone> {
    pub(crate) stack: &'s mut Toolstack<'a, H>,
    pub(crate) place: &'s dyn Place,
    pub(crate) out: &'s mut dyn Printer,
    /// What scripts are told.
    pub(crate) findings: Findings,
}

impl<H: Hypervisor + Clone> Session<'_, '_, H> {
    fn dispatch(&mut self, command: &Command) -> Result<After, ToolError> {
        match command {
            Command::Create { .. } => return self.create(command),
            Command::Console { who, leave } => {
                let domain = self.stack.find(who)?;
                let console = self.stack.attach(domain)?;
                self.acted(domain);
                return Ok(After::Attach { console, leave: *leave });
            }
            Command::Logs { who, follow, lines } => return self.logs(who, *follow, *lines),
            Command::Destroy(who) => return Ok(self.destroy(who)),
            Command::Shutdown { who, manner, wait_s } => {
                return self.shutdown(who, *manner, *wait_s);
            }
            Command::List { who, long, verbose, output } => {
                self.list(who, *long, *verbose, *output)?;
            }
            Command::Info(output) => self.info(*output)?,
            Command::Pause(who) => self.each(who, |stack, domain| stack.pause(domain)),
            Command::Unpause(who) => self.each(who, |stack, domain| stack.unpause(domain)),
            Command::Reboot { who, manner } => {
                let names = self.targets(who)?;
                self.each(&names, |stack, domain| stack.reboot(domain, *manner));
            }
            Command::Rename { who, name } => {
                let domain = self.stack.find(who)?;
                self.stack.rename(domain, name)?;
                self.acted(domain);
            }
            Command::Domid(name) => self.domid(name)?,
            Command::Domname(id) => self.domname(id)?,
            Command::Uptime { who, short, output } => self.uptime(who, *short, *output)?,
            Command::VcpuList { who, output } => self.vcpu_list(who, *output)?,
            Command::Devices(command) => return self.devices(command),
            Command::Top(options) => return Ok(After::Top(*options)),
            Command::Dmesg { forget } => self.dmesg(*forget)?,
            Command::Xenstore(command, output) => return self.xenstore(command, *output),
            Command::DebugCounts => self.debug_counts()?,
            Command::Copy { .. } => {
                let what = "'zl cp' copies between the host and dom0, so it is a verb of the host";
                return Err(ToolError::refused(what));
            }
            Command::Dom0(_) => {
                let what = "'zl dom0' is for the host; here the command can be given as it is";
                return Err(ToolError::refused(what));
            }
            Command::Completion(_) | Command::Help(_) => {
                let text = without_dom0(command).unwrap_or_else(|| Ok(String::new()))?;
                self.print(&text);
            }
            Command::Debug(words) => return Ok(After::Debug(words.clone())),
            // `run` opened it; the command inside is none of these.
            Command::Json { .. } => {}
        }
        Ok(After::Nothing)
    }

    /// Does something to each of several domains.
    fn each(
        &mut self,
        who: &[String],
        act: impl Fn(&mut Toolstack<'_, H>, DomId) -> Result<(), ToolError>,
    ) {
        for name in who {
            let done = self.stack.find(name).and_then(|domain| {
                act(self.stack, domain)?;
                Ok(domain)
            });
            match done {
                Ok(domain) => self.acted(domain),
                Err(error) => self.complain(&error),
            }
        }
    }

    fn destroy(&mut self, who: &[String]) -> After {
        let mut gone = Vec::new();
        for name in who {
            let destroyed = self.stack.find(name).and_then(|domain| {
                let acted = Acted { name: self.stack.name_of(domain).map(String::from), domain };
                self.stack.destroy(domain)?;
                Ok(acted)
            });
            match destroyed {
                Ok(acted) => {
                    gone.push(acted.domain);
                    self.findings.acted.push(acted);
                }
                Err(error) => self.complain(&error),
            }
        }
        match gone.is_empty() {
            true => After::Nothing,
            false => After::WaitGone(gone),
        }
    }

    fn shutdown(
        &mut self,
        who: &Targets,
        manner: Manner,
        wait_s: Option<u64>,
    ) -> Result<After, ToolError> {
        let mut stopped = Vec::new();
        for name in self.targets(who)? {
            let done = self.stack.find(&name).and_then(|domain| {
                self.stack.shutdown(domain, manner)?;
                Ok(domain)
            });
            match done {
                Ok(domain) => {
                    self.acted(domain);
                    stopped.push(domain);
                }
                Err(error) => self.complain(&error),
            }
        }
        Ok(match wait_s {
            Some(timeout_s) => After::WaitEnded { domains: stopped, timeout_s },
            None => After::Nothing,
        })
    }

    fn targets(&self, who: &Targets) -> Result<Vec<String>, ToolError> {
        match who {
            Targets::Some(names) => Ok(names.clone()),
            Targets::All => {
                let rows = self.stack.list()?.into_iter();
                let others = rows.filter(|row| row.info.domain != DomId::DOM0);
                Ok(others.map(|row| format!("{}", row.info.domain)).collect())
            }
        }
    }

    pub(crate) fn print(&mut self, text: &str) {
        self.out.print(Stream::Out, text);
    }

    pub(crate) fn line(&mut self, text: &str) {
        self.print(text);
        self.print("\n");
    }

    /// Writes the one line of a failure.
    pub(crate) fn complain(&mut self, error: &ToolError) {
        self.out.print(Stream::Err, &format!("zl: {error}\n"));
        self.findings.failed(error);
    }

    /// Something was done to a domain.
    pub(crate) fn acted(&mut self, domain: DomId) {
        let name = self.stack.name_of(domain).map(String::from);
        self.findings.acted.push(Acted { name, domain });
    }
}
