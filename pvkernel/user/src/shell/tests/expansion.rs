//! Words become arguments.

use super::*;
use proptest::prelude::*;

#[test]
fn what_a_command_writes_takes_its_place() {
    assert_eq!(args("echo $(say a  b) \"$(say 'a  b')\""), ["echo", "a", "b", "a  b"]);
    assert_eq!(args("echo x$(say a b)y"), ["echo", "xa", "by"]);
    assert_eq!(args("echo $(say $(say \"in $(say deep)\")) ."), ["echo", "in", "deep", "."]);
    assert_eq!(args("echo \"$(say a; say b)\""), ["echo", "a\n\nb"]);
    assert_eq!(args("echo $(say) \"$(say)\" $()"), ["echo", ""]);
    assert_eq!(args("echo \"$(say \")\" ')')\" $(case x in x) a;; esac)"), ["echo", ") )"]);
    assert_eq!(
        args("echo '$(say a)' \"\\$(say a)\" $(say # )\n b)"),
        ["echo", "$(say a)", "$(say a)"]
    );
    assert_eq!(trouble("echo $(much)"), "$(much): more than 65536 bytes");
}

#[test]
fn what_has_no_value_may_have_another() {
    assert_eq!(
        args("echo ${NONE:-x} ${A:-y} \"${NONE:-a  b}\""),
        ["echo", "x", "one", "two", "a  b"]
    );
    assert_eq!(
        args("echo ${NONE:-a b} ${1:-n} ${10:-ten} ${NONE:-$N}"),
        ["echo", "a", "b", "x", "y", "ten", "7"]
    );
}

#[test]
fn expressions_are_numbers() {
    let of = |text: &str| args(&format!("echo $(({text}))"))[1].clone();
    for (text, wanted) in [
        ("1 + 2 * 3", "7"),
        ("(1+2)*3", "9"),
        ("7 / 2 - 7 % 2", "2"),
        ("-N + 10", "3"),
        ("$N-$#", "5"),
        ("10 - 2 - 3", "5"),
        ("1 < 2 && 2 <= 2", "1"),
        ("!(1 == 1) || 0", "0"),
        ("3 != 3", "0"),
        ("NONE + 1", "1"),
        ("", "0"),
        ("9223372036854775807 + 1", "-9223372036854775808"),
        ("$(say 4) * 2", "8"),
        (" - - 3", "3"),
        ("2 > 1", "1"),
        ("2 >= 3", "0"),
    ] {
        assert_eq!(of(if text.is_empty() { "0" } else { text }), wanted, "{text}");
    }
    assert_eq!(trouble("echo $((1/0))"), "$((1/0)): a division by zero");
    assert_eq!(trouble("echo $((A))"), "$((A)): `one  two` is no number");
    assert_eq!(trouble("echo $((1 2))"), "$((1 2)): `2` was not expected");
    assert_eq!(trouble("echo $((1+))"), "$((1+)): a number was expected before `the end`");
    assert_eq!(
        trouble("echo $((99999999999999999999))"),
        "$((99999999999999999999)): `99999999999999999999` is no number"
    );
    let deep = format!("echo $(({}1{}))", "(".repeat(33), ")".repeat(33));
    assert!(trouble(&deep).ends_with("more than 32 brackets and signs inside each other"));
}

#[test]
fn words_are_bounded() {
    let mut world = fake();
    world.variables.named.set("BIG", "b".repeat(MAX_BYTES));
    let big = Part::Variable { name: "BIG".into(), default: None, quoted: true };
    assert_eq!(single(&Word(vec![big.clone()]), &mut world).unwrap().len(), MAX_BYTES);
    let words = Word(vec![big.clone(), big]);
    assert_eq!(fields(&words, &mut world), Err("a word of more than 65536 bytes".into()));
    assert!(single(&words, &mut world).is_err());
}

fn anything() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(
        prop::sample::select(vec![
            "a",
            "$A",
            "$(say x y)",
            "\"",
            "'",
            "$((N",
            "))",
            "*",
            "?",
            "[",
            "]",
            "!",
            "-",
            "/",
            "\\",
            "${X:-",
            "}",
            " ",
            "$@",
            "\"$@\"",
            ".",
            "d",
            "$STAR",
            "1",
            "+",
            "(",
            ")",
            "ö",
            "$(much)",
        ]),
        0..30,
    )
}

proptest! {
    #[test]
    fn what_is_quoted_is_itself(text in "\\PC{0,12}|[\\n'\" $*?\\[\\]\\\\#&;!^-]{1,8}") {
        let mut world = fake();
        // Also where a pattern would fit.
        world.paths.insert(text.clone());
        let script = parse(&format!("echo {}", quote(&text))).unwrap();
        let Command::Simple(simple) = &script.0[0].first.commands[0] else { panic!() };
        prop_assert_eq!(fields(&simple.words[1], &mut world).unwrap(), vec![text.clone()]);
        prop_assert!(Pattern::new(&pattern(&simple.words[1], &mut world).unwrap()).fits(&text));
    }

    #[test]
    fn values_are_split_unless_they_are_quoted(value in "\\PC{0,20}") {
        let mut world = fake();
        world.paths.clear();
        world.variables.named.set("V", value.clone());
        let part = |quoted| Word(vec![Part::Variable { name: "V".into(), default: None, quoted }]);
        prop_assert_eq!(fields(&part(true), &mut world).unwrap(), vec![value.clone()]);
        prop_assert_eq!(single(&part(true), &mut world).unwrap(), value.clone());
        let wanted: Vec<&str> = value.split_ascii_whitespace().collect();
        prop_assert_eq!(fields(&part(false), &mut world).unwrap(), wanted);
    }

    #[test]
    fn no_word_makes_it_panic_or_grow(parts in anything()) {
        let Ok(script) = parse(&format!("echo {}", parts.concat())) else { return Ok(()) };
        let mut world = fake();
        for chain in &script.0 {
            for command in &chain.first.commands {
                let Command::Simple(simple) = command else { continue };
                for word in &simple.words {
                    match fields(word, &mut world) {
                        Ok(fields) => prop_assert!(fields.iter().map(String::len).sum::<usize>() < 8 << 10),
                        Err(why) => prop_assert!(!why.contains('\n')),
                    }
                }
            }
        }
    }
}
