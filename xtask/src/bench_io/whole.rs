//! Creating and destroying a domain with devices, and what happens when nothing happens.

use std::time::Duration;

use system_tests::dom0::Dom0;
use system_tests::machine::Failure;
use system_tests::session::Session;

use super::report::Report;
use super::{boot, number_after};

/// Rows of creation and destruction.
pub const CREATION: &[&str] = &["create", "destroy"];
/// Rows of an idle system.
pub const IDLE: &[&str] = &["idle_hypercalls", "idle_time"];

/// How often; the best counts, as the host has other things to do.
const ROUNDS: usize = 8;
/// Seconds over which an idle system is watched.
const WATCHED: u64 = 5;

const CREATE: &str = "zl create httpd.cfg 'vif=[\"ip=10.0.2.80\"]' 'disk=[\"ram:8M,xvda,w\"]'";

/// The time that `time COMMAND` tells, in milliseconds.
fn timed(dom0: &mut Dom0<'_>, command: &str) -> Result<f64, Failure> {
    let answer = dom0.ok(&format!("time {command}"))?;
    let line = answer.lines.iter().find(|line| line.starts_with("time:"));
    line.and_then(|line| number_after(line, "ns="))
        .map(|ns| ns / 1e6)
        .ok_or_else(|| Failure(format!("no time in {:?}", answer.lines)))
}

/// A domain with a disk and a card, as the tools make and end it.
pub fn creation(session: &Session<'_>, report: &mut Report) -> Result<(), Failure> {
    let mut dom0 = boot(session, false)?;
    let (mut create, mut destroy) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        create = create.min(timed(&mut dom0, CREATE)?);
        dom0.until("zl logs httpd", 20, |lines| lines.iter().any(|line| line.contains("http")))?;
        destroy = destroy.min(timed(&mut dom0, "zl destroy httpd")?);
    }
    report.set("create", create);
    report.set("destroy", destroy);
    dom0.poweroff()
}

/// Two guests with devices, and nobody asks them anything.
pub fn idle(session: &Session<'_>, report: &mut Report) -> Result<(), Failure> {
    let mut dom0 = boot(session, false)?;
    dom0.ok(CREATE)?;
    dom0.ok("zl create httpd.cfg name=other 'vif=[\"ip=10.0.2.81\"]' 'disk=[\"ram:8M,xvda,w\"]'")?;
    dom0.ok("sleep 2")?;
    let command = format!("zl top -b -o json -d {WATCHED} -i 2");
    let answer = dom0.run_within(&command, Duration::from_secs(WATCHED + 60))?;
    let mut samples = answer.lines.iter().filter_map(|line| {
        serde_json::from_str::<serde_json::Value>(line).ok().filter(|v| v["event"] == "sample")
    });
    let last =
        samples.next_back().ok_or_else(|| Failure(format!("no sample in {:?}", answer.lines)))?;
    let dom0_row =
        last["domains"].as_array().and_then(|rows| rows.iter().find(|r| r["domid"] == 0));
    let dom0_row = dom0_row.ok_or_else(|| Failure(format!("no dom0 in {last}")))?;
    if let Some(calls) = dom0_row["hypercalls_per_s"].as_f64() {
        report.set("idle_hypercalls", calls);
    }
    if let Some(permille) = dom0_row["cpu_permille"].as_f64() {
        report.set("idle_time", permille * 1000.0);
    }
    dom0.poweroff()
}
