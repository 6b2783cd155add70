//! `bench`: what each operation costs on Zendo and on Xen, by the same guest.
//!
//! The guest called `bench` runs in dom0's place on both, under `-icount` for instructions, which are
//! exact, and several times without it for time. `--events` traces each operation as well (see
//! `trace`). Results are printed, written under `target/bench`, and compared with stored ones; `ci`
//! compares with the baseline and takes no row that rose.

pub mod boots;
mod budgets;
mod chart;
mod files;
mod lines;
pub mod readme;
mod sheet;
mod stored;
mod table;

use std::process::Command;

use system_tests::qemu::Hypervisor;
use system_tests::session::Images;

use crate::args::Args;
use crate::build::Programs;
use crate::paths::Paths;
use crate::{bench_io, bench_kernel, bench_system, sh, test, toolchain, trace, Result};
use boots::{Clock, Setup};
use files::Origin;
use sheet::Sheet;
use stored::Figures;

/// Boots for the time; the fastest counts.
const BOOTS: u32 = 3;

/// Ticks that the calibration loop may be off by: what reads the counter counts too.
const CALIBRATION_SLACK: u64 = 16;

/// What was asked for.
struct Options {
    pattern: String,
    hypervisors: Vec<Hypervisor>,
    domu: bool,
    events: bool,
    boots: u32,
    readme: bool,
    save: Option<String>,
    compare: Option<String>,
    programs: Programs,
}

impl Options {
    fn take(args: &mut Args) -> Result<Options> {
        let only = args.value("--only")?;
        let mut hypervisors = match only.as_deref() {
            None => vec![Hypervisor::Zendo, Hypervisor::Xen],
            Some("zendo") => vec![Hypervisor::Zendo],
            Some("xen") => vec![Hypervisor::Xen],
            Some(other) => return Err(format!("--only wants zendo or xen, not '{other}'")),
        };
        let (domu, events) = (args.flag("--domu"), args.flag("--events"));
        if domu && (only.as_deref() == Some("xen") || events) {
            return Err("--domu measures Zendo, and without --events".to_string());
        }
        if domu {
            hypervisors = vec![Hypervisor::Zendo];
        }
        let boots = args.number("--boots", BOOTS, 0, 100)?;
        let readme = args.flag("--readme");
        let (save, compare) = (args.value("--save")?, args.value("--compare")?);
        let programs = Programs::take(args);
        let rows: Vec<String> = std::iter::from_fn(|| args.positional()).collect();
        args.finish()?;
        let pattern = rows.join("+");
        if readme && (!pattern.is_empty() || domu || hypervisors.len() < 2) {
            return Err("--readme shows all rows on both hypervisors".to_string());
        }
        Ok(Options { pattern, hypervisors, domu, events, boots, readme, save, compare, programs })
    }
}

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    if args.word("system") {
        return bench_system::run(args);
    }
    if args.word("io") {
        return bench_io::run(args);
    }
    if args.word("kernel") {
        return bench_kernel::run(args);
    }
    let paths = Paths::find()?;
    if args.flag("--list") {
        args.finish()?;
        return list(&paths);
    }
    if args.flag("--check") {
        let programs = Programs::take(args);
        args.finish()?;
        let images = test::prepare(&paths, &[Hypervisor::Zendo], programs)?;
        println!("{}", guard(&paths, &images)?);
        return Ok(());
    }
    let options = Options::take(args)?;
    let images = test::prepare(&paths, &options.hypervisors, options.programs)?;
    let mut origin = Origin { guest_sha256: hash(&images)?, xen: None };
    let sheet = measure(&options, &images, &mut origin)?;
    all_found(&options.pattern, &sheet)?;
    print(&paths, &sheet, &origin)?;
    println!("written to {}", files::write(&paths, &sheet, &origin)?.display());
    // Nothing is stored that did not happen.
    verdict(&sheet)?;
    store_and_compare(&paths, &options, &sheet)?;
    match options.readme {
        true => readme::update(&paths, &sheet, &origin),
        false => Ok(()),
    }
}

/// Runs everything that was asked for.
fn measure(options: &Options, images: &Images, origin: &mut Origin) -> Result<Sheet> {
    let mut sheet = Sheet::default();
    let setup = Setup { images, pattern: options.pattern.clone(), domu: options.domu };
    for which in options.hypervisors.iter().copied() {
        if which == Hypervisor::Xen && images.xen.is_none() {
            println!("bench: Xen is left out, it could not be had");
            continue;
        }
        let (run, version) = setup.run(which, Clock::Instructions)?;
        check_calibration(which, run.calibration)?;
        sheet.take_instructions(which, &run);
        origin.xen = origin.xen.take().or(version);
        for _ in 0..options.boots {
            sheet.take_time(which, &setup.run(which, Clock::Wall)?.0);
        }
        if options.events {
            for pattern in trace::patterns(run.rows.iter().map(|row| row.name.as_str())) {
                sheet.take_trace(which, &trace::trace(images, which, &pattern)?);
            }
        }
    }
    Ok(sheet)
}

