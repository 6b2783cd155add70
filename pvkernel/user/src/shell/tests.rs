use super::*;
use proptest::prelude::*;

fn variables() -> Variables {
    let mut variables = Variables::default();
    variables.named.insert("A".into(), "one  two".into());
    variables.args = ["script", "x y", "z"].map(String::from).to_vec();
    variables.status = 3;
    variables
}

/// The arguments of a script of one simple command.
fn args(text: &str) -> Vec<String> {
    let script = parse(text).unwrap();
    let [chain] = script.0.as_slice() else { panic!("{script:?}") };
    let [Command::Simple(simple)] = chain.first.commands.as_slice() else { panic!("{chain:?}") };
    simple.words.iter().flat_map(|word| fields(word, &variables())).collect()
}

fn why(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn words_are_parted_by_blanks_outside_of_quotes() {
    assert_eq!(args("echo a  'b c' \"d e\"f g\\ h"), ["echo", "a", "b c", "d ef", "g h"]);
    assert_eq!(args("echo '' \"\" a''"), ["echo", "", "", "a"]);
    assert_eq!(args("echo a#b # comment"), ["echo", "a#b"]);
    assert_eq!(args("echo a \\\n b"), ["echo", "a", "b"]);
    assert_eq!(args("echo '$A' \"\\$A \\\" \\x\""), ["echo", "$A", "$A \" \\x"]);
}

#[test]
fn variables_are_split_unless_they_are_quoted() {
    assert_eq!(args("echo $A \"$A\" x$A"), ["echo", "one", "two", "one  two", "xone", "two"]);
    assert_eq!(args("echo $NONE \"$NONE\" ${A}b"), ["echo", "", "one", "twob"]);
    assert_eq!(args("echo $? $# $1 \"$1\" $9 $"), ["echo", "3", "2", "x", "y", "x y", "$"]);
    assert_eq!(args("echo \"$@\" $0"), ["echo", "x y", "z", "script"]);
}

#[test]
fn chains_pipelines_and_redirections_are_told_apart() {
    let script = parse("a < in | b >> out 2>&1 && ! c || d 2> err & e; f").unwrap();
    let [first, e, f] = script.0.as_slice() else { panic!("{script:?}") };
    assert!(first.in_background && !e.in_background && !f.in_background);
    assert_eq!(first.text, "a < in | b >> out 2>&1 && ! c || d 2> err");
    assert_eq!(first.first.commands.len(), 2);
    let links: Vec<Link> = first.rest.iter().map(|(link, _)| *link).collect();
    assert_eq!(links, [Link::And, Link::Or]);
    assert!(first.rest[0].1.negated && !first.rest[1].1.negated);
    let Command::Simple(b) = &first.first.commands[1] else { panic!() };
    let fds: Vec<u32> = b.redirections.iter().map(|redirection| redirection.fd).collect();
    assert_eq!(fds, [1, 2]);
    assert_eq!(b.redirections[1].to, Target::Same(1));
}

#[test]
fn variables_are_set_alone() {
    let script = parse("A=b=c B='x y' C=").unwrap();
    let Command::Simple(simple) = &script.0[0].first.commands[0] else { panic!() };
    let names: Vec<&str> = simple.assignments.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["A", "B", "C"]);
    let values: Vec<String> =
        simple.assignments.iter().map(|(_, word)| single(word, &variables())).collect();
    assert_eq!(values, ["b=c", "x y", ""]);
    assert_eq!(args("echo A=b 1=2"), ["echo", "A=b", "1=2"]);
    assert_eq!(why("A=b c"), "line 1, column 5: a variable is set alone: `;` was expected here");
}

#[test]
fn commands_contain_scripts() {
    let text =
        "if a; then b\nelse c; d; fi | e\nwhile a && b\ndo c & done; for x in 1 $A; do y; done";
    let script = parse(text).unwrap();
    assert_eq!(script.0.len(), 3);
    let Command::If(_, _, otherwise) = &script.0[0].first.commands[0] else { panic!() };
    assert_eq!(otherwise.0.len(), 2);
    let Command::While(_, body) = &script.0[1].first.commands[0] else { panic!() };
    assert!(body.0[0].in_background);
    let Command::For(name, values, _) = &script.0[2].first.commands[0] else { panic!() };
    assert_eq!((name.as_str(), values.len()), ("x", 2));
}

#[test]
fn mistakes_are_one_line_with_the_column() {
    assert_eq!(why("echo 'a"), "line 1, column 6: the quote ' is not closed");
    assert_eq!(why("a\nb || \"c"), "line 2, column 6: the quote \" is not closed");
    assert_eq!(why("a |"), "line 1, column 4: the end was not expected here");
    assert_eq!(why("a ;; b"), "line 1, column 4: `;` was not expected here");
    assert_eq!(why("| a"), "line 1, column 1: `|` was not expected here");
    assert_eq!(why("a > | b"), "line 1, column 5: the name of a file was expected here");
    assert_eq!(why("ä (b)"), "line 1, column 3: `(` was not expected here");
    assert_eq!(why("if a; b; fi"), "line 1, column 10: `then` was expected here");
    assert_eq!(why("while a; do done"), "line 1, column 13: `done` was not expected here");
    assert_eq!(why("for 1 in a; do b; done"), "line 1, column 5: a name was expected here");
    assert_eq!(why("fi"), "line 1, column 1: `fi` was not expected here");
    assert_eq!(why("echo ${A"), "line 1, column 6: a name and } were expected behind ${");
}

#[test]
fn depth_is_limited() {
    let deep = |depth: usize| "if ".repeat(depth) + "a" + &"; then b; fi".repeat(depth);
    assert!(parse(&deep(32)).is_ok());
    assert!(parse(&deep(33)).is_err() && parse(&"if ".repeat(100_000)).is_err());
}

proptest! {
    #[test]
    fn what_is_quoted_is_read_as_one_word(texts in prop::collection::vec("\\PC{0,12}|[\\n'\" $\\\\#&;]{1,6}", 1..5)) {
        let line: Vec<String> = texts.iter().map(|text| quote(text)).collect();
        let line = alloc::format!("run {}", line.join(" "));
        prop_assert_eq!(&args(&line)[1..], &texts[..]);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn no_mixture_of_its_own_signs_makes_it_panic(parts in prop::collection::vec(
        prop::sample::select(vec![
            "if ", "then ", "else ", "fi ", "while ", "do ", "done ", "for ", "in ", "a ", "A=",
            "$", "{", "}", "'", "\"", "\\", "#", ";", "&", "|", "<", ">", "2>&1 ", "\n", "! ", "ö",
        ]), 0..40)) {
        if let Err(error) = parse(&parts.concat()) {
            let lines: Vec<String> = parts.concat().split('\n').map(String::from).collect();
            prop_assert!(error.line <= lines.len());
            prop_assert!(error.column <= lines[error.line - 1].chars().count() + 1);
        }
    }

    #[test]
    fn expansion_never_loses_what_is_quoted(value in "\\PC{0,20}") {
        let mut variables = variables();
        variables.named.insert("V".into(), value.clone());
        let word = Word(vec![Part::Variable { name: "V".into(), quoted: true }]);
        prop_assert_eq!(fields(&word, &variables), vec![value.clone()]);
        prop_assert_eq!(single(&word, &variables), value.clone());
        let word = Word(vec![Part::Variable { name: "V".into(), quoted: false }]);
        let wanted: Vec<&str> = value.split_ascii_whitespace().collect();
        prop_assert_eq!(fields(&word, &variables), wanted);
    }
}
