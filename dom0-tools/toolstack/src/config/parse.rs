//! Turns the text of a configuration into settings.
//!
//! Called by `domain` with a file of the boot archive or with one `key=value` of the command line.
//! The text is untrusted: nesting is bounded, and each complaint names line and column.
//!
//! Keys are not interpreted here; the last of several settings of one key wins, and `+=` joins.

use super::lex::{parse_number, Lexer, Token};
use super::value::{shown, ConfigError, Position, Setting, Value, ValueKind};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How deep lists may be nested.
pub const DEEPEST_LIST: u32 = 8;
/// Largest configuration that is read, in bytes.
pub const LONGEST_CONFIG: usize = 64 * 1024;

/// The name of the command line in complaints.
pub const COMMAND_LINE: &str = "command line";

/// The settings of a whole file, in its order.
///
/// # Errors
/// The first thing that does not follow the language.
pub fn parse_config(origin: &str, bytes: &[u8]) -> Result<Vec<Setting>, ConfigError> {
    let text = as_text(origin, bytes)?;
    let mut parser = Parser { lexer: Lexer::new(origin, text), ahead: None };
    let mut settings = Vec::new();
    while let Some(setting) = parser.setting(&settings)? {
        settings.push(setting);
    }
    Ok(settings)
}

/// The setting of one `key=value` argument. Unlike in a file a bare word is taken as text, since
/// the shell has already removed the quotes of the person who typed it.
///
/// # Errors
/// No key, no `=`, or a list that does not follow the language.
pub fn parse_override(argument: &str) -> Result<Setting, ConfigError> {
    let complaint = |what: String| ConfigError {
        origin: COMMAND_LINE.into(),
        at: None,
        what,
        advice: "write key=value, for example memory=64".into(),
    };
    let Some((key, rest)) = argument.split_once('=') else {
        return Err(complaint(format!("'{}' has no '='", shown(argument))));
    };
    let key = key.trim();
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(complaint(format!("'{}' is not a key", shown(key))));
    }
    let value = rest.trim();
    if value.starts_with(['"', '\'', '[']) {
        let mut settings = parse_config(COMMAND_LINE, argument.as_bytes())?;
        return match (settings.pop(), settings.is_empty()) {
            (Some(setting), true) => Ok(setting),
            _ => Err(complaint(format!("'{}' is more than one setting", shown(argument)))),
        };
    }
    let at = Position { line: 1, column: 1 };
    let kind = match parse_number(value) {
        Some(number) => ValueKind::Number(number),
        None => ValueKind::Text(value.into()),
    };
    Ok(Setting { key: key.into(), at, value: Value { kind, at } })
}

fn as_text<'a>(origin: &str, bytes: &'a [u8]) -> Result<&'a str, ConfigError> {
    let whole = |what: String, advice: &str| ConfigError {
        origin: origin.into(),
        at: None,
        what,
        advice: advice.into(),
    };
    if bytes.len() > LONGEST_CONFIG {
        let what = format!("{} bytes are too long for a configuration", bytes.len());
        return Err(whole(what, "at most 65536 bytes are read; is this the right file?"));
    }
    if bytes.starts_with(b"\x7fELF") {
        let what = "this is an ELF image, not a configuration".to_string();
        return Err(whole(what, "give a text file with lines like name = \"guest\""));
    }
    core::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or(&[]);
        let line = before.split(|byte| *byte == b'\n').count();
        whole(
            format!("line {line} holds bytes that are not UTF-8 text"),
            "give a text file with lines like name = \"guest\"",
        )
    })
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Option<(Token, Position)>,
}

