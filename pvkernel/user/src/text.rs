//! Texts that programs read and print: names, numbers, sizes, addresses, lines of a hex dump. Pure.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// What stands behind the last slash of a path, slashes at its end aside.
#[must_use]
pub fn base_name(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match trimmed.rsplit('/').next() {
        Some(name) if !name.is_empty() => name,
        _ => path,
    }
}

/// A name in a directory.
#[must_use]
pub fn join(folder: &str, name: &str) -> String {
    match folder.ends_with('/') {
        true => format!("{folder}{name}"),
        false => format!("{folder}/{name}"),
    }
}

/// Bytes as people say them: `512`, `1.5K`, `20M`.
#[must_use]
pub fn human(bytes: u64) -> String {
    let (mut unit, mut left) = (0, bytes);
    while left >= 1 << 20 && unit < 3 {
        left >>= 10;
        unit += 1;
    }
    if left < 1 << 10 {
        return format!("{left}{}", ["", "K", "M", "G"][unit]);
    }
    let (whole, tenths) = (left >> 10, ((left & 1023) * 10) >> 10);
    let name = ["K", "M", "G", "T"][unit];
    match whole < 10 {
        true => format!("{whole}.{tenths}{name}"),
        false => format!("{whole}{name}"),
    }
}

/// A duration in seconds with up to nine digits behind the point, in nanoseconds.
#[must_use]
pub fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let nanos = fraction.bytes().chain(core::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    whole.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Milliseconds with three digits behind the point.
#[must_use]
pub fn millis(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000_000, ns / 1000 % 1000)
}

/// A time of day in the format of `ls -l`: `2026-11-20 14:51`.
#[must_use]
pub fn date(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    let minutes = seconds % 86_400 / 60;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", minutes / 60, minutes % 60)
}

/// Year, month and day of a number of days since 1970, in years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let leap = day_of_era / 1460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * day_of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day_of_year - (153 * march + 2) / 5 + 1)
}

/// An IPv4 address, first byte highest.
#[must_use]
pub fn ipv4(text: &str) -> Option<u32> {
    text.parse::<core::net::Ipv4Addr>().ok().map(u32::from)
}

/// Where a page is: name or address of the machine, port, path.
#[must_use]
pub fn url(text: &str) -> Option<(&str, u16, &str)> {
    let rest = text.strip_prefix("http://").unwrap_or(text);
    if rest.contains("://") || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, 80),
    };
    let path = if path.is_empty() { "/" } else { path };
    (!host.is_empty()).then_some((host, port, path))
}

/// Takes `-x` options of one letter from the front of the arguments: the letters, and what is left. `--`
/// ends them, `-` is none. A letter that is not in `known` is an error.
///
/// # Errors
/// The letter.
pub fn options<'a, 'b>(args: &'a [&'b str], known: &str) -> Result<(String, &'a [&'b str]), char> {
    let mut letters = String::new();
    let mut rest = args;
    while let Some((first, behind)) = rest.split_first() {
        let Some(group) = first.strip_prefix('-').filter(|group| !group.is_empty()) else { break };
        rest = behind;
        if group == "-" {
            break;
        }
        for letter in group.chars() {
            if !known.contains(letter) {
                return Err(letter);
            }
            letters.push(letter);
        }
    }
    Ok((letters, rest))
}

/// The value of `key=value` among arguments.
#[must_use]
pub fn value<'a>(args: &[&'a str], key: &str) -> Option<&'a str> {
    args.iter().find_map(|arg| arg.strip_prefix(key)?.strip_prefix('='))
}

/// How many lines are wished, `-n COUNT` or `-COUNT`, 10 unless told, and the other arguments.
#[must_use]
pub fn line_count<'a, 'b>(args: &'a [&'b str]) -> Option<(usize, &'a [&'b str])> {
    match args {
        ["-n", count, rest @ ..] => Some((count.parse().ok()?, rest)),
        [first, rest @ ..] if first.len() > 1 && first.starts_with('-') => {
            Some((first.strip_prefix("-n").unwrap_or(&first[1..]).parse().ok()?, rest))
        }
        _ => Some((10, args)),
    }
}

/// The lines of a text in order: of their bytes, or of the whole numbers they begin with; from the last to the
/// first; each once.
#[must_use]
pub fn sorted(text: &[u8], by_number: bool, reversed: bool, once: bool) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    // What is behind the last end of a line is no line.
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    match by_number {
        true => lines.sort_by_key(|line| (leading_number(line), *line)),
        false => lines.sort_unstable(),
    }
    if once {
        lines.dedup();
    }
    if reversed {
        lines.reverse();
    }
    lines
}

/// The number a line begins with, 0 without one; a larger one than fits is the largest.
fn leading_number(line: &[u8]) -> i64 {
    let line = line.trim_ascii_start();
    let (is_negative, digits) = line.strip_prefix(b"-").map_or((false, line), |rest| (true, rest));
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits
        .fold(0i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if is_negative {
        -number
    } else {
        number
    }
}

/// A line of a hex dump: position, up to 16 bytes as numbers, the same as text.
#[must_use]
pub fn hex_line(position: u64, bytes: &[u8]) -> String {
    let mut line = format!("{position:08x} ");
    for index in 0..16 {
        if index == 8 {
            line.push(' ');
        }
        // Writing to a `String` cannot fail.
        let _ = match bytes.get(index) {
            Some(byte) => write!(line, " {byte:02x}"),
            None => write!(line, "   "),
        };
    }
    line.push_str("  |");
    let printable = |byte: &u8| (b' '..=b'~').contains(byte);
    line.extend(bytes.iter().map(|byte| if printable(byte) { char::from(*byte) } else { '.' }));
    line.push('|');
    line
}

/// Lines, words and bytes of what was seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Line ends.
    pub lines: u64,
    /// Runs of bytes that are no blanks.
    pub words: u64,
    /// Bytes.
    pub bytes: u64,
    in_word: bool,
}

