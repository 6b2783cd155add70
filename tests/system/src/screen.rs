//! Terminal output as the lines a person would see.
//!
//! dom0's line editor redraws: it sends carriage returns, erasures and cursor moves. Tests want the
//! lines that remain. This reader understands the handful of sequences the editor uses and drops
//! every other escape sequence; it keeps no attributes and never scrolls.

/// The visible lines of `bytes`; the last one may be unfinished.
pub fn visible_lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut screen = Screen::default();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => screen.escape(&mut rest),
            other => screen.put(other),
        }
    }
    screen.end_line();
    screen.lines
}

#[derive(Default)]
struct Screen {
    lines: Vec<String>,
    line: Vec<char>,
    column: usize,
}

impl Screen {
    fn put(&mut self, c: char) {
        match c {
            '\n' => self.end_line(),
            '\r' => self.column = 0,
            '\x08' => self.column = self.column.saturating_sub(1),
            '\t' => self.print(' '),
            c if c.is_control() => {}
            c => self.print(c),
        }
    }

    fn print(&mut self, c: char) {
        self.line.resize(self.line.len().max(self.column), ' ');
        match self.line.get_mut(self.column) {
            Some(cell) => *cell = c,
            None => self.line.push(c),
        }
        self.column += 1;
    }

    fn end_line(&mut self) {
        let line: String = self.line.drain(..).collect();
        self.lines.push(line.trim_end().to_string());
        self.column = 0;
    }

    /// Reads one `ESC [ <number> <letter>` sequence; anything else after ESC is one dropped character.
    fn escape(&mut self, rest: &mut std::str::Chars<'_>) {
        if rest.next() != Some('[') {
            return;
        }
        let mut digits = String::new();
        for c in rest.by_ref() {
            if c.is_ascii_digit() || c == ';' || c == '?' {
                digits.push(c);
                continue;
            }
            return self.command(c, digits.parse().ok());
        }
    }

    fn command(&mut self, letter: char, number: Option<usize>) {
        let count = number.unwrap_or(1).min(1000);
        match (letter, number.unwrap_or(0)) {
            ('K', 0) => self.line.truncate(self.column),
            ('K', 2) => self.line.clear(),
            ('D', _) => self.column = self.column.saturating_sub(count),
            ('C', _) => self.column += count,
            ('G', _) => self.column = count.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Vec<String> {
        visible_lines(text.as_bytes())
    }

    #[test]
    fn a_redrawn_line_is_one_line() {
        let echo = "dom0# \r\x1b[Kdom0# z\r\x1b[Kdom0# zl\r\nName\r\n";
        assert_eq!(seen(echo), ["dom0# zl", "Name", ""]);
    }

    #[test]
    fn backspace_and_cursor_moves_overwrite() {
        assert_eq!(seen("abx\x08c"), ["abc"]);
        assert_eq!(seen("abcd\x1b[3DX\x1b[K"), ["aX"]);
        assert_eq!(seen("\x1b[5Ga\x1b[1Gb"), ["b   a"]);
    }

    #[test]
    fn colours_and_unknown_sequences_vanish() {
        assert_eq!(seen("\x1b[31mred\x1b[0m\x1b[?25l!"), ["red!"]);
        assert_eq!(seen("cut \x1b["), ["cut"]);
    }

    #[test]
    fn bytes_that_are_no_text_do_not_stop_the_reader() {
        assert_eq!(visible_lines(b"a\xff\x00b\n").len(), 2);
    }
}
