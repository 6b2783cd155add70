//! Commands that hold others, and functions.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::lex::{is_name, Parsed};
use super::parse::Parser;
use super::{Command, Compound, Redirection, Script};

impl Parser<'_> {
    /// A compound command with its redirections, if one begins here.
    pub(super) fn compound(&mut self) -> Parsed<Option<Command>> {
        let read = match (self.keyword(), self.sign()) {
            (Some("{"), _) => Self::group,
            (_, Some("(")) => Self::subshell,
            (Some("if"), _) => Self::if_command,
            (Some("while"), _) => Self::while_command,
            (Some("until"), _) => Self::until_command,
            (Some("for"), _) => Self::for_command,
            (Some("case"), _) => Self::case_command,
            _ => return Ok(None),
        };
        let at = self.ahead.as_ref().map_or(0, |token| token.start);
        self.lexer.enter(at)?;
        self.advance()?;
        let compound = read(self)?;
        self.lexer.depth -= 1;
        let mut redirections: Vec<Redirection> = Vec::new();
        while let Some(redirection) = self.redirection()? {
            redirections.push(redirection);
        }
        Ok(Some(Command::Compound(Box::new(compound), redirections)))
    }

    /// A script inside a command, which is not empty.
    fn body(&mut self) -> Parsed<Script> {
        let script = self.script()?;
        match script.0.is_empty() {
            true => Err(self.unexpected()),
            false => Ok(script),
        }
    }

    fn group(&mut self) -> Parsed<Compound> {
        let body = self.body()?;
        self.expect("}")?;
        Ok(Compound::Group(body))
    }

    fn subshell(&mut self) -> Parsed<Compound> {
        let body = self.body()?;
        self.expect(")")?;
        Ok(Compound::Subshell(body))
    }

    fn if_command(&mut self) -> Parsed<Compound> {
        let mut cases = Vec::new();
        loop {
            let condition = self.body()?;
            self.expect("then")?;
            cases.push((condition, self.body()?));
            if self.keyword() != Some("elif") {
                break;
            }
            self.advance()?;
        }
        let mut otherwise = Script::default();
        if self.keyword() == Some("else") {
            self.advance()?;
            otherwise = self.body()?;
        }
        self.expect("fi")?;
        Ok(Compound::If(cases, otherwise))
    }

    fn while_command(&mut self) -> Parsed<Compound> {
        let condition = self.body()?;
        Ok(Compound::Loop { until: false, condition, body: self.loop_body()? })
    }

    fn until_command(&mut self) -> Parsed<Compound> {
        let condition = self.body()?;
        Ok(Compound::Loop { until: true, condition, body: self.loop_body()? })
    }

    fn loop_body(&mut self) -> Parsed<Script> {
        self.expect("do")?;
        let body = self.body()?;
        self.expect("done")?;
        Ok(body)
    }

    fn for_command(&mut self) -> Parsed<Compound> {
        let name = self.keyword().filter(|name| is_name(name)).map(ToString::to_string);
        let name = name.ok_or_else(|| self.error("a name was expected here"))?;
        self.advance()?;
        let mut values = None;
        if self.keyword() == Some("in") {
            self.advance()?;
            let words = values.insert(Vec::new());
            while let Some(word) = self.take_word()? {
                words.push(word);
            }
        }
        let is_parted = self.take_sign(";")?;
        if !is_parted && self.keyword() != Some("do") && self.sign().is_some() {
            return Err(self.error("`;` was expected here"));
        }
        self.skip_lines()?;
        Ok(Compound::For(name, values, self.loop_body()?))
    }

    fn case_command(&mut self) -> Parsed<Compound> {
        let word = self.take_word()?.ok_or_else(|| self.error("a word was expected here"))?;
        self.skip_lines()?;
        self.expect("in")?;
        let mut cases = Vec::new();
        loop {
            self.skip_lines()?;
            if self.keyword() == Some("esac") {
                self.advance()?;
                return Ok(Compound::Case(word, cases));
            }
            self.take_sign("(")?;
            let mut patterns = Vec::new();
            loop {
                let pattern = self.take_word()?;
                patterns.push(pattern.ok_or_else(|| self.error("a pattern was expected here"))?);
                if !self.take_sign("|")? {
                    break;
                }
            }
            self.expect(")")?;
            cases.push((patterns, self.script()?));
            if !self.take_sign(";;")? && self.keyword() != Some("esac") {
                return Err(self.error("`;;` was expected here"));
            }
        }
    }

    /// `NAME()` and the command it stands for, of which the name was read.
    pub(super) fn function(&mut self, name: &str) -> Parsed<Command> {
        self.advance()?;
        self.expect(")")?;
        self.skip_lines()?;
        match self.compound()? {
            Some(body) => Ok(Command::Function(name.to_string(), Rc::new(body))),
            None => Err(self.error("`{` was expected here")),
        }
    }
}
