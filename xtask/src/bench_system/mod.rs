//! `bench system`: what the whole costs: booting, creating, switching, memory, sizes.
//!
//! The rows and their requirements are in `rows`, how they are measured in `measure` and `crowd`.
//! Xen is measured below the same control domain; the figures of the usual system of Xen, Linux and
//! `xl` stand in brackets. `ci` measures on Zendo what is the same in each run, and fails where a
//! requirement is missed.

mod crowd;
mod measure;
mod rows;
mod table;

use std::fs;
use std::time::Instant;

use system_tests::qemu::Hypervisor;
use system_tests::session::{Images, Session};

use crate::args::Args;
use crate::bench::readme;
use crate::build::{self, Programs};
use crate::paths::Paths;
use crate::{test, Result};
use measure::{Group, GROUPS};
use table::{Report, Values};

/// The verb, behind `bench system`.
pub fn run(args: &mut Args) -> Result<()> {
    let only = args.value("--only")?;
    let which = match only.as_deref() {
        None => vec![Hypervisor::Zendo, Hypervisor::Xen],
        Some("zendo") => vec![Hypervisor::Zendo],
        Some("xen") => vec![Hypervisor::Xen],
        Some(other) => return Err(format!("--only wants zendo or xen, not '{other}'")),
    };
    let (programs, readme) = (Programs::take(args), args.flag("--readme"));
    args.finish()?;
    if readme && which.len() < 2 {
        return Err("--readme shows both hypervisors".to_string());
    }
    let paths = Paths::find()?;
    let images = test::prepare(&paths, &which, programs)?;
    let mut report = Report::default();
    for which in which {
        measure_on(which, &images, GROUPS.iter(), &mut report)?;
    }
    println!("\n{}", report.table());
    println!("xen: the same dom0 and commands on Xen 4.17; in brackets: Xen 4.17, Linux and xl");
    write(&paths, &report)?;
    if readme {
        update_readme(&paths, &report)?;
    }
    judge(&report)
}

/// What `ci` asks: all that is exact, on Zendo.
pub fn guard(images: &Images) -> Result<String> {
    let mut report = Report::default();
    let exact = GROUPS.iter().filter(|group| group.exact);
    measure_on(Hypervisor::Zendo, images, exact, &mut report)?;
    println!("{}", report.table());
    judge(&report).map(|()| "every requirement that can be counted exactly is met".to_string())
}

/// Measures some groups on one hypervisor.
fn measure_on<'g>(
    which: Hypervisor,
    images: &Images,
    groups: impl Iterator<Item = &'g Group>,
    report: &mut Report,
) -> Result<()> {
    let values = match which {
        Hypervisor::Zendo => &mut report.zendo,
        Hypervisor::Xen => &mut report.xen,
    };
    if let Err(why) = images.hypervisor(which) {
        println!("{}: {why}", which.name());
        return Ok(());
    }
    for group in groups {
        match group.not_on_xen.filter(|_| which == Hypervisor::Xen) {
            Some(why) => values.miss(group.rows, why),
            None => measure_group(which, images, group, values),
        }
    }
    sizes(which, images, values)
}

/// Most of a reason that is shown: what was waited for, and the start of what came instead.
const REASON_CHARS: usize = 200;

fn measure_group(which: Hypervisor, images: &Images, group: &Group, values: &mut Values) {
    let started = Instant::now();
    let label = format!("bench-{}-{}", group.rows[0], which.name());
    let session = Session::new(images, which, 1, &label);
    let done = (group.run)(&session, values);
    let seconds = started.elapsed().as_secs_f64();
    println!("{} on {}: {seconds:.1} s", group.rows.join(" "), which.name());
    let why = done.err().map_or("it was not reported".to_string(), |failure| {
        let words: Vec<String> =
            failure.to_string().split_whitespace().map(str::to_string).collect();
        words.join(" ").chars().take(REASON_CHARS).collect()
    });
    values.miss(group.rows, &why);
}

/// What the files need in memory.
fn sizes(which: Hypervisor, images: &Images, values: &mut Values) -> Result<()> {
    let hypervisor = images.hypervisor(which).map_err(|failure| failure.to_string())?;
    for (row, path) in [("image_hypervisor", hypervisor), ("image_dom0", &images.dom0)] {
        let file = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        match build::loadable_bytes(&file) {
            Some(bytes) => values.set(row, measure::real(bytes)),
            None => values.miss(&[row], "it is no ELF file"),
        }
    }
    Ok(())
}

/// Where README.md has the table.
const MARKS: [&str; 2] = [
    "<!-- bench system: written by `cargo xtask bench system --readme` -->\n",
    "<!-- end of bench system -->",
];

fn update_readme(paths: &Paths, report: &Report) -> Result<()> {
    let path = paths.root.join("README.md");
    let text = fs::read_to_string(&path).map_err(|error| format!("README.md: {error}"))?;
    let text = readme::replaced(&text, MARKS, &report.markdown())?;
    fs::write(&path, text).map_err(|error| format!("README.md: {error}"))
}

/// Writes the files beside the images.
fn write(paths: &Paths, report: &Report) -> Result<()> {
    let folder = paths.target.join("bench");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for (name, text) in [("system.csv", report.csv()), ("system.json", report.json())] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

fn judge(report: &Report) -> Result<()> {
    let missed = report.missed();
    match missed.is_empty() {
        true => Ok(()),
        false => Err(missed.join("; ")),
    }
}
