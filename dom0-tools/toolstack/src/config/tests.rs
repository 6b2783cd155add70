//! Configurations: what is read, and the one line a mistake gets.

use super::lex::parse_number;
use super::value::ValueKind;
use super::*;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use proptest::prelude::*;

fn read(text: &str) -> Result<ReadConfig, ConfigError> {
    read_config("a.cfg", text.as_bytes(), &[])
}

fn complaint(text: &str) -> String {
    read(text).expect_err("the configuration should be refused").to_string()
}

const BASE: &str = "name = \"a\"\nkernel = 'hello'\n";

#[test]
fn a_full_configuration_is_understood() {
    let text = "# a guest\nname='web'; kernel=\"hello\" # comment\nmemory = 0x10\nextra=\"a \\\"b\\\"\"\n\
        root = '/dev/xvda'\non_crash = 'preserve'\r\nvif = []\ndisk = [\n]\nvcpus=1\ncpu_weight=512\n\
        type = \"pv\"\nuuid = \"12345678-1234-4321-8765-0123456789ab\"";
    let config = read(text).unwrap().config;
    assert_eq!(config.name, "web");
    assert_eq!(config.kernel, "hello");
    assert_eq!((config.memory_mib, config.maxmem_mib), (16, 16));
    assert_eq!(config.cmdline, "root=/dev/xvda a \"b\"");
    assert_eq!(config.end.on_crash, Action::Preserve);
    assert_eq!(config.end.on_reboot, Action::Restart);
    assert_eq!(config.cpu_weight, Some(512));
    assert_eq!(config.uuid.unwrap().to_string(), "12345678-1234-4321-8765-0123456789ab");
}

#[test]
fn nested_lists_numbers_and_joined_settings_follow_the_language() {
    let settings = parse_config("x", b"a = [1, 'b', [010, []],]\nb='x'\nb += \"y\"").unwrap();
    let ValueKind::List(items) = &settings[0].value.kind else { panic!("not a list") };
    assert_eq!(items[0].kind, ValueKind::Number(1));
    assert_eq!(items[1].kind, ValueKind::Text("b".into()));
    let ValueKind::List(inner) = &items[2].kind else { panic!("not a list") };
    assert_eq!(inner[0].kind, ValueKind::Number(8));
    assert_eq!(inner[1].kind, ValueKind::List(Vec::new()));
    assert_eq!(settings[2].value.kind, ValueKind::Text("xy".into()));
}

#[test]
fn every_bad_text_names_line_column_and_advice() {
    let table: &[(&str, &str)] = &[
        ("name", "a.cfg:1:5: expected '=' after 'name', found the end of the file; write key = value"),
        ("name = ", "a.cfg:1:8: expected a string, a number or a list, found the end of the file"),
        ("name = web", "a.cfg:1:8: expected a string, a number or a list, found 'web'; put it in quotes: \"web\""),
        ("\nname = \"web", "a.cfg:2:8: the string that starts here has no end on its line; close it with \""),
        ("x = [1, 2", "a.cfg:1:5: the list that starts here has no end; close it with ]"),
        ("x = [1 2]", "a.cfg:1:8: expected ',' or ']', found the number 2"),
        ("memory = 12monkeys", "a.cfg:1:10: '12monkeys' is not a number"),
        ("memory = 99999999999999999999999", "a.cfg:1:10: '99999999999999999999999' is not a number"),
        ("= 4", "a.cfg:1:1: expected a key, found '='"),
        ("name = \"a\" kernel = \"b\"", "a.cfg:1:12: expected the end of the line, found 'kernel'"),
        ("x = \"\\q\"", "a.cfg:1:7: unknown escape after the backslash"),
        ("a = $x", "a.cfg:1:5: unexpected character '$'"),
    ];
    for (text, expected) in table {
        let found = complaint(text);
        assert!(found.starts_with(expected), "{text:?}\n  gave     {found}\n  expected {expected}");
        assert!(!found.contains('\n') && found.contains("; "), "{found}");
    }
}

