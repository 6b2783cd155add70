//! Programs on the teaching kernel: they try it themselves, from a shell somebody types at.

use std::time::Duration;

use super::alone::report_of;
use super::{check, Verdict};
use crate::dom0::Dom0;
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
        ("echo 'a", "sh: column 6: the quote ' is not closed"),
        ("cat /bin", "cat: /bin: a directory"),
        ("sh /boot/lib/tour.sh | tail", "sh: tail: no such program in /bin"),
        ("sh /boot/lib/tour.sh", "false fails, as it should: 1"),
        ("kill 99999", "kill: 99999: no such process"),
        ("cd /nowhere", "sh: /nowhere: no such file or directory"),
        ("cat /dev/zero | hexdump -n 32", "00000000  00 00"),
    ] {
        machine.send(&format!("{line}\r"))?;
        let answer = machine.expect(PROMPT, SOON)?.replace('\r', "");
        let answer = answer.split_once('\n').map_or("", |(_, answer)| answer);
        check(answer.contains(wanted), || format!("`{line}`: no {wanted:?} in {answer:?}"))?;
    }
    Ok(())
}
