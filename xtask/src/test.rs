//! `test`: host tests, system tests, or both; `test soak` repeats what is repeated many more times, and
//! `test random` the host tests with other random numbers.

use std::process::Command;
use std::time::{Duration, Instant};

use system_tests::cases::{self, Selection};
use system_tests::qemu::Hypervisor;
use system_tests::session::Images;

use crate::args::Args;
use crate::build::{self, Programs};
use crate::host_tests::{self, Seed};
use crate::paths::Paths;
use crate::{setup, xen_package, Result};

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    let list = args.flag("--list");
    let cpus = cpus(args)?;
    let programs = Programs::take(args);
    let minutes = args.number("--minutes", 10, 1, 10_000)?;
    let (kind, mut filter) = kind_and_filter(args);
    args.finish()?;
    let is_soak = kind == "soak";
    if is_soak && filter.is_empty() {
        filter = cases::SOAK.to_string();
    }
    let selection = Selection { filter, cpus, is_soak, ..Selection::default() };
    if list {
        for (case, hypervisor, cpus) in selection.runs() {
            println!("{} ({}, {cpus} CPU)", case.name, hypervisor.name());
        }
        return Ok(());
    }
    let paths = Paths::find()?;
    if kind == "random" {
        let end = Instant::now() + Duration::from_secs(60 * minutes);
        return host_tests::repeat(&paths, &selection.filter, end);
    }
    if kind == "host" || kind == "all" {
        host_tests::run(&paths, &selection.filter, Seed::fresh())?;
    }
    if kind != "host" {
        system(&paths, &selection, programs)?;
    }
    Ok(())
}

/// Takes the number of CPUs the runs are limited to.
pub fn cpus(args: &mut Args) -> Result<Option<u32>> {
    let number = args.value("--smp")?.map(|text| text.parse::<u32>());
    number.transpose().map_err(|_| "--smp wants a number".to_string())
}

/// Reads `[host|system|soak|random] [FILTER]`.
fn kind_and_filter(args: &mut Args) -> (String, String) {
    match args.positional() {
        Some(kind) if ["host", "system", "soak", "random"].contains(&kind.as_str()) => {
            (kind, args.positional().unwrap_or_default())
        }
        filter => ("all".to_string(), filter.unwrap_or_default()),
    }
}

/// Tests on machines; fails if one fails or none was selected.
pub fn system(paths: &Paths, selection: &Selection, programs: Programs) -> Result<()> {
    let images = prepare(paths, &[Hypervisor::Zendo, Hypervisor::Xen], programs)?;
    let summary = cases::run(&images, selection);
    if summary.is_empty() {
        return Err(format!("no system test is called '{}' (see --list)", selection.filter));
    }
    println!("{}", summary.closing_line());
    match summary.passed() {
        true => Ok(()),
        false => Err("system tests failed".to_string()),
    }
}

/// Builds what the tests boot; a Xen that cannot be had makes its runs skipped, not failed.
pub fn prepare(paths: &Paths, hypervisors: &[Hypervisor], programs: Programs) -> Result<Images> {
    setup::ensure_qemu()?;
    let built = build::build(paths, programs)?;
    let xen = match hypervisors.contains(&Hypervisor::Xen) {
        true => xen_package::ensure(paths).map_err(|text| println!("xtask: {text}")).ok(),
        false => None,
    };
    Ok(Images {
        zendo: built.zendo,
        xen,
        dom0: built.dom0,
        archive: built.test_archive,
        guests: built.guests,
        programs: built.programs,
        transcripts: paths.transcripts(),
    })
}

/// The cargo that runs this program, in the checkout.
pub fn cargo(paths: &Paths) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or("cargo".into()));
    command.current_dir(&paths.root);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, String) {
        let words = text.split_whitespace().map(str::to_string).collect();
        kind_and_filter(&mut Args::new(words))
    }

    #[test]
    fn the_kind_may_be_left_out() {
        assert_eq!(parsed(""), ("all".into(), "".into()));
        assert_eq!(parsed("host"), ("host".into(), "".into()));
        assert_eq!(parsed("random fs"), ("random".into(), "fs".into()));
        assert_eq!(parsed("soak"), ("soak".into(), "".into()));
        assert_eq!(parsed("system leaks"), ("system".into(), "leaks".into()));
        assert_eq!(parsed("leaks"), ("all".into(), "leaks".into()));
    }
}
