//! The JSON of every verb, held by files: a change of a form is a change of a file.
//!
//! `ZL_GOLDEN=write cargo test -p zl-cli golden` writes them anew. A change that could break a reader
//! needs another version, see SCHEMA.md.

use super::tests::Bench;
use hypercall_abi::DomId;
use std::path::Path;
use std::string::String;
use std::{format, fs, panic};

const DISK: &str = "zl create hello.cfg; zl block-attach hello phy:vdb,xvdb,r";
const CARD: &str = "zl create hello.cfg; zl network-attach hello mac=00:16:3e:00:00:01,mtu=9000";

/// A file, what is done first, and the line whose answer it holds.
const CASES: &[(&str, &str, &str, u8)] = &[
    ("create", "", "zl create -o json hello.cfg", 0),
    ("create-dry", "", "zl create -n -o json hello.cfg", 0),
    ("create-attached", "", "zl create -c -o json hello.cfg", 0),
    ("create-failed", "", "zl create -o json typo.cfg", 1),
    ("destroy", "zl create hello.cfg", "zl destroy -o json hello", 0),
    ("destroy-some", "zl create hello.cfg", "zl destroy -o json nobody hello", 3),
    ("destroy-none", "", "zl destroy -o json nobody", 3),
    ("list", "zl create hello.cfg", "zl list -o json", 0),
    ("list-some", "zl create hello.cfg", "zl list -o json hello nobody", 3),
    ("list-long", "zl create hello.cfg", "zl list -l", 0),
    ("info", "", "zl info -o json", 0),
    ("console", "zl create hello.cfg", "zl console -o json hello", 0),
    ("logs", "zl create hello.cfg", "zl logs -o json hello", 0),
    ("logs-follow", "zl create hello.cfg", "zl logs -f -o json hello", 0),
    ("pause", "zl create hello.cfg", "zl pause -o json hello", 0),
    ("unpause", "zl create -p hello.cfg", "zl unpause -o json hello", 0),
    ("shutdown", "zl create hello.cfg", "zl shutdown -o json hello", 0),
    ("reboot", "zl create hello.cfg", "zl reboot -o json hello", 0),
    ("rename", "zl create hello.cfg", "zl rename -o json hello web", 0),
    ("domid", "zl create hello.cfg", "zl domid -o json hello", 0),
    ("domname", "zl create hello.cfg", "zl domname -o json 1", 0),
    ("uptime", "zl create hello.cfg", "zl uptime -o json", 0),
    ("vcpu-list", "zl create hello.cfg", "zl vcpu-list -o json", 0),
    ("xenstore-ls", "zl create hello.cfg", "zl xenstore-ls -p -o json /tool", 0),
    ("xenstore-read", "", "zl xenstore-read -o json /local/domain/0/name /x", 1),
    ("xenstore-write", "", "zl xenstore-write -o json /a 1 /b 2", 0),
    ("xenstore-list", "", "zl xenstore-list -o json /local/domain/0", 0),
    ("xenstore-rm", "zl xenstore-write /a 1", "zl xenstore-rm -o json /a", 0),
    ("xenstore-exists", "", "zl xenstore-exists -o json /a", 1),
    ("xenstore-watch", "", "zl xenstore-watch -o json -n 1 /a", 0),
    ("xenstore-chmod", "zl xenstore-write /a 1", "zl xenstore-chmod -o json /a n0 b1", 0),
    ("block-attach", "zl create hello.cfg", "zl block-attach -o json hello ram:4K,xvdb,w", 0),
    ("block-detach", DISK, "zl block-detach -F -o json hello xvdb", 0),
    ("block-list", DISK, "zl block-list -o json hello", 0),
    ("network-attach", "zl create hello.cfg", "zl network-attach -o json hello script=x", 0),
    ("network-detach", CARD, "zl network-detach -F -o json hello 0", 0),
    ("network-list", CARD, "zl network-list -o json hello nobody", 3),
    ("top", "", "zl top -o json -i 1", 0),
    ("dmesg", "", "zl dmesg -o json", 0),
    ("debug-counts", "", "zl debug -o json counts", 0),
    ("help", "", "zl help -o json status", 0),
    ("usage", "", "zl destroy -o json", 2),
    ("usage-option", "", "zl list --output=json --frobnicate", 2),
];

#[test]
fn golden_files_hold_the_json_of_every_verb() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let writes = std::env::var("ZL_GOLDEN").is_ok_and(|word| word == "write");
    for (name, before, line, status) in CASES {
        let mut bench = Bench::new();
        bench.run(before);
        bench.fake.guest_prints(DomId::new(1), b"one\ntwo\n");
        bench.stack.pump_consoles();
        let text = bench.run(line);
        assert_eq!(bench.status(), *status, "{line}: {text}");
        let file = folder.join(format!("{name}.json"));
        if writes {
            fs::write(&file, &text).unwrap();
        }
        let held = fs::read_to_string(&file).unwrap_or_else(|error| {
            panic!("{}: {error}; write it with ZL_GOLDEN=write", file.display())
        });
        assert_eq!(text, held, "{name}.json does not hold the answer of '{line}'");
    }
}

#[test]
fn every_answer_is_one_versioned_document() {
    for (name, before, line, _) in CASES {
        let mut bench = Bench::new();
        bench.run(before);
        let text = bench.run(line);
        let value: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error} in {text}"));
        // `list -l` is xl's array, which has no place for a version.
        assert!(value.is_array() == (*name == "list-long"), "{name}");
        assert!(value.is_array() || value["v"] == 1, "{name}");
    }
}

#[test]
fn every_verb_has_json() {
    for verb in crate::verbs::VERBS {
        // Completion scripts are long; that they are wrapped like everything else is enough.
        let has_case =
            |(_, _, line, _): &&(&str, &str, &str, u8)| line.split(' ').nth(1) == Some(verb.name);
        if !CASES.iter().any(|case| has_case(&case)) {
            let words = [verb.name, "-o", "json", "bash"].map(String::from);
            let parsed = crate::Command::parse(&words).unwrap();
            assert!(matches!(parsed, crate::Command::Json { .. }), "{}", verb.name);
        }
    }
}
