//! Facts about one source file, for `tidy`: what is code, what is a test, what is unsafe.
//!
//! This is no Rust parser. It blanks out comments, strings and character literals, and then counts
//! braces and words; that is enough for files that rustfmt has formatted.

/// What was found in one Rust file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// All lines.
    pub lines: usize,
    /// Lines outside `#[cfg(test)]` modules.
    pub lines_without_tests: usize,
    /// Of those, lines with code on them.
    pub code_lines: usize,
    /// Of those, lines inside unsafe blocks.
    pub unsafe_lines: usize,
    /// Unsafe blocks, functions, traits and implementations.
    pub unsafe_items: usize,
}

/// A file and what `tidy` wants to know about it.
pub struct Source {
    original: Vec<String>,
    code: Vec<String>,
    in_test: Vec<bool>,
}

impl Source {
    /// Reads a file's text.
    pub fn new(text: &str) -> Source {
        let original: Vec<String> = text.lines().map(str::to_string).collect();
        let code: Vec<String> = blanked(text).lines().map(str::to_string).collect();
        let in_test = marked_blocks(&code, |line| line.contains("#[cfg(test)]"));
        Source { original, code, in_test }
    }

    /// The counts.
    pub fn facts(&self) -> Facts {
        let in_unsafe = marked_blocks(&self.code, |line| line.contains("unsafe {"));
        let mut facts = Facts { lines: self.original.len(), ..Facts::default() };
        for (index, line) in self.code.iter().enumerate() {
            if self.is_test(index) {
                continue;
            }
            facts.lines_without_tests += 1;
            let has_code = !line.trim().is_empty();
            facts.code_lines += usize::from(has_code);
            facts.unsafe_lines += usize::from(has_code && in_unsafe.get(index) == Some(&true));
            facts.unsafe_items += unsafe_words(line);
        }
        facts
    }

    /// Numbers of lines with an unsafe block or implementation that no `SAFETY:` explains, or an
    /// unsafe function without a `# Safety` section. Tests are no exception.
    pub fn unexplained_unsafe(&self) -> Vec<usize> {
        let unexplained = |&index: &usize| {
            let line = self.code.get(index).map_or("", String::as_str);
            needed_note(line).is_some_and(|wanted| !self.said_above(index, wanted))
        };
        (0..self.code.len()).filter(unexplained).map(|index| index + 1).collect()
    }

    /// Whether the comments, attributes and open statement directly above a line hold a text.
    fn said_above(&self, index: usize, wanted: &str) -> bool {
        let here = self.original.get(index).is_some_and(|line| line.contains(wanted));
        let above = self.original.get(..index).unwrap_or_default().iter().rev();
        let mut statement_lines = 0;
        for line in above {
            let text = line.trim();
            if text.contains(wanted) {
                return true;
            }
            if text.starts_with("//") || text.starts_with("#[") {
                continue;
            }
            // A statement may have begun a few lines before its unsafe block.
            statement_lines += 1;
            if statement_lines > 3 || text.is_empty() || text.ends_with([';', '}']) {
                break;
            }
        }
        here
    }

    /// Whether the file holds unsafe code, its tests included.
    pub fn has_unsafe(&self) -> bool {
        self.code.iter().any(|line| unsafe_words(line) > 0)
    }

    /// Line numbers where one of `words` stands, in code and comments alike.
    pub fn lines_with(&self, words: &[&str]) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (index, line) in self.original.iter().enumerate() {
            let hits = words.iter().filter(|word| line.contains(**word));
            found.extend(hits.map(|word| (index + 1, word.to_string())));
        }
        found
    }

    /// Whether it begins with a header that says what it is.
    pub fn has_header(&self) -> bool {
        let mut lines = self.original.iter().skip_while(|line| line.starts_with("#!["));
        lines.next().is_some_and(|line| line.starts_with("//!"))
    }

    fn is_test(&self, index: usize) -> bool {
        self.in_test.get(index) == Some(&true)
    }
}

/// Uses of the word `unsafe` as a keyword; types of functions are no use of it.
fn unsafe_words(line: &str) -> usize {
    let starts = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait"];
    let plain: usize = starts.iter().map(|start| line.matches(start).count()).sum();
    plain + usize::from(opens_extern_block(line))
}

/// `unsafe extern "C" {`, whose string is blanked here.
fn opens_extern_block(line: &str) -> bool {
    line.split_once("unsafe extern").is_some_and(|(_, rest)| rest.trim_start().starts_with('{'))
}

/// What must be said above a line, if anything: users of a function need its contract, readers of
/// a block need the reason.
fn needed_note(line: &str) -> Option<&'static str> {
    let public = line.trim_start().starts_with("pub");
    if public && (line.contains("unsafe fn") || line.contains("unsafe trait")) {
        return Some("# Safety");
    }
    // A block of foreign declarations promises nothing until one of them is used.
    let block = line.contains("unsafe {") || line.contains("unsafe impl");
    block.then_some("SAFETY:")
}

