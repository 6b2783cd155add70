//! Runs what was read.
//!
//! A command alone that is a builtin or a function, sets variables or holds other commands runs in the shell
//! itself; everything else in a child (`children`). `world` has what words ask for, `redirect` what
//! becomes of descriptors.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use pvkernel_user::edit::History;
use pvkernel_user::eprintln;
use pvkernel_user::io::complain;
use pvkernel_user::process::in_child;
use pvkernel_user::shell::{
    fields, pattern, single, Chain, Command, Compound, Expanded, Link, Pattern, Pipeline, Script,
    Simple, Table, Variables, Word,
};

use crate::builtin;
use crate::children::Work;
use crate::jobs::Jobs;
use crate::redirect::Saved;

/// Functions and scripts that call each other; more would take the shell's stack.
const MAX_CALLS: u32 = 64;

/// Where the commands go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// With the next one.
    Next,
    /// Behind the loop.
    Break,
    /// With the next turn of the loop.
    Continue,
    /// Behind the call.
    Return,
    /// Nowhere: what was waited for was killed, as ^C does. No more of this line is started.
    Stop,
}

/// A shell.
pub struct Shell {
    /// What `$` leads to.
    pub variables: Variables,
    /// Names that stand for commands.
    pub functions: Table<Rc<Command>>,
    /// What runs in the background.
    pub jobs: Jobs,
    /// Lines that were typed.
    pub history: History,
    /// Where the commands go on.
    pub flow: Flow,
    /// The status of the last `$(...)` of the command that is being read.
    pub substituted: i32,
    /// Descriptors kept to be restored, which are no concern of children.
    pub kept: Vec<u32>,
    loops: u32,
    calls: u32,
}

impl Shell {
    /// A shell without jobs.
    pub fn new(variables: Variables) -> Self {
        Self {
            variables,
            functions: Table::default(),
            jobs: Jobs::default(),
            history: History::default(),
            flow: Flow::Next,
            substituted: 0,
            kept: Vec::new(),
            loops: 0,
            calls: 0,
        }
    }

