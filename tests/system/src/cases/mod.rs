//! The table of system tests.
//!
//! A case is a function that boots what it needs and fails with one text. The table says on which
//! hypervisors and with how many CPUs it is worth running; `test system` runs all of it, one
//! machine at a time so that measured times mean something, and a filter picks by name.

mod alone;
pub mod appliances;
mod badfront;
mod block;
mod book;
mod boot;
mod console;
mod crash;
mod crowd;
mod devices;
mod file_disk;
mod files;
mod host_zl;
mod input;
mod ip;
mod kill;
mod leaks;
mod lifecycle;
mod listing;
mod native;
mod net;
mod programs;
mod random;
mod selftest;
mod store_client;
mod virtio;
mod xenstore;

use std::panic;
use std::time::Instant;

use crate::dom0::{Counts, Dom0};
use crate::machine::Failure;
use crate::qemu::Hypervisor::{self, Xen, Zendo};
use crate::session::{Images, Session};
use crate::summary::{row_line, Outcome, Row, Summary};

/// What a case answers.
pub type Verdict = Result<(), Failure>;

/// One question.
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// Where it can be asked.
    pub on: &'static [Hypervisor],
    /// CPUs it is asked with.
    pub cpus: &'static [u32],
    run: fn(&Session<'_>) -> Verdict,
}

const BOTH: &[Hypervisor] = &[Zendo, Xen];
const OURS: &[Hypervisor] = &[Zendo];

/// One and several CPUs: for whatever touches scheduling, events or the TLB.
const ONE_AND_FOUR: &[u32] = &[1, 4];
/// For what does not depend on the number of CPUs.
const ONE: &[u32] = &[1];

macro_rules! cases {
    ($($name:literal, $on:expr, $cpus:expr, $run:path;)*) => {
        &[$(Case { name: $name, on: $on, cpus: $cpus, run: $run }),*]
    };
}

