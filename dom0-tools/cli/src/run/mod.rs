//! Carries verbs out.
//!
//! The shell calls [`run`] with a command and the toolstack, prints the text and does what the
//! [`After`] says. The verbs that create are in `create`, those that only look in `look`.
//!
//! Invariant: a failure writes exactly one line and gives its status; a verb for several domains
//! goes on after a failure and gives the first bad status.

mod create;
mod look;
mod look_wide;
#[cfg(test)]
mod tests;

use crate::command::{Command, Targets};
use crate::printed::{Printer, Stream};
use crate::{help, verbs};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use hypercall_abi::domctl::GetVcpuInfo;
use hypercall_abi::DomId;
use zl_toolstack::client::{Affinity, Hypervisor};
use zl_toolstack::config::shown;
use zl_toolstack::lifecycle::ConsoleId;
use zl_toolstack::{Status, ToolError, Toolstack};

/// What remains to be done after a verb, by whoever owns the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Nothing,
    /// Attach to a console; it needs a `detach`.
    Attach(ConsoleId),
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

/// How a verb ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For scripts.
    pub status: Status,
    /// What remains to be done.
    pub after: After,
}

impl Outcome {
    /// Done, with something left to do.
    #[must_use]
    pub fn then(after: After) -> Self {
        Self { status: Status::Ok, after }
    }
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

/// Carries a command out and writes its text to `out`.
pub fn run<H: Hypervisor + Clone>(
    command: &Command,
    stack: &mut Toolstack<'_, H>,
    place: &dyn Place,
    out: &mut dyn Printer,
) -> Outcome {
    let mut session = Session { stack, place, out, status: Status::Ok };
    let after = session.dispatch(command).unwrap_or_else(|error| {
        session.complain(&error);
        After::Nothing
    });
    Outcome { status: session.status, after }
}

pub(crate) struct Session<'s, 'a, H: Hypervisor + Clone> {
    pub(crate) stack: &'s mut Toolstack<'a, H>,
    pub(crate) place: &'s dyn Place,
    pub(crate) out: &'s mut dyn Printer,
    /// The first bad status.
    pub(crate) status: Status,
}

impl<H: Hypervisor + Clone> Session<'_, '_, H> {
    fn dispatch(&mut self, command: &Command) -> Result<After, ToolError> {
        match command {
            Command::Create { .. } => return self.create(command),
            Command::Console(who) => {
                let domain = self.stack.find(who)?;
                return self.stack.attach(domain).map(After::Attach);
            }
            Command::Destroy(who) => return Ok(self.destroy(who)),
            Command::Shutdown { who, wait_s } => return self.shutdown(who, *wait_s),
            Command::List { who, long, verbose, output } => {
                self.list(who, *long, *verbose, *output)?;
            }
            Command::Info(output) => self.info(*output)?,
            Command::Logs(who) => self.logs(who)?,
            Command::Pause(who) => self.each(who, |stack, domain| stack.pause(domain)),
            Command::Unpause(who) => self.each(who, |stack, domain| stack.unpause(domain)),
            Command::Reboot(who) => {
                let names = self.targets(who)?;
                self.each(&names, |stack, domain| stack.reboot(domain));
            }
            Command::Rename { who, name } => {
                let domain = self.stack.find(who)?;
                self.stack.rename(domain, name)?;
            }
            Command::Domid(name) => self.domid(name)?,
            Command::Domname(id) => self.domname(id)?,
            Command::Uptime { who, short, output } => self.uptime(who, *short, *output)?,
            Command::VcpuList { who, output } => self.vcpu_list(who, *output)?,
            Command::Dmesg { forget } => self.dmesg(*forget)?,
            Command::DebugCounts => self.debug_counts()?,
            Command::Help(topic) => self.help(topic.as_deref())?,
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
            let done = self.stack.find(name).and_then(|domain| act(self.stack, domain));
            if let Err(error) = done {
                self.complain(&error);
            }
        }
    }

    fn destroy(&mut self, who: &[String]) -> After {
        let mut gone = Vec::new();
        for name in who {
            let destroyed = self.stack.find(name).and_then(|domain| {
                self.stack.destroy(domain)?;
                Ok(domain)
            });
            match destroyed {
                Ok(domain) => gone.push(domain),
                Err(error) => self.complain(&error),
            }
        }
        match gone.is_empty() {
            true => After::Nothing,
            false => After::WaitGone(gone),
        }
    }

    fn shutdown(&mut self, who: &Targets, wait_s: Option<u64>) -> Result<After, ToolError> {
        let mut stopped = Vec::new();
        for name in self.targets(who)? {
            let done = self.stack.find(&name).and_then(|domain| {
                self.stack.shutdown(domain)?;
                Ok(domain)
            });
            match done {
                Ok(domain) => stopped.push(domain),
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

    fn help(&mut self, topic: Option<&str>) -> Result<(), ToolError> {
        match topic {
            None => self.print(&help::verbs()),
            Some("config") => self.print(&help::config()),
            Some(name) => match verbs::find(name) {
                Some(verb) => self.print(&help::about(verb)),
                None => {
                    let what = format!("no help about '{}'; see 'zl help'", shown(name));
                    return Err(ToolError::usage(what));
                }
            },
        }
        Ok(())
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
        if self.status == Status::Ok {
            self.status = error.status;
        }
    }
}
