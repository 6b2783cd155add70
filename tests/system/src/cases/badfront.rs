//! Guests that break the rules of what they were given: it costs nobody but themselves.
//!
//! While the guest `badfront` is at it, dom0 answers and a neighbour with the same kind of device goes on
//! working; when it was destroyed, nothing of it stays. What it is owed itself, `badfront` checks.

use std::time::{Duration, Instant};

use super::{check, leaves_nothing, Verdict};
use crate::dom0::Dom0;
use crate::machine::Failure;
use crate::session::Session;

/// The longest that `zl list` may take meanwhile.
const RESPONSIVE: Duration = Duration::from_secs(2);
/// How often it is asked.
const LISTS: usize = 5;
/// Seconds a guest may take for what it does.
const PATIENCE: u64 = 90;

/// What a guest does, with which devices, and who lives beside it.
struct Attack {
    word: &'static str,
    devices: &'static str,
    neighbour: Neighbour,
    /// What its console shows while it is at it; nothing when its console is what it attacks.
    shows: Option<&'static str>,
}

/// A guest that obeys.
#[derive(Clone, Copy)]
enum Neighbour {
    /// Writes a disk and reads it back.
    Disk,
    /// Two guests that send each other frames.
    Card,
    /// Uses the store.
    Store,
}

const DISK: &str = "'disk=[\"ram:2M,xvda,w\"]'";
const CARD: &str = "'vif=[\"mtu=1500\"]'";

/// The guest's own address, which it has to keep to: it sends again what it received, and a switch would
/// believe that its neighbours moved.
const BAD_CARD: &str = "'vif=[\"mtu=1500,mac=02:5a:4c:bd:00:01,antispoof=1\"]'";

const fn on_disks(word: &'static str) -> Attack {
    Attack { word, devices: DISK, neighbour: Neighbour::Disk, shows: Some("round") }
}

const fn on_cards(word: &'static str) -> Attack {
    Attack { word, devices: BAD_CARD, neighbour: Neighbour::Card, shows: Some("round") }
}

const fn on_the_store(word: &'static str) -> Attack {
    Attack { word, devices: "", neighbour: Neighbour::Store, shows: Some("round") }
}

/// Disks.
pub fn disks(session: &Session<'_>) -> Verdict {
    let words = ["blk-indices", "blk-requests", "blk-endless", "blk-nodes"];
    all(session, &words.map(on_disks))
}

/// Network cards.
pub fn cards(session: &Session<'_>) -> Verdict {
    let words = ["net-indices", "net-requests", "net-endless", "net-nodes"];
    all(session, &words.map(on_cards))
}

/// The store.
pub fn store(session: &Session<'_>) -> Verdict {
    let words =
        ["store-garbage", "store-watches", "store-transactions", "store-nodes", "store-deaf"];
    all(session, &words.map(on_the_store))
}

/// Events and the console.
pub fn ports(session: &Session<'_>) -> Verdict {
    let attacks = [
        on_the_store("events"),
        Attack { shows: Some("ring of this domain is corrupt"), ..on_the_store("console-indices") },
        Attack { shows: None, ..on_the_store("console-endless") },
    ];
    all(session, &attacks)
}

fn all(session: &Session<'_>, attacks: &[Attack]) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    for attack in attacks {
        let mut slowest = Slowest::default();
        let tries = leaves_nothing(&mut dom0, attack.word, |dom0| once(dom0, attack, &mut slowest))
            .map_err(|failure| Failure(format!("{}: {failure}", attack.word)))?;
        let (list_ms, destroy_ms) = (slowest.list.as_millis(), slowest.destroy.as_millis());
        session.note(format!(
            "{}: list within {list_ms} ms, gone within {destroy_ms} ms, counts equal at {tries}",
            attack.word
        ));
    }
    dom0.poweroff()
}

/// The longest times seen.
#[derive(Default)]
struct Slowest {
    list: Duration,
    destroy: Duration,
}

