//! The lines clients send, and the answers.
//!
//! `SET key value`, `GET key`, `DEL key`, `KEYS [prefix]`, `COUNT`, `HELP`, `QUIT`. A key has no
//! blanks; a value is the rest of the line. Answers are single lines, but for `KEYS` and `HELP`, whose
//! last line begins with `END`. What is wrong is answered with `ERROR` and why.

use alloc::format;
use alloc::vec::Vec;

use super::change::{MAX_KEY, MAX_VALUE};
use super::log::{ChangeError, Disk, Kv};

/// Longest line without its end: a command word, a key and a value.
pub const MAX_LINE: usize = 16 + MAX_KEY + MAX_VALUE;

/// What a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// The value of a key from now on.
    Set(&'a [u8], &'a [u8]),
    /// The value of a key.
    Get(&'a [u8]),
    /// The end of a key.
    Delete(&'a [u8]),
    /// The keys that begin so.
    Keys(&'a [u8]),
    /// How many keys there are.
    Count,
    /// The commands.
    Help,
    /// The end of the connection.
    Quit,
}

const HELP: &str = "SET key value\nGET key\nDEL key\nKEYS [prefix]\nCOUNT\nHELP\nQUIT\nEND\n";

/// Splits at the first blank.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[]),
    }
}

fn key(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let is_plain = bytes.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    match bytes.len() {
        0 => Err("a key was expected; see HELP"),
        1..=MAX_KEY if is_plain => Ok(bytes),
        1..=MAX_KEY => Err("a key has neither blanks nor control characters"),
        _ => Err("a key has at most 255 bytes"),
    }
}

impl<'a> Command<'a> {
    /// Understands a line without its end.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(line: &'a [u8]) -> Result<Self, &'static str> {
        let (verb, rest) = word(line);
        let alone = |command| match rest.is_empty() {
            true => Ok(command),
            false => Err("nothing was expected behind this word"),
        };
        match verb.to_ascii_uppercase().as_slice() {
            b"SET" => {
                let (name, value) = word(rest);
                let name = key(name)?;
                if rest.len() == name.len() {
                    return Err("a value was expected behind the key");
                }
                Ok(Self::Set(name, value))
            }
            b"GET" => key(rest).map(Self::Get),
            b"DEL" => key(rest).map(Self::Delete),
            b"KEYS" if rest.is_empty() => Ok(Self::Keys(rest)),
            b"KEYS" => key(rest).map(Self::Keys),
            b"COUNT" => alone(Self::Count),
            b"HELP" => alone(Self::Help),
            b"QUIT" => alone(Self::Quit),
            _ => Err("no such command; see HELP"),
        }
    }
}

fn line(out: &mut Vec<u8>, word: &[u8], rest: &[u8]) {
    out.extend(word);
    out.extend(rest);
    out.push(b'\n');
}

fn refusal(error: ChangeError) -> &'static [u8] {
    match error {
        ChangeError::TooLong => b"ERROR a value has at most 65536 bytes\n",
        ChangeError::Full => b"ERROR full; delete something\n",
        ChangeError::Disk => b"ERROR the disk failed; nothing is changed any more\n",
    }
}

/// Carries a line out and appends the answer; false when the connection is to end.
pub fn execute<D: Disk>(kv: &mut Kv<D>, bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let command = match Command::parse(bytes) {
        Ok(command) => command,
        Err(text) => {
            line(out, b"ERROR ", text.as_bytes());
            return true;
        }
    };
    match command {
        Command::Set(key, value) => match kv.set(key, value) {
            Ok(()) => out.extend(b"OK\n"),
            Err(error) => out.extend(refusal(error)),
        },
        Command::Get(key) => match kv.get(key) {
            Some(value) => line(out, b"VALUE ", value),
            None => out.extend(b"NONE\n"),
        },
        Command::Delete(key) => match kv.delete(key) {
            Ok(true) => out.extend(b"OK\n"),
            Ok(false) => out.extend(b"NONE\n"),
            Err(error) => out.extend(refusal(error)),
        },
        Command::Keys(prefix) => {
            let mut count = 0;
            for key in kv.keys(prefix) {
                line(out, b"KEY ", key);
                count += 1;
            }
            out.extend(format!("END {count}\n").as_bytes());
        }
        Command::Count => out.extend(format!("COUNT {}\n", kv.count()).as_bytes()),
        Command::Help => out.extend(HELP.as_bytes()),
        Command::Quit => {
            out.extend(b"BYE\n");
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_commands() {
        assert_eq!(Command::parse(b"SET a b c "), Ok(Command::Set(b"a", b"b c ")));
        assert_eq!(Command::parse(b"set a "), Ok(Command::Set(b"a", b"")));
        assert_eq!(Command::parse(b"KEYS"), Ok(Command::Keys(b"")));
        assert_eq!(Command::parse(b"Count"), Ok(Command::Count));
        for bad in [&b""[..], b"SET", b"SET a", b"GET", b"GET a b", b"COUNT x", b"NO", b"DEL \x07"]
        {
            assert!(Command::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Command::parse(&[&b"GET "[..], &[b'k'; 256]].concat()).is_err());
    }

    proptest! {
        #[test]
        fn any_line_is_judged(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Command::parse(&line);
        }
    }
}
