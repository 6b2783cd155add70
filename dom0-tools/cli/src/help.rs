//! Help texts, made from the table of verbs.

use crate::verbs::{find, Verb, ANY_OUTPUT, VERBS};
use alloc::format;
use alloc::string::String;
use zl_toolstack::config::keys::USED;
use zl_toolstack::config::shown;
use zl_toolstack::ToolError;

/// Commands of the shell itself, with one line about each.
pub const BUILTINS: &[(&str, &str)] = &[
    ("cat", "show a text file of the boot archive or the disk"),
    ("clear", "clear the screen"),
    ("cp", "copy a file of the archive or the disk to a path of the disk"),
    ("devices", "disks and network cards of the machine"),
    ("df", "room on the disk"),
    ("disk-test", "test and measure a disk; -w overwrites its first 8 MiB"),
    ("echo", "print words; $? is the last status"),
    ("fetch", "show a page that a web server has"),
    ("format-disk", "make an empty file system on dom0's disk; -f even if there is one"),
    ("free", "memory of the machine and of this domain"),
    ("help", "this list; 'zl help VERB' tells more about a verb"),
    ("history", "the lines typed so far"),
    ("ip", "addresses, routes and sockets of dom0"),
    ("ls", "list the files of the boot archive; 'ls /' those of the disk"),
    ("mkdir", "make folders on the disk; -p with those above them"),
    ("mv", "give a file or folder of the disk another path"),
    ("ping", "whether a host answers; -f floods it"),
    ("poweroff", "end all domains and switch the machine off"),
    ("reboot", "end all domains and start the machine again"),
    ("rm", "remove files of the disk; -r also folders"),
    ("sleep", "wait some seconds"),
    ("sync", "make everything that was written to the disk durable"),
    ("tcp", "how fast TCP is: tcp -l PORT here or in a guest, then tcp HOST:PORT"),
    ("time", "do a command and say how long it took"),
    ("truncate", "set the size of a file: truncate -s 64M /images/new.img"),
    ("zl", "manage domains; 'xl' is the same"),
];

/// How a verb is called.
#[must_use]
pub fn usage(verb: &Verb) -> String {
    let mut text = format!("zl {}", verb.name);
    for flag in verb.flags {
        match flag.value {
            None => text.push_str(&format!(" [-{}]", flag.short)),
            Some(value) => text.push_str(&format!(" [-{} {value}]", flag.short)),
        }
    }
    if !verb.operands.is_empty() {
        text.push(' ');
        text.push_str(verb.operands);
    }
    text
}

/// The list of all verbs.
#[must_use]
pub fn verbs() -> String {
    let mut text = String::from("usage: zl VERB [options] [words]\n");
    for verb in VERBS {
        text.push_str(&format!("  {:<15} {}\n", verb.name, verb.summary));
    }
    text.push_str(
        "'zl help VERB' tells more; DOMAIN is a name or an id. Every verb takes -o json.\n\
         'zl help config' is about configurations, 'zl help status' about exit statuses.\n",
    );
    text
}

/// The list of the commands of the shell.
#[must_use]
pub fn builtins() -> String {
    let mut text = String::new();
    for (name, summary) in BUILTINS {
        text.push_str(&format!("  {name:<10} {summary}\n"));
    }
    text.push_str("The verbs xenstore-... are commands of their own, too.\n");
    text.push_str("';' separates commands, quotes group words, the tab key completes.\n");
    text
}

/// All about one verb.
#[must_use]
pub fn about(verb: &Verb) -> String {
    let mut text = format!("usage: {}\n{}\n", usage(verb), verb.summary);
    let any = (!verb.has_own_json()).then_some(&ANY_OUTPUT);
    for flag in verb.flags.iter().chain(any) {
        let value = flag.value.map_or(String::new(), |value| format!(" {value}"));
        let names = format!("-{}, --{}{value}", flag.short, flag.long);
        text.push_str(&format!("  {names:<24} {}\n", flag.help));
    }
    if !verb.details.is_empty() {
        text.push_str(verb.details);
        text.push('\n');
    }
    text
}

/// The text about a topic, or about all.
///
/// # Errors
/// There is no such topic.
pub fn topic(topic: Option<&str>) -> Result<String, ToolError> {
    match topic {
        None => Ok(verbs()),
        Some("config") => Ok(config()),
        Some("status") => Ok(status()),
        Some(name) => find(name).map(about).ok_or_else(|| {
            let what = format!("no help about '{}'; see 'zl help'", shown(name));
            ToolError::usage(what)
        }),
    }
}

/// About exit statuses.
#[must_use]
pub fn status() -> String {
    String::from(
        "exit statuses of zl:\n\
         \x20 0  done\n\
         \x20 1  tried and failed\n\
         \x20 2  the command line makes no sense\n\
         \x20 3  there is no such domain\n\
         \x20 4  it took too long\n\
         \x20 5  the domain or the hypervisor refused\n\
         \x20 6  dom0 cannot be reached, or does not accept the token (on the host only)\n\
         With -o json a failure is {\"v\":1,\"error\":{...}} on the standard output, with the same status.\n",
    )
}

/// About configurations.
#[must_use]
pub fn config() -> String {
    let mut text = String::from(
        "A configuration has one key = value per line, or ';' between them: text in quotes,\n\
         numbers as 64, 0x40 or 0100, lists in []; '#' starts a comment. Needed are name and kernel.\n\
         Keys:",
    );
    for key in USED {
        text.push(' ');
        text.push_str(key);
    }
    text.push_str(
        "\ndisk = ['file:/images/a.img,xvda,w', 'phy:vdb,xvdb,r', 'ram:64M,xvdc,w'] gives disks: a file of\n\
         dom0's disk (a relative name is in /images), a whole disk, memory; w writes, r does not.\n\
         vif = ['', 'mac=00:16:3e:12:34:56,ip=10.0.2.40,rate=10Mb/s,mtu=9000,antispoof=1'] gives network\n\
         cards. A RAM disk with a name, ram:NAME:64M, outlives the domain.\n\
         on_poweroff, on_reboot, on_crash and on_watchdog take destroy, restart, preserve or\n\
         rename-restart. A domain that dies within 10 s of its start three times in a row is not\n\
         restarted again.\n",
    );
    text
}
