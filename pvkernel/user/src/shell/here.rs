//! Here-documents: lines behind a command that it reads.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;

use super::lex::{Awaited, Lexer, Parsed};
use super::{Document, Part, SyntaxError, Word};

impl Lexer<'_> {
    /// Asks for the lines up to the word, which begin behind this line. A word with quotes keeps `$` and `\`
    /// in them from meaning anything.
    pub(super) fn await_document(
        &mut self,
        word: &Word,
        at: usize,
        strips_tabs: bool,
    ) -> Parsed<Document> {
        let (mut end, mut is_literal) = (String::new(), false);
        for part in &word.0 {
            match part {
                Part::Plain(text) => end.push_str(text),
                Part::Quoted(text) => {
                    end.push_str(text);
                    is_literal = true;
                }
                _ => return Err(self.error(at, "a word without $ was expected behind <<")),
            }
        }
        let document = Document::default();
        let awaited = Awaited { document: Rc::clone(&document), end, is_literal, strips_tabs };
        self.awaited.push(awaited);
        Ok(document)
    }

    /// A here-document goes on where the script ends.
    pub(super) fn endless(&self, end: &str) -> SyntaxError {
        self.error(self.text.len(), format!("the line `{end}` that ends the text is missing"))
    }

    /// Takes the lines of all here-documents of the line that ends here.
    pub(super) fn documents(&mut self) -> Parsed<()> {
        for awaited in core::mem::take(&mut self.awaited) {
            let start = self.at;
            let lines = self.lines(&awaited)?;
            let word = match awaited.is_literal {
                true => Word(alloc::vec![Part::Quoted(lines)]),
                false => self.expandable(&lines, start)?,
            };
            // Each is awaited once, so none is set yet.
            let _ = awaited.document.set(word);
        }
        Ok(())
    }

    /// Lines up to the one that ends them, and over it.
    fn lines(&mut self, awaited: &Awaited) -> Parsed<String> {
        let mut lines = String::new();
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return Err(self.endless(&awaited.end));
            }
            let (line, ending) = rest.find('\n').map_or((rest, 0), |end| (&rest[..end], 1));
            self.at += line.len() + ending;
            let line = if awaited.strips_tabs { line.trim_start_matches('\t') } else { line };
            if line == awaited.end {
                return Ok(lines);
            }
            lines.push_str(line);
            lines.push('\n');
        }
    }

    /// The lines with what `$` and `\` mean in them. A mistake there is told by its line in the script.
    fn expandable(&self, lines: &str, start: usize) -> Parsed<Word> {
        let mut inner = Lexer { depth: self.depth, ..Lexer::new(lines) };
        let mut word = Word::default();
        inner.quoted_until("", "", 0, &mut word).map_err(|error| {
            let line = error.line + self.error(start, "").line - 1;
            SyntaxError { line, is_unfinished: false, ..error }
        })?;
        Ok(word)
    }
}
