//! The QEMU command line, as data.
//!
//! One shape boots either hypervisor: `-kernel <hypervisor> -append "<its words>" -initrd
//! "<dom0 image> <its words>,<further module>"`. `xtask run` prints the line and the test harness
//! runs it, so what a person is told is what the tests do.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::devices::{self, Disk, Nic};

/// The program that is run.
pub const QEMU: &str = "qemu-system-x86_64";

/// The port at which Zendo's `exit=debug` reports why it ended; see [`crate::exit_code`].
const DEBUG_EXIT_DEVICE: &str = "isa-debug-exit,iobase=0xf4,iosize=4";

/// Which of the two hypervisors a boot line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hypervisor {
    /// Ours.
    Zendo,
    /// Debian's Xen 4.17, the referee.
    Xen,
}

impl Hypervisor {
    /// The name as printed in reports and used in file names.
    pub fn name(self) -> &'static str {
        match self {
            Hypervisor::Zendo => "zendo",
            Hypervisor::Xen => "xen",
        }
    }

    /// The words on the hypervisor's own command line that every boot has.
    pub fn arguments(self, dom0_mib: u32) -> String {
        match self {
            Hypervisor::Zendo => format!("console=com1 dom0_mem={dom0_mib}M"),
            // `noreboot`: after a crash of dom0 Xen must stand still instead of booting again.
            Hypervisor::Xen => {
                format!("console=com1 com1=115200,8n1 dom0=pv dom0_mem={dom0_mib}M noreboot")
            }
        }
    }
}

/// A file handed to the hypervisor at boot, with the words that go with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The file.
    pub file: PathBuf,
    /// Its command line.
    pub arguments: String,
}

impl Module {
    /// A module with its command line.
    pub fn new(file: &Path, arguments: &str) -> Module {
        Module { file: file.to_path_buf(), arguments: arguments.to_string() }
    }
}

/// Where the serial line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serial {
    /// To the pipes of the harness; no monitor.
    Pipe,
    /// To the terminal, shared with QEMU's monitor behind this control character.
    Terminal {
        /// The character that starts a QEMU command.
        escape: u8,
    },
}

/// One boot: everything that decides what the machine does.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The hypervisor's file.
    pub kernel: PathBuf,
    /// The hypervisor's command line.
    pub arguments: String,
    /// The dom0 image first, then what it is given.
    pub modules: Vec<Module>,
    /// RAM of the machine.
    pub memory_mib: u32,
    /// CPUs of the machine.
    pub cpus: u32,
    /// Count instructions: one CPU thread, one nanosecond for each instruction.
    pub icount: bool,
    /// Where the serial line goes.
    pub serial: Serial,
    /// Disks on the PCI bus, in the order in which dom0 finds them.
    pub disks: Vec<Disk>,
    /// Network cards on the PCI bus, likewise.
    pub nics: Vec<Nic>,
    /// Further QEMU words, as for a debugger.
    pub extra: Vec<String>,
}

impl Boot {
    /// A boot of 1 GiB and one CPU whose serial line is piped.
    pub fn new(kernel: &Path, arguments: &str) -> Boot {
        Boot {
            kernel: kernel.to_path_buf(),
            arguments: arguments.to_string(),
            modules: Vec::new(),
            memory_mib: 1024,
            cpus: 1,
            icount: false,
            serial: Serial::Pipe,
            disks: Vec::new(),
            nics: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// The words after the program's name.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut add = |list: &[&str]| words.extend(list.iter().map(|word| word.to_string()));
        // TCG even where KVM exists: counts and behaviour must not depend on the host.
        add(&["-accel", "tcg", "-cpu", "max"]);
        add(&["-m", &self.memory_mib.to_string(), "-smp", &self.cpus.to_string()]);
        add(&["-nodefaults", "-display", "none", "-no-reboot"]);
        add(&["-device", DEBUG_EXIT_DEVICE]);
        match self.serial {
            Serial::Pipe => add(&["-monitor", "none", "-serial", "stdio"]),
            Serial::Terminal { escape } => {
                add(&["-serial", "mon:stdio", "-echr", &format!("{escape:#x}")]);
            }
        }
        if self.icount {
            add(&["-icount", "shift=0,sleep=off"]);
        }
        add(&["-kernel", &self.kernel.display().to_string(), "-append", &self.arguments]);
        if !self.modules.is_empty() {
            add(&["-initrd", &self.initrd()]);
        }
        words.extend(devices::words(&self.disks, &self.nics));
        words.extend(self.extra.iter().cloned());
        words
    }

    /// The value of `-initrd`: modules between commas, a comma inside one written twice.
    fn initrd(&self) -> String {
        let one = |module: &Module| {
            let text = format!("{} {}", module.file.display(), module.arguments);
            text.trim_end().replace(',', ",,")
        };
        self.modules.iter().map(one).collect::<Vec<_>>().join(",")
    }

    /// The whole line as a person would type it.
    pub fn shell_line(&self) -> String {
        let quoted = self.words().into_iter().map(|word| quote(&word));
        std::iter::once(QEMU.to_string()).chain(quoted).collect::<Vec<_>>().join(" ")
    }

    /// The command, ready to be given its pipes.
    pub fn command(&self) -> Command {
        let mut command = Command::new(QEMU);
        command.args(self.words());
        command
    }
}

/// Quotes a word for a shell where it needs that.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_separated_by_commas_and_their_own_commas_doubled() {
        let mut boot = Boot::new(Path::new("hv"), "a");
        boot.modules.push(Module::new(Path::new("dom0"), "x=1,2"));
        boot.modules.push(Module::new(Path::new("boot.cpio"), ""));
        assert_eq!(boot.initrd(), "dom0 x=1,,2,boot.cpio");
    }

    #[test]
    fn the_printed_line_can_be_pasted_into_a_shell() {
        let boot = Boot::new(Path::new("hv"), "con=com1 it's");
        let line = boot.shell_line();
        assert!(line.starts_with("qemu-system-x86_64 -accel tcg "), "{line}");
        assert!(line.ends_with(r"-kernel hv -append 'con=com1 it'\''s'"), "{line}");
    }

    #[test]
    fn counting_instructions_is_asked_for_only_when_wanted() {
        let mut boot = Boot::new(Path::new("hv"), "");
        assert!(!boot.words().contains(&"-icount".to_string()));
        boot.icount = true;
        assert!(boot.words().contains(&"shift=0,sleep=off".to_string()));
    }
}
