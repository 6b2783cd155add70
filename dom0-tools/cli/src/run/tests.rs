//! The verbs, from words to printed lines, on a recording hypervisor.

use super::*;
use crate::Shell;
use crate::Step;
use alloc::boxed::Box;
use alloc::string::ToString;
use hypercall_abi::sched::shutdown;
use zl_toolstack::archive::Archive;
use zl_toolstack::client::fake::{tiny_kernel, FakeHypervisor};
use zl_xenstore::{Hooks, Quota, Shared};

struct Here;

impl Place for Here {
    fn counts(&self) -> LocalCounts {
        LocalCounts { free_frames: 11, total_frames: 22, heap_bytes: 33, ..LocalCounts::default() }
    }
}

pub(super) struct Bench {
    pub(super) fake: FakeHypervisor,
    pub(super) stack: Toolstack<'static, FakeHypervisor>,
    shell: Shell,
    pub(super) after: After,
}

const HELLO: &[u8] = b"name = \"hello\"\nkernel = \"hello\"\nmemory = 16\n\
    uuid = \"12345678-1234-4321-8765-0123456789ab\"\nextra = \"a \\\"b\\\"\"\nvnc = 1\n";

impl Bench {
    pub(super) fn new() -> Self {
        let kernel: &'static [u8] = Box::leak(tiny_kernel(3000, 100).into_boxed_slice());
        let archive = Archive::from_files([
            ("hello", kernel),
            ("hello.cfg", HELLO),
            ("typo.cfg", b"name = 'x'\nkernel = 'hello'\nmemroy = 3"),
            ("nokernel.cfg", b"name = 'x'\nkernel = 'helo'"),
            ("notelf.cfg", b"name = 'x'\nkernel = 'hello.cfg'"),
            ("huge.cfg", b"name = 'x'\nkernel = 'hello'\nmemory = 4096"),
        ]);
        let fake = FakeHypervisor::new(64);
        let store = Box::leak(Box::new(Shared::new(Quota::default(), Hooks::NONE)));
        let stack = Toolstack::new(fake.clone(), archive, store);
        Self { fake, stack, shell: Shell::default(), after: After::Nothing }
    }

    /// Runs a line of verbs; returns the text of all of them.
    pub(super) fn run(&mut self, line: &str) -> String {
        let mut out = String::new();
        for words in self.shell.split(line).unwrap() {
            match self.shell.step(&words) {
                Step::Zl(command) => {
                    let outcome = run(&command, &mut self.stack, &Here, &mut out);
                    let closed = outcome.report.map(|report| report.close(&Ok(Status::Ok)));
                    let (document, status) = closed.unwrap_or((String::new(), outcome.status));
                    out.push_str(&document);
                    self.shell.set_status(status);
                    self.after = outcome.after;
                }
                Step::Complain(error) => {
                    out.push_str(&format!("{error}\n"));
                    self.shell.set_status(error.status);
                }
                other => panic!("unexpected step {other:?}"),
            }
        }
        out
    }

    pub(super) fn after(&self) -> &After {
        &self.after
    }

    pub(super) fn status(&self) -> u8 {
        self.shell.status()
    }
}

#[test]
fn create_and_list_look_like_xl() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.run("zl create hello.cfg"),
        "Parsing config from hello.cfg\n\
         zl: warning: hello.cfg:6: 'vnc' has no meaning on a PV-only hypervisor; ignored\n"
    );
    assert_eq!(
        bench.run("xl list"),
        "Name                                        ID   Mem VCPUs\tState\tTime(s)\n\
         Domain-0                                     0    64     1     r-----       0.0\n\
         hello                                        1    16     1     -b----       1.5\n"
    );
    assert_eq!(bench.run("zl list -q"), "Domain-0\nhello\n");
    assert_eq!(bench.run("zl domid hello; zl domname 1"), "1\nhello\n");
    assert_eq!(bench.status(), 0);
}

#[test]
fn quiet_says_nothing_and_verbose_says_how_long_it_took() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("zl create -q hello.cfg"), "");
    let text = bench.run("zl create -v hello.cfg name=h2");
    assert!(text.ends_with("h2 (id 2) created in 0.000 ms\n"), "{text}");
}

#[test]
fn json_lists_are_whole_and_versioned() {
    let mut bench = Bench::new();
    bench.run("zl create -q hello.cfg");
    let list: serde_json::Value =
        serde_json::from_str(&bench.run("zl list -o json hello")).unwrap();
    assert_eq!(
        list,
        serde_json::json!({"v": 1, "domains": [{
            "name": "hello", "domid": 1, "uuid": "12345678-1234-4321-8765-0123456789ab",
            "mem_kib": 16384, "max_mem_kib": 17408, "vcpus": 1, "state": "-b----",
            "shutdown_reason": null, "cpu_time_ns": 1_500_000_000,
        }]})
    );
    let long: serde_json::Value = serde_json::from_str(&bench.run("zl list -l")).unwrap();
    assert_eq!(
        long[0],
        serde_json::json!({
            "domid": 0, "error": "the control domain has no configuration"
        })
    );
    assert_eq!(long[1]["config"]["cmdline"], "a \"b\"");
    assert_eq!(long[1]["config"]["on_crash"], "destroy");
    for line in ["zl info -o json", "zl uptime -o json", "zl vcpu-list -o json"] {
        let value: serde_json::Value = serde_json::from_str(&bench.run(line)).unwrap();
        assert_eq!(value["v"], 1, "{line}");
    }
}