/// The counter must count instructions, or the table is of something else.
fn check_calibration(which: Hypervisor, (instructions, ticks): (u64, u64)) -> Result<()> {
    match ticks.abs_diff(instructions) <= CALIBRATION_SLACK {
        true => Ok(()),
        false => Err(format!(
            "on {} a loop of {instructions} instructions takes {ticks} ticks: the counter is scaled, \
             and the rows would be no instructions",
            which.name()
        )),
    }
}

fn print(paths: &Paths, sheet: &Sheet, origin: &Origin) -> Result<()> {
    println!("{}", table::rows(sheet));
    let budgets = table::budgets(sheet);
    if !budgets.is_empty() {
        println!("{budgets}");
    }
    let events = table::events(sheet);
    if !events.is_empty() {
        println!("{events}\n{}", table::weights());
        table::odd_events(sheet).iter().for_each(|line| println!("note: {line}"));
    }
    for (which, name, why) in &sheet.absent {
        println!("absent on {}: {name}: {why}", which.name());
    }
    print!("{}", table::means(sheet));
    let (reference, reasons) = (stored::load(paths, stored::REFERENCE)?, stored::reasons(paths)?);
    print!("{}", table::honesty(sheet, &reference, &reasons));
    println!("guest: sha256 {}", origin.guest_sha256);
    if let Some(version) = &origin.xen {
        println!("Xen: {version}");
    }
    Ok(())
}

fn store_and_compare(paths: &Paths, options: &Options, sheet: &Sheet) -> Result<()> {
    let now = zendos(sheet);
    if let Some(name) = &options.compare {
        let (name, tolerance) = match name == stored::BASELINE {
            true => stored::baseline(paths, &release()?)?,
            false => (name.clone(), stored::TOLERANCE),
        };
        let before = selected(stored::load(paths, &name)?, options.pattern.is_empty(), &now);
        let report = stored::compare(&before, &now, tolerance).report();
        println!("compared with {name}: {}", if report.is_empty() { "the same" } else { "" });
        print!("{report}");
    }
    if let Some(name) = &options.save {
        let partial = !options.pattern.is_empty() || now.is_empty();
        if name == stored::BASELINE && (partial || options.domu) {
            return Err("the baseline is of all rows, on Zendo in dom0's place".to_string());
        }
        let name = match name == stored::BASELINE {
            true => stored::baseline_of(&release()?),
            false => name.clone(),
        };
        println!("saved as {}", stored::save(paths, &name, &now)?.display());
    }
    Ok(())
}

/// The release of the compiler that makes what is measured.
fn release() -> Result<String> {
    toolchain::find()?.release()
}

/// Where only some rows were measured, the others are not missed.
fn selected(stored: Figures, all: bool, now: &Figures) -> Figures {
    let measured = |name: &str| now.iter().any(|(other, _)| other == name);
    stored.into_iter().filter(|(name, _)| all || measured(name)).collect()
}

/// Zendo's instructions, row by row.
fn zendos(sheet: &Sheet) -> Figures {
    let figure = |line: &sheet::Line| Some((line.name.clone(), line.zendo.as_ref()?.instructions));
    sheet.lines.iter().filter_map(figure).collect()
}

/// Each name that was asked for must be a row, or the beginning of one; the guest ignores others.
fn all_found(pattern: &str, sheet: &Sheet) -> Result<()> {
    let lines = sheet.lines.iter().map(|line| &line.name);
    let known: Vec<&String> = lines.chain(sheet.absent.iter().map(|(_, name, _)| name)).collect();
    let found = |word: &str| match word.strip_suffix('*') {
        Some(prefix) => known.iter().any(|name| name.starts_with(prefix)),
        None => known.iter().any(|name| *name == word),
    };
    match pattern.split('+').find(|word| !word.is_empty() && !found(word)) {
        None => Ok(()),
        Some(word) => Err(format!("no row is called '{word}' (see `cargo xtask bench --list`)")),
    }
}

fn verdict(sheet: &Sheet) -> Result<()> {
    let bad = |(which, name): &(Hypervisor, String)| format!("{name} ({})", which.name());
    let bad: Vec<String> = sheet.bad.iter().map(bad).collect();
    match bad.is_empty() {
        true => Ok(()),
        false => Err(format!("operations that did not happen: {}", bad.join(", "))),
    }
}

