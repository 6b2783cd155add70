//! From words and signs to commands, by recursive descent. `compound` has commands that hold others.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::lex::{is_name, Lexer, Parsed, Token, What};
use super::{
    Chain, Command, Link, Part, Pipeline, Redirection, Script, Simple, SyntaxError, Target, Word,
};

/// Words that end a script inside a command, and begin no command.
const CLOSING: &[&str] = &["then", "elif", "else", "fi", "do", "done", "esac", "}"];

/// Reads what the lexer finds, a token ahead of what it has understood.
pub(super) struct Parser<'a> {
    pub lexer: Lexer<'a>,
    /// The next one; `None` at the end.
    pub ahead: Option<Token>,
    /// Where the last one ended.
    end: usize,
}

/// Reads a script.
///
/// # Errors
/// Where and why it is none.
pub fn parse(text: &str) -> Parsed<Script> {
    let mut parser = Parser::new(Lexer::new(text))?;
    let script = parser.script()?;
    match parser.ahead {
        None => Ok(script),
        Some(_) => Err(parser.unexpected()),
    }
}

impl<'a> Parser<'a> {
    fn new(mut lexer: Lexer<'a>) -> Parsed<Self> {
        let end = lexer.at;
        let ahead = lexer.token()?;
        Ok(Self { lexer, ahead, end })
    }

    /// Reads the script of a `$(` at `start`: it, and the lexer behind its `)`.
    pub(super) fn inside(lexer: Lexer<'a>, start: usize) -> Parsed<(Script, Lexer<'a>)> {
        let mut parser = Self::new(lexer)?;
        let script = parser.script()?;
        match (parser.sign(), &parser.ahead) {
            (Some(")"), _) => Ok((script, parser.lexer)),
            (_, None) => Err(parser.lexer.error(start, "$( is not closed").unfinished()),
            _ => Err(parser.unexpected()),
        }
    }

    /// Steps over the next token.
    pub(super) fn advance(&mut self) -> Parsed<()> {
        self.end = self.ahead.as_ref().map_or(self.end, |token| token.end);
        self.ahead = self.lexer.token()?;
        Ok(())
    }

    fn what(&self) -> Option<&What> {
        self.ahead.as_ref().map(|token| &token.what)
    }

    /// Where the next token begins.
    fn start(&self) -> usize {
        self.ahead.as_ref().map_or(self.lexer.text.len(), |token| token.start)
    }

    /// The next word, if it may be one of the language's own.
    pub(super) fn keyword(&self) -> Option<&str> {
        match self.what() {
            Some(What::Word(word)) => word.plain(),
            _ => None,
        }
    }

