//! The verbs about the store, as a person sees them.

use super::tests::Bench;
use super::After;
use alloc::string::String;
use pv_xenbus::Tx;

fn bench() -> Bench {
    let mut bench = Bench::new();
    assert_eq!(bench.run("xenstore-write /t/a one /t/a/x '' /t/b 'two words'"), "");
    bench
}

#[test]
fn ls_prints_what_xens_tool_prints() {
    let mut bench = bench();
    assert_eq!(bench.run("xenstore-ls /t"), "a = \"one\"\n x = \"\"\nb = \"two words\"\n");
    assert_eq!(
        bench.run("zl xenstore-ls -f -p /t"),
        "/t/a = \"one\"  (n0)\n/t/a/x = \"\"  (n0)\n/t/b = \"two words\"  (n0)\n"
    );
    assert!(bench.run("xenstore-ls").contains("\nt = \"\"\n a = \"one\"\n  x = \"\"\n"));
    let text = bench.run("xenstore-ls /none");
    assert_eq!(text, "zl: xenstore: /none: ENOENT; no such path; see 'xenstore-ls'\n");
    assert_eq!(bench.status(), 1);
}

#[test]
fn values_are_read_and_written() {
    let mut bench = bench();
    assert_eq!(bench.run("xenstore-read /t/a /t/b"), "one\ntwo words\n");
    assert_eq!(bench.run("xenstore-read -p /t/a"), "/t/a: one\n");
    let text = bench.run("xenstore-read /t/a /t/none");
    assert!(text.starts_with("one\nzl: xenstore: /t/none: ENOENT;"), "{text}");
    assert_eq!(bench.status(), 1);
    assert!(bench.run("xenstore-write /t/new 1 /t//bad 2").contains("/t//bad: EINVAL;"));
    assert_eq!(bench.status(), 1);
    bench.run("xenstore-exists /t/new");
    assert_eq!(bench.status(), 1, "written although the other failed");
    assert_eq!(bench.run("xenstore-read name"), "Domain-0\n");
}

#[test]
fn what_a_guest_wrote_cannot_disturb_the_screen() {
    let mut bench = bench();
    let value = b"\x1b[2J\n\t\\\"\0\xff";
    bench.stack.store().write(Tx::NONE, "/t/b", value).unwrap();
    assert_eq!(bench.run("xenstore-read /t/b"), "\\x1b[2J\\n\\t\\\\\"\\000\\xff\n");
}

#[test]
fn names_are_listed() {
    let mut bench = bench();
    assert_eq!(bench.run("xenstore-list /t"), "a\nb\n");
    assert_eq!(bench.run("xenstore-list -p /t /t/a"), "/t/a\n/t/b\n/t/a/x\n");
    assert!(bench.run("xenstore-list /t/none").contains("ENOENT"));
}

#[test]
fn what_is_removed_is_gone_and_what_is_missing_is_told() {
    let mut bench = bench();
    assert!(bench.run("xenstore-rm /t/a /t/none").contains("/t/none: ENOENT"));
    assert_eq!(bench.run("xenstore-list /t"), "a\nb\n");
    assert_eq!(bench.run("xenstore-rm /t/a"), "");
    assert_eq!(bench.run("xenstore-list /t"), "b\n");
    assert!(bench.run("xenstore-rm /").contains("xenstore: /: EINVAL"));
    assert_eq!(bench.run("xenstore-write /t/d/e/f ''; xenstore-rm -t /t/d/e/f"), "");
    assert_eq!(bench.run("xenstore-list /t"), "b\n");
}

#[test]
fn existence_is_a_status() {
    let mut bench = bench();
    assert_eq!(bench.run("xenstore-exists /t /t/a"), "");
    assert_eq!(bench.status(), 0);
    assert_eq!(bench.run("xenstore-exists /t /t/none"), "");
    assert_eq!(bench.status(), 1);
}

#[test]
fn permissions_are_set_on_one_or_on_all_below() {
    let mut bench = bench();
    assert_eq!(bench.run("xenstore-chmod /t/a n0 r5"), "");
    let listed = |bench: &mut Bench| bench.run("xenstore-ls -p /t");
    assert_eq!(
        listed(&mut bench),
        "a = \"one\"  (n0,r5)\n x = \"\"  (n0)\nb = \"two words\"  (n0)\n"
    );
    assert_eq!(bench.run("xenstore-chmod -r /t b7"), "");
    assert_eq!(listed(&mut bench), "a = \"one\"  (b7)\n x = \"\"  (b7)\nb = \"two words\"  (b7)\n");
}

#[test]
fn watching_is_left_to_the_terminal() {
    let mut bench = bench();
    bench.run("xenstore-watch -n 3 /t @releaseDomain");
    let paths = ["/t", "@releaseDomain"].map(String::from).into();
    assert_eq!(bench.after(), &After::Watch { paths, count: Some(3) });
    assert!(bench.run("xenstore-watch /t//x").contains("/t//x: EINVAL"));
}