    /// Runs a script: the status of its last chain.
    pub fn script(&mut self, script: &Script) -> i32 {
        for chain in &script.0 {
            if self.flow != Flow::Next {
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
            self.become_child();
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
            if self.flow != Flow::Next {
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
            [command] => self.command(command),
            commands => {
                let works: Vec<Work<'_>> = commands.iter().map(Work::Command).collect();
                self.joined(&works)
            }
        };
        match pipeline.negated {
            true => i32::from(status == 0),
            false => status,
        }
    }

    /// A command whose effects on the shell itself count.
    pub fn command(&mut self, command: &Command) -> i32 {
        let done = match command {
            Command::Simple(simple) => self.simple(simple),
            Command::Compound(compound, redirections) if redirections.is_empty() => {
                self.compound(compound)
            }
            Command::Compound(compound, redirections) => Saved::redirect(self, redirections)
                .and_then(|saved| {
                    let status = self.compound(compound);
                    saved.restore(self);
                    status
                }),
            Command::Function(name, body) => {
                self.functions.set(name, Rc::clone(body));
                Ok(0)
            }
        };
        done.unwrap_or_else(|why| self.fail(&why))
    }

    /// Says why a command could not run.
    pub fn fail(&self, why: &str) -> i32 {
        // A line that was stopped need not be explained.
        if self.flow != Flow::Stop {
            eprintln!("sh: {why}");
        }
        1
    }

    fn simple(&mut self, simple: &Simple) -> Expanded<i32> {
        self.substituted = 0;
        let args = self.args(&simple.words)?;
        for (name, word) in &simple.assignments {
            let value = single(word, self)?;
            self.variables.named.set(name, value);
        }
        if !self.runs_here(&args) {
            return Ok(self.joined(&[Work::Program(&args, &simple.redirections)]));
        }
        let saved = Saved::redirect(self, &simple.redirections)?;
        let status = self.run_here(&args);
        saved.restore(self);
        status
    }

    /// Whether these arguments need no program.
    pub fn runs_here(&self, args: &[String]) -> bool {
        args.first().is_none_or(|name| self.functions.get(name).is_some() || builtin::is_one(name))
    }

    /// Runs a function or a builtin, or nothing but a `$(...)`.
    pub fn run_here(&mut self, args: &[String]) -> Expanded<i32> {
        let Some(name) = args.first() else { return Ok(self.substituted) };
        match self.functions.get(name).cloned() {
            Some(body) => self.call(args, |shell| shell.command(&body)),
            None => Ok(builtin::run(self, args)),
        }
    }

    /// Runs something with arguments of its own.
    pub fn call(&mut self, args: &[String], run: impl FnOnce(&mut Self) -> i32) -> Expanded<i32> {
        if self.calls == MAX_CALLS {
            return Err(format!("more than {MAX_CALLS} calls inside each other"));
        }
        let rest = args.get(1..).unwrap_or_default();
        let name = self.variables.args.first().cloned().unwrap_or_default();
        let args = core::iter::once(name).chain(rest.iter().cloned()).collect();
        let args = core::mem::replace(&mut self.variables.args, args);
        let loops = core::mem::take(&mut self.loops);
        self.calls += 1;
        let status = run(self);
        self.calls -= 1;
        self.loops = loops;
        self.variables.args = args;
        self.go_on_from(Flow::Return);
        Ok(status)
    }

    /// Whether there is a loop to break, or a call to return from.
    pub fn is_inside(&self, flow: Flow) -> bool {
        match flow {
            Flow::Return => self.calls > 0,
            _ => self.loops > 0,
        }
    }

    fn go_on_from(&mut self, flow: Flow) {
        if self.flow == flow {
            self.flow = Flow::Next;
        }
    }

    pub fn compound(&mut self, compound: &Compound) -> Expanded<i32> {
        match compound {
            Compound::Group(body) => Ok(self.script(body)),
            Compound::Subshell(body) => Ok(self.joined(&[Work::Script(body)])),
            Compound::If(cases, otherwise) => Ok(self.choose(cases, otherwise)),
            Compound::Loop { until, condition, body } => Ok(self.repeat(*until, condition, body)),
            Compound::For(name, words, body) => {
                let values = match words {
                    Some(words) => self.args(words)?,
                    None => self.variables.args.get(1..).unwrap_or_default().to_vec(),
                };
                Ok(self.for_each(name, values, body))
            }
            Compound::Case(word, cases) => self.case(word, cases),
        }
    }

    fn choose(&mut self, cases: &[(Script, Script)], otherwise: &Script) -> i32 {
        for (condition, then) in cases {
            let status = self.script(condition);
            if self.flow != Flow::Next {
                return status;
            }
            if status == 0 {
                return self.script(then);
            }
        }
        self.variables.status = 0;
        self.script(otherwise)
    }

    fn repeat(&mut self, until: bool, condition: &Script, body: &Script) -> i32 {
        let mut status = 0;
        self.loops += 1;
        loop {
            let holds = self.script(condition) == 0;
            if self.flow == Flow::Next {
                if holds == until {
                    break;
                }
                status = self.script(body);
            }
            if !self.takes_another_turn() {
                break;
            }
        }
        self.loops -= 1;
        if self.flow == Flow::Next {
            status
        } else {
            self.variables.status
        }
    }

    fn for_each(&mut self, name: &str, values: Vec<String>, body: &Script) -> i32 {
        let mut status = 0;
        self.loops += 1;
        for value in values {
            self.variables.named.set(name, value);
            status = self.script(body);
            if !self.takes_another_turn() {
                break;
            }
        }
        self.loops -= 1;
        status
    }

    fn takes_another_turn(&mut self) -> bool {
        self.go_on_from(Flow::Continue);
        let goes_on = self.flow == Flow::Next;
        self.go_on_from(Flow::Break);
        goes_on
    }

    fn case(&mut self, word: &Word, cases: &[(Vec<Word>, Script)]) -> Expanded<i32> {
        let text = single(word, self)?;
        for (words, body) in cases {
            for word in words {
                if Pattern::new(&pattern(word, self)?).fits(&text) {
                    self.variables.status = 0;
                    return Ok(self.script(body));
                }
            }
        }
        Ok(0)
    }

    pub fn args(&mut self, words: &[Word]) -> Expanded<Vec<String>> {
        let mut args = Vec::new();
        for word in words {
            args.extend(fields(word, self)?);
        }
        Ok(args)
    }
}