/// Marks every line from one that satisfies `opens` to the end of the block that follows it.
fn marked_blocks(code: &[String], opens: impl Fn(&str) -> bool) -> Vec<bool> {
    let mut marks = Vec::with_capacity(code.len());
    let mut depth: Option<usize> = None;
    let mut waiting = false;
    for line in code {
        let starts = depth.is_none() && opens(line);
        waiting |= starts;
        marks.push(waiting || depth.is_some());
        // Before the mark of an opening line there may be other blocks, as in `Some(x) => unsafe {`.
        let from = if starts { line.rfind("unsafe {").unwrap_or(0) } else { 0 };
        for c in line.get(from..).unwrap_or("").chars() {
            match (c, depth) {
                ('{', Some(open)) => depth = Some(open + 1),
                ('{', None) if waiting => (depth, waiting) = (Some(1), false),
                ('}', Some(open)) => depth = open.checked_sub(1).filter(|&left| left > 0),
                (';', None) => waiting = false,
                _ => {}
            }
        }
    }
    marks
}

/// The text with comments, strings and character literals turned into blanks, line by line.
fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut index = 0;
    while index < chars.len() {
        let end = match (at(index), at(index + 1)) {
            ('/', '/') => until_newline(&chars, index),
            ('/', '*') => until_comment_end(&chars, index),
            ('"', _) => until_quote(&chars, index + 1),
            ('r', '"' | '#') if !is_word(at(index.wrapping_sub(1))) => raw_string(&chars, index),
            ('\'', '\\') => (index + 2..chars.len())
                .find(|&i| at(i) == '\'' && i > index + 2)
                .map_or(chars.len(), |i| i + 1),
            ('\'', _) if at(index + 2) == '\'' => index + 3,
            _ => index,
        };
        if end == index {
            out.push(at(index));
            index += 1;
            continue;
        }
        let end = end.min(chars.len());
        out.extend((index..end).map(|i| if at(i) == '\n' { '\n' } else { ' ' }));
        index = end;
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn until_newline(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|&i| chars.get(i) == Some(&'\n')).unwrap_or(chars.len())
}

fn until_comment_end(chars: &[char], from: usize) -> usize {
    let ends = |&i: &usize| chars.get(i..i + 2) == Some(&['*', '/']);
    (from + 2..chars.len()).find(ends).map_or(chars.len(), |i| i + 2)
}

/// The index behind the quote that ends a string whose contents begin at `from`.
fn until_quote(chars: &[char], from: usize) -> usize {
    let mut index = from;
    while let Some(c) = chars.get(index) {
        match c {
            '\\' => index += 2,
            '"' => return index + 1,
            _ => index += 1,
        }
    }
    chars.len()
}

/// The index behind a raw string that begins at `from`; `from` itself where there is none.
fn raw_string(chars: &[char], from: usize) -> usize {
    let hashes = chars.iter().skip(from + 1).take_while(|c| **c == '#').count();
    if chars.get(from + 1 + hashes) != Some(&'"') {
        return from;
    }
    let closes = |&i: &usize| {
        chars.get(i) == Some(&'"') && (1..=hashes).all(|offset| chars.get(i + offset) == Some(&'#'))
    };
    let start = from + 2 + hashes;
    (start..chars.len()).find(closes).map_or(chars.len(), |i| i + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r##"//! Header.
fn a() {
    // unsafe { in a comment }
    let s = "unsafe { in a string } \" //";
    let r = r#"unsafe { "raw" }"#;
    let c = '"';
    // SAFETY: explained.
    let x = unsafe { f('{') };
    let y = unsafe {
        g()
    };
}

#[cfg(test)]
mod tests {
    fn t() {}
}
"##;

    #[test]
    fn comments_strings_and_characters_are_no_code() {
        let facts = Source::new(SAMPLE).facts();
        assert_eq!(facts.lines, 17);
        assert_eq!(facts.lines_without_tests, 13);
        assert_eq!((facts.unsafe_items, facts.unsafe_lines), (2, 4));
    }

    #[test]
    fn an_unsafe_block_without_a_note_is_named_by_its_line() {
        assert_eq!(Source::new(SAMPLE).unexplained_unsafe(), [9]);
    }

    #[test]
    fn a_note_above_a_statement_of_several_lines_counts() {
        let text = "// SAFETY: fine.\nlet x =\n    unsafe { f() };\n";
        assert!(Source::new(text).unexplained_unsafe().is_empty());
        let function =
            "/// Does.\n///\n/// # Safety\n/// Careful.\n#[inline]\npub unsafe fn f() {}\n";
        assert!(Source::new(function).unexplained_unsafe().is_empty());
        assert_eq!(Source::new("pub unsafe fn f() {}\n").unexplained_unsafe(), [1]);
        let inner = "fn g(f: unsafe extern \"C\" fn()) {}\nunsafe fn h() {}\n";
        assert!(Source::new(inner).unexplained_unsafe().is_empty());
        let foreign = Source::new("unsafe extern \"C\" {\n}\n");
        assert!(foreign.has_unsafe() && foreign.unexplained_unsafe().is_empty());
    }

    #[test]
    fn lifetimes_are_not_taken_for_characters() {
        let text = "fn f<'a>(x: &'a str) -> &'a str { x } // unsafe {\n";
        assert!(!Source::new(text).has_unsafe());
        assert_eq!(Source::new(text).facts().code_lines, 1);
    }

    #[test]
    fn words_are_found_in_comments_too() {
        let source = Source::new("// later\nlet later = 1;\n");
        assert_eq!(source.lines_with(&["later"]).len(), 2);
    }
}
