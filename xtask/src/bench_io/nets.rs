//! Networks: round trips and rates between a guest, another guest and dom0.

use std::time::{Duration, Instant};

use system_tests::dom0::Dom0;
use system_tests::machine::Failure;
use system_tests::session::Session;

use super::report::Report;
use super::{boot, watch};

/// Rows of round trips.
pub const PINGS: &[&str] = &["ping_dom0", "ping_guest", "flood_dom0", "flood_guest"];
/// Rows of rates with large segments.
pub const LARGE: &[&str] = &["tcp_to_dom0", "tcp_from_dom0", "tcp_guests"];
/// Rows of rates with the usual packets.
pub const SMALL: &[&str] = &["tcp_small_to_dom0", "tcp_small_from_dom0", "tcp_small_guests"];

/// Where dom0 is.
const DOM0: &str = "10.0.2.15";
/// Where the guest that answers is.
const SERVER: &str = "10.0.2.90";
/// Where the guest that asks is.
const CLIENT: &str = "10.0.2.91";
/// The card of a guest with large frames.
const LARGE_MTU: &str = ",mtu=65500";
/// Pings once a while, and in a flood.
const SLOW: u64 = 20;
const FLOOD: u64 = 3000;
/// Bytes that TCP moves in one measurement.
const BYTES: u64 = 256 << 20;
/// How often a rate is measured; the best counts, as the host has other things to do.
const ROUNDS: usize = 3;
/// Seconds one measurement may take.
const PATIENCE: u64 = 180;

fn create(dom0: &mut Dom0<'_>, name: &str, card: &str, words: &str) -> Result<(), Failure> {
    let command =
        format!("zl create pinger.cfg name={name} 'vif=[\"{card}\"]' 'cmdline=\"{words}\"'");
    dom0.ok(&command).map(drop)
}

/// Waits until a guest has said something.
fn said(dom0: &mut Dom0<'_>, name: &str, text: &str) -> Result<Vec<String>, Failure> {
    let deadline = Instant::now() + Duration::from_secs(PATIENCE);
    loop {
        let lines = dom0.run(&format!("zl logs {name}"))?.lines;
        if lines.iter().any(|line| line.contains(text)) {
            return Ok(lines);
        }
        if Instant::now() > deadline {
            return Err(Failure(format!("{name} never said '{text}': {lines:?}")));
        }
    }
}

/// A guest that answers, with its card.
fn server(dom0: &mut Dom0<'_>, mtu: &str) -> Result<(), Failure> {
    create(dom0, "server", &format!("ip={SERVER}{mtu}"), "serve=5001")?;
    said(dom0, "server", "serving").map(drop)
}

/// What a guest with these words says until it ends.
fn client(dom0: &mut Dom0<'_>, mtu: &str, words: &str) -> Result<Vec<String>, Failure> {
    create(dom0, "client", &format!("ip={CLIENT}{mtu}"), words)?;
    watch(dom0, "client", PATIENCE)
}

/// The average of `rtt min/avg/max/mdev = a/b/c/d ms`.
fn average(lines: &[String]) -> Result<f64, Failure> {
    let found = lines.iter().find_map(|line| {
        let (_, values) = line.split_once("mdev = ")?;
        values.split('/').nth(1)?.parse().ok()
    });
    found.ok_or_else(|| Failure(format!("no round trip in {lines:?}")))
}

/// The average of the lines `... time=N ms`, but for the first: before it the address is asked for, and
/// the emulator translates most of what then runs for the first time.
fn average_of_lines(lines: &[String]) -> Result<f64, Failure> {
    let time = |line: &String| line.split_once("time=")?.1.split(' ').next()?.parse::<f64>().ok();
    let times: Vec<f64> = lines.iter().filter_map(time).skip(1).collect();
    match times.len() {
        0 => Err(Failure(format!("no round trips in {lines:?}"))),
        count => Ok(times.iter().sum::<f64>() / count as f64),
    }
}

/// The largest of `tcp: N bytes in T us, M Mbit/s`.
fn rate(lines: &[String]) -> Result<f64, Failure> {
    let rates = lines.iter().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "Mbit/s")?;
        words.get(at.checked_sub(1)?)?.parse::<f64>().ok()
    });
    rates
        .fold(None, |best: Option<f64>, rate| Some(best.map_or(rate, |best| best.max(rate))))
        .ok_or_else(|| Failure(format!("no rate in {lines:?}")))
}

/// Round trips.
pub fn pings(session: &Session<'_>, report: &mut Report) -> Result<(), Failure> {
    let mut dom0 = boot(session, false)?;
    server(&mut dom0, "")?;
    for (row, host) in [("ping_dom0", DOM0), ("ping_guest", SERVER)] {
        let words = format!("ping={host} count={SLOW} interval_ms=100");
        report.set(row, average_of_lines(&client(&mut dom0, "", &words)?)?);
    }
    let flood =
        dom0.run_within(&format!("ping -f -c {FLOOD} {SERVER}"), Duration::from_secs(PATIENCE))?;
    report.set("flood_dom0", average(&flood.lines)?);
    let words = format!("ping={SERVER} count={FLOOD} flood");
    report.set("flood_guest", average(&client(&mut dom0, "", &words)?)?);
    dom0.poweroff()
}

/// Rates: dom0 asks the guest in both ways, a guest asks another.
fn rates(
    session: &Session<'_>,
    report: &mut Report,
    mtu: &str,
    rows: [&'static str; 3],
) -> Result<(), Failure> {
    let mut dom0 = boot(session, false)?;
    server(&mut dom0, mtu)?;
    let within = Duration::from_secs(PATIENCE);
    for (row, way) in [(rows[0], "-r "), (rows[1], "")] {
        let mut lines = Vec::new();
        for _ in 0..ROUNDS {
            let command = format!("tcp {way}-n {BYTES} {SERVER}:5001");
            lines.extend(dom0.run_within(&command, within)?.lines);
        }
        report.set(row, rate(&lines)?);
    }
    let words = format!("tcp={SERVER}:5001 bytes={BYTES} count={ROUNDS}");
    report.set(rows[2], rate(&client(&mut dom0, mtu, &words)?)?);
    dom0.poweroff()
}

/// Rates with large segments.
pub fn large(session: &Session<'_>, report: &mut Report) -> Result<(), Failure> {
    rates(session, report, LARGE_MTU, ["tcp_to_dom0", "tcp_from_dom0", "tcp_guests"])
}

/// Rates with the usual packets.
pub fn small(session: &Session<'_>, report: &mut Report) -> Result<(), Failure> {
    let rows = ["tcp_small_to_dom0", "tcp_small_from_dom0", "tcp_small_guests"];
    rates(session, report, ",mtu=1500", rows)
}
