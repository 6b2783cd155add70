//! The store: its verbs in the shell, what a domain finds and may do, and what a hostile one cannot.

use std::time::{Duration, Instant};

use super::{check, leaves_nothing, Verdict};
use crate::dom0::Dom0;
use crate::machine::Failure;
use crate::session::Session;

/// A domain that uses the store.
const CREATE: &str = "zl create hello.cfg name=storer kernel=storer";
/// A domain that misuses it.
const CREATE_ABUSE: &str = "zl create hello.cfg name=abuse kernel=storer extra=mode=abuse";
/// Domains in a row.
const ROUNDS: usize = 20;
/// The longest a command may take while somebody asks for ever.
const RESPONSIVE: Duration = Duration::from_secs(2);

/// Verbs, a domain's place in the store, and that nothing of it stays.
pub fn store(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    verbs(&mut dom0)?;
    let id = create(&mut dom0)?;
    let home = format!("/local/domain/{id}");
    says(&mut dom0, &format!("xenstore-read {home}/name"), "storer")?;
    dom0.ok(&format!("xenstore-write {home}/data/ask ping"))?;
    dom0.until(&format!("xenstore-ls {home}/data"), 10, |lines| {
        lines.iter().any(|line| line == "answer = \"echo ping\"")
    })?;
    dom0.ok("zl rename storer other")?;
    says(&mut dom0, &format!("xenstore-read {home}/name"), "other")?;
    dom0.ok("zl destroy other")?;
    check(dom0.run(&format!("xenstore-exists {home}"))?.status == 1, || {
        format!("{home} is still there after the domain")
    })?;
    let before = dom0.ok("xenstore-ls -f -p")?.lines;
    let tries = leaves_nothing(&mut dom0, "20 domains that use the store", |dom0| {
        for _ in 0..ROUNDS {
            dom0.ok(CREATE)?;
            dom0.ok("zl destroy storer")?;
        }
        create(dom0)?;
        dom0.ok("zl destroy storer").map(|_| ())
    })?;
    let after = dom0.ok("xenstore-ls -f -p")?.lines;
    check(before == after, || format!("the store changed: {before:?}, then {after:?}"))?;
    session.note(format!("all counts equal, time {tries}"));
    dom0.poweroff()
}

/// A hostile domain costs itself: the shell and another domain go on, and it leaves nothing.
pub fn abuse(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    let mut slowest = Duration::ZERO;
    let tries = leaves_nothing(&mut dom0, "a hostile domain", |dom0| {
        dom0.ok(CREATE_ABUSE)?;
        dom0.console("abuse", &["ZENDO-TEST storer-abuse SUCCESS"], 60)?;
        let id = create(dom0)?;
        for _ in 0..10 {
            let started = Instant::now();
            dom0.ok(&format!("xenstore-list /local/domain/{id}"))?;
            slowest = slowest.max(started.elapsed());
        }
        dom0.ok("zl destroy abuse")?;
        dom0.ok("zl destroy storer").map(|_| ())
    })?;
    check(slowest < RESPONSIVE, || format!("a command took {slowest:?} meanwhile"))?;
    session.note(format!("slowest command {slowest:.0?}; all counts equal, time {tries}"));
    dom0.poweroff()
}

/// Creates a domain that uses the store, and waits until it has tried all of it.
fn create(dom0: &mut Dom0<'_>) -> Result<String, Failure> {
    dom0.ok(CREATE)?;
    dom0.console("storer", &["ZENDO-TEST storer SUCCESS"], 60)?;
    let id = dom0.ok("zl domid storer")?.lines;
    id.into_iter().next().ok_or(Failure("zl domid printed nothing".into()))
}

fn says(dom0: &mut Dom0<'_>, command: &str, expected: &str) -> Verdict {
    let said = dom0.ok(command)?.lines;
    check(said == [expected], || format!("`{command}` printed {said:?}, not {expected:?}"))
}

fn verbs(dom0: &mut Dom0<'_>) -> Verdict {
    says(dom0, "xenstore-read /local/domain/0/name", "Domain-0")?;
    dom0.ok("xenstore-write /test/a one /test/b 'two words'")?;
    says(dom0, "zl xenstore-read /test/b", "two words")?;
    dom0.ok("xenstore-chmod /test/a n0 r7")?;
    let listed = dom0.ok("xenstore-ls -p /test")?.lines;
    check(listed == ["a = \"one\"  (n0,r7)", "b = \"two words\"  (n0)"], || {
        format!("xenstore-ls -p /test printed {listed:?}")
    })?;
    let watched = dom0.ok("xenstore-watch -n 2 /test /test/a")?.lines;
    check(watched == ["/test", "/test/a"], || format!("xenstore-watch printed {watched:?}"))?;
    let missing = dom0.refused("xenstore-read /test/none")?;
    check(missing.contains("/test/none: ENOENT"), || format!("refused with {missing:?}"))?;
    dom0.ok("xenstore-rm /test")?;
    check(dom0.run("xenstore-exists /test")?.status == 1, || "/test is still there".into())
}