fn once(dom0: &mut Dom0<'_>, attack: &Attack, slowest: &mut Slowest) -> Verdict {
    let Attack { word, devices, neighbour, shows } = attack;
    dom0.ok(&format!("zl create badfront.cfg name=bad {devices} 'cmdline=\"{word} seed=7\"'"))?;
    if let Some(text) = shows {
        begins(dom0, text)?;
    }
    for _ in 0..LISTS {
        let started = Instant::now();
        let rows = dom0.domains()?;
        slowest.list = slowest.list.max(started.elapsed());
        check(rows.iter().any(|row| row.name == "bad"), || "it ended by itself".to_string())?;
    }
    check(slowest.list <= RESPONSIVE, || format!("`zl list` took {:?}", slowest.list))?;
    live(dom0, *neighbour)?;
    if shows == &Some("round") {
        // A guest that found something wrong has said so and ended.
        goes_on(dom0)?;
    }
    let started = Instant::now();
    dom0.ok("zl destroy bad")?;
    slowest.destroy = slowest.destroy.max(started.elapsed());
    dom0.until_gone("bad", 10)
}

/// Waits until the guest is at it.
fn begins(dom0: &mut Dom0<'_>, text: &str) -> Verdict {
    let there = |lines: &[String]| lines.iter().any(|line| line.contains(text) || failed(line));
    let said = dom0.until("zl logs bad", PATIENCE, there)?.lines;
    no_failure(&said)
}

/// The guest still counts rounds.
fn goes_on(dom0: &mut Dom0<'_>) -> Verdict {
    let before = newest_round(&dom0.ok("zl logs bad")?.lines);
    let there =
        |lines: &[String]| newest_round(lines) > before || lines.iter().any(|line| failed(line));
    let said = dom0.until("zl logs bad", PATIENCE, there)?.lines;
    no_failure(&said)
}

fn failed(line: &str) -> bool {
    line.contains("FAILURE") || line.contains("panicked")
}

fn no_failure(said: &[String]) -> Verdict {
    check(!said.iter().any(|line| failed(line)), || format!("it says\n{}", said.join("\n")))
}

/// The highest number behind `round `.
fn newest_round(lines: &[String]) -> u64 {
    let number = |line: &String| line.split("round ").nth(1)?.split(' ').next()?.parse().ok();
    lines.iter().filter_map(number).max().unwrap_or(0)
}

/// A neighbour does what it always does, and ends well.
fn live(dom0: &mut Dom0<'_>, neighbour: Neighbour) -> Verdict {
    match neighbour {
        Neighbour::Disk => {
            let words = "random=100 write=7 verify=7";
            let options = format!("name=good {DISK} 'extra=\"{words}\"'");
            ends_well(dom0, &format!("zl create blktest.cfg {options}"))
        }
        Neighbour::Card => {
            dom0.ok(&format!("zl create nettest.cfg name=serves {CARD}"))?;
            let ready = |lines: &[String]| lines.iter().any(|line| line.contains("ready"));
            dom0.until("zl logs serves", PATIENCE, ready)?;
            let options = format!("name=good {CARD} 'cmdline=\"ask=ping count=20\"'");
            ends_well(dom0, &format!("zl create nettest.cfg {options}"))?;
            dom0.ok("zl destroy serves").map(|_| ())
        }
        Neighbour::Store => ends_well(dom0, "zl create store.cfg name=good"),
    }
}

fn ends_well(dom0: &mut Dom0<'_>, create: &str) -> Verdict {
    dom0.ok(create)?;
    let ended = |lines: &[String]| lines.iter().any(|line| line.contains("ZENDO-TEST"));
    let said = dom0.until("zl logs good", PATIENCE, ended)?.lines;
    let is_good = said.iter().any(|line| line.contains("ZENDO-TEST") && line.contains("SUCCESS"));
    check(is_good, || format!("a neighbour ended with\n{}", said.join("\n")))?;
    dom0.until_gone("good", 10)
}

#[cfg(test)]
mod tests {
    use super::newest_round;

    #[test]
    fn the_newest_round_is_the_highest_number() {
        let lines = ["badfront: events round 7 x", "badfront: events round 12 ", "round"];
        assert_eq!(newest_round(&lines.map(str::to_string)), 12);
        assert_eq!(newest_round(&[]), 0);
    }
}
