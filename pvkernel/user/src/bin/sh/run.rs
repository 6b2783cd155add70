//! Runs what was read: forks, joins with pipes, redirects, waits.
//!
//! A command alone that is a builtin, sets variables or holds other commands runs in the shell itself;
//! everything else in a child. When a pipeline cannot be started wholly, what was started of it sees its
//! pipe closed and is waited for.

use alloc::string::String;
use alloc::vec::Vec;

use pvkernel_user::abi::open;
use pvkernel_user::file::{pipe, File};
use pvkernel_user::io::{complain, STDIN, STDOUT};
use pvkernel_user::process::{exec, exec_status, in_child, wait_for, Status};
use pvkernel_user::shell::{
    fields, single, Chain, Command, Link, Pipeline, Redirection, Script, Simple, Target, Variables,
};
use pvkernel_user::{eprintln, sys, Errno, Result};

use crate::builtin;
use crate::jobs::Jobs;

/// A shell.
pub struct Shell {
    /// What `$` leads to.
    pub variables: Variables,
    /// What runs in the background.
    pub jobs: Jobs,
    /// What was waited for was killed, as ^C does: nothing of this line is started any more.
    pub is_stopped: bool,
}

impl Shell {
    /// A shell without jobs.
    pub fn new(variables: Variables) -> Self {
        Self { variables, jobs: Jobs::default(), is_stopped: false }
    }

    /// Runs a script: the status of its last chain.
    pub fn script(&mut self, script: &Script) -> i32 {
        for chain in &script.0 {
            if self.is_stopped {
                break;
            }
            let status = match chain.in_background {
                true => self.background(chain),
                false => self.chain(chain),
            };
            self.variables.status = status;
        }
        self.variables.status
    }

    fn background(&mut self, chain: &Chain) -> i32 {
        let child = in_child(|| {
            self.jobs.forget();
            self.chain(chain)
        });
        match child {
            Ok(pid) => {
                self.variables.background = pid;
                self.jobs.add(pid, chain.text.clone());
                0
            }
            Err(why) => complain("fork", why),
        }
    }

    fn chain(&mut self, chain: &Chain) -> i32 {
        let mut status = self.pipeline(&chain.first);
        for (link, pipeline) in &chain.rest {
            self.variables.status = status;
            if self.is_stopped {
                break;
            }
            if (status == 0) == (*link == Link::And) {
                status = self.pipeline(pipeline);
            }
        }
        status
    }

    fn pipeline(&mut self, pipeline: &Pipeline) -> i32 {
        let status = match pipeline.commands.as_slice() {
            [command] => self.alone(command),
            commands => self.joined(commands),
        };
        match pipeline.negated {
            true => i32::from(status == 0),
            false => status,
        }
    }

    /// A command whose effects on the shell itself count.
    fn alone(&mut self, command: &Command) -> i32 {
        match command {
            Command::Simple(simple) => self.alone_simple(simple),
            compound => self.compound(compound),
        }
    }

    fn alone_simple(&mut self, simple: &Simple) -> i32 {
        let args = self.args(simple);
        for (name, word) in &simple.assignments {
            let value = single(word, &self.variables);
            self.variables.named.insert(name.clone(), value);
        }
        let here = args.first().is_none_or(|name| builtin::is_one(name));
        if !here {
            return self.joined(&[Command::Simple(simple.clone())]);
        }
        let saved = match Saved::redirect(&simple.redirections, &self.variables) {
            Ok(saved) => saved,
            Err((what, why)) => return complain(what, why),
        };
        let status = builtin::run(self, &args).unwrap_or(0);
        drop(saved);
        status
    }

    fn compound(&mut self, command: &Command) -> i32 {
        match command {
            Command::Simple(simple) => self.alone_simple(simple),
            Command::If(condition, then, otherwise) => match self.script(condition) {
                0 => self.script(then),
                _ => {
                    self.variables.status = 0;
                    self.script(otherwise)
                }
            },
            Command::While(condition, body) => {
                let mut status = 0;
                while self.script(condition) == 0 && !self.is_stopped {
                    status = self.script(body);
                }
                if self.is_stopped {
                    status = self.variables.status;
                }
                status
            }
            Command::For(name, words, body) => {
                let each = words.iter().flat_map(|word| fields(word, &self.variables));
                let (each, mut status) = (each.collect::<Vec<_>>(), 0);
                for value in each {
                    self.variables.named.insert(name.clone(), value);
                    status = self.script(body);
                }
                status
            }
        }
    }