/// Every case, cheapest and most basic first.
pub const CASES: &[Case] = cases! {
    "machine-probe", OURS, &[1, 2, 4], alone::machine_probe;
    "native-contract", OURS, ONE, native::contract;
    "native-devices", OURS, ONE, native::devices;
    "native-crashes", OURS, ONE, native::crashes;
    "native-shell", OURS, ONE, native::shell_and_disk;
    "native-usertests", OURS, ONE, native::usertests;
    "native-instructions", OURS, ONE, native::instructions;
    "hello-as-dom0", BOTH, &[1, 2, 4], alone::hello;
    "book-first-as-dom0", BOTH, ONE_AND_FOUR, book::first_as_dom0;
    "grants", BOTH, ONE, alone::grants;
    "boots-to-prompt", BOTH, &[1, 2, 4], boot::to_prompt;
    "boot-time", OURS, ONE, boot::time;
    "boot-instructions", OURS, ONE, boot::instructions;
    "create-time", OURS, ONE, boot::create_time;
    "selftest-as-dom0", BOTH, ONE_AND_FOUR, selftest::as_dom0;
    "selftest-same-on-xen", &[Xen], ONE, selftest::same_on_xen;
    "selftest-as-domu", BOTH, ONE_AND_FOUR, selftest::as_domu;
    "usertests-alone", BOTH, ONE_AND_FOUR, programs::usertests_alone;
    "usertests-beside-dom0", BOTH, ONE_AND_FOUR, programs::usertests_beside_dom0;
    "shell-with-devices", BOTH, ONE, programs::devices_beside_dom0;
    "random-system-calls", BOTH, ONE, programs::random_calls;
    "shell-language", BOTH, ONE, programs::shell_language;
    "hello-runs-and-goes", BOTH, ONE_AND_FOUR, lifecycle::hello;
    "book-first-as-domu", BOTH, ONE_AND_FOUR, book::first_as_domu;
    "store-from-a-guest", BOTH, ONE_AND_FOUR, store_client::from_a_guest;
    "asked-to-end", BOTH, ONE_AND_FOUR, store_client::asked_to_end;
    "three-domains", BOTH, ONE_AND_FOUR, lifecycle::three_domains;
    "pause-and-unpause", BOTH, ONE_AND_FOUR, lifecycle::pause;
    "rename", BOTH, ONE, lifecycle::rename;
    "end-actions", OURS, ONE_AND_FOUR, lifecycle::end_actions;
    "list-formats", BOTH, ONE, listing::formats;
    "virtio", BOTH, ONE_AND_FOUR, virtio::devices;
    "looking-verbs", OURS, ONE, listing::looking_verbs;
    "console-attach-and-leave", BOTH, ONE_AND_FOUR, console::attach_and_leave;
    "console-keeps-last-words", OURS, ONE_AND_FOUR, console::last_words;
    "each-crash-kills-one", OURS, ONE_AND_FOUR, crash::each_kind;
    "bad-configurations", OURS, ONE, input::configurations;
    "hostile-kernels", OURS, ONE, input::kernels;
    "bad-commands", OURS, ONE, input::commands;
    "sixteen-guests", OURS, ONE_AND_FOUR, crowd::sixteen;
    "random-hypercalls", OURS, ONE_AND_FOUR, random::hypercalls;
    "block-contents-stay", BOTH, ONE_AND_FOUR, block::contents_stay;
    "block-one-writer", OURS, ONE, block::one_writer;
    "block-hot-plug", BOTH, ONE, block::hot_plug;
    "block-back-restarts", OURS, ONE_AND_FOUR, block::back_restarts;
    "block-killed-at-work", OURS, ONE_AND_FOUR, block::killed_at_work;
    "files-on-the-disk", BOTH, ONE, files::on_the_disk;
    "files-mistakes", OURS, ONE, files::mistakes;
    "files-power-failure", OURS, ONE, files::power_failure;
    "files-disk-contents", BOTH, ONE, file_disk::contents_stay;
    "files-disk-mistakes", OURS, ONE, file_disk::mistakes;
    "files-disk-full", OURS, ONE, file_disk::full;
    "files-disk-killed", OURS, ONE_AND_FOUR, file_disk::killed_at_work;
    "files-disk-power-failure", OURS, ONE, file_disk::power_failure;
    "ip-address-and-ping", BOTH, ONE_AND_FOUR, ip::address_and_ping;
    "ip-fetch", BOTH, ONE, ip::fetch;
    "ip-idle", OURS, ONE, ip::idle;
    "net-frames", BOTH, ONE_AND_FOUR, net::frames;
    "net-pretenders", OURS, ONE, net::pretenders;
    "net-comes-and-goes", BOTH, ONE, net::comes_and_goes;
    "net-killed", OURS, ONE_AND_FOUR, net::killed;
    "ip-page-from-a-guest", BOTH, ONE_AND_FOUR, appliances::page_from_a_guest;
    "ip-guests-to-each-other", OURS, ONE_AND_FOUR, appliances::guests_to_each_other;
    "ip-data-outlives-its-guest", BOTH, ONE_AND_FOUR, appliances::data_outlives_its_guest;
    "host-zl-verbs", BOTH, ONE, host_zl::every_verb;
    "host-zl-create", OURS, ONE_AND_FOUR, host_zl::create_from_the_host;
    "host-zl-consoles", OURS, ONE_AND_FOUR, host_zl::consoles;
    "host-zl-strangers", OURS, ONE, host_zl::strangers;
    "host-zl-lost", OURS, ONE_AND_FOUR, host_zl::lost_connections;
    "xenstore", BOTH, ONE_AND_FOUR, xenstore::store;
    "xenstore-abuse", BOTH, ONE_AND_FOUR, xenstore::abuse;
    "devices-mistakes", OURS, ONE, devices::mistakes;
    "devices-layout", BOTH, ONE, devices::layout;
    "devices-lists", BOTH, ONE_AND_FOUR, devices::lists;
    "top", BOTH, ONE_AND_FOUR, devices::top;
    "bad-front-disks", OURS, ONE_AND_FOUR, badfront::disks;
    "bad-front-cards", OURS, ONE_AND_FOUR, badfront::cards;
    "bad-front-store", BOTH, ONE_AND_FOUR, badfront::store;
    "bad-front-ports", BOTH, ONE_AND_FOUR, badfront::ports;
    "kill-during-io", OURS, ONE_AND_FOUR, kill::during_io;
    "nothing-leaks", BOTH, ONE_AND_FOUR, leaks::create_and_destroy;
};

/// Which runs of the table are wanted.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Part of a case's name; empty picks all.
    pub filter: String,
    /// Only on this hypervisor.
    pub hypervisor: Option<Hypervisor>,
    /// Only with this number of CPUs.
    pub cpus: Option<u32>,
    /// Cases that repeat something do it many more times.
    pub is_soak: bool,
    /// A case that failed is tried again; see [`crate::summary`].
    pub tries_again: bool,
}

/// The cases whose repetitions a soak multiplies begin with this.
pub const SOAK: &str = "kill-during-io";

impl Selection {
    /// The runs it picks: case, hypervisor, CPUs.
    pub fn runs(&self) -> Vec<(&'static Case, Hypervisor, u32)> {
        let mut runs = Vec::new();
        for case in CASES.iter().filter(|case| case.name.contains(&self.filter)) {
            for &on in case.on.iter().filter(|&&on| self.hypervisor.is_none_or(|h| h == on)) {
                let wanted = |cpus: &&u32| self.cpus.is_none_or(|count| count == **cpus);
                runs.extend(case.cpus.iter().filter(wanted).map(|&cpus| (case, on, cpus)));
            }
        }
        runs
    }
}

