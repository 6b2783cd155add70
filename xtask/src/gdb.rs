//! `gdb`: the machine stands at its first instruction and a debugger is attached, with symbols.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use system_tests::qemu::{Hypervisor, Serial};

use crate::args::Args;
use crate::build::{self, Programs};
use crate::devices::free_port;
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
    options.devices.attach(&paths, &mut boot)?;
    boot.extra = vec!["-S".into(), "-gdb".into(), format!("tcp:127.0.0.1:{port}")];
    let commands = paths.images().join("gdb.commands");
    let text = debugger_commands(&built, port);
    fs::write(&commands, text).map_err(|error| format!("{}: {error}", commands.display()))?;
    let debugger = format!("gdb -q -x {} {}", commands.display(), built.zendo.display());
    if wait || sh::which("gdb").is_none() {
        println!("{}\n\nin another terminal:\n  {debugger}\n", boot.shell_line());
        return interact(&boot);
    }
    boot.serial = Serial::Pipe;
    let log = paths.images().join("gdb-serial.log");
    println!("{}\n\n{debugger}\nserial line: {}", boot.shell_line(), log.display());
    // The shell takes this program's place: `^C` is meant for gdb alone, and a shell can keep it
    // from itself and from what it starts in the background.
    let script = format!(
        "trap : INT; {} </dev/null >{} 2>&1 & machine=$!; {debugger}; kill $machine 2>/dev/null",
        boot.shell_line(),
        log.display()
    );
    Err(format!("sh did not start: {}", Command::new("sh").args(["-c", &script]).exec()))
}

/// What gdb is told: both symbol tables, and where the machine listens.
fn debugger_commands(built: &build::Built, port: u16) -> String {
    format!(
        "set confirm off\nadd-symbol-file {}\ntarget remote 127.0.0.1:{port}\n",
        built.dom0.display()
    )
}