    pub(super) fn sign(&self) -> Option<&'static str> {
        match self.what() {
            Some(What::Sign(sign)) => Some(sign),
            _ => None,
        }
    }

    pub(super) fn take_word(&mut self) -> Parsed<Option<Word>> {
        let Some(Token { what: What::Word(word), .. }) = &mut self.ahead else { return Ok(None) };
        let word = core::mem::take(word);
        self.advance()?;
        Ok(Some(word))
    }

    pub(super) fn take_sign(&mut self, sign: &str) -> Parsed<bool> {
        let comes = self.sign() == Some(sign);
        if comes {
            self.advance()?;
        }
        Ok(comes)
    }

    pub(super) fn error(&self, what: impl Into<String>) -> SyntaxError {
        self.lexer.error(self.start(), what)
    }

    pub(super) fn unexpected(&self) -> SyntaxError {
        match &self.ahead {
            None => self.error("the end was not expected here"),
            Some(Token { what: What::Line, .. }) => {
                self.error("the end of the line was not expected here")
            }
            Some(token) => {
                let found = self.lexer.text.get(token.start..token.end).unwrap_or_default();
                self.error(format!("`{found}` was not expected here"))
            }
        }
    }

    pub(super) fn skip_lines(&mut self) -> Parsed<()> {
        while matches!(self.what(), Some(What::Line)) {
            self.advance()?;
        }
        Ok(())
    }

    pub(super) fn expect(&mut self, keyword: &str) -> Parsed<()> {
        match self.keyword() == Some(keyword) || self.sign() == Some(keyword) {
            true => self.advance(),
            false => Err(self.error(format!("`{keyword}` was expected here"))),
        }
    }

    /// The next token ends a script inside a command.
    fn closes(&self) -> bool {
        self.keyword().is_some_and(|word| CLOSING.contains(&word))
            || matches!(self.sign(), Some(")" | ";;"))
    }

    pub(super) fn script(&mut self) -> Parsed<Script> {
        let mut chains = Vec::new();
        loop {
            self.skip_lines()?;
            if self.ahead.is_none() || self.closes() {
                return Ok(Script(chains));
            }
            let mut chain = self.chain()?;
            match self.what() {
                Some(What::Sign("&")) => {
                    chain.in_background = true;
                    self.advance()?;
                }
                Some(What::Sign(";") | What::Line) => self.advance()?,
                None => {}
                Some(_) if self.closes() => {}
                Some(_) => return Err(self.unexpected()),
            }
            chains.push(chain);
        }
    }

    fn chain(&mut self) -> Parsed<Chain> {
        let start = self.start();
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            let link = match self.sign() {
                Some("&&") => Link::And,
                Some("||") => Link::Or,
                _ => break,
            };
            self.advance()?;
            self.skip_lines()?;
            rest.push((link, self.pipeline()?));
        }
        let text = self.lexer.text.get(start..self.end).unwrap_or_default().to_string();
        Ok(Chain { first, rest, in_background: false, text })
    }

    fn pipeline(&mut self) -> Parsed<Pipeline> {
        let negated = self.keyword() == Some("!");
        if negated {
            self.advance()?;
        }
        let mut commands = alloc::vec![self.command()?];
        while self.take_sign("|")? {
            self.skip_lines()?;
            commands.push(self.command()?);
        }
        Ok(Pipeline { negated, commands })
    }

    fn command(&mut self) -> Parsed<Command> {
        if self.keyword().is_some_and(|word| CLOSING.contains(&word)) {
            return Err(self.unexpected());
        }
        match self.compound()? {
            Some(compound) => Ok(compound),
            None => self.simple(),
        }
    }

    fn simple(&mut self) -> Parsed<Command> {
        let mut command = Simple::default();
        loop {
            if let Some(redirection) = self.redirection()? {
                command.redirections.push(redirection);
                continue;
            }
            let Some(What::Word(word)) = self.what() else { break };
            let sets = command.words.is_empty() && name_set(word).is_some();
            if !sets && !command.assignments.is_empty() {
                return Err(self.error("a variable is set alone: `;` was expected here"));
            }
            let Some(word) = self.take_word()? else { break };
            match sets {
                true => command.assignments.push(assignment(word)),
                false => command.words.push(word),
            }
        }
        let name = match (command.words.as_slice(), command.redirections.is_empty()) {
            ([name], true) if self.sign() == Some("(") => name.plain().filter(|name| is_name(name)),
            _ => None,
        };
        let is_empty = command.words.is_empty() && command.redirections.is_empty();
        match name {
            Some(name) => self.function(name),
            None if is_empty && command.assignments.is_empty() => Err(self.unexpected()),
            None => Ok(Command::Simple(command)),
        }
    }

    pub(super) fn redirection(&mut self) -> Parsed<Option<Redirection>> {
        let (fd, make): (u32, fn(Word) -> Target) = match self.sign() {
            Some("<") => (0, Target::Read),
            Some(">") => (1, Target::Write),
            Some(">>") => (1, Target::Append),
            Some("2>") => (2, Target::Write),
            Some("2>>") => (2, Target::Append),
            Some("2>&1") => return self.same(2, 1),
            Some("1>&2" | ">&2") => return self.same(1, 2),
            Some(sign @ ("<<" | "<<-")) => return self.here(sign == "<<-").map(Some),
            _ => return Ok(None),
        };
        self.advance()?;
        match self.take_word()? {
            Some(word) => Ok(Some(Redirection { fd, to: make(word) })),
            None => Err(self.error("the name of a file was expected here")),
        }
    }

    fn same(&mut self, fd: u32, other: u32) -> Parsed<Option<Redirection>> {
        self.advance()?;
        Ok(Some(Redirection { fd, to: Target::Same(other) }))
    }

    /// The lines are asked for before the lexer comes to the end of this one.
    fn here(&mut self, strips_tabs: bool) -> Parsed<Redirection> {
        self.advance()?;
        let Some(Token { what: What::Word(word), start, .. }) = &self.ahead else {
            return Err(self.error("the word that ends the text was expected here"));
        };
        let document = self.lexer.await_document(word, *start, strips_tabs)?;
        self.advance()?;
        Ok(Redirection { fd: 0, to: Target::Here(document) })
    }
}

/// The name that a word sets: `NAME=` in its first part, which is not quoted.
fn name_set(word: &Word) -> Option<&str> {
    let Some(Part::Plain(first)) = word.0.first() else { return None };
    first.split_once('=').map(|(name, _)| name).filter(|name| is_name(name))
}

/// A word that sets a variable, as its name and the value.
fn assignment(mut word: Word) -> (String, Word) {
    let name = name_set(&word).unwrap_or_default().to_string();
    if let Some(Part::Plain(first)) = word.0.first_mut() {
        first.drain(..=name.len());
        if first.is_empty() {
            word.0.remove(0);
        }
    }
    (name, word)
}
