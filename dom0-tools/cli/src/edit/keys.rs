//! Turns bytes of a terminal into keys.
//!
//! Keys beyond letters arrive as several bytes that begin with Escape. Unknown sequences are
//! swallowed whole, so that a strange key types no rubbish.

/// What a key means to the editor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A printable character.
    Character(char),
    /// Return.
    Enter,
    /// ^C.
    Interrupt,
    /// ^D: delete, or the end of the input.
    DeleteOrEnd,
    /// Tab.
    Tab,
    /// ^L.
    ClearScreen,
    /// One line back in the history.
    Previous,
    /// One line forward in the history.
    Next,
    /// One character left.
    Left,
    /// One character right.
    Right,
    /// Start of the line.
    Home,
    /// End of the line.
    End,
    /// One word left.
    WordLeft,
    /// One word right.
    WordRight,
    /// Remove the character before the cursor.
    Backspace,
    /// Remove the character at the cursor.
    Delete,
    /// Remove to the end of the line.
    KillToEnd,
    /// Remove to the start of the line.
    KillToStart,
    /// Remove the word before the cursor.
    KillWord,
    /// Remove the word behind the cursor.
    KillWordRight,
}

/// How much of a sequence has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Plain,
    /// After Escape.
    Escape,
    /// After Escape and `[`, with the number so far.
    Sequence(u32),
    /// After Escape and `O`.
    Function,
}

/// Collects bytes into keys.
#[derive(Debug, Default)]
pub struct KeyReader {
    state: State,
    /// Whether the last byte was a carriage return, whose line feed is to be ignored.
    after_return: bool,
}

impl KeyReader {
    /// Takes a byte; returns a key when it is complete.
    pub fn feed(&mut self, byte: u8) -> Option<Key> {
        let after_return = core::mem::replace(&mut self.after_return, byte == b'\r');
        match core::mem::take(&mut self.state) {
            State::Plain if byte == b'\n' && after_return => None,
            State::Plain => self.plain(byte),
            State::Escape => self.escape(byte),
            State::Sequence(number) => self.sequence(byte, number),
            State::Function => final_key(byte),
        }
    }

    fn plain(&mut self, byte: u8) -> Option<Key> {
        Some(match byte {
            b'\r' | b'\n' => Key::Enter,
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::DeleteOrEnd,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 | 0x7f => Key::Backspace,
            b'\t' => Key::Tab,
            0x0b => Key::KillToEnd,
            0x0c => Key::ClearScreen,
            0x0e => Key::Next,
            0x10 => Key::Previous,
            0x15 => Key::KillToStart,
            0x17 => Key::KillWord,
            0x1b => {
                self.state = State::Escape;
                return None;
            }
            0x20..=0x7e => Key::Character(char::from(byte)),
            _ => return None,
        })
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => self.state = State::Sequence(0),
            b'O' => self.state = State::Function,
            b'b' => return Some(Key::WordLeft),
            b'f' => return Some(Key::WordRight),
            b'd' => return Some(Key::KillWordRight),
            0x7f => return Some(Key::KillWord),
            0x1b => self.state = State::Escape,
            _ => {}
        }
        None
    }

    fn sequence(&mut self, byte: u8, number: u32) -> Option<Key> {
        match byte {
            b'0'..=b'9' => {
                let digit = u32::from(byte - b'0');
                self.state = State::Sequence(number.saturating_mul(10).saturating_add(digit));
                None
            }
            // Only the last number of several matters: 1;5C is the right arrow with Control.
            b';' => {
                self.state = State::Sequence(0);
                None
            }
            b'~' => match number {
                1 | 7 => Some(Key::Home),
                4 | 8 => Some(Key::End),
                3 => Some(Key::Delete),
                _ => None,
            },
            b'C' if number == 5 => Some(Key::WordRight),
            b'D' if number == 5 => Some(Key::WordLeft),
            0x40..=0x7e => final_key(byte),
            _ => None,
        }
    }
}

fn final_key(byte: u8) -> Option<Key> {
    match byte {
        b'A' => Some(Key::Previous),
        b'B' => Some(Key::Next),
        b'C' => Some(Key::Right),
        b'D' => Some(Key::Left),
        b'H' => Some(Key::Home),
        b'F' => Some(Key::End),
        _ => None,
    }
}