    fn args(&self, simple: &Simple) -> Vec<String> {
        simple.words.iter().flat_map(|word| fields(word, &self.variables)).collect()
    }

    /// Each command in a child, with pipes between them: the last one's status.
    fn joined(&mut self, commands: &[Command]) -> i32 {
        let mut pids = Vec::new();
        let mut failed = None;
        let mut input = None;
        for (index, command) in commands.iter().enumerate() {
            let is_last = index + 1 == commands.len();
            match self.start(command, input.take(), is_last) {
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
        self.is_stopped |= status.is_killed() && self.jobs.are_told;
        if status.is_killed() || status.fault().is_some() {
            eprintln!("sh: {status}");
        }
        status.0
    }

    /// Starts one command of a pipeline: its number, and what the next one reads.
    fn start(
        &mut self,
        command: &Command,
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
                sys::exit(self.child(command, input, output))
            }
            pid => pid,
        };
        Ok((pid, next))
    }

    /// What a child does: it becomes a program, or goes on as a shell.
    fn child(&mut self, command: &Command, input: Option<File>, output: Option<File>) -> i32 {
        self.jobs.forget();
        let ends = [(input, STDIN), (output, STDOUT)];
        for (file, fd) in ends {
            if let Some(Err(why)) = file.map(|file| become_fd(file, fd)) {
                return complain("pipe", why);
            }
        }
        let Command::Simple(simple) = command else { return self.compound(command) };
        let args = self.args(simple);
        if args.first().is_none_or(|name| builtin::is_one(name)) {
            return self.alone_simple(simple);
        }
        for redirection in &simple.redirections {
            if let Err((what, why)) = redirect(redirection, &self.variables) {
                return complain(what, why);
            }
        }
        become_program(&args)
    }
}

/// Runs the program; comes back with a status when it cannot.
fn become_program(args: &[String]) -> i32 {
    let name = args.first().map(String::as_str).unwrap_or_default();
    let why = exec(name, args);
    match why {
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

/// Makes an open file this descriptor, and no other.
fn become_fd(file: File, fd: u32) -> Result<()> {
    if file.fd() == fd {
        let _ = file.into_fd();
        return Ok(());
    }
    sys::dup(file.fd(), Some(fd)).map(|_| ())
}

type Redirected<T> = core::result::Result<T, (String, Errno)>;

fn redirect(redirection: &Redirection, variables: &Variables) -> Redirected<()> {
    let (word, flags) = match &redirection.to {
        Target::Same(fd) => {
            let done = sys::dup(*fd, Some(redirection.fd));
            return done.map(|_| ()).map_err(|why| (alloc::format!("descriptor {fd}"), why));
        }
        Target::Read(word) => (word, open::READ),
        Target::Write(word) => (word, open::WRITE | open::CREATE | open::TRUNCATE),
        Target::Append(word) => (word, open::WRITE | open::CREATE | open::APPEND),
    };
    let path = single(word, variables);
    let file = File::open(&path, flags).map_err(|why| (path.clone(), why))?;
    become_fd(file, redirection.fd).map_err(|why| (path, why))
}

/// Descriptors of the shell as they were before a redirection; they are so again when this goes.
struct Saved(Vec<(u32, Option<File>)>);

impl Saved {
    fn redirect(redirections: &[Redirection], variables: &Variables) -> Redirected<Self> {
        let mut saved = Self(Vec::new());
        for redirection in redirections {
            let before = sys::dup(redirection.fd, None).ok().map(File::of);
            saved.0.push((redirection.fd, before));
            redirect(redirection, variables)?;
        }
        Ok(saved)
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        while let Some((fd, before)) = self.0.pop() {
            // There is nothing else to do when it fails.
            let _ = match before {
                Some(file) => sys::dup(file.fd(), Some(fd)).map(|_| ()),
                None => sys::close(fd),
            };
        }
    }
}
