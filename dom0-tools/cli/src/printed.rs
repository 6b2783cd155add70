//! What a verb prints, kept apart by where it belongs.
//!
//! `run` fills it while the toolstack is held; whoever owns the terminal shows it afterwards. A plain
//! `String` takes both kinds in one, as a console shows them.

use alloc::string::String;
use alloc::vec::Vec;

/// Where text belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Results.
    Out,
    /// Complaints.
    Err,
}

/// Takes what is printed.
pub trait Printer {
    /// Takes text.
    fn print(&mut self, to: Stream, text: &str);
}

impl Printer for String {
    fn print(&mut self, _to: Stream, text: &str) {
        self.push_str(text);
    }
}

/// Text of both kinds, in the order in which it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    pieces: Vec<(Stream, String)>,
}

impl Printed {
    /// The text, in pieces of one kind each.
    pub fn pieces(&self) -> impl Iterator<Item = (Stream, &str)> {
        self.pieces.iter().map(|(stream, text)| (*stream, text.as_str()))
    }
}

impl Printer for Printed {
    fn print(&mut self, to: Stream, text: &str) {
        match self.pieces.last_mut() {
            Some((last, piece)) if *last == to => piece.push_str(text),
            _ => self.pieces.push((to, String::from(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_their_kind_and_order() {
        let mut printed = Printed::default();
        let said = [(Stream::Out, "a"), (Stream::Out, "b"), (Stream::Err, "c"), (Stream::Out, "d")];
        said.iter().for_each(|(stream, text)| printed.print(*stream, text));
        let pieces: Vec<_> = printed.pieces().collect();
        assert_eq!(pieces, [(Stream::Out, "ab"), (Stream::Err, "c"), (Stream::Out, "d")]);
        let mut text = String::new();
        said.iter().for_each(|(stream, piece)| text.print(*stream, piece));
        assert_eq!(text, "abcd");
    }
}
