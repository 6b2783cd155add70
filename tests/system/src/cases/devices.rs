//! Devices of domains as the tools see them: configurations, the store, lists. What goes through the
//! devices is asked elsewhere.

use std::time::Duration;

use super::{check, leaves_nothing, Verdict};
use crate::dom0::Dom0;
use crate::machine::Failure;
use crate::session::Session;

/// Descriptions that cannot be, with what the one line must say.
const MISTAKES: &[(&str, &str)] = &[
    ("disk=['file:/a,hda,w']", "'hda' is an emulated disk"),
    ("disk=['qcow2:/a,xvda,w']", "format 'qcow2' is not read here, only raw"),
    ("disk=['tap:/a,xvda,w']", "'tap:' needs a backend"),
    ("disk=['ram:5K,xvda,w']", "'5K' is no size of a RAM disk"),
    ("disk=['ram:4K,xvda,w','ram:4K,xvda,r']", "'xvda' is used twice"),
    ("disk=['ram:x:4K,xvda,w','ram:x:4K,xvdb,r']", "ram:x:4096 is disk xvda, too"),
    ("disk='ram:4K,xvda,w'", "expected a list of strings"),
    ("disk=['phy:nope,xvda,w']", "disk xvda: "),
    ("disk=['file:/images/none.img,xvda,w']", "disk xvda: "),
    ("vif=['mac=1']", "'1' is no MAC address"),
    ("vif=['rate=fast']", "'fast' is no rate"),
    ("vif=['bridge']", "'bridge' has no '='"),
];

/// Each mistake costs one line and leaves nothing.
pub fn mistakes(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    leaves_nothing(&mut dom0, "mistakes", each_mistake)?;
    dom0.poweroff()
}

fn each_mistake(dom0: &mut Dom0<'_>) -> Verdict {
    for (devices, expected) in MISTAKES {
        let said = dom0.refused(&format!("zl create ticker.cfg \"{devices}\""))?;
        check(said.contains(expected), || format!("{devices}: {said:?} lacks {expected:?}"))?;
    }
    dom0.ok("zl create -p -q ticker.cfg")?;
    for (command, expected) in [
        ("zl block-attach ticker file:/a,sda,w", "'sda' is an emulated disk"),
        ("zl block-attach ticker phy:nope,xvda,w", "disk xvda: "),
        ("zl block-attach Domain-0 ram:4K,xvda,w", "domain 0 was not created here"),
        ("zl block-attach nobody ram:4K,xvda,w", "no domain named 'nobody'"),
        ("zl block-detach ticker xvda", "has no disk xvda"),
        ("zl network-attach ticker speed=1", "unknown word 'speed'"),
        ("zl network-detach ticker 3", "has no vif 3"),
        ("zl block-list nobody", "no domain named 'nobody'"),
    ] {
        let said = dom0.refused(command)?;
        check(said.contains(expected), || format!("{command}: {said:?} lacks {expected:?}"))?;
    }
    dom0.ok("zl destroy ticker")?;
    let names = dom0.ok("zl list -q")?.lines;
    check(names == ["Domain-0"], || format!("left behind: {names:?}"))?;
    nothing_in_the_store(dom0)
}

/// The nodes of a disk and of a card are those of Xen, and belong to whom they must.
pub fn layout(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    dom0.ok("zl create -p -q ticker.cfg \"disk=['ram:64K,xvda,w']\"")?;
    let id = dom0.ok("zl domid ticker")?.lines.join("");
    let back = format!("/local/domain/0/backend/vbd/{id}/51712");
    let front = format!("/local/domain/{id}/device/vbd/51712");
    expect_nodes(
        &mut dom0,
        &back,
        &[
            ("", "", &format!("(n0,r{id})")),
            ("/frontend", &front, &format!("(n0,r{id})")),
            ("/frontend-id", &id, ""),
            ("/dev", "xvda", ""),
            ("/type", "ram", ""),
            ("/params", "65536", ""),
            ("/mode", "w", ""),
            ("/online", "1", ""),
        ],
    )?;
    expect_nodes(
        &mut dom0,
        &front,
        &[
            ("/backend", &back, &format!("(n{id},r0)")),
            ("/backend-id", "0", ""),
            ("/virtual-device", "51712", ""),
            ("/device-type", "disk", ""),
            ("/state", "1", &format!("(n{id},r0)")),
        ],
    )?;
    let spec = "mac=00:16:3e:01:02:03,ip=10.0.2.40,rate=10Mb/s,mtu=9000";
    until_done_or_left(&mut dom0, &format!("zl network-attach ticker {spec}"))?;
    let back = format!("/local/domain/0/backend/vif/{id}/0");
    let front = format!("/local/domain/{id}/device/vif/0");
    expect_nodes(
        &mut dom0,
        &back,
        &[
            ("/frontend", &front, &format!("(n0,r{id})")),
            ("/mac", "00:16:3e:01:02:03", ""),
            ("/ip", "10.0.2.40", ""),
            ("/rate", "62500,50000", ""),
            ("/bridge", "xenbr0", ""),
            ("/handle", "0", ""),
        ],
    )?;
    expect_nodes(
        &mut dom0,
        &front,
        &[
            ("/backend", &back, &format!("(n{id},r0)")),
            ("/mac", "00:16:3e:01:02:03", ""),
            ("/mtu", "9000", &format!("(n0,r{id})")),
        ],
    )?;
    dom0.ok("zl destroy ticker")?;
    nothing_in_the_store(&mut dom0)?;
    dom0.poweroff()
}

/// Disks are attached, listed and detached; what is used is refused; nothing is left.
pub fn lists(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    leaves_nothing(&mut dom0, "disks that come and go", attach_and_detach)?;
    dom0.poweroff()
}

