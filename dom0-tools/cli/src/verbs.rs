//! The table of verbs: names, options and what `help` says.
//!
//! Read by `args` (which options exist), `command` (what they mean), `help` and `complete`. Adding a
//! verb starts with a line here.

use crate::xenstore;

/// One option of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The letter behind one hyphen.
    pub short: char,
    /// The word behind two hyphens.
    pub long: &'static str,
    /// The name of its value, if it takes one.
    pub value: Option<&'static str>,
    /// What it does.
    pub help: &'static str,
}

/// What kind of words a verb takes, for completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// No words.
    Nothing,
    /// Any domain.
    Domain,
    /// A domain that is paused.
    PausedDomain,
    /// A domain that is not paused and has not ended.
    RunningDomain,
    /// A domain that has not ended.
    LiveDomain,
    /// A domain, then one of its disks.
    Disk,
    /// A domain, then one of its network cards.
    Card,
    /// A configuration of the boot archive, then `key=value`.
    Config,
    /// Any file of the boot archive.
    File,
    /// A verb.
    Verb,
    /// The word `counts`, or another topic.
    Counts,
    /// The name of a person's shell.
    ShellName,
    /// A path of the store.
    StorePath,
}

/// One verb.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// The words behind its options, as `help` shows them.
    pub operands: &'static str,
    /// What kind they are.
    pub kind: Operand,
    /// Fewest words.
    pub least: usize,
    /// Most words.
    pub most: usize,
    /// Its options.
    pub flags: &'static [Flag],
    /// One line about it.
    pub summary: &'static str,
    /// More lines for `help VERB`.
    pub details: &'static str,
}

pub(crate) const MANY: usize = 256;

pub(crate) const fn flag(short: char, long: &'static str, help: &'static str) -> Flag {
    Flag { short, long, value: None, help }
}

pub(crate) const fn valued(
    short: char,
    long: &'static str,
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag { short, long, value: Some(value), help }
}

/// The output of verbs whose tables have names in them; their JSON has a form of its own.
pub const OUTPUT: Flag = valued('o', "output", "FORMAT", "table, json or name");
/// The output of every other verb: what it did, as JSON.
pub const ANY_OUTPUT: Flag = valued('o', "output", "FORMAT", "table or json");

impl Verb {
    /// The option of this verb that `is_it`: one of its own, or the output, which every verb has.
    #[must_use]
    pub fn flag(&self, is_it: impl Fn(&Flag) -> bool) -> Option<&'static Flag> {
        self.flags.iter().chain([&ANY_OUTPUT]).find(|flag| is_it(flag))
    }

    /// Whether its JSON has a form of its own.
    #[must_use]
    pub fn has_own_json(&self) -> bool {
        self.flags.contains(&OUTPUT)
    }
}

pub(crate) const fn verb(
    name: &'static str,
    operands: &'static str,
    kind: Operand,
    counts: (usize, usize),
    flags: &'static [Flag],
    summary: &'static str,
    details: &'static str,
) -> Verb {
    Verb { name, operands, kind, least: counts.0, most: counts.1, flags, summary, details }
}

