//! From bytes of a terminal to keys. Keys beyond letters are several bytes; those nobody knows are nothing.

/// A key, by what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Sign(char),
    Enter,
    Tab,
    Interrupt,
    /// The end of the input, or of a character.
    EndOrDelete,
    ClearScreen,
    Older,
    Newer,
    Left,
    Right,
    Home,
    End,
    Backspace,
    Delete,
    CutBehind,
    CutBefore,
    CutWord,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Plain,
    /// Behind Escape.
    Escape,
    /// Behind Escape and `[` or `O`, with the last number.
    Sequence(u32),
    /// In a character: its bits so far, and how many bytes are to come.
    Character(u32, u8),
}

/// Collects bytes.
#[derive(Debug, Default)]
pub(super) struct Reader {
    state: State,
    after_return: bool,
}

impl Reader {
    /// Takes a byte: the key that is complete with it.
    pub(super) fn feed(&mut self, byte: u8) -> Option<Key> {
        let after_return = core::mem::replace(&mut self.after_return, byte == b'\r');
        match (core::mem::take(&mut self.state), byte) {
            (State::Character(bits, left), 0x80..=0xbf) => {
                let bits = bits << 6 | u32::from(byte & 0x3f);
                if left > 1 {
                    self.state = State::Character(bits, left - 1);
                    return None;
                }
                char::from_u32(bits).filter(|sign| !sign.is_control()).map(Key::Sign)
            }
            (State::Escape, b'[' | b'O') => {
                self.state = State::Sequence(0);
                None
            }
            (State::Sequence(number), b'0'..=b'9') => {
                let number = number.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
                self.state = State::Sequence(number);
                None
            }
            // Only the last number of several counts.
            (State::Sequence(_), b';') => {
                self.state = State::Sequence(0);
                None
            }
            (State::Sequence(number), 0x40..=0x7e) => special(byte, number),
            (State::Escape, 0x20..=0x7f) | (State::Sequence(_), 0x20..=0x3f) => None,
            (_, b'\n') if after_return => None,
            _ => self.plain(byte),
        }
    }

    fn plain(&mut self, byte: u8) -> Option<Key> {
        self.state = match byte {
            0x1b => State::Escape,
            0xc2..=0xdf => State::Character(u32::from(byte & 0x1f), 1),
            0xe0..=0xef => State::Character(u32::from(byte & 0x0f), 2),
            0xf0..=0xf4 => State::Character(u32::from(byte & 0x07), 3),
            _ => State::Plain,
        };
        Some(match byte {
            b'\r' | b'\n' => Key::Enter,
            b'\t' => Key::Tab,
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::EndOrDelete,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 | 0x7f => Key::Backspace,
            0x0b => Key::CutBehind,
            0x0c => Key::ClearScreen,
            0x0e => Key::Newer,
            0x10 => Key::Older,
            0x15 => Key::CutBefore,
            0x17 => Key::CutWord,
            0x20..=0x7e => Key::Sign(char::from(byte)),
            _ => return None,
        })
    }
}

fn special(byte: u8, number: u32) -> Option<Key> {
    Some(match (byte, number) {
        (b'A', _) => Key::Older,
        (b'B', _) => Key::Newer,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', 1 | 7) => Key::Home,
        (b'F', _) | (b'~', 4 | 8) => Key::End,
        (b'~', 3) => Key::Delete,
        _ => return None,
    })
}
