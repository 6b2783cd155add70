//! Programs on the teaching kernel: they try it themselves, from a shell somebody types at.

use std::fs;
use std::time::Duration;

use super::alone::report_of;
use super::{check, Verdict};
use crate::devices::{Disk, Nic};
use crate::disk_image;
use crate::dom0::{Dom0, PROMPT as DOM0_PROMPT};
use crate::machine::{Failure, Machine};
use crate::qemu::Module;
use crate::session::{Session, Watched};
use crate::verdict::{Status, MARKER};

const GUEST: &str = "shell";
pub(super) const PROMPT: &str = "$ ";
/// From the start to the prompt.
const BOOT: Duration = Duration::from_secs(40);
/// All of usertests, on the slower hypervisor.
const WITHIN: Duration = Duration::from_secs(240);
const SOON: Duration = Duration::from_secs(20);

/// The kernel in dom0's place, at its prompt.
fn alone<'a>(session: &'a Session<'a>) -> Result<Watched<'a>, Failure> {
    let mut boot = session.images.guest_boot(session.hypervisor, GUEST, "")?;
    boot.modules.push(Module::new(&session.images.programs, ""));
    let mut watched = session.start(boot)?;
    watched.machine.expect(PROMPT, BOOT)?;
    Ok(watched)
}

/// Types a line whose program ends with a verdict of its own, and judges that.
pub(super) fn judge(session: &Session<'_>, machine: &mut Machine, line: &str) -> Verdict {
    let program = line.split_whitespace().next().unwrap_or_default();
    machine.send(&format!("{line}\r"))?;
    let start = format!("{MARKER} {program} ");
    let before = machine.expect(&start, WITHIN)?;
    let rest = machine.expect("\n", SOON)?;
    let report = report_of(&format!("{before}{start}{rest}"), program);
    session.note(format!("{program}: {}", report.detail));
    check(report.status == Status::Success, || {
        let failed = before.lines().filter(|line| line.contains("FAILED") || line.contains(".rs:"));
        let lines: String = failed.map(|line| format!("\n    {}", line.trim())).collect();
        format!("{program}: {} ({}){lines}", report.status, report.detail)
    })
}

/// `usertests` in dom0's place.
pub fn usertests_alone(session: &Session<'_>) -> Verdict {
    let mut watched = alone(session)?;
    judge(session, &mut watched.machine, "usertests")
}

/// `usertests` in a domain beside dom0, of which nothing is left afterwards.
pub fn usertests_beside_dom0(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    dom0.machine().send("zl create -c shell.cfg\r")?;
    dom0.machine().expect(PROMPT, BOOT)?;
    judge(session, dom0.machine(), "usertests")
}

/// Random system calls.
pub fn random_calls(session: &Session<'_>) -> Verdict {
    let mut watched = alone(session)?;
    for seed in 1..=5 {
        judge(session, &mut watched.machine, &format!("fuzz seed={seed} calls=3000"))?;
    }
    Ok(())
}

/// What a person does with a disk that has an ext4, and with a network card.
pub(super) fn uses_devices(machine: &mut Machine, disk: &str, word: &str) -> Verdict {
    for (line, wanted) in [
        (format!("mount /dev/{disk} /mnt; df"), "/mnt"),
        (format!("echo {word} >> /mnt/words; echo $?"), "0"),
        ("cat /mnt/words".to_string(), word),
        ("umount /mnt; cat /mnt/words".to_string(), "no such file or directory"),
        ("ping -c 1 10.0.2.2".to_string(), "1 sent, 1 answered"),
    ] {
        answers(machine, &line, wanted)?;
    }
    Ok(())
}

/// A guest of dom0's with a disk and a card: its files are there for the next guest, and for the host.
pub fn devices_beside_dom0(session: &Session<'_>) -> Verdict {
    let file = |disk: &str| {
        let name = format!("shell-{disk}-{}.img", session.hypervisor.name());
        session.images.transcripts.join(name)
    };
    // Dom0 keeps its own files on the first.
    let (dom0s, path) = (file("vda"), file("vdb"));
    fs::create_dir_all(&session.images.transcripts).map_err(|error| Failure(error.to_string()))?;
    for path in [&dom0s, &path] {
        // Left by a run that was ended.
        let _ = fs::remove_file(path);
        disk_image::make(path, 32 << 20).map_err(Failure)?;
    }
    let mut boot = session.images.dom0_boot(session.hypervisor, "")?;
    boot.disks = vec![Disk::scratch(&dom0s), Disk::scratch(&path)];
    boot.nics = vec![Nic::uplink(Vec::new())];
    let mut dom0 = Dom0::from_machine(session.start(boot)?, session.hypervisor)?;
    for word in ["first", "second"] {
        let line = "zl create -c shell.cfg \"vif=['']\" 'disk=[\"phy:vdb,xvda,w\"]'\r";
        dom0.machine().send(line)?;
        dom0.machine().expect(PROMPT, BOOT)?;
        uses_devices(dom0.machine(), "xvda", word)?;
        dom0.machine().send("poweroff\r")?;
        dom0.machine().expect(DOM0_PROMPT, SOON)?;
        dom0.until_gone("shell", 10)?;
    }
    dom0.poweroff()?;
    disk_image::check(&path).map_err(Failure)?;
    let words = disk_image::get(&path, "/words").map_err(Failure)?;
    let _ = (fs::remove_file(&path), fs::remove_file(&dom0s));
    check(words == b"first\nsecond\n", || format!("the disk has {words:?}"))
}