/// What `ci` and `bench --check` do: all rows on Zendo under `-icount`, against the baseline.
pub fn guard(paths: &Paths, images: &Images) -> Result<String> {
    let setup = Setup { images, pattern: String::new(), domu: false };
    let (run, _) = setup.run(Hypervisor::Zendo, Clock::Instructions)?;
    check_calibration(Hypervisor::Zendo, run.calibration)?;
    let mut sheet = Sheet::default();
    sheet.take_instructions(Hypervisor::Zendo, &run);
    verdict(&sheet)?;
    let (name, tolerance) = stored::baseline(paths, &release()?)?;
    let difference = stored::compare(&stored::load(paths, &name)?, &zendos(&sheet), tolerance);
    let report = difference.report();
    if !difference.acceptable() {
        return Err(format!(
            "rows differ from {name} by more than {:.0} %:\n{report}  find out why with `cargo xtask profile ROW`; \
             if it must be, `cargo xtask bench --only zendo --save baseline` and give the reason in \
             the commit",
            (tolerance - 1.0) * 100.0
        ));
    }
    let over = table::over(&sheet);
    let over = over.iter().map(|(name, cost, most)| format!("\n  OVER {name}: {cost:.0} > {most}"));
    Ok(format!("{} rows, {name}{}\n{report}", sheet.lines.len(), over.collect::<String>()))
}

/// Names of rows, with what is stored about them.
fn list(paths: &Paths) -> Result<()> {
    let ours = stored::load(paths, &stored::baseline(paths, &release()?)?.0)?;
    let theirs = stored::load(paths, stored::REFERENCE)?;
    println!("{:<42} {:>10} {:>10}", "row", "zendo", "xen");
    for (name, number) in ours {
        let xen = theirs.iter().find(|(other, _)| *other == name);
        let xen = xen.map_or("-".to_string(), |(_, number)| format!("{number:.1}"));
        println!("{name:<42} {number:>10.1} {xen:>10}");
    }
    Ok(())
}

fn hash(images: &Images) -> Result<String> {
    let mut command = Command::new("sha256sum");
    let printed = sh::capture_text(command.arg(images.guests.join("bench")))?;
    printed.split_whitespace().next().map(str::to_string).ok_or("sha256sum printed nothing".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options> {
        Options::take(&mut Args::new(text.split_whitespace().map(str::to_string).collect()))
    }

    #[test]
    fn rows_and_options_come_in_any_order() {
        let taken = options("hc_* --only zendo gnt_map_1 --boots 1").expect("understood");
        assert_eq!(taken.pattern, "hc_*+gnt_map_1");
        assert_eq!((taken.hypervisors, taken.boots), (vec![Hypervisor::Zendo], 1));
        assert!(options("--only kvm").is_err());
        assert!(options("--domu --only xen").is_err());
        assert!(options("--readme hc_*").is_err() && options("--readme --only zendo").is_err());
        assert_eq!(options("--domu").map(|taken| taken.hypervisors.len()), Ok(1));
    }

    #[test]
    fn a_counter_that_is_scaled_is_refused() {
        assert!(check_calibration(Hypervisor::Xen, (1_000_000, 1_000_006)).is_ok());
        let error = check_calibration(Hypervisor::Xen, (1_000_000, 2_000_012)).expect_err("double");
        assert!(error.contains("on xen") && error.contains("2000012 ticks"), "{error}");
    }

    #[test]
    fn rows_that_were_not_asked_for_are_not_missed() {
        let figures = |names: &[&str]| names.iter().map(|name| (name.to_string(), 1.0)).collect();
        let (stored, now): (Figures, Figures) = (figures(&["a", "b"]), figures(&["b"]));
        assert_eq!(selected(stored.clone(), false, &now), now);
        assert_eq!(selected(stored.clone(), true, &now), stored);
    }

    #[test]
    fn a_name_that_is_no_row_is_an_error_even_beside_others() {
        let sheet = sheet::tests::sample();
        assert_eq!(all_found("", &sheet), Ok(()));
        assert_eq!(all_found("hc_*+gnt_c", &sheet), Ok(()));
        let error = all_found("hc_a+uvm_*", &sheet).expect_err("no such row");
        assert!(error.contains("'uvm_*'"), "{error}");
    }

    #[test]
    fn a_proof_that_failed_is_an_error_with_its_row() {
        let error = verdict(&sheet::tests::sample()).expect_err("gnt_c is bad");
        assert!(error.contains("gnt_c (zendo)"), "{error}");
    }
}