#[test]
fn every_bad_value_names_the_key_and_what_to_try() {
    let table: &[(&str, &str)] = &[
        ("memroy = 4", "a.cfg:3:1: unknown key 'memroy'; did you mean 'memory'?"),
        ("frobnicate = 4", "a.cfg:3:1: unknown key 'frobnicate'; see 'help config'"),
        ("memory = 0", "a.cfg:3:10: memory: 0 is out of range; use 1 to 16777216"),
        ("memory = 'lots'", "a.cfg:3:10: memory: 'lots' is not a number"),
        ("memory = [1]", "a.cfg:3:10: memory: expected a number, found a list"),
        ("memory = 64\nmaxmem = 32", "a.cfg:4:10: maxmem: 32 MiB is less than memory = 64"),
        (
            "vcpus = 2",
            "a.cfg:3:9: vcpus: 2 vCPUs, but this release runs guests with one; write vcpus = 1",
        ),
        ("maxvcpus = 4", "a.cfg:3:12: maxvcpus: 4 vCPUs"),
        ("name = '17'", "a.cfg:3:8: name: the name '17' is all digits"),
        ("name = 17", "a.cfg:3:8: name: the number 17 would be taken for a domain id"),
        ("name = 'Domain-0'", "a.cfg:3:8: name: the name 'Domain-0' is the control domain's"),
        ("name = 'a b'", "a.cfg:3:8: name: the name 'a b' has a character"),
        ("type = 'hvm'", "a.cfg:3:8: type: 'hvm' guests do not run on a PV-only hypervisor"),
        ("builder = 'hvm'", "a.cfg:3:11: builder: 'hvm' does not build PV guests"),
        ("p9 = ['x']", "a.cfg:3:1: 'p9' asks for a device this release does not provide"),
        ("disk = ['x']", "a.cfg:3:9: disk: the name of the disk in the domain is missing in 'x'"),
        ("disk = 'file:/a,xvda,w'", "a.cfg:3:8: disk: expected a list of strings, found a string"),
        ("disk = [5]", "a.cfg:3:9: disk: expected a string, found a number; write disk = ["),
        (
            "disk = ['ram:4K,xvda,w',\n 'ram:8K,xvda,r']",
            "a.cfg:4:2: disk: 'xvda' is used twice; give each disk a name of its own",
        ),
        ("disk = ['qcow2:/a,xvda,w']", "a.cfg:3:9: disk: format 'qcow2' is not read here"),
        ("vif = ['', 'mac=5']", "a.cfg:3:12: vif: '5' is no MAC address; write six bytes"),
        (
            "vif = ['mac=00:16:3e:00:00:01',\n'mac=00:16:3E:00:00:01']",
            "a.cfg:4:1: vif: the address 00:16:3e:00:00:01 is used twice",
        ),
        ("on_crash = 'explode'", "a.cfg:3:12: on_crash: 'explode' is not an action; use destroy"),
        ("on_crash = 'coredump-restart'", "a.cfg:3:12: on_crash: 'coredump-restart': core dumps"),
        ("uuid = 'x'", "a.cfg:3:8: uuid: 'x' is not a UUID"),
        ("kernel = 5", "a.cfg:3:10: kernel: expected a string, found a number"),
        ("cpu_weight = 0", "a.cfg:3:14: cpu_weight: 0 is out of range; use 1 to 65535"),
        ("cmdline = \"a\\x00b\"", "a.cfg:3:11: cmdline: the command line holds a NUL byte"),
    ];
    for (line, expected) in table {
        let found = complaint(&format!("{BASE}{line}"));
        assert!(found.starts_with(expected), "{line:?}\n  gave     {found}\n  expected {expected}");
        assert!(!found.contains('\n'), "{found}");
    }
}

#[test]
fn missing_keys_are_named() {
    assert!(complaint("kernel = 'x'").starts_with("a.cfg: the key 'name' is missing"));
    assert!(complaint("name = 'x'").starts_with("a.cfg: the key 'kernel' is missing"));
    assert!(complaint("").starts_with("a.cfg: the key 'name' is missing"));
}

#[test]
fn keys_of_other_guests_only_warn_with_their_line() {
    let read = read(&format!("{BASE}vnc = 1\npci = ['0:1']\ncpus = 'all'")).unwrap();
    assert_eq!(read.warnings[0], "a.cfg:3: 'vnc' has no meaning on a PV-only hypervisor; ignored");
    assert!(read.warnings[1].starts_with("a.cfg:4: 'pci'"));
    assert!(read.warnings[2].starts_with("a.cfg:5: 'cpus' is not used in this release"));
}

