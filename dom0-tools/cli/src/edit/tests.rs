//! The line editor, key by key and against a model.

use super::*;
use crate::complete::Which;
use alloc::vec::Vec;
use proptest::prelude::*;

struct Names;

impl Catalog for Names {
    fn domains(&self, _which: Which) -> Vec<String> {
        ["web", "webber", "ticker"].map(String::from).into()
    }

    fn files(&self) -> Vec<String> {
        Vec::from([String::from("hello.cfg")])
    }
}

/// Types bytes and returns the lines and what the screen got.
fn type_in(bytes: &[u8]) -> (Vec<Action>, String) {
    let (mut editor, mut history) = (Editor::new("# "), History::default());
    let (mut actions, mut screen) = (Vec::new(), String::new());
    for byte in bytes {
        match editor.feed(*byte, &mut history, &Names, &mut screen) {
            Action::Nothing => {}
            action => actions.push(action),
        }
    }
    (actions, screen)
}

fn line(bytes: &[u8]) -> String {
    match type_in(bytes).0.pop() {
        Some(Action::Line(line)) => line,
        other => panic!("no line but {other:?}"),
    }
}

#[test]
fn plain_typing_echoes_each_byte_and_gives_the_line() {
    let (actions, screen) = type_in(b"zl list\r");
    assert_eq!(actions, [Action::Line("zl list".into())]);
    assert_eq!(screen, "zl list\r\n");
}

#[test]
fn carriage_return_with_line_feed_is_one_line() {
    assert_eq!(type_in(b"a\r\nb\r\n").0.len(), 2);
    assert_eq!(type_in(b"a\nb\n").0.len(), 2);
    assert_eq!(type_in(b"a\r\rb\r").0.len(), 3);
}

#[test]
fn emacs_keys_and_arrows_edit_the_line() {
    assert_eq!(line(b"bc\x01a\x05d\r"), "abcd");
    assert_eq!(line(b"abd\x02c\r"), "abcd");
    assert_eq!(line(b"abx\x1b[Dc\x1b[3~\r"), "abc");
    assert_eq!(line(b"abcx\x7f\r"), "abc");
    assert_eq!(line(b"one two three\x17\x17x\r"), "one x");
    assert_eq!(line(b"one two\x02\x02\x02\x0b\r"), "one ");
    assert_eq!(line(b"one two\x02\x02\x02\x15\r"), "two");
    assert_eq!(line(b"one two\x1bbX\r"), "one Xtwo");
    assert_eq!(line(b"one two\x01\x1bd\r"), " two");
    assert_eq!(line(b"ab\x01\x04\r"), "b");
    assert_eq!(line(b"b\x1b[Ha\x1bOFc\r"), "abc");
    assert_eq!(line(b"a\x1b[99;99zb\xffc\r"), "abc");
    assert_eq!(line(b"one two\x1b[1;5DX\r"), "one Xtwo");
}

#[test]
fn control_c_forgets_and_control_d_ends() {
    assert_eq!(type_in(b"abc\x03").0, [Action::Interrupt]);
    assert_eq!(type_in(b"\x04").0, [Action::EndOfInput]);
    assert_eq!(line(b"abc\x03d\r"), "d");
}

#[test]
fn history_is_walked_with_arrows_and_keeps_the_draft() {
    assert_eq!(line(b"one\rtwo\r\x1b[A\x1b[A!\r"), "one!");
    assert_eq!(line(b"one\rtwo\r\x10\x10\x0e\r"), "two");
    assert_eq!(line(b"one\rdraft\x1b[A\x1b[B!\r"), "draft!");
    assert_eq!(line(b"one\r\x1b[A\x1b[A\x1b[A\r"), "one");
}

#[test]
fn tab_completes_one_word_and_lists_several() {
    assert_eq!(line(b"zl cons\ttick\t\r"), "zl console ticker ");
    assert_eq!(line(b"zl console we\t\r"), "zl console web");
    assert_eq!(line(b"zl create hello.cfg mem\t8\r"), "zl create hello.cfg memory=8");
    let (_, screen) = type_in(b"zl console we\t\t");
    assert!(screen.contains("\r\nweb  webber\r\n\r# zl console web"), "{screen:?}");
    assert!(type_in(b"zl xyz\t").1.ends_with('\x07'));
}

#[test]
fn a_long_line_scrolls_and_is_bounded() {
    let typed: Vec<u8> = core::iter::repeat_n(b'x', LONGEST_LINE + 50).chain(*b"\r").collect();
    assert_eq!(line(&typed).len(), LONGEST_LINE);
}

#[test]
fn history_never_grows() {
    let mut history = History::default();
    let before = history.capacity();
    for number in 0..5000 {
        history.push(&format!("zl create hello.cfg name=h{number}"));
    }
    history.push("same");
    history.push("same");
    assert_eq!(history.capacity(), before);
    assert_eq!(history.line(1), Some("same"));
    assert_eq!(history.line(2), Some("zl create hello.cfg name=h4999"));
    assert!(history.lines().count() > 50);
}

/// What a terminal shows on its current row after these bytes, and where its cursor is.
fn row_of(screen: &str) -> (String, usize) {
    let (mut row, mut column) = (Vec::new(), 0usize);
    let mut chars = screen.chars().peekable();
    while let Some(character) = chars.next() {
        match character {
            '\r' => column = 0,
            '\n' => row.clear(),
            '\x07' => {}
            '\x1b' => {
                chars.next();
                let mut number = String::new();
                while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                    number.push(digit);
                }
                match chars.next() {
                    Some('K') => row.truncate(column),
                    Some('D') => column -= number.parse::<usize>().unwrap_or(1),
                    Some('H') => column = 0,
                    Some('J') => row.clear(),
                    other => panic!("unexpected {other:?}"),
                }
            }
            other => {
                row.resize(row.len().max(column + 1), ' ');
                row[column] = other;
                column += 1;
            }
        }
    }
    (row.into_iter().collect(), column)
}

proptest! {
    #[test]
    fn the_screen_always_shows_the_line(bytes in proptest::collection::vec(
        prop_oneof![
            4 => 0x20u8..0x7f,
            1 => proptest::sample::select(&b"\x01\x02\x04\x05\x06\x08\x0b\x0c\x10\x0e\x15\x17\t"[..]),
            1 => Just(0x1b), 1 => Just(b'['), 1 => proptest::sample::select(&b"ABCDHF"[..]),
        ], 0..120)) {
        let (mut editor, mut history) = (Editor::new("# "), History::default());
        history.push("zl list -l");
        let mut screen = String::from("# ");
        for byte in bytes {
            editor.feed(byte, &mut history, &Names, &mut screen);
            prop_assert!(editor.cursor <= editor.line.len());
            let (row, column) = row_of(&screen);
            let mut fresh = String::new();
            editor.redraw(&mut fresh);
            let (expected, cursor) = row_of(&fresh);
            prop_assert_eq!(row, expected);
            prop_assert_eq!(column, cursor);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = type_in(&bytes);
    }
}
