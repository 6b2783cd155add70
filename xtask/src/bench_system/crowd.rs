//! Many domains: a hundred creations that must cost the same, and as many domains as fit.

use std::time::Instant;

use system_tests::dom0::Dom0;
use system_tests::machine::Failure;
use system_tests::session::Session;
use system_tests::timed::{count, timed};

use super::measure::{boot, create, ms_since, real, SAID};
use super::table::Values;

type Done = Result<(), Failure>;

const HUNDRED: u64 = 100;
const TEN: usize = 10;
/// Room for a hundred domains of 16 MiB.
const HUNDRED_MIB: u32 = 2048;
/// Frames of a `hello` as its configuration has it.
const HELLO_FRAMES: u64 = 16 * 256;
const KIB_PER_FRAME: f64 = 4.0;

/// Creates a hundred domains beside each other.
pub fn hundred(session: &Session<'_>, values: &mut Values) -> Done {
    let mut dom0 = boot(session, HUNDRED_MIB, true)?;
    // The first domain makes dom0 take memory that it keeps.
    dom0.ok(&create("first", ""))?;
    until_runs(&mut dom0, "first")?;
    let before = taken(&mut dom0)?;
    dom0.ok("zl destroy first")?;
    let mut ticks = Vec::new();
    for number in 1..=HUNDRED {
        let name = format!("h{number}");
        // Paused, so that what the new domain does itself is not counted.
        ticks.push(timed(&mut dom0, &format!("{} -p", create(&name, "")))?.ticks);
        dom0.ok(&format!("zl unpause {name}"))?;
        until_runs(&mut dom0, &name)?;
    }
    let after = taken(&mut dom0)?;
    if let (Some(first), Some(last)) = (ticks.first(), ticks.last()) {
        values.set("create_1st_of_100", real(*first));
        values.set("create_100th_of_100", real(*last));
    }
    values.set("create_spread_over_100", spread(&ticks));
    let each = |from: u64, to: u64| real(to.saturating_sub(from)) / real(HUNDRED - 1);
    let frames = each(after.free_frames, before.free_frames) - real(HELLO_FRAMES);
    values.set("memory_per_domain", frames * KIB_PER_FRAME);
    let heap = each(before.dom0_heap, after.dom0_heap);
    values.set("memory_per_domain_in_dom0", heap / 1024.0);
    Ok(())
}

/// By how many percent the dearest ten creations in a row cost more than the cheapest. Each ten count by
/// their median: a clock of dom0 that ticks during one creation says nothing about how costs grow.
fn spread(ticks: &[u64]) -> f64 {
    let medians: Vec<u64> = ticks.chunks(TEN).map(median).collect();
    let (least, most) = (medians.iter().min(), medians.iter().max());
    let (least, most) = (least.copied().unwrap_or(0), most.copied().unwrap_or(0));
    100.0 * (real(most) / real(least.max(1)) - 1.0)
}

fn median(ticks: &[u64]) -> u64 {
    let mut sorted = ticks.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// What domains take.
struct Taken {
    free_frames: u64,
    dom0_heap: u64,
}

fn taken(dom0: &mut Dom0<'_>) -> Result<Taken, Failure> {
    let free_frames = count(dom0, "free_frames")?;
    Ok(Taken { free_frames, dom0_heap: count(dom0, "heap_bytes")? })
}

fn until_runs(dom0: &mut Dom0<'_>, name: &str) -> Done {
    let said = |lines: &[String]| lines.iter().any(|line| line.contains(SAID));
    dom0.until(&format!("zl logs {name}"), 10, said).map(|_| ())
}

/// Domains of 8 MiB in 1 GiB.
pub fn small(session: &Session<'_>, values: &mut Values) -> Done {
    let (domains, ms) = fill(session, 1024, 8)?;
    values.set("density_8_mib_in_1_gib", real(domains));
    values.set("density_8_mib_in_1_gib_wall", ms);
    Ok(())
}

/// Domains of 16 MiB in 4 GiB.
pub fn large(session: &Session<'_>, values: &mut Values) -> Done {
    let (domains, ms) = fill(session, 4096, 16)?;
    values.set("density_16_mib_in_4_gib", real(domains));
    values.set("density_16_mib_in_4_gib_wall", ms);
    Ok(())
}

/// Creates domains until one is refused; how many there are then, the last of which runs, and how
/// long it took.
fn fill(session: &Session<'_>, mib: u32, each_mib: u32) -> Result<(u64, f64), Failure> {
    let mut dom0 = boot(session, mib, false)?;
    let start = Instant::now();
    let settings = format!("memory={each_mib}");
    let mut domains = 0;
    let refusal = loop {
        let answer = dom0.run(&create(&format!("d{}", domains + 1), &settings))?;
        if answer.status != 0 {
            break answer.lines.join(" ");
        }
        domains += 1;
    };
    until_runs(&mut dom0, &format!("d{domains}"))?;
    let ms = ms_since(start);
    let listed = dom0.domains()?.len() as u64;
    if listed != domains + 1 || !refusal.contains("too little memory") {
        let why = format!("{listed} are listed after {domains} creations; the last: {refusal}");
        return Err(Failure(why));
    }
    Ok((domains, ms))
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn growth_is_seen_and_a_single_dear_creation_is_not() {
        let mut ticks: Vec<u64> = vec![1000; 100];
        assert!(spread(&ticks) < 0.1);
        ticks[57] = 1900;
        assert!(spread(&ticks) < 0.1);
        let grows: Vec<u64> = (0..100).map(|at| 1000 + 5 * at).collect();
        assert!(spread(&grows) > 40.0);
        let leaps: Vec<u64> = (0..100).map(|at| if at < 60 { 1000 } else { 1300 }).collect();
        assert!((spread(&leaps) - 30.0).abs() < 0.1);
    }
}
