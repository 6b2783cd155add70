//! Reading scripts.

use super::super::lex::Parsed;
use super::*;
use proptest::prelude::*;

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
        simple.assignments.iter().map(|(_, word)| single(word, &mut fake()).unwrap()).collect();
    assert_eq!(values, ["b=c", "x y", ""]);
    assert_eq!(args("echo A=b 1=2"), ["echo", "A=b", "1=2"]);
    assert_eq!(why("A=b c"), "line 1, column 5: a variable is set alone: `;` was expected here");
}

/// What a script of one compound command is.
fn compound(text: &str) -> (Compound, Vec<Redirection>) {
    let script = parse(text).unwrap();
    let [chain] = script.0.as_slice() else { panic!("{script:?}") };
    match chain.first.commands.as_slice() {
        [Command::Compound(compound, redirections)] => ((**compound).clone(), redirections.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn commands_contain_scripts() {
    let text = "if a; then b\nelif c; then d; elif e\nthen f; else g; h; fi > out";
    let (Compound::If(cases, otherwise), redirections) = compound(text) else { panic!() };
    assert_eq!((cases.len(), otherwise.0.len(), redirections.len()), (3, 2, 1));
    let Compound::Loop { until: false, body, .. } = compound("while a && b\ndo c & done").0 else {
        panic!()
    };
    assert!(body.0[0].in_background);
    assert!(matches!(compound("until a; do b; done").0, Compound::Loop { until: true, .. }));
    let Compound::For(name, Some(values), _) = compound("for x in 1 $A; do y; done").0 else {
        panic!()
    };
    assert_eq!((name.as_str(), values.len()), ("x", 2));
    assert!(matches!(compound("for x\ndo y; done").0, Compound::For(_, None, _)));
    assert!(matches!(compound("for x; do y; done").0, Compound::For(_, None, _)));
    assert!(
        matches!(compound("{ a; b; }").0, Compound::Group(Script(chains)) if chains.len() == 2)
    );
    assert!(matches!(compound("(a; b) 2>&1").0, Compound::Subshell(_)));
    assert_eq!(parse("if a; then b; fi | c && { d; } & e").unwrap().0.len(), 2);
}

#[test]
fn cases_have_patterns() {
    let text = "case $x in\n a|b*) one; two;;\n (c) ;; *) three\nesac";
    let (Compound::Case(word, cases), _) = compound(text) else { panic!() };
    assert!(matches!(word.0.as_slice(), [Part::Variable { .. }]));
    let shape: Vec<_> = cases.iter().map(|(words, body)| (words.len(), body.0.len())).collect();
    assert_eq!(shape, [(2, 2), (1, 0), (1, 1)]);
    assert!(matches!(compound("case a in esac").0, Compound::Case(_, cases) if cases.is_empty()));
    assert_eq!(why("case a in b c"), "line 1, column 13: `)` was expected here");
    assert_eq!(why("case a b"), "line 1, column 8: `in` was expected here");
}

#[test]
fn functions_are_names_for_commands() {
    let script = parse("greet() { echo hi; }\nsub()\n(a)\ngreet").unwrap();
    let names: Vec<&str> = script
        .0
        .iter()
        .filter_map(|chain| match &chain.first.commands[..] {
            [Command::Function(name, _)] => Some(name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["greet", "sub"]);
    assert_eq!(why("f() echo"), "line 1, column 5: `{` was expected here");
    assert_eq!(why("f(a) { b; }"), "line 1, column 3: `)` was expected here");
}

/// The text of the first here-document of the first command.
fn document(text: &str) -> Parsed<(String, Script)> {
    let script = parse(text)?;
    let Command::Simple(simple) = &script.0[0].first.commands[0] else { panic!("{script:?}") };
    let Target::Here(document) = &simple.redirections[0].to else { panic!("{simple:?}") };
    let text = single(document.get().unwrap(), &mut fake()).unwrap();
    Ok((text, script.clone()))
}

#[test]
fn lines_behind_a_command_are_what_it_reads() {
    let of = |text| document(text).unwrap().0;
    assert_eq!(of("cat <<E\na $N *\n  b\nE\n"), "a 7 *\n  b\n");
    assert_eq!(of("cat << 'E'\n$N \\ `\nE"), "$N \\ `\n");
    assert_eq!(of("cat <<\\E\n$N\nE"), "$N\n");
    assert_eq!(of("cat <<-E\n\ta\n\t\tb $N\n\tE\n"), "a\nb 7\n");
    assert_eq!(of("cat <<E\n\\$N \\\\ \\\" $(say it) $((N+1))\nE"), "$N \\ \\\" it 8\n");
    assert_eq!(of("cat <<E\nE\n"), "");
    let (text, script) = document("cat <<E | wc && x\nhi\nE\nnext").unwrap();
    assert_eq!((text.as_str(), script.0.len(), script.0[0].rest.len()), ("hi\n", 2, 1));
    let (_, script) = document("cat <<A; cat <<B\none\nA\ntwo\nB\nlast").unwrap();
    assert_eq!(script.0.len(), 3);
    assert_eq!(args("echo $(say <<E\nhi\nE\n) b"), ["echo", "b"]);
    assert_eq!(why("cat <<E\nabc"), "line 2, column 4: the line `E` that ends the text is missing");
    assert_eq!(why("cat <<E\na\n $(b\nE"), "line 3, column 2: $( is not closed");
    assert_eq!(why("cat <<"), "line 1, column 7: the word that ends the text was expected here");
    assert_eq!(why("cat <<$A\n"), "line 1, column 7: a word without $ was expected behind <<");
}

#[test]
fn mistakes_are_one_line_with_the_column() {
    assert_eq!(why("echo 'a"), "line 1, column 6: the quote ' is not closed");
    assert_eq!(why("a\nb || \"c"), "line 2, column 6: the quote \" is not closed");
    assert_eq!(why("a |"), "line 1, column 4: the end was not expected here");
    assert_eq!(why("a ;; b"), "line 1, column 3: `;;` was not expected here");
    assert_eq!(why("a; ; b"), "line 1, column 4: `;` was not expected here");
    assert_eq!(why("| a"), "line 1, column 1: `|` was not expected here");
    assert_eq!(why("a > | b"), "line 1, column 5: the name of a file was expected here");
    assert_eq!(why("ä (b)"), "line 1, column 3: `(` was not expected here");
    assert_eq!(why("if a; b; fi"), "line 1, column 10: `then` was expected here");
    assert_eq!(why("while a; do done"), "line 1, column 13: `done` was not expected here");
    assert_eq!(why("for 1 in a; do b; done"), "line 1, column 5: a name was expected here");
    assert_eq!(why("fi"), "line 1, column 1: `fi` was not expected here");
    assert_eq!(why("echo ${A"), "line 1, column 6: a name and } were expected behind ${");
    assert_eq!(why("echo ${A:-b"), "line 1, column 6: ${ is not closed");
    assert_eq!(why("echo \"$(a"), "line 1, column 7: $( is not closed");
    assert_eq!(why("echo $(a; fi)"), "line 1, column 11: `fi` was not expected here");
    assert_eq!(why("echo $((1)"), "line 1, column 10: `))` was expected here");
    assert_eq!(why("echo $((1"), "line 1, column 6: $(( is not closed");
    assert_eq!(why("a )"), "line 1, column 3: `)` was not expected here");
    assert_eq!(why("{ }"), "line 1, column 3: `}` was not expected here");
    assert_eq!(
        why("echo `a`"),
        "line 1, column 6: ` is not understood: $(...) is what a command writes"
    );
}

#[test]
fn it_is_known_whether_more_lines_could_help() {
    let unfinished = [
        "if a",
        "if a; then",
        "a |",
        "a &&",
        "echo 'a",
        "echo \"$(b",
        "{ a",
        "(a",
        "f()",
        "cat <<E",
        "cat <<E\na\n",
        "echo a\\",
        "case a",
        "case a in",
        "case a in b) c",
        "for x in a",
        "while a; do b",
        "echo ${A:-b",
        "echo $((1 +",
        "! ",
        "for",
    ];
    for text in unfinished {
        assert!(parse(text).unwrap_err().is_unfinished, "{text}");
    }
    for text in
        ["fi", "a ;; b", "for 1", "f() a", "cat <<$A", "echo ${}", "a | | b", "echo `", "(a))"]
    {
        assert!(!parse(text).unwrap_err().is_unfinished, "{text}");
    }
}

#[test]
fn depth_is_limited() {
    let deep = |depth: usize| "if ".repeat(depth) + "a" + &"; then b; fi".repeat(depth);
    assert!(parse(&deep(32)).is_ok());
    assert!(parse(&deep(33)).is_err() && parse(&"if ".repeat(100_000)).is_err());
    for opening in
        ["$(", "\"$(", "${A:-", "$((", "( ", "{ ", "f() { ", "case a in b) ", "echo \"${A:-$("]
    {
        let error = parse(&opening.repeat(10_000)).unwrap_err();
        assert_eq!(error.what, "more than 32 commands inside each other", "{opening}");
    }
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
            "$", "{ ", "} ", "'", "\"", "\\", "#", ";", "&", "|", "<", ">", "2>&1 ", "\n", "! ", "ö",
            "(", ")", "$(", "$((", "))", "${A:-", "<<E ", "<<-'E' ", "\nE\n", "\t", "case ", "esac ", ";;",
            "elif ", "until ", "`", "*", "[", "]", "1",
        ]), 0..40)) {
        let text = parts.concat();
        if let Err(error) = parse(&text) {
            let lines: Vec<&str> = text.split('\n').collect();
            prop_assert!(error.line <= lines.len());
            // Tabs that `<<-` strips are not counted.
            prop_assert!(error.column <= lines[error.line - 1].chars().count() + 1);
            prop_assert!(!error.what.contains('\n'));
        }
    }
}
