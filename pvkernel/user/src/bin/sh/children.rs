//! Children of the shell: programs, commands of pipelines, shells of their own.
//!
//! When a pipeline cannot be started wholly, what was started of it sees its pipe closed and is waited for.

use alloc::string::String;
use alloc::vec::Vec;

use pvkernel_user::file::{pipe, File};
use pvkernel_user::io::{complain, STDIN, STDOUT};
use pvkernel_user::process::{exec, exec_status, wait_for, Status};
use pvkernel_user::shell::{Command, Redirection, Script};
use pvkernel_user::{eprintln, sys, Errno, Result};

use crate::redirect::{become_fd, redirect};
use crate::run::{Flow, Shell};

/// What a child does.
#[derive(Clone, Copy)]
pub enum Work<'a> {
    /// A command, of which nothing was expanded yet.
    Command(&'a Command),
    /// A program with its arguments.
    Program(&'a [String], &'a [Redirection]),
    /// A script.
    Script(&'a Script),
}

impl Shell {
    /// Each in a child, with pipes between them: the last one's status.
    pub fn joined(&mut self, works: &[Work<'_>]) -> i32 {
        let mut pids = Vec::new();
        let mut failed = None;
        let mut input = None;
        for (index, work) in works.iter().enumerate() {
            let is_last = index + 1 == works.len();
            match self.start(*work, input.take(), is_last) {
                Ok((pid, next)) => {
                    pids.push(pid);
                    input = next;
                }
                Err(why) => {
                    failed = Some(why);
                    break;
                }
            }
        }
        drop(input);
        let status = wait_for_all(&pids);
        if let Some(why) = failed {
            return complain("fork", why);
        }
        self.heed(status)
    }

    /// Takes notice of how something ended that was waited for.
    pub fn heed(&mut self, status: Status) -> i32 {
        if status.is_killed() && self.jobs.are_told {
            self.flow = Flow::Stop;
        }
        if status.is_killed() || status.fault().is_some() {
            eprintln!("sh: {status}");
        }
        status.0
    }

    /// Starts one command of a pipeline: its number, and what the next one reads.
    fn start(
        &mut self,
        work: Work<'_>,
        input: Option<File>,
        is_last: bool,
    ) -> Result<(u32, Option<File>)> {
        let (next, output) = match is_last {
            true => (None, None),
            false => pipe().map(|(read, write)| (Some(read), Some(write)))?,
        };
        let pid = match sys::fork()? {
            0 => {
                drop(next);
                sys::exit(self.child(work, input, output))
            }
            pid => pid,
        };
        Ok((pid, next))
    }

    /// What holds in a child: jobs and what is kept for later are its parent's.
    pub fn become_child(&mut self) {
        self.jobs.forget();
        for fd in self.kept.drain(..) {
            // It is open as long as it is in the list.
            let _ = sys::close(fd);
        }
    }

    /// What a child does: it becomes a program, or goes on as a shell.
    fn child(&mut self, work: Work<'_>, input: Option<File>, output: Option<File>) -> i32 {
        self.become_child();
        let ends = [(input, STDIN), (output, STDOUT)];
        for (file, fd) in ends {
            if let Some(Err(why)) = file.map(|file| become_fd(file, fd)) {
                return complain("pipe", why);
            }
        }
        match work {
            Work::Script(script) => self.script(script),
            Work::Program(args, redirections) => self.program(args, redirections),
            Work::Command(Command::Simple(simple)) if simple.assignments.is_empty() => {
                match self.args(&simple.words) {
                    Ok(args) if self.runs_here(&args) => {
                        let done = simple.redirections.iter().try_for_each(|r| redirect(self, r));
                        let done = done.and_then(|()| self.run_here(&args));
                        done.unwrap_or_else(|why| self.fail(&why))
                    }
                    Ok(args) => self.program(&args, &simple.redirections),
                    Err(why) => self.fail(&why),
                }
            }
            Work::Command(command) => self.command(command),
        }
    }

    fn program(&mut self, args: &[String], redirections: &[Redirection]) -> i32 {
        match redirections.iter().try_for_each(|redirection| redirect(self, redirection)) {
            Ok(()) => become_program(args),
            Err(why) => self.fail(&why),
        }
    }
}

/// Runs the program; comes back with a status when it cannot. A text is a script.
fn become_program(args: &[String]) -> i32 {
    let name = args.first().map(String::as_str).unwrap_or_default();
    let why = exec(name, args);
    match why {
        Errno::ENOEXEC if name.contains('/') => {
            let texts: Vec<&str> = args.iter().map(String::as_str).collect();
            return crate::file(name, texts.get(1..).unwrap_or_default());
        }
        Errno::ENOENT if !name.contains('/') => eprintln!("sh: {name}: no such program in /bin"),
        _ => drop(complain(name, why)),
    }
    exec_status(why)
}

/// Waits for a pipeline: the last one's status. When one is killed, as ^C does, the others are, too.
fn wait_for_all(pids: &[u32]) -> Status {
    let mut last = Status(1);
    for (index, pid) in pids.iter().enumerate() {
        // A child is there until it was waited for.
        last = wait_for(*pid).unwrap_or(last);
        if last.is_killed() {
            let rest = pids.get(index + 1..).unwrap_or_default();
            // It may have ended by itself.
            rest.iter().for_each(|pid| _ = sys::kill(*pid));
        }
    }
    last
}
