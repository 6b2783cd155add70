//! From words to arguments: what `$` leads to takes its place, blanks in what is not quoted part words, and
//! patterns become the paths they fit.
//!
//! A word that is being expanded is kept as a pattern, in which `\` stands before each character that
//! means itself. What it takes from outside it asks of a `World`.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{arithmetic, glob, Part, Script, Variables, Word};

/// Bytes that a word, a value and what a `$(...)` writes have at most.
pub const MAX_BYTES: usize = 64 << 10;

/// What a word became, or the one line that says why it could not.
pub type Expanded<T> = Result<T, String>;

/// What words ask for.
pub trait World {
    /// What `$` leads to.
    fn variables(&self) -> &Variables;

    /// What a script writes, at most `MAX_BYTES`.
    ///
    /// # Errors
    /// The one line that says what went wrong.
    fn output(&mut self, script: &Rc<Script>) -> Expanded<String>;

    /// The names in a directory but `.` and `..`; none if it is none.
    fn names(&mut self, folder: &str) -> Vec<String>;

    /// Whether there is such a file.
    fn exists(&mut self, path: &str) -> bool;
}

/// The arguments a word becomes: none when it is only empty values, many when values have blanks or
/// patterns fit several paths. A pattern that fits nothing is itself.
///
/// # Errors
/// The one line that says why it becomes none.
pub fn fields(word: &Word, world: &mut impl World) -> Expanded<Vec<String>> {
    let mut expander = Expander::new(world);
    expander.word(word, true)?;
    let (mut done, current) = (expander.done, expander.current);
    done.extend(current);
    let mut args = Vec::with_capacity(done.len());
    for field in done {
        if glob::is_wild(&field) {
            let paths = glob::paths(&field, world)?;
            if !paths.is_empty() {
                args.extend(paths);
                continue;
            }
        }
        args.push(glob::text_of(&field));
    }
    Ok(args)
}

/// A word as one text, as names of files and values of variables are.
///
/// # Errors
/// As above.
pub fn single(word: &Word, world: &mut impl World) -> Expanded<String> {
    pattern(word, world).map(|pattern| glob::text_of(&pattern))
}

/// A word as a pattern.
///
/// # Errors
/// As above.
pub fn pattern(word: &Word, world: &mut impl World) -> Expanded<String> {
    let mut expander = Expander::new(world);
    expander.word(word, false)?;
    Ok(expander.current.unwrap_or_default())
}

struct Expander<'a, W> {
    world: &'a mut W,
    done: Vec<String>,
    current: Option<String>,
    /// Bytes of all of them.
    bytes: usize,
}

impl<'a, W: World> Expander<'a, W> {
    fn new(world: &'a mut W) -> Self {
        Self { world, done: Vec::new(), current: None, bytes: 0 }
    }

    fn word(&mut self, word: &Word, splits: bool) -> Expanded<()> {
        word.0.iter().try_for_each(|part| self.part(part, splits))
    }

    fn part(&mut self, part: &Part, splits: bool) -> Expanded<()> {
        match part {
            Part::Plain(text) => self.add(text, false),
            Part::Quoted(text) => self.add(text, true),
            Part::Variable { name, quoted: true, .. } if name == "@" && splits => self.all_args(),
            Part::Variable { name, default, quoted } => {
                let value = self.world.variables().get(name);
                match default {
                    Some(word) if value.is_empty() => {
                        let value = single(word, self.world)?;
                        self.value(&value, *quoted, splits)
                    }
                    _ => self.value(&value, *quoted, splits),
                }
            }
            Part::Output { script, quoted } => {
                let written = self.world.output(script)?;
                self.value(written.trim_end_matches('\n'), *quoted, splits)
            }
            Part::Number(word) => {
                let text = single(word, self.world)?;
                let number = arithmetic::value(&text, self.world.variables())?;
                self.add(&number.to_string(), true)
            }
        }
    }

    /// `"$@"`: each argument is a word.
    fn all_args(&mut self) -> Expanded<()> {
        let args = self.world.variables().args.get(1..).unwrap_or_default().to_vec();
        for (index, arg) in args.iter().enumerate() {
            if index > 0 {
                self.done.extend(self.current.take());
            }
            self.add(arg, true)?;
        }
        Ok(())
    }

    fn value(&mut self, value: &str, quoted: bool, splits: bool) -> Expanded<()> {
        if quoted || !splits {
            return self.add(value, quoted);
        }
        let mut rest = value;
        while let Some(first) = rest.chars().next() {
            let is_blank = first.is_ascii_whitespace();
            let end = rest.find(|sign: char| sign.is_ascii_whitespace() != is_blank);
            let (part, behind) = rest.split_at(end.unwrap_or(rest.len()));
            match is_blank {
                true => self.done.extend(self.current.take()),
                false => self.add(part, false)?,
            }
            rest = behind;
        }
        Ok(())
    }

    /// Adds a text to the current word. `\` in one that is not quoted can only come from a value, where it is
    /// itself.
    fn add(&mut self, text: &str, quoted: bool) -> Expanded<()> {
        self.bytes += text.len();
        if self.bytes > MAX_BYTES {
            return Err(format!("a word of more than {MAX_BYTES} bytes"));
        }
        let current = self.current.get_or_insert_default();
        for sign in text.chars() {
            let means_something =
                sign == '\\' || (quoted && matches!(sign, '*' | '?' | '[' | ']' | '!' | '^' | '-'));
            if means_something {
                current.push('\\');
            }
            current.push(sign);
        }
        Ok(())
    }
}
