use std::string::ToString;

use super::*;
use proptest::prelude::*;

struct Fake(Vec<&'static str>);

impl Names for Fake {
    fn beginning_with(&mut self, start: &str, is_program: bool) -> Vec<String> {
        let names = if is_program { &["ls", "ln", "sleep"][..] } else { &self.0 };
        names.iter().filter(|name| name.starts_with(start)).map(ToString::to_string).collect()
    }
}

/// A screen of one long row that knows what the editor uses; and the rows above it.
#[derive(Default)]
struct Screen {
    above: Vec<String>,
    row: Vec<char>,
    column: usize,
}

impl Screen {
    fn show(&mut self, text: &str) {
        let mut signs = text.chars().peekable();
        while let Some(sign) = signs.next() {
            match sign {
                '\n' => {
                    self.above.push(self.row.drain(..).collect());
                    self.column = 0;
                }
                '\r' => self.column = 0,
                '\x08' => self.column -= 1,
                '\x07' => {}
                '\x1b' => {
                    assert_eq!(signs.next(), Some('['));
                    let mut number = String::new();
                    while let Some(digit) = signs.next_if(char::is_ascii_digit) {
                        number.push(digit);
                    }
                    match signs.next() {
                        Some('K') => self.row.truncate(self.column),
                        Some('D') => self.column -= number.parse::<usize>().unwrap(),
                        Some('H') => self.column = 0,
                        Some('J') => self.row.clear(),
                        other => panic!("{other:?}"),
                    }
                }
                other => {
                    self.row.resize(self.row.len().max(self.column + 1), ' ');
                    self.row[self.column] = other;
                    self.column += 1;
                }
            }
        }
    }

    fn row(&self) -> String {
        self.row.iter().collect::<String>().trim_end().to_string()
    }
}

fn names() -> Fake {
    Fake(vec!["notes.txt", "news/", "a b", "x", "bin/ls"])
}

/// What the last line is that these keys make, and all that was seen.
fn lines(keys: &str) -> (Vec<Typed>, Screen) {
    let (mut history, mut screen, mut done) = (History::default(), Screen::default(), Vec::new());
    let mut editor = Editor::default();
    editor.begin("$ ");
    for byte in keys.bytes() {
        let typed = editor.feed(byte, &mut history, &mut names());
        screen.show(&editor.take_screen());
        if typed != Typed::More {
            done.push(typed);
            editor.begin("$ ");
            screen.show(&editor.take_screen());
        }
    }
    (done, screen)
}

fn last(keys: &str) -> String {
    match lines(&format!("{keys}\r")).0.pop() {
        Some(Typed::Line(line)) => line,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_edit_the_line() {
    assert_eq!(last("ls\x7fn x"), "ln x");
    assert_eq!(last("bc\x01a\x05d"), "abcd");
    assert_eq!(last("ac\x1b[Db\x1b[Cd\x1b[3~"), "abcd");
    assert_eq!(last("abc\x02\x02\x04"), "ac");
    assert_eq!(last("one two  \x17three"), "one three");
    assert_eq!(last("one two\x02\x02\x0b"), "one t");
    assert_eq!(last("one two\x02\x02\x15"), "wo");
    assert_eq!(last("ä\x7fö€😀\x1b[H→"), "→ö€😀");
    assert_eq!(last("a\x1b[1;5Cb\x1b[99~c\x1bxd\x1bO"), "abcd");
    assert_eq!(lines("ab\x03\x04").0, [Typed::Interrupt, Typed::End]);
    assert_eq!(last(&"x".repeat(3000)).len(), LINE_MAX);
    assert_eq!(lines("a\r\nb\n").0, [Typed::Line("a".into()), Typed::Line("b".into())]);
}

#[test]
fn lines_come_back() {
    assert_eq!(last("one\rtwo\r\x1b[A"), "two");
    assert_eq!(last("one\rtwo\r\x1b[A\x1b[A\x1b[A"), "one");
    assert_eq!(last("one\rtwo\rdraft\x10\x10\x0e\x0e\x0e"), "draft");
    assert_eq!(last("one\r  \rone\r\x10\x10!"), "one!");
    let mut history = History::default();
    (0..150).for_each(|number| history.add(&number.to_string()));
    assert_eq!(
        (history.lines().count(), history.line(1), history.line(100)),
        (100, Some("149"), Some("50"))
    );
    assert_eq!((history.line(0), history.line(101)), (None, None));
}

#[test]
fn the_tab_key_completes() {
    assert_eq!(last("sl\t5"), "sleep 5");
    assert_eq!(last("l\t"), "l");
    assert_eq!(last("cat no\t"), "cat notes.txt ");
    assert_eq!(last("cat n\te\t"), "cat news/");
    assert_eq!(last("cat a\t"), "cat a\\ b ");
    assert_eq!(last("cat a\\ \t|sl\t"), "cat a\\ b |sleep ");
    assert_eq!(last("x=$(sl\tx <bi\t"), "x=$(sleep x <bin/ls ");
    assert_eq!(last("cat nothing\t"), "cat nothing");
    let screen = lines("cat n\t").1;
    assert_eq!(
        (screen.above, screen.row.iter().collect::<String>()),
        (vec!["$ cat n".into(), "news  notes.txt  ".into()], "$ cat n".into())
    );
}

proptest! {
    #[test]
    fn what_is_seen_is_what_is_read(keys in prop::collection::vec(prop::sample::select(vec![
        "a", "b", "ö", " ", "\x7f", "\x1b[D", "\x1b[C", "\x01", "\x05", "\x04", "\x0b", "\x17", "\x15", "\x0c", "\t", "n",
    ]), 0..60)) {
        // An empty line ends with ^D; a letter before it keeps it.
        let keys = format!("a{}", keys.concat().replace('\x04', "\x02c\x04"));
        let screen = lines(&keys).1;
        let seen = screen.row();
        let read = last(&keys);
        let wanted = format!("$ {read}");
        prop_assert_eq!(seen, wanted.trim_end());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (mut history, mut editor) = (History::default(), Editor::default());
        for byte in bytes {
            let _ = editor.feed(byte, &mut history, &mut names());
            let _ = editor.take_screen();
        }
    }
}