/// All verbs, in the order of `help`.
pub const VERBS: &[Verb] = &[
    verb(
        "create",
        "FILE [key=value ...]",
        Operand::Config,
        (0, MANY),
        &[
            flag('c', "console", "attach to the console at once"),
            flag('p', "paused", "leave the domain paused"),
            flag('q', "quiet", "print nothing"),
            flag('n', "dryrun", "read the configuration and show it, create nothing"),
            flag('v', "verbose", "print how long it took"),
            valued('f', "defconfig", "FILE", "the configuration"),
        ],
        "create a domain from a configuration of the boot archive",
        "Each key=value overrides the file. With -c no byte is lost, even if the domain dies at once.",
    ),
    verb(
        "destroy",
        "DOMAIN ...",
        Operand::Domain,
        (1, MANY),
        &[],
        "end domains at once and give everything back",
        "",
    ),
    verb(
        "list",
        "[DOMAIN ...]",
        Operand::Domain,
        (0, MANY),
        &[
            flag('l', "long", "all configurations, as JSON"),
            flag('v', "verbose", "also UUID and shutdown reason"),
            flag('q', "quiet", "names only"),
            OUTPUT,
        ],
        "list domains",
        "State: r running, b blocked, p paused, s shut down; then the reason of the shutdown: \
         - poweroff, r reboot, s suspend, c crash, w watchdog, S soft reset; then d dying.",
    ),
    verb("info", "", Operand::Nothing, (0, 0), &[OUTPUT], "about the machine and its hypervisor", ""),
    verb(
        "console",
        "DOMAIN",
        Operand::LiveDomain,
        (1, 1),
        &[valued('e', "escape", "KEY", "the key that leaves, as ^X; ^] if not given")],
        "attach to the console of a domain; ^] leaves it",
        "What the domain printed so far, up to 64 KiB, is shown first.",
    ),
    verb(
        "logs",
        "DOMAIN",
        Operand::Domain,
        (1, 1),
        &[
            flag('f', "follow", "go on with what it prints, until ^C or its end"),
            valued('n', "lines", "N", "only the last N lines"),
        ],
        "what a domain printed, also one that is gone",
        "The last 2 KiB of the last 8 domains that ended are kept.",
    ),
    verb("pause", "DOMAIN ...", Operand::RunningDomain, (1, MANY), &[], "stop domains for a while", ""),
    verb("unpause", "DOMAIN ...", Operand::PausedDomain, (1, MANY), &[], "let paused domains run", ""),
    verb(
        "shutdown",
        "DOMAIN ... | -a",
        Operand::Domain,
        (0, MANY),
        &[
            flag('a', "all", "all domains but Domain-0"),
            flag('w', "wait", "wait until they have ended"),
            valued('t', "timeout", "SECONDS", "with -w, how long to wait; 60 if not given"),
            flag('F', "force", "stop them without asking"),
        ],
        "power domains off",
        "A domain that sets control/feature-poweroff in the store, or watches control/shutdown, is \
         asked there and ends by itself. Any other is stopped at once with the reason poweroff \
         (SCHEDOP_remote_shutdown), as -F does. Its on_poweroff decides what follows.",
    ),
    verb(
        "reboot",
        "DOMAIN ... | -a",
        Operand::Domain,
        (0, MANY),
        &[
            flag('a', "all", "all domains but Domain-0"),
            flag('F', "force", "stop them without asking"),
        ],
        "reboot domains",
        "A domain that sets control/feature-reboot in the store, or watches control/shutdown, is \
         asked there. Any other is stopped at once with the reason reboot, as -F does. Its \
         on_reboot decides what follows, normally a restart.",
    ),
    verb("rename", "DOMAIN NAME", Operand::Domain, (2, 2), &[], "give a domain another name", ""),
    verb("domid", "NAME", Operand::Domain, (1, 1), &[], "print the id of a domain", ""),
    verb("domname", "ID", Operand::Domain, (1, 1), &[], "print the name of a domain", ""),
    verb(
        "uptime",
        "[DOMAIN ...]",
        Operand::Domain,
        (0, MANY),
        &[flag('s', "short", "the short form"), OUTPUT],
        "how long domains exist",
        "",
    ),
    verb(
        "vcpu-list",
        "[DOMAIN ...]",
        Operand::Domain,
        (0, MANY),
        &[OUTPUT],
        "list the vCPUs of domains",
        "State: r running, b blocked, -p not online.",
    ),
    verb(
        "block-attach",
        "DOMAIN DISKSPEC",
        Operand::LiveDomain,
        (2, MANY),
        &[],
        "attach a disk to a domain",
        "DISKSPEC is that of disk = [...]: file:/images/a.img,xvdb,w or phy:vdb,xvdb,r or ram:64M,xvdb,w, or \
         target=/images/a.img,format=raw,vdev=xvdb,access=rw.",
    ),
    verb(
        "block-detach",
        "DOMAIN DISK",
        Operand::Disk,
        (2, 2),
        &[flag('F', "force", "at once, whatever the guest does with it")],
        "detach a disk from a domain",
        "DISK is its name (xvdb) or its number in block-list.",
    ),
    verb(
        "block-list",
        "DOMAIN ...",
        Operand::Domain,
        (1, MANY),
        &[OUTPUT],
        "list the disks of domains",
        "States: 1 initialising, 2 waiting for the guest, 3 initialised, 4 connected, 5 closing, 6 closed; -1 \
         means that the guest has not said it.",
    ),
    verb(
        "network-attach",
        "DOMAIN [key=value ...]",
        Operand::LiveDomain,
        (1, MANY),
        &[],
        "attach a network card to a domain",
        "The keys are those of vif = [...]: mac, bridge, ip, rate (10Mb/s), vifname, mtu, antispoof and isolated.",
    ),
    verb(
        "network-detach",
        "DOMAIN CARD",
        Operand::Card,
        (2, 2),
        &[flag('F', "force", "at once, whatever the guest does with it")],
        "detach a network card from a domain",
        "CARD is its number in network-list or its MAC address.",
    ),
    verb(
        "network-list",
        "DOMAIN ...",
        Operand::Domain,
        (1, MANY),
        &[OUTPUT],
        "list the network cards of domains",
        "States as in block-list.",
    ),
    verb(
        "top",
        "",
        Operand::Nothing,
        (0, 0),
        &[
            flag('b', "batch", "lines only, for files and pipes"),
            valued('d', "delay", "SECONDS", "time between two looks; 3 if not given"),
            valued('i', "iterations", "N", "end after N looks"),
            flag('f', "full-name", "names in full"),
            flag('n', "networks", "also each network card"),
            flag('x', "vbds", "also each disk"),
            flag('v', "vcpus", "also each vCPU"),
        ],
        "what domains do, again and again",
        "The columns are xentop's, then hypercalls, traps (exceptions) and sent events a second; - where the \
         hypervisor does not count them. Keys: D delay, N networks, B disks, V vCPUs, S sort, arrows scroll, Q \
         quit. With -o json one document for each look, one per line.",
    ),
    verb(
        "dmesg",
        "",
        Operand::Nothing,
        (0, 0),
        &[flag('c', "clear", "forget the messages afterwards")],
        "messages of the hypervisor",
        "",
    ),
    verb(
        "debug",
        "counts|TOPIC [WORD...]",
        Operand::Counts,
        (1, 4),
        &[],
        "counts of everything that can leak",
        "counts: one key=value per line: frames, ports, mappings and heap, the same before and after a domain.\n\
         diskbench ram:SIZE|phy:NAME [write]: how fast a disk of dom0's is\n\
         restart-blkback: all back halves of disks go and come again\n\
         restart-netback: all back halves of network cards go and come again\n\
         ram-drop NAME: forget a disk in memory that nobody uses",
    ),
    verb(
        "cp",
        "FILE dom0:/PATH | dom0:/PATH FILE",
        Operand::File,
        (2, 2),
        &[],
        "copy a file between the host and dom0's disk (on the host)",
        "A file that is there is replaced when all of the new one has come.",
    ),
    verb(
        "dom0",
        "[--] COMMAND ...",
        Operand::Nothing,
        (1, MANY),
        &[],
        "carry a command of dom0's shell out (on the host)",
        "As 'zl dom0 ls'; 'zl dom0 help' lists the commands. Words with a hyphen go behind '--'.",
    ),
    xenstore::LS,
    xenstore::READ,
    xenstore::WRITE,
    xenstore::LIST,
    xenstore::RM,
    xenstore::EXISTS,
    xenstore::WATCH,
    xenstore::CHMOD,
    verb(
        "completion",
        "bash|zsh|fish",
        Operand::ShellName,
        (1, 1),
        &[],
        "print the script that lets a shell complete zl",
        "bash: source <(zl completion bash)   zsh: the same with zsh, after compinit\n\
         fish: zl completion fish | source",
    ),
    verb(
        "help",
        "[VERB]",
        Operand::Verb,
        (0, 1),
        &[],
        "this list, or one verb, or 'config' or 'status'",
        "",
    ),
];

/// The verb with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}
