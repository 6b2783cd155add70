//! The verbs for devices, from words to printed lines; the back halves are played here.

use super::tests::Bench;
use super::*;
use pv_xenbus::Tx;

impl Bench {
    fn says(&self, path: &str, value: &str) {
        self.stack.store().write(Tx::NONE, path, value.as_bytes()).unwrap();
    }

    /// Waits as the terminal would, with the back half in a state.
    fn back_says(&mut self, path: &str, value: &str) -> Option<Result<(), ToolError>> {
        self.says(&format!("/local/domain/0/backend/{path}"), value);
        self.stack.serve_devices();
        let After::WaitDevices { wait, .. } = self.after else { panic!("{:?}", self.after) };
        self.stack.verdict(wait)
    }
}

#[test]
fn a_domain_with_devices_is_waited_for_and_its_creation_is_measured() {
    let mut bench = Bench::new();
    let text = bench.run("zl create -v hello.cfg \"disk=['ram:64M,xvda,w']\"");
    assert!(!text.contains("created in"), "{text}");
    let After::WaitDevices { console: None, created: Some(created), .. } = &bench.after else {
        panic!("{:?}", bench.after)
    };
    assert_eq!(created.line(created.since_ns + 1_234_567), "hello (id 1) created in 1.234 ms\n");
    assert_eq!(bench.back_says("vbd/1/51712/state", "2"), Some(Ok(())));
    assert!(bench.fake.is_runnable(DomId::new(1)));
    bench.run("zl create -q -c hello.cfg name=b \"vif=['']\"");
    assert!(matches!(bench.after, After::WaitDevices { console: Some(_), created: None, .. }));
    let failed = bench.back_says("vif/2/0/error", "the switch is full").unwrap().unwrap_err();
    assert_eq!(failed.text, "b does not start: vif 0: the switch is full");
}

#[test]
fn lists_look_like_those_of_xl() {
    let mut bench = Bench::new();
    bench.run("zl create -q hello.cfg; zl block-attach hello ram:64M xvda w");
    assert_eq!(bench.back_says("vbd/1/51712/state", "4"), Some(Ok(())));
    for (name, value) in [("state", "4"), ("event-channel", "12"), ("ring-ref", "8")] {
        bench.says(&format!("/local/domain/1/device/vbd/51712/{name}"), value);
    }
    assert_eq!(
        bench.run("zl block-list hello"),
        "Vdev  BE  handle state evt-ch ring-ref BE-path                       \n\
         51712 0   1      4     12     8        /local/domain/0/backend/vbd/1/51712\n"
    );
    bench.run("zl network-attach 1 mac=00:16:3e:01:02:03 ip=10.0.2.40");
    assert_eq!(
        bench.run("zl network-list hello"),
        "Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       \n\
         0   0  00:16:3e:01:02:03      0     1     -1    -1/-1          /local/domain/0/backend/vif/1/0\n"
    );
    assert_eq!(
        bench.run("zl block-list -o name hello; zl network-list -o name hello"),
        "xvda\n0\n"
    );
    let text = bench.run("zl block-list nobody");
    assert!(text.starts_with("zl: no domain named 'nobody'") && bench.status() == 3, "{text}");
}

#[test]
fn every_bad_word_is_one_line() {
    let mut bench = Bench::new();
    bench.run("zl create -q hello.cfg");
    for (line, expected, status) in [
        ("zl block-attach hello", "block-attach: too few words; usage: zl block-attach", 2),
        ("zl block-attach hello file:/a,hda,w", "block-attach: 'hda' is an emulated disk", 2),
        (
            "zl block-attach hello qcow2:/a,xvda,w",
            "block-attach: format 'qcow2' is not read here",
            2,
        ),
        ("zl block-attach nobody ram:4K,xvda", "zl: no domain named 'nobody'", 3),
        ("zl block-attach 0 ram:4K,xvda", "zl: domain 0 was not created here", 5),
        ("zl block-detach hello xvdb", "zl: domain 1 has no disk xvdb; see 'zl block-list 1'", 1),
        ("zl block-detach hello", "block-detach: too few words", 2),
        ("zl network-attach hello mac=1", "network-attach: '1' is no MAC address", 2),
        ("zl network-attach hello speed=1", "network-attach: unknown word 'speed'", 2),
        ("zl network-detach hello 4", "zl: domain 1 has no vif 4; see 'zl network-list 1'", 1),
        ("zl network-list", "network-list: too few words", 2),
        (
            "zl create hello.cfg name=b \"disk=['x']\"",
            "zl: command line: disk: the name of the disk",
            1,
        ),
    ] {
        let text = bench.run(line);
        let text = text.strip_prefix("Parsing config from hello.cfg\n").unwrap_or(&text);
        assert!(text.starts_with(expected), "{line}\n  gave     {text}\n  expected {expected}");
        assert_eq!((text.matches('\n').count(), bench.status()), (1, status), "{line}");
    }
    assert!(bench.run("zl block-list hello").lines().count() == 1);
}

#[test]
fn detaching_waits_unless_forced() {
    let mut bench = Bench::new();
    bench.run("zl create -q hello.cfg; zl network-attach hello; zl network-attach hello");
    bench.run("zl network-detach hello 1");
    assert_eq!(bench.back_says("vif/1/1/state", "6"), Some(Ok(())));
    assert_eq!(bench.run("zl network-list -o name hello"), "0\n");
    bench.run("zl network-detach --force hello 0");
    assert_eq!(bench.after, After::Nothing);
    assert_eq!(bench.run("zl network-list -o name hello"), "");
    let text = bench.run("zl network-attach hello script=vif-route");
    assert_eq!(text, "zl: warning: script 'vif-route' is not run; ignored\n");
}