/// Types a line and looks for some text in what it prints.
fn answers(machine: &mut Machine, line: &str, wanted: &str) -> Verdict {
    machine.send(&format!("{line}\r"))?;
    // What is typed is shown up to the end of its last line; then comes what it does.
    for _ in 0..=line.matches('\r').count() {
        machine.expect("\n", SOON)?;
    }
    let answer = machine.expect(PROMPT, SOON)?.replace('\r', "");
    check(answer.contains(wanted), || format!("`{line}`: no {wanted:?} in {answer:?}"))
}

/// The shell understands what it says it does; mistakes are one line, and nothing else.
pub fn shell_language(session: &Session<'_>) -> Verdict {
    understands(&mut alone(session)?.machine)
}

/// What it says it does, typed at its prompt.
pub(super) fn understands(machine: &mut Machine) -> Verdict {
    for (line, wanted) in [
        ("echo one two | wc -w", "       2 "),
        ("echo a > /f; echo b >> /f; cat < /f | grep -n b", "2:b"),
        ("A='x  y'; echo \"[$A]\" [$A]", "[x  y] [x y]"),
        ("false || echo $?; true && echo yes", "1\nyes"),
        ("for i in 1 2 3; do echo -n $i; done; echo", "123"),
        (
            "if test -f /f; then rm /f; else echo none; fi; ls /f",
            "ls: /f: no such file or directory",
        ),
        ("sleep 0.2 & wait $!; echo waited $?", "waited 0"),
        ("nothing", "sh: nothing: no such program in /bin"),
        ("echo a | | b", "sh: column 10: `|` was not expected here"),
        ("echo /b*/s? '/b*' \"$(echo  in  two)\" $(echo  in  two)", "/bin/sh /b* in two in two\n"),
        ("x=$(cat /dev/zero); echo $? $((2 * (3 + 4)))", "$(...): more than 65536 bytes\n1 14\n"),
        ("echo $(echo $(echo deep)) $((1/0))", "sh: $((1/0)): a division by zero"),
        ("cat <<E | wc\rone $x\rtwo\rE", "       2       2       9 "),
        ("for i in a b\rdo case $i in a) echo \"<$i>\"\r;; *) break;; esac; done", "<a>\n"),
        ("f() { echo $# $2; return 4; }; f 'a b' c; echo $?", "2 c\n4\n"),
        ("ls /dev | while read n; do echo \"($n)\"; done", "(null)"),
        ("(cd /bin; pwd); cd /tmp; cd /; cd -; cd /", "/bin\n/tmp\n"),
        ("echo 'a\rb'", "a\nb\n"),
        ("echo 12\x1b[D3\x01\x05\x02\x044", "134\n"),
        ("ecko\x7f\x7fho edited", "edited\n"),
        ("\x1b[A\x10", "134\n"),
        ("cat /boot/READ\t| head -n 1 | wc -\x7fl", "wc: l: no such file"),
        ("echo 'ls /bin/true' | sh", "/bin/true\n"),
        ("(echo b; echo a; echo 10; echo 9) | sort -r | tail -2", "10\n"),
        ("for i in $(seq 3); do echo $i; done | tee /t | wc -l; rm /t", "       3 "),
        ("g() { g; }; g", "sh: more than 64 calls inside each other"),
        ("date | grep -c UTC; pwd; echo $PWD", "1\n/\n/\n"),
        ("touch /t; ls -l /t; rm /t", "- "),
        ("echo `a`", "sh: column 6: ` is not understood: $(...) is what a command writes"),
        ("cat /bin", "cat: /bin: a directory"),
        ("sh /boot/lib/tour.sh | less", "sh: less: no such program in /bin"),
        ("sh /boot/lib/tour.sh", "false fails, as it should: 1"),
        ("kill 99999", "kill: 99999: no such process"),
        ("cd /nowhere", "sh: /nowhere: no such file or directory"),
        ("cat /dev/zero | hexdump -n 32", "00000000  00 00"),
    ] {
        answers(machine, line, wanted)?;
    }
    Ok(())
}
