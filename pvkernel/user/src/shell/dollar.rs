//! What stands behind a `$`. Its end may be far away: a script ends where the parser says so.

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::lex::{is_in_name, push, Lexer, Parsed};
use super::parse::Parser;
use super::{Part, Script, Word};

impl<'a> Lexer<'a> {
    /// `$NAME`, `${NAME}`, `${NAME:-WORD}`, `$(SCRIPT)`, `$((EXPRESSION))`; before anything else a `$` is
    /// itself.
    pub(super) fn dollar(&mut self, word: &mut Word, quoted: bool) -> Parsed<()> {
        let start = self.at;
        self.at += 1;
        let is_deeper = self.rest().starts_with(['(', '{']);
        if is_deeper {
            self.enter(start)?;
        }
        let part = if self.skip("((") {
            Some(Part::Number(self.expression(start)?))
        } else if self.skip("(") {
            Some(Part::Output { script: Rc::new(self.script(start)?), quoted })
        } else if self.skip("{") {
            Some(self.braces(start, quoted)?)
        } else {
            let name = self.name().to_string();
            (!name.is_empty()).then_some(Part::Variable { name, default: None, quoted })
        };
        self.depth -= usize::from(is_deeper);
        match part {
            Some(part) => word.0.push(part),
            None => push(word, '$', quoted),
        }
        Ok(())
    }

    /// One of the signs that are names, a digit, or a name.
    fn name(&mut self) -> &'a str {
        let rest = self.rest();
        let len = match rest.chars().next() {
            Some('?' | '#' | '$' | '!' | '*' | '@' | '0'..='9') => 1,
            _ => rest.find(|sign| !is_in_name(sign)).unwrap_or(rest.len()),
        };
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    fn braces(&mut self, start: usize, quoted: bool) -> Parsed<Part> {
        let rest = self.rest();
        let digits = rest.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(rest.len());
        let name = match digits {
            0 => self.name(),
            _ => {
                self.at += digits;
                rest.get(..digits).unwrap_or_default()
            }
        };
        let name = name.to_string();
        let mut default = None;
        if !name.is_empty() && self.skip(":-") {
            let word = default.insert(Word(alloc::vec![Part::Quoted(String::new())]));
            self.quoted_until("}", "${ is not closed", start, word)?;
        } else if name.is_empty() || !self.skip("}") {
            let error = self.error(start, "a name and } were expected behind ${");
            return Err(if self.peek().is_none() { error.unfinished() } else { error });
        }
        Ok(Part::Variable { name, default, quoted })
    }

    /// A script, and the `)` behind it.
    fn script(&mut self, start: usize) -> Parsed<Script> {
        let inner = Lexer { text: self.text, at: self.at, depth: self.depth, awaited: Vec::new() };
        let (script, inner) = Parser::inside(inner, start)?;
        self.at = inner.at;
        self.awaited.extend(inner.awaited);
        Ok(script)
    }

    /// An expression, and the `))` behind it.
    fn expression(&mut self, start: usize) -> Parsed<Word> {
        let (mut word, mut open) = (Word::default(), 0);
        loop {
            match self.peek() {
                None => return Err(self.error(start, "$(( is not closed").unfinished()),
                Some('$') => {
                    self.dollar(&mut word, true)?;
                    continue;
                }
                Some(')') if open == 0 => {
                    return match self.skip("))") {
                        true => Ok(word),
                        false => Err(self.error(self.at, "`))` was expected here")),
                    };
                }
                Some('(') => open += 1,
                Some(')') => open -= 1,
                Some(_) => {}
            }
            if let Some(sign) = self.next() {
                push(&mut word, sign, true);
            }
        }
    }
}