impl Counts {
    /// Adds a part of the file.
    pub fn add(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        for byte in part {
            self.lines += u64::from(*byte == b'\n');
            let in_word = !byte.is_ascii_whitespace();
            self.words += u64::from(in_word && !self.in_word);
            self.in_word = in_word;
        }
    }
}

/// A name that ends with zero bytes.
#[must_use]
pub fn padded(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_what_stands_behind_the_last_slash() {
        assert_eq!(base_name("/bin/ls"), "ls");
        assert_eq!(base_name("a/b//"), "b");
        assert_eq!(base_name("/"), "/");
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("a/b", "c"), "a/b/c");
    }

    #[test]
    fn sizes_and_times_read_as_people_say_them() {
        let said = [0, 1023, 1024, 1536, 20 << 20, 3 << 30].map(human);
        assert_eq!(said, ["0", "1023", "1.0K", "1.5K", "20M", "3.0G"]);
        assert_eq!(seconds("1.5"), Some(1_500_000_000));
        assert_eq!(seconds(".25"), Some(250_000_000));
        assert_eq!([seconds(""), seconds("."), seconds("-1"), seconds("1e3")], [None; 4]);
        assert_eq!(millis(1_234_567), "1.234");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00");
        assert_eq!(date(951_782_400), "2000-02-29 00:00");
        assert_eq!(date(1_795_186_260), "2026-11-20 14:51");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00");
    }

    #[test]
    fn addresses_and_urls_are_read_or_refused() {
        assert_eq!(ipv4("10.0.0.1"), Some(0x0a00_0001));
        assert_eq!(ipv4("10.0.0.256"), None);
        assert_eq!(url("http://h:8080/a?b"), Some(("h", 8080, "/a?b")));
        assert_eq!(url("h"), Some(("h", 80, "/")));
        assert_eq!([url("https://h/"), url("h:x"), url("/a"), url("h /")], [None; 4]);
    }

    #[test]
    fn options_end_at_the_first_word_that_is_none() {
        let args = ["-rf", "-v", "a", "-x"];
        assert_eq!(options(&args, "rfv"), Ok(("rfv".into(), &args[2..])));
        assert_eq!(options(&["--", "-v"], "v"), Ok((String::new(), &["-v"][..])));
        assert_eq!(options(&["-"], "v"), Ok((String::new(), &["-"][..])));
        assert_eq!(options(&["-q"], "v"), Err('q'));
        assert_eq!(value(&["a=1", "seed=7"], "seed"), Some("7"));
    }

    #[test]
    fn counts_of_lines_are_read_or_refused() {
        assert_eq!(line_count(&["-n", "3", "a"]), Some((3, &["a"][..])));
        assert_eq!(line_count(&["-5"]), Some((5, &[][..])));
        assert_eq!(line_count(&["-n7", "-"]), Some((7, &["-"][..])));
        assert_eq!(line_count(&["-", "a"]), Some((10, &["-", "a"][..])));
        assert_eq!(
            [line_count(&["-n"]), line_count(&["-x"]), line_count(&["-n", "-1"])],
            [None; 3]
        );
    }

    #[test]
    fn lines_are_sorted_as_wished() {
        let of = |text: &'static str, letters: &str| {
            let has = |letter| letters.contains(letter);
            let lines = sorted(text.as_bytes(), has('n'), has('r'), has('u'));
            lines.iter().map(|line| core::str::from_utf8(line).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of("b\na\nB\n\n", ""), ["", "B", "a", "b"]);
        assert_eq!(of("10\n 9\n-3 x\nno\n9", "n"), ["-3 x", "no", " 9", "9", "10"]);
        assert_eq!(of("a\nb\na", "ru"), ["b", "a"]);
        assert_eq!(of("", ""), [""; 0]);
        assert_eq!(of("\n", ""), [""]);
    }

    #[test]
    fn a_line_of_a_dump_has_numbers_and_text() {
        let line = hex_line(16, b"Zendo\n\x7f");
        let wanted = "00000010  5a 65 6e 64 6f 0a 7f                              |Zendo..|";
        assert_eq!(line, wanted);
    }

    proptest! {
        #[test]
        fn counts_do_not_depend_on_how_a_file_is_cut(text in "[ a\n]{0,60}", cut in 0usize..60) {
            let cut = cut.min(text.len());
            let (mut parts, mut whole) = (Counts::default(), Counts::default());
            parts.add(&text.as_bytes()[..cut]);
            parts.add(&text.as_bytes()[cut..]);
            whole.add(text.as_bytes());
            prop_assert_eq!(parts, whole);
            prop_assert_eq!(whole.words, text.split_whitespace().count() as u64);
        }

        #[test]
        fn no_text_makes_these_panic(text in "\\PC*", bytes: Vec<u8>, number: u64) {
            let _ = (base_name(&text), seconds(&text), url(&text), ipv4(&text));
            let _ = (human(number), date(number % (1 << 40)), hex_line(number, &bytes));
            let _ = (options(&[&text], "ab"), padded(&bytes));
        }
    }
}
