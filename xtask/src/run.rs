//! `run`: Zendo (or Xen) in QEMU, with dom0's shell on this terminal.
//!
//! QEMU reads the keyboard itself, in raw mode, so that `^C` and `^]` reach dom0. Its output passes
//! through this program, which notices when nothing comes and then says what to check.

use std::io::{self, IsTerminal, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use system_tests::devices::WEB_IP;
use system_tests::qemu::{Boot, Hypervisor, Module, Serial};
use system_tests::session::DOM0_MIB;

use zl_host::offer::Offer;

use crate::args::Args;
use crate::build::{self, Built, Programs};
use crate::devices::{Devices, Ports};
use crate::paths::Paths;
use crate::{native, setup, sh, xen_package, Result};

/// `Ctrl-X`: little used by line editors, free in dom0's shell, and not the `^]` of `zl console`.
pub const ESCAPE: u8 = 0x18;

/// After this much silence since the start a person wants to be told something.
const SILENCE: Duration = Duration::from_secs(10);

/// What can be chosen about a boot.
#[derive(Clone, Debug)]
pub struct Options {
    /// CPUs.
    pub cpus: u32,
    /// Memory of the machine.
    pub memory_mib: u32,
    /// More words for the hypervisor.
    pub hypervisor_words: String,
    /// Words for dom0.
    pub dom0_words: String,
    /// Count instructions.
    pub icount: bool,
    /// Disks and network cards.
    pub devices: Devices,
}

impl Options {
    /// Takes the options from the command line.
    pub fn take(args: &mut Args) -> Result<Options> {
        Ok(Options {
            cpus: args.number("--smp", 2, 1, 64)?,
            memory_mib: args.number("--mem", 1024, 128, 1 << 20)?,
            hypervisor_words: args.value("--cmdline")?.unwrap_or_default(),
            dom0_words: args.value("--dom0-cmdline")?.unwrap_or_default(),
            icount: args.flag("--icount"),
            devices: Devices::take(args)?,
        })
    }

    /// The boot they describe, still without its devices.
    pub fn boot(&self, which: Hypervisor, kernel: &std::path::Path, built: &Built) -> Boot {
        let words = format!("{} {}", which.arguments(DOM0_MIB), self.hypervisor_words);
        let mut boot = Boot::new(kernel, words.trim_end());
        boot.modules =
            vec![Module::new(&built.dom0, &self.dom0_words), Module::new(&built.archive, "")];
        (boot.cpus, boot.memory_mib, boot.icount) = (self.cpus, self.memory_mib, self.icount);
        boot.serial = Serial::Terminal { escape: ESCAPE };
        boot
    }
}

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    match args.flag("--native") {
        true => native::run(args),
        false => run_on(Hypervisor::Zendo, args),
    }
}

/// Boots with either hypervisor.
pub fn run_on(which: Hypervisor, args: &mut Args) -> Result<()> {
    let options = Options::take(args)?;
    let programs = Programs::take(args);
    args.finish()?;
    let paths = Paths::find()?;
    setup::ensure_qemu()?;
    let built = build::build(&paths, programs)?;
    let kernel = match which {
        Hypervisor::Zendo => built.zendo.clone(),
        Hypervisor::Xen => xen_package::ensure(&paths)?,
    };
    let mut boot = options.boot(which, &kernel, &built);
    let ports = options.devices.attach(&paths, &mut boot)?;
    let _offer = offer(&paths, &mut boot, ports)?;
    announce(&boot, ports);
    interact(&boot)
}

/// Lets `zl` find a machine that has a network for it.
pub fn offer(paths: &Paths, boot: &mut Boot, ports: Option<Ports>) -> Result<Option<Offer>> {
    let (Some(ports), Some(archive)) = (ports, boot.modules.get_mut(1)) else { return Ok(None) };
    let offer = Offer::make(&paths.runs(), &archive.file, ports.management)
        .map_err(|error| format!("{}: {error}", paths.runs().display()))?;
    archive.file = offer.archive().to_path_buf();
    Ok(Some(offer))
}

/// Says what is run, where its networks are reached and how to get out of it.
pub fn announce(boot: &Boot, ports: Option<Ports>) {
    println!("{}\n", boot.shell_line());
    if let Some(Ports { web, .. }) = ports {
        println!("web:   http://127.0.0.1:{web}/ leads to port 80 of {WEB_IP}, a guest's address");
        println!("zl:    in another terminal, `cargo xtask zl -- list` and every other verb");
    }
    println!("leave: type `poweroff` at dom0's prompt, or press Ctrl-X and then x");
    println!("more:  `help` at the prompt; Ctrl-] leaves a domain's console;");
    println!("       Ctrl-X c is QEMU's own monitor and back, Ctrl-X Ctrl-X sends one Ctrl-X\n");
}

/// Runs QEMU on this terminal until it ends.
pub fn interact(boot: &Boot) -> Result<()> {
    let mut command = boot.command();
    command.stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(|error| format!("QEMU did not start: {error}"))?;
    let passed = pass_on(&mut child, boot);
    let status = child.wait().map_err(|error| format!("QEMU: {error}"))?;
    restore_terminal();
    passed?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("QEMU ended with {status}")),
    }
}

/// Copies QEMU's output to ours until it ends; speaks up once if there is none.
fn pass_on(child: &mut Child, boot: &Boot) -> Result<()> {
    let mut stdout = child.stdout.take().ok_or("QEMU's output is not a pipe")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = stdout.read(&mut chunk) {
            if sender.send(chunk.get(..count).unwrap_or_default().to_vec()).is_err() {
                return;
            }
        }
    });
    let mut patience = Some(SILENCE);
    let mut terminal = io::stdout();
    loop {
        let received = match patience {
            Some(limit) => receiver.recv_timeout(limit),
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(bytes) => {
                patience = None;
                let written = terminal.write_all(&bytes).and_then(|()| terminal.flush());
                written.map_err(|error| format!("this terminal: {error}"))?;
            }
            Err(RecvTimeoutError::Timeout) => {
                patience = None;
                eprint!("{}", advice(boot).replace('\n', "\r\n"));
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// What to check when a machine stays silent.
fn advice(boot: &Boot) -> String {
    format!(
        "\nxtask: nothing was printed for {} s. To check:\n\
         - is the host very busy? Ctrl-X c, then `info registers`: does RIP change?\n\
         - was the hypervisor entered? `info registers` shows CR3 and RIP; RIP below 0x100000\n\
         \x20 means that the firmware still runs, so {} was not loaded\n\
         - `cargo xtask doctor` checks QEMU; `cargo xtask gdb` stops at the first instruction\n\
         - leave with Ctrl-X x\n",
        SILENCE.as_secs(),
        boot.kernel.display()
    )
}

/// Gives the terminal back as it should be, even where QEMU was killed and could not.
fn restore_terminal() {
    if io::stdin().is_terminal() && sh::which("stty").is_some() {
        // A terminal that refuses is left as it is: there is nobody to tell.
        let _ = Command::new("stty").arg("sane").status();
    }
}