fn attach_and_detach(dom0: &mut Dom0<'_>) -> Verdict {
    dom0.ok("zl create -p -q ticker.cfg \"disk=['ram:shared:64K,xvda,w']\"")?;
    dom0.ok("zl block-attach ticker ram:1M,xvdb,r")?;
    let list = dom0.ok("zl block-list ticker")?.lines;
    let starts: Vec<&str> = list.iter().filter_map(|line| line.split_whitespace().next()).collect();
    check(starts == ["Vdev", "51712", "51728"], || format!("zl block-list printed {list:?}"))?;
    let json = dom0.ok("zl block-list -o json ticker")?.lines.join("\n");
    let value: serde_json::Value = serde_json::from_str(&json)
        .map_err(|error| Failure(format!("no JSON ({error}):\n{json}")))?;
    let target = &value["disks"][1]["target"];
    check(target == "ram:1048576", || format!("the second disk is {target}"))?;
    for (command, expected) in [
        ("zl block-attach ticker ram:1M,xvdb,w", "has a disk xvdb already"),
        (
            "zl create ticker.cfg name=other \"disk=['ram:shared:64K,xvda,r']\"",
            "is disk xvda of domain",
        ),
    ] {
        let said = dom0.refused(command)?;
        check(said.contains(expected), || format!("{command}: {said:?} lacks {expected:?}"))?;
    }
    dom0.ok("zl block-detach ticker xvdb")?;
    dom0.ok("zl block-detach --force ticker 51712")?;
    let list = dom0.ok("zl block-list ticker")?.lines;
    check(list.len() == 1, || format!("disks are left: {list:?}"))?;
    dom0.ok("zl destroy ticker")?;
    nothing_in_the_store(dom0)
}

/// `zl top` shows domains with their rates, live, in lines and as documents.
pub fn top(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    dom0.ok("zl create -q ticker.cfg")?;
    let lines = dom0.ok("zl top -b -i 2 -d 2.5")?.lines;
    let shown = || format!("zl top -b printed {lines:#?}");
    let row = |name: &str| {
        let mut rows = lines.iter().filter(|line| line.split_whitespace().next() == Some(name));
        rows.next_back().map(|line| line.split_whitespace().map(String::from).collect::<Vec<_>>())
    };
    check(lines.iter().filter(|line| line.contains("HCALLS/s")).count() == 2, shown)?;
    let (control, ticker) = (row("Domain-0"), row("ticker"));
    for row in [&control, &ticker] {
        // A limit of memory that is none has a blank in it.
        check(row.as_ref().is_some_and(|row| (22..=23).contains(&row.len())), shown)?;
    }
    let counted = ticker.and_then(|row| row.get(19).cloned()).unwrap_or_default();
    let counts = session.hypervisor == crate::qemu::Hypervisor::Zendo;
    let is_right = match counts {
        true => counted.parse::<u64>().is_ok_and(|rate| rate > 0),
        false => counted == "-",
    };
    check(is_right, shown)?;
    let documents = dom0.ok("zl top -o json -i 2 -d 0.1")?.lines;
    let read: Vec<serde_json::Value> =
        documents.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    check(read.len() == 3 && read[1]["event"] == "sample" && read[2]["status"] == 0, || {
        format!("zl top -o json printed {documents:#?}")
    })?;
    let within = Duration::from_secs(10);
    dom0.machine().send("zl top -d 0.2\r")?;
    dom0.machine().expect("EVTS/s", within)?;
    dom0.machine().expect("ticker", within)?;
    dom0.machine().send("v")?;
    dom0.machine().expect("VCPUs(sec):", within)?;
    dom0.machine().send("q")?;
    dom0.machine().expect("dom0# ", within)?;
    dom0.ok("zl destroy ticker")?;
    dom0.poweroff()
}

/// Fails unless the store has these nodes below `path`, with these values and permissions; an empty
/// text is not compared.
fn expect_nodes(dom0: &mut Dom0<'_>, path: &str, nodes: &[(&str, &str, &str)]) -> Verdict {
    for (name, value, perms) in nodes {
        let path = format!("{path}{name}");
        if !value.is_empty() {
            let said = dom0.ok(&format!("zl xenstore-read {path}"))?.lines.join("");
            check(said == *value, || format!("{path} is {said:?}, not {value:?}"))?;
        }
        if !perms.is_empty() {
            let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
            let list = dom0.ok(&format!("zl xenstore-ls -f -p {parent}"))?.lines;
            let head = format!("{path} = ");
            let found = list.iter().find(|line| line.starts_with(&head));
            check(found.is_some_and(|line| line.trim_end().ends_with(perms)), || {
                format!("{path}: {found:?} does not end with {perms}")
            })?;
        }
    }
    Ok(())
}

/// Types a command that may wait for a back half that this machine has not: ^C leaves it then, and what
/// it wrote stays for a few seconds.
fn until_done_or_left(dom0: &mut Dom0<'_>, command: &str) -> Verdict {
    dom0.machine().send(&format!("{command}\r"))?;
    if dom0.machine().expect("\ndom0# ", Duration::from_secs(2)).is_err() {
        dom0.machine().send("\x03")?;
        dom0.machine().expect("dom0# ", Duration::from_secs(5))?;
    }
    Ok(())
}

fn nothing_in_the_store(dom0: &mut Dom0<'_>) -> Verdict {
    for kind in ["vbd", "vif"] {
        let left = dom0.ok(&format!("zl xenstore-list /local/domain/0/backend/{kind}"))?.lines;
        check(left.is_empty(), || format!("back halves are left: {left:?}"))?;
    }
    Ok(())
}
