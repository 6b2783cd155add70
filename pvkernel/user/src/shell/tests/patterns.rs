//! Patterns and the paths they fit.

use super::*;
use proptest::prelude::*;

#[test]
fn patterns_fit_all_of_a_text() {
    let fits = |pattern: &str, text: &str| Pattern::new(pattern).fits(text);
    for (pattern, text) in [
        ("", ""),
        ("*", ""),
        ("*", "abc"),
        ("a*c", "abcabc"),
        ("?ö?", "aöc"),
        ("[a-c]x[!a-c]", "bxd"),
        ("[]]", "]"),
        ("[!]]", "a"),
        ("[a-]", "-"),
        ("[^a]", "b"),
        ("[", "["),
        ("[a", "[a"),
        ("\\*", "*"),
        ("[\\]a]", "]"),
        ("*a*b*", "xaybz"),
        ("a\\", "a\\"),
        ("[*]", "*"),
        ("**", "a"),
    ] {
        assert!(fits(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [
        ("", "a"),
        ("?", ""),
        ("a*c", "ab"),
        ("[a-c]", "d"),
        ("[!a-c]", "a"),
        ("\\*", "a"),
        ("[]", "a"),
        ("*a*b*", "xbya"),
        ("[z-a]", "m"),
        ("a", "A"),
    ] {
        assert!(!fits(pattern, text), "{pattern} {text}");
    }
}

#[test]
fn patterns_become_the_paths_they_fit() {
    assert_eq!(args("ls *.rs"), ["ls", "a.rs", "b.rs"]);
    assert_eq!(args("ls '*.rs' \"*\".rs \\*.rs"), ["ls", "*.rs", "*.rs", "*.rs"]);
    assert_eq!(args("ls *.c ?"), ["ls", "*.c", "d", "g"]);
    assert_eq!(args("ls */*.rs */*/*"), ["ls", "d/e.rs", "g/j.rs", "g/h/i.rs"]);
    assert_eq!(args("ls [ac].*"), ["ls", "a.rs", "c.txt"]);
    assert_eq!(args("ls [!ac].rs .*.rs"), ["ls", "b.rs", ".hidden.rs"]);
    assert_eq!(args("ls */f.txt ./*.txt"), ["ls", "d/f.txt", "./c.txt"]);
    assert_eq!(args("ls a*"), ["ls", "a b.md", "a.rs"]);
    assert_eq!(args("ls \"a \"*"), ["ls", "a b.md"]);
    assert_eq!(args("ls $STAR \"$STAR\""), ["ls", "a.rs", "b.rs", "*.rs"]);
    assert_eq!(args("ls $(say d/*) ${X:-?.txt}"), ["ls", "d/e.rs", "d/f.txt", "c.txt"]);
    assert_eq!(args("ls */ nothing/*"), ["ls", "d/", "g/", "nothing/*"]);
}

#[test]
fn so_many_paths_are_one_line() {
    let mut world = fake();
    world.paths = (0..5000).map(|number| format!("f{number}")).collect();
    let word = |text: &str| Word(vec![Part::Plain(text.into())]);
    assert_eq!(fields(&word("f*"), &mut world), Err("f*: more than 4096 files".into()));
    assert_eq!(fields(&word("f1?"), &mut world).unwrap().len(), 10);
    assert_eq!(fields(&word("[f]*[!0-8]?9"), &mut world).unwrap().len(), 50);
}

/// The definition, as slow as it is.
fn slow(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => (0..=text.len()).any(|skipped| slow(rest, &text[skipped..])),
        (Some(('?', rest)), Some((_, behind))) => slow(rest, behind),
        (Some((sign, rest)), Some((first, behind))) => sign == first && slow(rest, behind),
        _ => false,
    }
}

proptest! {
    #[test]
    fn patterns_fit_what_they_are_defined_to(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
        let signs = |text: &str| text.chars().collect::<Vec<char>>();
        prop_assert_eq!(Pattern::new(&pattern).fits(&text), slow(&signs(&pattern), &signs(&text)));
    }

    #[test]
    fn a_pattern_of_anything_ends(pattern in "[\\[\\]a!^*?\\\\-]{0,40}|\\PC{0,40}", text in "\\PC{0,40}") {
        let _ = Pattern::new(&pattern).fits(&text);
    }
}

#[test]
fn hard_patterns_take_no_longer() {
    assert!(!Pattern::new(&"a*".repeat(100))
        .fits(&("a".repeat(5000) + "b")[..4000].replace('b', "")[..99]));
    assert!(!Pattern::new(&("*a".repeat(200) + "b")).fits(&"a".repeat(20_000)));
    assert!(Pattern::new(&"[".repeat(65_536)).fits(&"[".repeat(65_536)));
}
