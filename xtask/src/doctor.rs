//! `doctor`: what this machine has, lacks, and now got.

use std::process::Command;

use crate::args::Args;
use crate::paths::{Paths, BARE_TARGET};
use crate::sh::{capture_text, which};
use crate::{setup, toolchain, xen_package, Result};

/// What every build and run needs; each installs what it lacks.
fn needed() -> Vec<(&'static str, Result<String>)> {
    let host = capture_text(Command::new("rustc").arg("--version"));
    let target = toolchain::find().map(|found| format!("{BARE_TARGET} by {}", found.describe()));
    let qemu = setup::ensure_qemu().and_then(|()| setup::qemu_version());
    let devices = setup::ensure_qemu().and_then(|()| debug_exit());
    vec![
        ("host compiler", host.map(|text| text.trim().to_string())),
        ("bare target", target),
        ("QEMU", qemu),
        ("debug-exit device", devices),
    ]
}

/// What single verbs want; its absence is no error here.
fn wished(paths: &Paths) -> Vec<(&'static str, Result<String>)> {
    let gdb = which("gdb").map(|path| path.display().to_string());
    vec![
        ("gdb (for `gdb`)", gdb.ok_or("missing; apt-get install gdb".to_string())),
        ("Xen 4.17 (for `xen`)", xen_package::ensure(paths).map(|p| p.display().to_string())),
        (
            "Xen headers (for the ABI test)",
            setup::ensure_abi_headers().map(|()| "/usr/include/xen".to_string()),
        ),
    ]
}

/// Prints the state of the machine; fails if something needed is missing.
pub fn run(args: &mut Args) -> Result<()> {
    args.finish()?;
    let paths = Paths::find()?;
    let needed = needed();
    let missing = needed.iter().filter(|(_, state)| state.is_err()).count();
    print_rows(&needed, "MISSING");
    print_rows(&wished(&paths), "absent");
    match missing {
        0 => {
            println!("doctor: ready; `cargo xtask run` boots Zendo");
            Ok(())
        }
        count => Err(format!("{count} of the needed things above are missing")),
    }
}

fn print_rows(rows: &[(&str, Result<String>)], bad: &str) {
    for (name, state) in rows {
        match state {
            Ok(text) => println!("{name:<31} ok       {text}"),
            Err(text) => println!("{name:<31} {bad:<8} {text}"),
        }
    }
}

/// The device through which a test machine says why it ended.
fn debug_exit() -> Result<String> {
    let mut command = Command::new(system_tests::qemu::QEMU);
    let devices = capture_text(command.args(["-device", "help"]))?;
    match devices.contains("isa-debug-exit") {
        true => Ok("isa-debug-exit".to_string()),
        false => Err("this QEMU was built without isa-debug-exit".to_string()),
    }
}
