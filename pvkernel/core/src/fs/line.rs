//! The line that is being typed: erasing, ending, and what is shown of it.
//!
//! Plain data, no console: a key goes in, what to show and what happened come out.

use alloc::vec::Vec;

/// Bytes of a line; more are not taken.
pub(super) const LINE_MAX: usize = 1024;

const END_OF_FILE: u8 = 4;
/// ^C.
pub(super) const INTERRUPT: u8 = 3;
const BACKSPACE: u8 = 8;
const KILL: u8 = 0x15;
const WORD: u8 = 0x17;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;

/// What a key did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Nothing that matters to anybody else.
    Nothing,
    /// A line is complete, with its end; empty for the end of the input.
    Line(Vec<u8>),
    /// A key was kept as it is.
    Key,
    /// ^C.
    Interrupt,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// Behind the key itself.
    First,
    /// Until its last letter.
    Rest,
}

/// The line.
#[derive(Default)]
pub(super) struct LineEditor {
    bytes: Vec<u8>,
    escape: Escape,
    after_return: bool,
}

impl LineEditor {
    /// Takes a byte; what is to be shown is added to `echo`.
    pub(super) fn push(&mut self, byte: u8, echo: &mut Vec<u8>) -> Typed {
        if self.is_second_end(byte) || self.is_in_escape(byte) {
            return Typed::Nothing;
        }
        match byte {
            b'\n' | b'\r' => {
                echo.push(b'\n');
                self.bytes.push(b'\n');
                return Typed::Line(core::mem::take(&mut self.bytes));
            }
            END_OF_FILE => return Typed::Line(core::mem::take(&mut self.bytes)),
            INTERRUPT => {
                echo.extend_from_slice(b"^C\n");
                self.bytes.clear();
                return Typed::Interrupt;
            }
            BACKSPACE | DELETE => self.erase(echo),
            KILL => {
                while !self.bytes.is_empty() {
                    self.erase(echo);
                }
            }
            WORD => self.erase_word(echo),
            b'\t' => self.add(b' ', echo),
            0x20.. => self.add(byte, echo),
            _ => {}
        }
        Typed::Nothing
    }

    /// Whether it is the second of the two bytes some consoles send for one key. It is asked for each byte.
    pub(super) fn is_second_end(&mut self, byte: u8) -> bool {
        core::mem::replace(&mut self.after_return, byte == b'\r') && byte == b'\n'
    }

    /// What of a line was typed, which is forgotten here.
    pub(super) fn take_back(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.bytes)
    }

    /// Keys like the arrows are several bytes, of which none is meant.
    fn is_in_escape(&mut self, byte: u8) -> bool {
        let now = self.escape;
        self.escape = match (now, byte) {
            (_, ESCAPE) => Escape::First,
            (Escape::First, b'[' | b'O') => Escape::Rest,
            (Escape::Rest, 0x20..=0x3f) => Escape::Rest,
            _ => Escape::None,
        };
        // A control character is itself, wherever it stands.
        byte == ESCAPE || (now != Escape::None && byte >= 0x20)
    }

    fn add(&mut self, byte: u8, echo: &mut Vec<u8>) {
        // Its end and, in a text of several bytes, the rest of the character must fit.
        if self.bytes.len() + 1 < LINE_MAX {
            self.bytes.push(byte);
            echo.push(byte);
        }
    }

    /// Takes back a character, which may be several bytes.
    fn erase(&mut self, echo: &mut Vec<u8>) {
        while let Some(byte) = self.bytes.pop() {
            if byte & 0xc0 != 0x80 {
                echo.extend_from_slice(b"\x08 \x08");
                break;
            }
        }
    }

    fn erase_word(&mut self, echo: &mut Vec<u8>) {
        while self.bytes.last() == Some(&b' ') {
            self.erase(echo);
        }
        while self.bytes.last().is_some_and(|byte| *byte != b' ') {
            self.erase(echo);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;

    fn type_in(bytes: &[u8]) -> (Vec<Typed>, Vec<u8>) {
        let (mut editor, mut echo) = (LineEditor::default(), Vec::new());
        let typed = bytes.iter().map(|byte| editor.push(*byte, &mut echo));
        let typed = typed.filter(|typed| *typed != Typed::Nothing).collect();
        (typed, echo)
    }

    fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
        let lines = type_in(bytes).0.into_iter();
        lines
            .filter_map(|typed| if let Typed::Line(line) = typed { Some(line) } else { None })
            .collect()
    }

    #[test]
    fn keys_do_what_they_say() {
        assert_eq!(lines(b"ls\r\ncat x\ny\r"), [&b"ls\n"[..], b"cat x\n", b"y\n"]);
        assert_eq!(lines(b"lx\x7fs\n"), [b"ls\n"]);
        assert_eq!(lines("aä\x08b\n".as_bytes()), [b"ab\n"]);
        assert_eq!(lines(b"rm -rf /\x15ls\n"), [b"ls\n"]);
        assert_eq!(lines(b"one two \x17three\n"), [b"one three\n"]);
        assert_eq!(lines(b"a\x04\x04"), [&b"a"[..], b""]);
        assert_eq!(lines(b"a\x1b[1;5Db\x1b[Ac\x1bOPd\n"), [b"abcd\n"]);
        assert_eq!(type_in(b"ab\x03").0, [Typed::Interrupt]);
        assert_eq!(type_in(b"ab\x7f\r").1, b"ab\x08 \x08\n");
        assert_eq!(lines(&[&[b'x'; 3000][..], b"\n"].concat())[0].len(), LINE_MAX);
    }

    proptest! {
        #[test]
        fn what_is_seen_is_what_is_read(keys in proptest::collection::vec(
            prop_oneof![Just(0x7f_u8), Just(0x15), Just(0x17), Just(b' '), b'a'..=b'f'], 0..200)) {
            let (mut typed, echo) = type_in(&[&keys[..], b"\n"].concat());
            // A screen that understands going back.
            let mut screen = String::new();
            for byte in echo {
                match byte {
                    8 => drop(screen.pop()),
                    _ => screen.push(byte.into()),
                }
            }
            // "\x08 \x08": the blank over the character is taken back, too.
            let Some(Typed::Line(line)) = typed.pop() else { panic!("no line") };
            prop_assert_eq!(screen.into_bytes(), line);
        }
    }
}
