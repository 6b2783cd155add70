//! Network cards of domains, below IP: frames arrive, whoever pretends is not heard, cards come and go
//! while they are used, and neither end takes the other with it.

use super::{check, leaves_nothing, rounds_leave_nothing, Verdict};
use crate::dom0::Dom0;
use crate::session::Session;

/// Domains that are killed while they send.
const KILLS: usize = 30;
/// Seconds a guest may take for its words.
const PATIENCE: u64 = 90;

/// Creates a guest with words and what its card is.
fn create(dom0: &mut Dom0<'_>, name: &str, card: &str, words: &str) -> Verdict {
    let command =
        format!("zl create nettest.cfg name={name} 'vif=[\"{card}\"]' 'cmdline=\"{words}\"'");
    dom0.ok(&command).map(|_| ())
}

/// Waits until a guest has printed a text.
fn says(
    dom0: &mut Dom0<'_>,
    name: &str,
    text: &str,
) -> Result<Vec<String>, crate::machine::Failure> {
    let there = |lines: &[String]| lines.iter().any(|line| line.contains(text));
    Ok(dom0.until(&format!("zl logs {name}"), PATIENCE, there)?.lines)
}

/// Creates a guest that asks a server, and waits until it ended well; returns what it measured.
fn ask(dom0: &mut Dom0<'_>, card: &str, words: &str) -> Result<String, crate::machine::Failure> {
    create(dom0, "asks", card, words)?;
    let said = says(dom0, "asks", "ZENDO-TEST")?;
    let good = said.iter().any(|line| line.contains("ZENDO-TEST nettest SUCCESS"));
    check(good, || format!("'{words}' ended with\n{}", said.join("\n")))?;
    dom0.until_gone("asks", 10)?;
    let measured = said.iter().find(|line| line.contains(" us"));
    Ok(measured.map(|line| line.trim_start_matches("nettest: ").to_string()).unwrap_or_default())
}

/// Frames of all sizes between two guests, one at a time and as many as go.
pub fn frames(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    leaves_nothing(&mut dom0, "two guests on the switch", |dom0| {
        create(dom0, "serves", "mtu=65500", "")?;
        says(dom0, "serves", "nettest: ready")?;
        for words in [
            "ask=ping count=20",
            "ask=flood count=500",
            "ask=flood count=100 len=65000",
            "ask=send len=65514 count=500",
            "ask=send len=1514 count=3000",
            "ask=send len=64 count=3000",
        ] {
            let measured = ask(dom0, "mtu=65500", words)?;
            session.note(format!("{words}: {measured}"));
        }
        dom0.ok("zl destroy serves").map(|_| ())
    })?;
    dom0.poweroff()
}

/// A guest that makes addresses up is not heard with `antispoof`, and harms nobody without it; a rate
/// slows its guest down.
pub fn pretenders(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    create(&mut dom0, "serves", "mtu=65500", "")?;
    says(&mut dom0, "serves", "nettest: ready")?;
    for card in ["antispoof=1", "mtu=1500"] {
        create(&mut dom0, "pretends", card, "badly")?;
        says(&mut dom0, "pretends", "nettest: ready")?;
        ask(&mut dom0, "antispoof=1", "ask=flood count=200")?;
        let rows = dom0.ok("zl top -b -i 1 -d 1")?.lines;
        check(rows.len() > 1, || format!("{rows:?}"))?;
        dom0.ok("zl destroy pretends")?;
    }
    let slowed = ask(&mut dom0, "rate=1MB/s@50ms", "ask=send len=1514 count=1000")?;
    let rate = slowed.split(", ").last().and_then(|text| text.split(' ').next());
    let rate: u64 = rate.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
    check(rate <= 9, || format!("1 MB/s is 8 Mbit/s: {slowed}"))?;
    dom0.poweroff()
}

/// A card is taken away while its guest sends, and put back; the back half goes and comes.
pub fn comes_and_goes(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    leaves_nothing(&mut dom0, "cards that come and go", |dom0| {
        create(dom0, "serves", "mtu=65500", "")?;
        says(dom0, "serves", "nettest: ready")?;
        create(dom0, "pretends", "mtu=65500", "badly")?;
        says(dom0, "pretends", "nettest: ready")?;
        dom0.ok("zl network-detach pretends 0")?;
        dom0.ok("zl network-attach pretends mtu=65500")?;
        dom0.ok("zl destroy pretends")?;
        ask(dom0, "mtu=65500", "ask=flood count=50")?;
        dom0.ok("zl debug restart-netback")?;
        ask(dom0, "mtu=65500", "ask=flood count=50")?;
        dom0.ok("zl destroy serves").map(|_| ())
    })?;
    dom0.poweroff()
}

/// Guests that are killed while they send leave nothing behind.
pub fn killed(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    create(&mut dom0, "serves", "mtu=65500", "")?;
    says(&mut dom0, "serves", "nettest: ready")?;
    rounds_leave_nothing(&mut dom0, "guests killed while they send", KILLS, |dom0, _| {
        create(dom0, "sends", "mtu=65500", "badly")?;
        says(dom0, "sends", "nettest: ready")?;
        dom0.ok("zl destroy sends").map(|_| ())
    })?;
    dom0.poweroff()
}
