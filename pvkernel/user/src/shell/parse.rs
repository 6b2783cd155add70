//! From words and signs to commands, by recursive descent.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::lex::{is_name, tokens, Token, What};
use super::{
    Chain, Command, Link, Part, Pipeline, Redirection, Script, Simple, SyntaxError, Target, Word,
};

/// Commands inside commands; more is a mistake, and would take the stack of whoever reads it.
const MAX_DEPTH: usize = 32;

/// Words that end a script inside a command, and begin no command.
const CLOSING: &[&str] = &["then", "else", "fi", "do", "done"];

type Parsed<T> = Result<T, SyntaxError>;

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

/// Reads a script.
///
/// # Errors
/// Where and why it is none.
pub fn parse(text: &str) -> Parsed<Script> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0 };
    let script = parser.script()?;
    match parser.peek() {
        None => Ok(script),
        Some(_) => Err(parser.unexpected()),
    }
}

impl Parser<'_> {
    fn peek(&self) -> Option<&What> {
        self.tokens.get(self.next).map(|token| &token.what)
    }

    /// The next word, if it is one of the language's own.
    fn keyword(&self) -> Option<&str> {
        match self.peek() {
            Some(What::Word(word)) => word.plain(),
            _ => None,
        }
    }

    fn sign(&self) -> Option<&'static str> {
        match self.peek() {
            Some(What::Sign(sign)) => Some(sign),
            _ => None,
        }
    }

    fn take_word(&mut self) -> Option<Word> {
        let Some(What::Word(word)) = self.peek() else { return None };
        let word = word.clone();
        self.next += 1;
        Some(word)
    }

    fn error(&self, what: String) -> SyntaxError {
        let at = self.tokens.get(self.next).map_or(self.text.len(), |token| token.start);
        SyntaxError::at(self.text, at, what)
    }

    fn unexpected(&self) -> SyntaxError {
        match self.tokens.get(self.next) {
            None => self.error("the end was not expected here".to_string()),
            Some(token) if token.what == What::Line => {
                self.error("the end of the line was not expected here".to_string())
            }
            Some(token) => {
                let found = self.text.get(token.start..token.end).unwrap_or_default();
                self.error(format!("`{found}` was not expected here"))
            }
        }
    }

    fn skip_lines(&mut self) {
        while self.peek() == Some(&What::Line) {
            self.next += 1;
        }
    }

    fn expect(&mut self, keyword: &str) -> Parsed<()> {
        if self.keyword() != Some(keyword) {
            return Err(self.error(format!("`{keyword}` was expected here")));
        }
        self.next += 1;
        Ok(())
    }

    fn script(&mut self) -> Parsed<Script> {
        let mut chains = Vec::new();
        loop {
            self.skip_lines();
            let closes = self.keyword().is_some_and(|word| CLOSING.contains(&word));
            if self.peek().is_none() || closes {
                return Ok(Script(chains));
            }
            let mut chain = self.chain()?;
            match self.peek() {
                Some(What::Sign("&")) => {
                    chain.in_background = true;
                    self.next += 1;
                }
                Some(What::Sign(";") | What::Line) => self.next += 1,
                None => {}
                Some(What::Word(_)) if self.keyword().is_some_and(|w| CLOSING.contains(&w)) => {}
                Some(_) => return Err(self.unexpected()),
            }
            chains.push(chain);
        }
    }

    fn chain(&mut self) -> Parsed<Chain> {
        let start = self.tokens.get(self.next).map_or(0, |token| token.start);
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            let link = match self.sign() {
                Some("&&") => Link::And,
                Some("||") => Link::Or,
                _ => break,
            };
            self.next += 1;
            self.skip_lines();
            rest.push((link, self.pipeline()?));
        }
        let end = self.next.checked_sub(1).and_then(|last| self.tokens.get(last));
        let text = self.text.get(start..end.map_or(start, |token| token.end));
        let text = text.unwrap_or_default().to_string();
        Ok(Chain { first, rest, in_background: false, text })
    }

    fn pipeline(&mut self) -> Parsed<Pipeline> {
        let negated = self.keyword() == Some("!");
        self.next += usize::from(negated);
        let mut commands = alloc::vec![self.command()?];
        while self.sign() == Some("|") {
            self.next += 1;
            self.skip_lines();
            commands.push(self.command()?);
        }
        Ok(Pipeline { negated, commands })
    }

    fn command(&mut self) -> Parsed<Command> {
        let compound = match self.keyword() {
            Some("if") => Self::if_command,
            Some("while") => Self::while_command,
            Some("for") => Self::for_command,
            Some(word) if CLOSING.contains(&word) => return Err(self.unexpected()),
            _ => return self.simple().map(Command::Simple),
        };
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("more than {MAX_DEPTH} commands inside each other")));
        }
        self.depth += 1;
        self.next += 1;
        let command = compound(self);
        self.depth -= 1;
        command
    }

    /// A script inside a command, which is not empty.
    fn body(&mut self) -> Parsed<Script> {
        let script = self.script()?;
        match script.0.is_empty() {
            true => Err(self.unexpected()),
            false => Ok(script),
        }
    }

    fn if_command(&mut self) -> Parsed<Command> {
        let condition = self.body()?;
        self.expect("then")?;
        let then = self.body()?;
        let mut otherwise = Script::default();
        if self.keyword() == Some("else") {
            self.next += 1;
            otherwise = self.body()?;
        }
        self.expect("fi")?;
        Ok(Command::If(condition, then, otherwise))
    }

    fn while_command(&mut self) -> Parsed<Command> {
        let condition = self.body()?;
        let body = self.loop_body()?;
        Ok(Command::While(condition, body))
    }

    fn loop_body(&mut self) -> Parsed<Script> {
        self.expect("do")?;
        let body = self.body()?;
        self.expect("done")?;
        Ok(body)
    }

    fn for_command(&mut self) -> Parsed<Command> {
        let name = self.keyword().filter(|name| is_name(name)).map(str::to_string);
        let name = name.ok_or_else(|| self.error("a name was expected here".to_string()))?;
        self.next += 1;
        self.expect("in")?;
        let mut values = Vec::new();
        while let Some(word) = self.take_word() {
            values.push(word);
        }
        if !matches!(self.peek(), Some(What::Line | What::Sign(";"))) {
            return Err(self.error("`;` was expected here".to_string()));
        }
        self.next += 1;
        self.skip_lines();
        let body = self.loop_body()?;
        Ok(Command::For(name, values, body))
    }

    fn simple(&mut self) -> Parsed<Simple> {
        let mut command = Simple::default();
        let start = self.next;
        loop {
            if let Some(redirection) = self.redirection()? {
                command.redirections.push(redirection);
                continue;
            }
            let before = self.next;
            let Some(word) = self.take_word() else { break };
            let assignment = assignment(&word).filter(|_| command.words.is_empty());
            match assignment {
                Some(assignment) => command.assignments.push(assignment),
                None if command.assignments.is_empty() => command.words.push(word),
                None => {
                    self.next = before;
                    let what = "a variable is set alone: `;` was expected here";
                    return Err(self.error(what.to_string()));
                }
            }
        }
        match self.next == start {
            true => Err(self.unexpected()),
            false => Ok(command),
        }
    }

    fn redirection(&mut self) -> Parsed<Option<Redirection>> {
        let (fd, make): (u32, fn(Word) -> Target) = match self.sign() {
            Some("<") => (0, Target::Read),
            Some(">") => (1, Target::Write),
            Some(">>") => (1, Target::Append),
            Some("2>") => (2, Target::Write),
            Some("2>>") => (2, Target::Append),
            Some("2>&1") => {
                self.next += 1;
                return Ok(Some(Redirection { fd: 2, to: Target::Same(1) }));
            }
            _ => return Ok(None),
        };
        self.next += 1;
        match self.take_word() {
            Some(word) => Ok(Some(Redirection { fd, to: make(word) })),
            None => Err(self.error("the name of a file was expected here".to_string())),
        }
    }
}

/// A word that sets a variable: `NAME=` in its first part, which is not quoted.
fn assignment(word: &Word) -> Option<(String, Word)> {
    let Some((Part::Plain(first), rest)) = word.0.split_first() else { return None };
    let (name, value) = first.split_once('=')?;
    if !is_name(name) {
        return None;
    }
    let mut parts = Vec::new();
    if !value.is_empty() {
        parts.push(Part::Plain(value.to_string()));
    }
    parts.extend_from_slice(rest);
    Some((name.to_string(), Word(parts)))
}