/// Runs what the selection picks and prints each result as it comes.
pub fn run(images: &Images, selection: &Selection) -> Summary {
    let mut summary = Summary::default();
    for (case, hypervisor, cpus) in selection.runs() {
        let started = Instant::now();
        let mut times = 0;
        let mut step = || {
            times += 1;
            attempt(images, selection, (case, hypervisor, cpus), times)
        };
        let mut outcome = step();
        if selection.tries_again {
            outcome = outcome.or_again(step);
        }
        let name = format!("{} ({}, {cpus} CPU)", case.name, hypervisor.name());
        let row = Row { name: name.clone(), outcome: outcome.clone(), took: started.elapsed() };
        println!("{}", row_line(&row, 46));
        if let Outcome::Failed(text) | Outcome::Unsteady(text) = &outcome {
            println!("{}", indented(text));
        }
        summary.add(&name, outcome, row.took);
    }
    summary
}

/// Tries one case; each time has transcripts of its own.
fn attempt(
    images: &Images,
    selection: &Selection,
    (case, hypervisor, cpus): (&Case, Hypervisor, u32),
    times: usize,
) -> Outcome {
    if let Err(why) = images.hypervisor(hypervisor) {
        return Outcome::Skipped(why.to_string());
    }
    let mut label = format!("{}-{}-{cpus}cpu", case.name, hypervisor.name());
    if times > 1 {
        label += &format!("-again{}", times - 1);
    }
    let mut session = Session::new(images, hypervisor, cpus, &label);
    session.is_soak = selection.is_soak;
    run_one(case, &session)
}

/// Runs one case; a panic of the case itself is a failure of that case only.
fn run_one(case: &Case, session: &Session<'_>) -> Outcome {
    let caught = panic::catch_unwind(panic::AssertUnwindSafe(|| (case.run)(session)));
    match caught {
        Ok(Ok(())) => Outcome::Passed(session.notes()),
        Ok(Err(failure)) => Outcome::Failed(format!("{failure}{}", kept(session))),
        Err(_) => Outcome::Failed("the case itself panicked (see above)".to_string()),
    }
}

/// Where the transcripts of a failed case are.
fn kept(session: &Session<'_>) -> String {
    let paths = session.transcripts();
    paths.iter().map(|path| format!("\ntranscript: {}", path.display())).collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// Fails with `text` unless `condition` holds.
fn check(condition: bool, text: impl FnOnce() -> String) -> Verdict {
    match condition {
        true => Ok(()),
        false => Err(Failure(text())),
    }
}

/// How often something may be done until it leaves no trace.
const TRIES: usize = 5;

/// Does something until it leaves no trace in the counts; the answer is how often that took. The
/// first times may enlarge buffers that stay, which is no leak; a leak shows each time.
fn leaves_nothing(
    dom0: &mut Dom0<'_>,
    what: &str,
    mut action: impl FnMut(&mut Dom0<'_>) -> Verdict,
) -> Result<usize, Failure> {
    let mut before = dom0.counts()?;
    let mut changes = Vec::new();
    for tries in 1..=TRIES {
        action(dom0)?;
        let after = dom0.counts()?;
        changes = changed(&before, &after);
        if changes.is_empty() {
            return Ok(tries);
        }
        before = after;
    }
    Err(Failure(format!("{what}, done {TRIES} times, still changed {}", changes.join(", "))))
}

/// Rounds before the counts are looked at: buffers grow in the first ones and stay. (The history of what was
/// typed grows for longer where rounds are short.)
const WARM_UP: usize = 8;

/// The same for something that is done in many rounds; each is told its number.
fn rounds_leave_nothing(
    dom0: &mut Dom0<'_>,
    what: &str,
    rounds: usize,
    mut round: impl FnMut(&mut Dom0<'_>, usize) -> Verdict,
) -> Result<usize, Failure> {
    (0..WARM_UP).try_for_each(|number| round(dom0, number))?;
    leaves_nothing(dom0, what, |dom0| (0..rounds).try_for_each(|number| round(dom0, number)))
}

/// The counts that differ.
fn changed(before: &Counts, after: &Counts) -> Vec<String> {
    let differs = |(key, count): (&String, &u64)| {
        let now = after.get(key);
        (now != Some(count)).then(|| format!("{key} from {count} to {now:?}"))
    };
    before.iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
    }

    #[test]
    fn a_selection_picks_by_name_hypervisor_and_cpus() {
        let all = Selection::default();
        let every: usize = CASES.iter().map(|case| case.on.len() * case.cpus.len()).sum();
        assert_eq!(all.runs().len(), every);
        let boots = Selection {
            filter: "boots-to".into(),
            hypervisor: Some(Xen),
            cpus: Some(2),
            ..Selection::default()
        };
        let runs: Vec<_> = boots.runs().iter().map(|(c, h, n)| (c.name, *h, *n)).collect();
        assert_eq!(runs, [("boots-to-prompt", Xen, 2)]);
    }
}
