//! `ci`: everything that must hold before a change is taken, as one table.
//!
//! A laptop can run it as well as a server. Every step is tried even where an earlier one failed,
//! except that nothing can be booted when nothing could be built. A step that failed is tried again:
//! [`system_tests::summary`] says what becomes of one that works then.

use std::time::Instant;

use system_tests::cases::{self, Selection};
use system_tests::qemu::Hypervisor;
use system_tests::session::Images;
use system_tests::summary::{Outcome, Summary};

use crate::args::Args;
use crate::build::Programs;
use crate::host_tests::{self, Seed};
use crate::paths::{Paths, BARE_TARGET};
use crate::toolchain::{self, Toolchain};
use crate::{bench, bench_kernel, bench_system, demo, linux, setup, sh, test, tidy, Result};

/// Crates whose code is mostly compiled for the bare target only.
const BARE_CRATES: &[&str] =
    &["zendo", "hv-machine", "pvkernel-xen", "dom0", "test-guests", "appliances"];

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    args.finish()?;
    let paths = Paths::find()?;
    let started = Instant::now();
    let mut summary = Summary::default();
    step(&mut summary, "format", || format(&paths));
    step(&mut summary, "clippy, host", || clippy_host(&paths));
    step(&mut summary, "tidy", || tidy_tree(&paths));
    step(&mut summary, "headers for the ABI layout test", headers);
    step(&mut summary, "host tests", || passed(host_tests::run(&paths, "", Seed::of_tree(&paths))));
    step(&mut summary, "clippy, bare", || clippy_bare(&paths));
    let both = [Hypervisor::Zendo, Hypervisor::Xen];
    let mut images = None;
    step(&mut summary, "build", || {
        let prepared = test::prepare(&paths, &both, Programs::UpToDate);
        passed(prepared.map(|found| images = Some(found)))
    });
    match &images {
        Some(images) => machines(&mut summary, &paths, images),
        None => {
            let why = Outcome::Skipped("nothing was built".to_string());
            summary.add("system tests, bench and demo", why, started.elapsed());
        }
    }
    println!("\n{}", summary.table());
    println!("{:.0} s in all", started.elapsed().as_secs_f64());
    print!("{}", summary.complaints());
    println!("{}", summary.closing_line());
    match summary.passed() {
        true => Ok(()),
        false => Err("not everything passed".to_string()),
    }
}

/// What needs a booted machine.
fn machines(summary: &mut Summary, paths: &Paths, images: &Images) {
    println!("\n== system tests");
    let everything = Selection { tries_again: true, ..Selection::default() };
    summary.append(cases::run(images, &everything));
    step(summary, "bench", || match bench::guard(paths, images) {
        Ok(line) => Outcome::Passed(line),
        Err(text) => Outcome::Failed(text),
    });
    step(summary, "bench system", || match bench_system::guard(images) {
        Ok(line) => Outcome::Passed(line),
        Err(text) => Outcome::Failed(text),
    });
    step(summary, "bench kernel", || match (&images.xen, bench_kernel::guard(paths, images)) {
        (None, _) => Outcome::Skipped("there is no Xen to compare with".to_string()),
        (Some(_), Ok(line)) => Outcome::Passed(line),
        (Some(_), Err(text)) => Outcome::Failed(text),
    });
    step(summary, "a Linux guest", || linux::guard(paths, images));
    step(summary, "demo", || passed(demo::tell_on(images, demo::CPUS)));
}

/// Runs one step, again where it failed, and prints how it ended.
fn step(summary: &mut Summary, name: &str, mut run: impl FnMut() -> Outcome) {
    println!("\n== {name}");
    let started = Instant::now();
    let mut outcome = run();
    if let Outcome::Failed(text) = &outcome {
        println!("{name}: FAILED: {text}\n{name}: once more, and again");
        outcome = outcome.or_again(run);
    }
    match &outcome {
        Outcome::Passed(detail) => println!("{name}: ok {detail}"),
        Outcome::Unsteady(text) => println!("{name}: unsteady: {text}"),
        Outcome::Failed(text) => println!("{name}: FAILED: {text}"),
        Outcome::Skipped(why) => println!("{name}: skipped: {why}"),
    }
    summary.add(name, outcome, started.elapsed());
}

fn passed<T>(result: Result<T>) -> Outcome {
    match result {
        Ok(_) => Outcome::Passed(String::new()),
        Err(text) => Outcome::Failed(text),
    }
}

fn format(paths: &Paths) -> Outcome {
    if let Err(why) = component("rustfmt", "cargo-fmt") {
        return Outcome::Skipped(why);
    }
    let mut command = test::cargo(paths);
    passed(sh::run(command.args(["fmt", "--all", "--check"])))
}

fn clippy_host(paths: &Paths) -> Outcome {
    if let Err(why) = component("clippy", "cargo-clippy") {
        return Outcome::Skipped(why);
    }
    let mut command = test::cargo(paths);
    command.args(["clippy", "--workspace", "--all-targets", "--quiet", "--keep-going"]);
    passed(sh::run(command.args(["--", "-D", "warnings"])))
}

/// The same for what is compiled for the bare target only; that needs clippy's own toolchain to
/// have the target.
fn clippy_bare(paths: &Paths) -> Outcome {
    match (component("clippy", "cargo-clippy"), toolchain::find()) {
        (Ok(()), Ok(Toolchain::Rustup)) => {}
        (Err(why), _) | (_, Err(why)) => return Outcome::Skipped(why),
        (Ok(()), Ok(Toolchain::Debian)) => {
            return Outcome::Skipped(format!("clippy's toolchain lacks {BARE_TARGET}"));
        }
    }
    let mut command = test::cargo(paths);
    command.args(["clippy", "--quiet", "--keep-going", "--target", BARE_TARGET]);
    for package in BARE_CRATES {
        command.args(["--package", package]);
    }
    command.env("CARGO_TARGET_DIR", paths.bare_target());
    passed(sh::run(command.args(["--", "-D", "warnings"])))
}

/// Makes sure that a component of the toolchain is there.
fn component(name: &str, program: &str) -> Result<()> {
    if sh::which(program).is_some() && works(name) {
        return Ok(());
    }
    let mut command = std::process::Command::new("rustup");
    command.args(["component", "add", name]);
    let added = sh::which("rustup").is_some() && sh::succeeds_within(&mut command, DOWNLOAD_LIMIT);
    match added && works(name) {
        true => Ok(()),
        false => Err(format!("{name} is missing and could not be added")),
    }
}

const DOWNLOAD_LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

/// rustup's stand-ins exist even for components that are not installed: ask the program itself.
fn works(name: &str) -> bool {
    let verb = if name == "rustfmt" { "fmt" } else { name };
    let cargo = std::env::var("CARGO").unwrap_or("cargo".into());
    sh::capture(std::process::Command::new(cargo).args([verb, "--version"])).is_ok()
}

fn tidy_tree(paths: &Paths) -> Outcome {
    match tidy::check(paths) {
        Err(text) => Outcome::Failed(text),
        Ok(problems) if problems.is_empty() => Outcome::Passed(String::new()),
        Ok(problems) => Outcome::Failed(problems.join("\n")),
    }
}

fn headers() -> Outcome {
    match setup::ensure_abi_headers() {
        Ok(()) => Outcome::Passed(String::new()),
        Err(why) => Outcome::Skipped(why),
    }
}
