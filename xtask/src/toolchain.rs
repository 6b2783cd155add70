//! Three ways to the bare target, one set of flags.
//!
//! In order: a rustup toolchain that has the target; `rustup target add`, where it can download;
//! Debian's `rustc-web` with its matching library source, from which `core` and `alloc` are built.
//! `ZENDO_TOOLCHAIN=rustup` or `=debian` picks a way by hand.
//!
//! The flags are the same in each: position-independent code linked at a fixed address far from the
//! addresses the other code models assume. The code model stays the target's own: the ready-made
//! `core` of rustup was built with it, and the two cannot be mixed in one link.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::paths::{Paths, BARE_TARGET};
use crate::sh::{capture_text, succeeds_within, which};
use crate::{setup, Result};

/// Flags of every bare build.
const FLAGS: &[&str] = &[
    "-Crelocation-model=pic",
    "-Cforce-frame-pointers=no",
    "-Clink-arg=--no-pie",
    "-Clink-arg=-zmax-page-size=4096",
];

/// What Debian's linker needs beside them; rustup brings its own.
const DEBIAN_LINKER_FLAGS: &[&str] = &["-Clinker=ld.lld", "-Clinker-flavor=ld.lld"];

/// The packages of the third way.
const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// A download that takes longer counts as impossible.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(120);

/// How bare programs are compiled here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The toolchain in use has the target.
    Rustup,
    /// Debian's compiler with the library built from source.
    Debian,
}

impl Toolchain {
    /// One line for a person.
    pub fn describe(self) -> &'static str {
        match self {
            Toolchain::Rustup => "the rustup toolchain in use, with its own library",
            Toolchain::Debian => "Debian's rustc-web, with the library built from rust-web-src",
        }
    }

    /// The release of the compiler, as `1.95.0`. Another one makes other instructions.
    pub fn release(self) -> Result<String> {
        let rustc = match self {
            Toolchain::Rustup => env::var("RUSTC").unwrap_or("rustc".into()),
            Toolchain::Debian => DEBIAN_RUSTC.to_string(),
        };
        let text = capture_text(Command::new(&rustc).arg("--version"))?;
        let release = text.split_whitespace().nth(1).map(str::to_string);
        release.ok_or(format!("`{rustc} --version` printed '{}'", text.trim()))
    }

    /// A `cargo build` for the bare target; the caller adds what to build.
    pub fn cargo_build(self, paths: &Paths) -> Command {
        self.cargo_build_as(paths, "release")
    }

    /// The same with a profile of cargo.
    pub fn cargo_build_as(self, paths: &Paths, profile: &str) -> Command {
        let mut command = match self {
            Toolchain::Rustup => Command::new(env::var("CARGO").unwrap_or("cargo".into())),
            Toolchain::Debian => Command::new(DEBIAN_CARGO),
        };
        let mut flags = FLAGS.to_vec();
        command.current_dir(&paths.root).args(["build", "--profile", profile]);
        command.args(["--target", BARE_TARGET]);
        if self == Toolchain::Debian {
            // The variable allows the unstable `-Z` of this one step; the code itself is stable Rust.
            command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
            command.arg("-Zbuild-std=core,alloc,compiler_builtins");
            command.arg("-Zbuild-std-features=compiler-builtins-mem");
            flags.extend(DEBIAN_LINKER_FLAGS);
        }
        // These would hide the flags of the target.
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        command.env("CARGO_TARGET_X86_64_UNKNOWN_NONE_RUSTFLAGS", flags.join(" "));
        command.env("CARGO_TARGET_DIR", paths.bare_target());
        command
    }
}

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";

/// As `rust-version` in the workspace says.
const OLDEST_RUSTC: (u32, u32) = (1, 85);

/// Finds a way to the target, installing what it needs.
pub fn find() -> Result<Toolchain> {
    let wanted = env::var("ZENDO_TOOLCHAIN").unwrap_or_default();
    match wanted.as_str() {
        "" => {}
        "rustup" if rustup_has_target() || rustup_adds_target() => return Ok(Toolchain::Rustup),
        "rustup" => return Err("ZENDO_TOOLCHAIN=rustup, but rustup cannot get the target".into()),
        "debian" => return debian_ready().map(|()| Toolchain::Debian),
        other => return Err(format!("ZENDO_TOOLCHAIN is rustup or debian, not '{other}'")),
    }
    if rustup_has_target() {
        return Ok(Toolchain::Rustup);
    }
    // Debian's packages, once there, are quicker than asking a network that may not answer.
    if debian_missing().is_empty() || !rustup_adds_target() {
        debian_ready().map_err(|text| {
            format!(
                "no way to the target {BARE_TARGET}: `rustup target add {BARE_TARGET}`, or {text}"
            )
        })?;
        return Ok(Toolchain::Debian);
    }
    Ok(Toolchain::Rustup)
}

/// Looks for the target's library in the toolchain that is in use.
fn rustup_has_target() -> bool {
    let rustc = env::var("RUSTC").unwrap_or("rustc".into());
    let sysroot = capture_text(Command::new(rustc).args(["--print", "sysroot"]));
    sysroot.is_ok_and(|sysroot| {
        let library = Path::new(sysroot.trim()).join("lib/rustlib").join(BARE_TARGET).join("lib");
        library.is_dir()
    })
}

/// Asks rustup to download the target; false if it cannot, or takes too long.
fn rustup_adds_target() -> bool {
    if which("rustup").is_none() {
        return false;
    }
    println!("xtask: rustup target add {BARE_TARGET}");
    let mut command = Command::new("rustup");
    command.args(["target", "add", BARE_TARGET]);
    succeeds_within(&mut command, DOWNLOAD_LIMIT) && rustup_has_target()
}

/// What the third way still lacks.
fn debian_missing() -> Vec<&'static str> {
    let present = |package: &str| match package {
        "rustc-web" => debian_version().is_some_and(|version| version >= OLDEST_RUSTC),
        "cargo-web" => Path::new(DEBIAN_CARGO).is_file(),
        "rust-web-src" => Path::new(DEBIAN_SOURCE).is_file(),
        program => which(&format!("ld.{program}")).is_some(),
    };
    DEBIAN_PACKAGES.iter().copied().filter(|package| !present(package)).collect()
}

/// The version of the compiler in Debian's place: it may be Debian's own old one.
fn debian_version() -> Option<(u32, u32)> {
    let text = capture_text(Command::new(DEBIAN_RUSTC).arg("--version")).ok()?;
    read_version(&text)
}

/// Reads `rustc 1.96.0 (...)`.
fn read_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(1)?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Installs what the third way lacks.
fn debian_ready() -> Result<()> {
    match debian_missing().as_slice() {
        [] => Ok(()),
        missing => setup::install(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compilers_version_is_read_from_its_first_line() {
        assert_eq!(read_version("rustc 1.96.0 (1234 2026-05-01)"), Some((1, 96)));
        assert_eq!(read_version("rustc 1.63.0"), Some((1, 63)));
        assert_eq!(read_version("no compiler"), None);
    }
}