impl Parser<'_> {
    fn take(&mut self) -> Result<(Token, Position), ConfigError> {
        match self.ahead.take() {
            Some(token) => Ok(token),
            None => self.lexer.next_token(),
        }
    }

    fn put_back(&mut self, token: (Token, Position)) {
        self.ahead = Some(token);
    }

    fn unexpected<T>(
        &self,
        found: &Token,
        at: Position,
        expected: &str,
        advice: &str,
    ) -> Result<T, ConfigError> {
        let what = format!("expected {expected}, found {}", found.describe());
        Err(self.lexer.complaint(at, what, advice))
    }

    fn setting(&mut self, before: &[Setting]) -> Result<Option<Setting>, ConfigError> {
        let (key, at) = loop {
            match self.take()? {
                (Token::End, _) => {}
                (Token::Eof, _) => return Ok(None),
                (Token::Word(key), at) => break (key, at),
                (other, at) => return self.unexpected(&other, at, "a key", "write key = value"),
            }
        };
        let joins = match self.take()? {
            (Token::Equals, _) => false,
            (Token::PlusEquals, _) => true,
            (other, at) => {
                let expected = format!("'=' after '{}'", shown(&key));
                return self.unexpected(&other, at, &expected, "write key = value");
            }
        };
        let mut value = self.value(0)?;
        self.end_of_setting()?;
        if joins {
            value = self.join(before, &key, value)?;
        }
        Ok(Some(Setting { key, at, value }))
    }

    fn end_of_setting(&mut self) -> Result<(), ConfigError> {
        match self.take()? {
            (Token::End | Token::Eof, _) => Ok(()),
            (other, at) => self.unexpected(
                &other,
                at,
                "the end of the line",
                "put each setting on its own line or between ';', and text in quotes",
            ),
        }
    }

    fn value(&mut self, depth: u32) -> Result<Value, ConfigError> {
        let (token, at) = self.take()?;
        let kind = match token {
            Token::Text(text) => ValueKind::Text(text),
            Token::Number(number) => ValueKind::Number(number),
            Token::Open => ValueKind::List(self.list(at, depth)?),
            Token::Word(word) => {
                let advice = format!("put it in quotes: \"{}\"", shown(&word));
                let expected = "a string, a number or a list";
                return self.unexpected(&Token::Word(word), at, expected, &advice);
            }
            other => {
                let expected = "a string, a number or a list";
                return self.unexpected(&other, at, expected, "write key = \"value\" or key = 64");
            }
        };
        Ok(Value { kind, at })
    }

    fn list(&mut self, opened: Position, depth: u32) -> Result<Vec<Value>, ConfigError> {
        if depth >= DEEPEST_LIST {
            let what = format!("lists are nested deeper than {DEEPEST_LIST}");
            return Err(self.lexer.complaint(opened, what, "flatten the list"));
        }
        let mut items = Vec::new();
        loop {
            match self.take_in_list()? {
                (Token::Close, _) => return Ok(items),
                (Token::Eof, _) => return self.unclosed(opened),
                token => self.put_back(token),
            }
            items.push(self.value(depth + 1)?);
            match self.take_in_list()? {
                (Token::Comma, _) => {}
                (Token::Close, _) => return Ok(items),
                (Token::Eof, _) => return self.unclosed(opened),
                (other, at) => {
                    return self.unexpected(&other, at, "',' or ']'", "separate items with ','");
                }
            }
        }
    }

    fn unclosed<T>(&self, opened: Position) -> Result<T, ConfigError> {
        let what = "the list that starts here has no end".to_string();
        Err(self.lexer.complaint(opened, what, "close it with ]"))
    }

    /// Inside a list new lines mean nothing.
    fn take_in_list(&mut self) -> Result<(Token, Position), ConfigError> {
        loop {
            match self.take()? {
                (Token::End, _) => {}
                token => return Ok(token),
            }
        }
    }

    fn join(&self, before: &[Setting], key: &str, added: Value) -> Result<Value, ConfigError> {
        let Some(earlier) = before.iter().rev().find(|setting| setting.key == key) else {
            return Ok(added);
        };
        let at = added.at;
        let kind = match (earlier.value.kind.clone(), added.kind) {
            (ValueKind::Text(mut first), ValueKind::Text(second)) => {
                first.push_str(&second);
                ValueKind::Text(first)
            }
            (ValueKind::List(mut first), ValueKind::List(second)) => {
                first.extend(second);
                ValueKind::List(first)
            }
            (first, second) => {
                let what = format!("'+=' cannot add {} to {}", second.describe(), first.describe());
                return Err(self.lexer.complaint(at, what, "join strings or lists, or use '='"));
            }
        };
        Ok(Value { kind, at })
    }
}
