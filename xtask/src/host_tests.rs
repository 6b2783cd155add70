//! The host's tests: those that need no machine, and what their random numbers follow from.
//!
//! The property tests draw random histories. A change is judged with numbers that follow from the tree
//! itself: the same tree passes or fails everywhere, and each new tree tries others. By hand every run is
//! another one. The seed is always printed, and the variable of that name repeats a run.

use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::paths::Paths;
use crate::{setup, sh, test, Result};

/// The variable from which proptest takes its seed.
const SEED: &str = "PROPTEST_RNG_SEED";

/// Programs of the bare machine: their crates have no tests a host could run.
const BARE_ONLY: &[&str] = &["dom0", "test-guests"];

/// Where the tests under loom are.
const LOOM_CRATE: &str = "hv-core";
const LOOM_TESTS: &str = "hypervisor/core/tests";

/// What the random numbers of the property tests follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// Another one each time, or what the variable says.
    pub fn fresh() -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::given().unwrap_or(Self(clock.map_or(0, |time| time.as_nanos() as u64)))
    }

    /// That of the tree which is checked out, or what the variable says.
    pub fn of_tree(paths: &Paths) -> Self {
        let mut git = Command::new("git");
        git.current_dir(&paths.root).args(["rev-parse", "HEAD^{tree}"]);
        let name = sh::capture_text(&mut git).unwrap_or_default();
        Self::given().unwrap_or(Self::of_name(name.trim()))
    }

    fn given() -> Option<Self> {
        std::env::var(SEED).ok()?.parse().ok().map(Self)
    }

    /// The first 16 digits of a tree's name; 1 where there is no repository.
    fn of_name(name: &str) -> Self {
        Self(name.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(1))
    }
}

/// Tests that need no machine.
pub fn run(paths: &Paths, filter: &str, seed: Seed) -> Result<()> {
    if let Err(text) = setup::ensure_abi_headers() {
        println!("xtask: the ABI layout test will be skipped: {text}");
    }
    once(paths, filter, seed)?;
    loom(paths)
}

/// The same with a new seed each time, until the time is over; fails with the first failure.
pub fn repeat(paths: &Paths, filter: &str, end: Instant) -> Result<()> {
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < end {
        once(paths, filter, Seed::fresh())?;
        rounds += 1;
    }
    println!("random: {rounds} rounds without a failure");
    Ok(())
}

fn once(paths: &Paths, filter: &str, seed: Seed) -> Result<()> {
    println!("xtask: the random numbers of the tests follow from {SEED}={}", seed.0);
    let mut command = test::cargo(paths);
    command.args(["test", "--workspace", "--quiet"]).env(SEED, seed.0.to_string());
    for package in BARE_ONLY {
        command.args(["--exclude", package]);
    }
    if !filter.is_empty() {
        command.arg(filter);
    }
    sh::run_telling(&mut command, tells_why)
}

/// Lines of cargo's and of the tests' output that say which test failed, and how it is repeated.
fn tells_why(line: &str) -> bool {
    let line = line.trim_start();
    [
        "---- ",
        "thread '",
        "minimal failing",
        "assertion",
        "left: ",
        "right: ",
        "test result: FAILED",
    ]
    .iter()
    .any(|start| line.starts_with(start))
}

/// The tests that try all interleavings, in a build of their own.
fn loom(paths: &Paths) -> Result<()> {
    let names = loom_tests(&paths.root.join(LOOM_TESTS));
    if names.is_empty() {
        return Ok(());
    }
    let mut command = test::cargo(paths);
    command.args(["test", "--release", "--quiet", "--package", LOOM_CRATE]);
    for name in &names {
        command.args(["--test", name]);
    }
    command.env("RUSTFLAGS", "--cfg loom");
    // The link-time optimisation of the images would cost more time here than it saves.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off");
    command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    command.env("CARGO_TARGET_DIR", paths.target.join("loom"));
    sh::run_telling(&mut command, tells_why)
}

/// The names of the test files that are made for loom.
fn loom_tests(folder: &Path) -> Vec<String> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let stem = |path: std::path::PathBuf| Some(path.file_stem()?.to_string_lossy().into_owned());
    let names = entries.flatten().filter_map(|entry| stem(entry.path()));
    let mut names: Vec<String> = names.filter(|name| name.starts_with("loom")).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_one_seed() {
        let name = "00000000000000ff4242424242424242424242aa";
        assert_eq!(Seed::of_name(name), Seed(255));
        assert_eq!(Seed::of_name(""), Seed(1));
        assert_eq!(Seed::of_name("no tree of any repository"), Seed(1));
    }
}