#[test]
fn devices_are_read_in_their_order_and_warn_with_their_line() {
    let text = "disk = ['file:/images/a.img,xvda,w', 'phy:vdb,xvdb,r']\n\
        vif = ['',\n 'bridge=br1,script=vif-route,mtu=9000']";
    let read = read(&format!("{BASE}{text}")).unwrap();
    let names: Vec<String> = read.config.disks.iter().map(|disk| disk.vdev.to_string()).collect();
    assert_eq!(names, ["xvda", "xvdb"]);
    assert_eq!(read.config.vifs[0], VifConfig::default());
    assert_eq!(read.config.vifs[1].mtu, Some(9000));
    assert_eq!(
        read.warnings,
        [
            "a.cfg:5: vif: there is one switch, 'br1' is taken for xenbr0; ignored",
            "a.cfg:5: vif: script 'vif-route' is not run; ignored",
        ]
    );
    let overrides = ["disk=['ram:64M,xvdc,w']".to_string(), "vif=[]".to_string()];
    let config =
        read_config("a.cfg", format!("{BASE}{text}").as_bytes(), &overrides).unwrap().config;
    assert_eq!(config.disks[0].target.to_string(), "ram:67108864");
    assert!(config.disks.len() == 1 && config.vifs.is_empty());
}

#[test]
fn a_repeated_key_warns_and_the_last_value_counts() {
    let read = read(&format!("{BASE}memory = 4\nmemory = 8")).unwrap();
    assert_eq!(read.config.memory_mib, 8);
    assert_eq!(
        read.warnings,
        ["a.cfg:4: 'memory' was set in line 3 before; the later value is used"]
    );
}

#[test]
fn overrides_win_and_need_no_quotes() {
    let overrides =
        ["memory=64", "name=other", "extra=\"lab=3\"", "on_crash=preserve"].map(String::from);
    let config = read_config("a.cfg", BASE.as_bytes(), &overrides).unwrap().config;
    assert_eq!((config.memory_mib, config.name.as_str()), (64, "other"));
    assert_eq!((config.cmdline.as_str(), config.end.on_crash), ("lab=3", Action::Preserve));
}

#[test]
fn bad_overrides_name_the_command_line() {
    for (argument, expected) in [
        ("memory", "command line: 'memory' has no '='"),
        ("=5", "command line: '' is not a key"),
        ("memroy=5", "command line: unknown key 'memroy'; did you mean 'memory'?"),
        ("memory=zero", "command line: memory: 'zero' is not a number"),
        ("name=7", "command line: name: the number 7"),
        ("vif=['a'", "command line:1:5: the list that starts here has no end"),
        ("vif=['a']", "command line: vif: 'a' has no '='"),
    ] {
        let error = read_config("a.cfg", BASE.as_bytes(), &[argument.into()]).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn unreadable_files_are_refused_in_one_line() {
    let refused = |bytes: &[u8]| read_config("a.cfg", bytes, &[]).unwrap_err().to_string();
    assert!(refused(b"\x7fELF\x02").contains("this is an ELF image"));
    assert!(refused(b"name = 'a'\n\xff").contains("line 2 holds bytes that are not UTF-8"));
    assert!(refused(&alloc::vec![b' '; 70_000]).contains("70000 bytes are too long"));
    let deep = "x = ".to_string() + &"[".repeat(5000);
    assert!(refused(deep.as_bytes()).contains("nested deeper than 8"));
}

#[test]
fn numbers_follow_the_rules_of_c() {
    assert_eq!(parse_number("0"), Some(0));
    assert_eq!(parse_number("0x1F"), Some(31));
    assert_eq!(parse_number("017"), Some(15));
    assert_eq!(parse_number("08"), None);
    assert_eq!(parse_number("0x"), None);
    assert_eq!(parse_number("+5"), None);
    assert_eq!(parse_number(""), None);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic_or_break_the_line(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = read_config("a.cfg", &bytes, &[]) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn no_likely_text_makes_the_reader_panic(text in "[a-z_=\\[\\],'\"0-9x #\n;\\\\+]{0,80}") {
        if let Err(error) = read(&text) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn any_text_value_survives_quoting(value in "[ -~]{0,40}") {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let settings = parse_config("x", format!("k = \"{quoted}\"").as_bytes()).unwrap();
        prop_assert_eq!(&settings[0].value.kind, &ValueKind::Text(value));
    }
}