#[test]
fn a_dry_run_shows_the_configuration_and_creates_nothing() {
    let mut bench = Bench::new();
    let before = bench.fake.counts();
    let text = bench.run("zl create -n -q hello.cfg memory=0x20");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["config"]["memory_mib"], 32);
    assert_eq!(bench.fake.counts(), before);
}

#[test]
fn every_bad_create_is_one_line_and_leaves_nothing() {
    let mut bench = Bench::new();
    let before = bench.fake.counts();
    for (line, expected) in [
        ("zl create -q hello", "zl: hello: this is an ELF image, not a configuration"),
        (
            "zl create -q helo.cfg",
            "zl: helo.cfg: no such file in the boot archive; did you mean 'hello.cfg'?",
        ),
        (
            "zl create -q typo",
            "zl: typo: no such file in the boot archive; did you mean 'typo.cfg'?",
        ),
        ("zl create -q typo.cfg", "zl: typo.cfg:3:1: unknown key 'memroy'; did you mean 'memory'?"),
        (
            "zl create -q nokernel.cfg",
            "zl: nokernel.cfg: kernel: no file 'helo' in the boot archive; did you mean 'hello'?",
        ),
        ("zl create -q notelf.cfg", "zl: notelf.cfg: hello.cfg: not an ELF file"),
        (
            "zl create -q huge.cfg",
            "zl: huge.cfg: too little memory: 'x' wants 4096 MiB, 64 MiB are free",
        ),
        ("zl create -q hello.cfg memory=x", "zl: command line: memory: 'x' is not a number"),
    ] {
        let text = bench.run(line);
        assert!(text.starts_with(expected), "{line}\n gave {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(bench.status(), 1, "{line}");
        assert_eq!(bench.fake.counts(), before, "{line}");
    }
}

#[test]
fn unknown_domains_give_status_three() {
    let mut bench = Bench::new();
    for verb in [
        "list",
        "console",
        "logs",
        "pause",
        "unpause",
        "destroy",
        "shutdown",
        "reboot",
        "domid",
        "domname",
        "uptime",
        "vcpu-list",
    ] {
        let text = bench.run(&format!("zl {verb} nobody"));
        assert!(text.contains("zl: no domain named 'nobody'; see 'zl list'\n"), "{verb}: {text}");
        assert_eq!(bench.status(), 3, "{verb}");
    }
    bench.run("zl rename nobody x");
    assert_eq!(bench.status(), 3);
}

#[test]
fn a_verb_for_several_domains_goes_on_after_a_failure() {
    let mut bench = Bench::new();
    bench.run("zl create -q hello.cfg; zl create -q hello.cfg name=h2");
    let text = bench.run("zl pause hello nobody h2");
    assert_eq!(text.lines().count(), 1);
    assert_eq!(bench.status(), 3);
    let list = bench.run("zl list");
    assert_eq!(list.matches("--p---").count(), 2, "{list}");
}

#[test]
fn destroy_waits_until_nothing_is_left() {
    let mut bench = Bench::new();
    let before = bench.fake.counts();
    bench.run("zl create -q hello.cfg; zl destroy hello");
    assert_eq!(bench.after, After::WaitGone(Vec::from([DomId::new(1)])));
    assert_eq!(bench.fake.counts(), before);
}

#[test]
fn shutdown_of_all_can_wait() {
    let mut bench = Bench::new();
    bench.run("zl create -q hello.cfg; zl create -q hello.cfg name=h2; zl shutdown -aw -t 5");
    let domains = Vec::from([DomId::new(1), DomId::new(2)]);
    assert_eq!(bench.after, After::WaitEnded { domains, timeout_s: 5 });
    bench.stack.handle_ends();
    assert_eq!(bench.run("zl list -q"), "Domain-0\n");
}

#[test]
fn the_control_domain_is_refused_with_status_five() {
    let mut bench = Bench::new();
    for verb in ["destroy", "pause", "shutdown", "reboot", "console", "logs"] {
        let text = bench.run(&format!("zl {verb} Domain-0"));
        assert_eq!((text.lines().count(), bench.status()), (1, 5), "{verb}: {text}");
    }
}

#[test]
fn ended_domains_show_their_reason() {
    let mut bench = Bench::new();
    bench.run("zl create -q hello.cfg on_crash=preserve");
    bench.fake.guest_shuts_down(DomId::new(1), shutdown::CRASH);
    bench.stack.handle_ends();
    assert!(bench.run("zl list hello").contains("  ---sc-  "));
    let json: serde_json::Value = serde_json::from_str(&bench.run("zl list -o json 1")).unwrap();
    assert_eq!(json["domains"][0]["shutdown_reason"], "crash");
}

#[test]
fn logs_show_what_was_printed_even_after_the_end() {
    let mut bench = Bench::new();
    bench.run("zl create -q hello.cfg");
    bench.fake.guest_prints(DomId::new(1), b"Hello\n");
    bench.stack.pump_consoles();
    assert_eq!(bench.run("zl logs hello"), "Hello\n");
    bench.run("zl destroy hello");
    assert_eq!(bench.run("zl logs hello"), "Hello\n");
}

#[test]
fn logs_can_be_the_last_lines_only_and_can_be_followed() {
    let mut bench = Bench::new();
    bench.run("zl create -q hello.cfg");
    bench.fake.guest_prints(DomId::new(1), b"one\ntwo\nthree");
    bench.stack.pump_consoles();
    assert_eq!(bench.run("zl logs -n 2 hello"), "two\nthree\n");
    assert_eq!(bench.run("zl logs -n 0 hello"), "");
    assert_eq!(bench.run("zl logs -n 9 hello"), "one\ntwo\nthree\n");
    assert_eq!(bench.run("zl logs -f -n 1 hello"), "");
    let After::Follow { console, place } = bench.after.clone() else { panic!("{:?}", bench.after) };
    bench.run("zl destroy hello");
    let rest = bench.stack.read_console(console, place).unwrap();
    assert_eq!((rest.bytes.as_slice(), rest.ended.is_some()), (&b"three"[..], true));
    bench.stack.detach(console);
    // Nobody can be attached to one that is gone: what is left of it is shown, and that is all.
    assert_eq!(bench.run("zl logs -f hello"), "one\ntwo\nthree\n");
    assert_eq!(bench.after, After::Nothing);
}

#[test]
fn the_key_that_leaves_can_be_chosen() {
    let mut bench = Bench::new();
    bench.run("zl create -q hello.cfg");
    for (option, key) in [("", 0x1d), ("-e ^A", 1), ("-e ^a", 1), ("-e q", b'q'), ("-e^]", 0x1d)] {
        bench.run(&format!("zl console {option} hello"));
        let After::Attach { leave, .. } = bench.after else { panic!("{option}") };
        assert_eq!(leave, key, "{option}");
    }
    let text = bench.run("zl console -e ctrl-a hello");
    assert!(text.contains("'ctrl-a' is no key, expected one as ^X"), "{text}");
}

#[test]
fn info_has_the_labels_that_scripts_look_for() {
    let mut bench = Bench::new();
    let text = bench.run("zl info");
    for line in [
        "nr_cpus                : 2",
        "cpu_mhz                : 2000.123",
        "total_memory           : 1024",
        "free_memory            : 64",
        "virt_caps              : pv gnttab-v1",
        "xen_version            : 4.17.7",
        "xen_caps               : xen-3.0-x86_64 ",
        "xen_scheduler          : credit2",
        "xen_commandline        : console=com1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
    }
}

#[test]
fn counts_are_one_key_and_value_per_line_and_equal_after_a_domain() {
    let mut bench = Bench::new();
    let before = bench.run("zl debug counts");
    assert_eq!(
        before,
        "total_frames=262144\nfree_frames=16384\ndomains=1\nports=0\ndom0_free_frames=11\n\
         foreign_frames=0\ngrant_frames=0\nheap_bytes=33\n"
    );
    bench.run("zl create -q hello.cfg");
    assert_ne!(bench.run("zl debug counts"), before);
    bench.run("zl destroy hello");
    assert_eq!(bench.run("zl debug counts"), before);
}

#[test]
fn dmesg_can_forget() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("zl dmesg -c"), "(XEN) a message\n");
    assert_eq!(bench.run("zl dmesg"), "");
}

#[test]
fn help_exists_for_every_verb_and_topic() {
    let mut bench = Bench::new();
    let all = bench.run("zl help");
    for verb in crate::verbs::VERBS {
        assert!(all.contains(verb.name));
        let about = bench.run(&format!("zl help {}", verb.name));
        assert!(about.starts_with(&format!("usage: zl {}", verb.name)), "{about}");
        assert_eq!(bench.run(&format!("zl {} --help", verb.name)), about);
    }
    assert!(bench.run("zl help config").contains("on_crash"));
    let text = bench.run("zl help nothing");
    assert_eq!(
        (text.as_str(), bench.status()),
        ("zl: no help about 'nothing'; see 'zl help'\n", 2)
    );
    assert_eq!(bench.run("zl"), all.to_string());
}
