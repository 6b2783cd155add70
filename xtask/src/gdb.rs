//! `gdb`: the machine stands at its first instruction and a debugger is attached, with symbols.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use system_tests::qemu::{Hypervisor, Serial};

use crate::args::Args;
use crate::build::{self, Programs};
use crate::paths::Paths;
use crate::run::{interact, Options};
use crate::{setup, sh, Result};

/// The verb. With `--wait` (or without gdb) QEMU keeps this terminal, and the debugger's command
/// line is printed for another one.
pub fn run(args: &mut Args) -> Result<()> {
    let wait = args.flag("--wait");
    let options = Options::take(args)?;
    let programs = Programs::take(args);
    args.finish()?;
    let paths = Paths::find()?;
    setup::ensure_qemu()?;
    let built = build::build(&paths, programs)?;
    let port = free_port()?;
    let mut boot = options.boot(Hypervisor::Zendo, &built.zendo, &built);
    boot.extra = vec!["-S".into(), "-gdb".into(), format!("tcp:127.0.0.1:{port}")];
    let words = debugger_words(&built, port);
    if wait || sh::which("gdb").is_none() {
        println!("{}\n\nin another terminal:\n  gdb {}\n", boot.shell_line(), quoted(&words));
        return interact(&boot);
    }
    boot.serial = Serial::Pipe;
    let log = paths.images().join("gdb-serial.log");
    let file = std::fs::File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    println!("{}\n\ngdb {}\nserial line: {}", boot.shell_line(), quoted(&words), log.display());
    let mut command = boot.command();
    command.stdin(Stdio::null()).stdout(file).stderr(Stdio::inherit());
    let mut machine = command.spawn().map_err(|error| format!("QEMU did not start: {error}"))?;
    let debugged = sh::run(Command::new("gdb").args(&words));
    // Fails only when the machine has ended by itself.
    let _ = machine.kill();
    let _ = machine.wait();
    debugged
}

/// What gdb is told: both symbol tables, and where the machine listens.
fn debugger_words(built: &build::Built, port: u16) -> Vec<String> {
    let commands = [
        format!("add-symbol-file {}", built.dom0.display()),
        "set confirm off".to_string(),
        format!("target remote 127.0.0.1:{port}"),
    ];
    let mut words = vec!["-q".to_string(), built.zendo.display().to_string()];
    for command in commands {
        words.extend(["-ex".to_string(), command]);
    }
    words
}

fn quoted(words: &[String]) -> String {
    let quote = |word: &String| match word.contains(' ') {
        true => format!("'{word}'"),
        false => word.clone(),
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// A port nobody listens at. Another program may take it before QEMU does; QEMU then says so.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}
