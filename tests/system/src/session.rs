//! What a system test is given: the files, and machines that leave a transcript when it fails.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::machine::{Failure, Machine};
use crate::qemu::{Boot, Hypervisor, Module};

/// Files that were built before the tests run.
#[derive(Clone, Debug)]
pub struct Images {
    /// Our hypervisor.
    pub zendo: PathBuf,
    /// Xen 4.17, where it could be had.
    pub xen: Option<PathBuf>,
    /// The dom0 image.
    pub dom0: PathBuf,
    /// The boot archive with everything the tests create domains from.
    pub archive: PathBuf,
    /// The folder of the guest images.
    pub guests: PathBuf,
    /// The archive of the teaching kernel's programs.
    pub programs: PathBuf,
    /// Where transcripts of failed tests go.
    pub transcripts: PathBuf,
}

impl Images {
    /// The file of a hypervisor.
    ///
    /// # Errors
    /// When it is Xen and Xen could not be had.
    pub fn hypervisor(&self, which: Hypervisor) -> Result<&Path, Failure> {
        match which {
            Hypervisor::Zendo => Ok(&self.zendo),
            Hypervisor::Xen => {
                self.xen.as_deref().ok_or(Failure("Xen 4.17 could not be had".into()))
            }
        }
    }

    /// A boot of dom0 with its archive, with `words` on dom0's command line.
    ///
    /// # Errors
    /// As [`Images::hypervisor`].
    pub fn dom0_boot(&self, which: Hypervisor, words: &str) -> Result<Boot, Failure> {
        let mut boot = self.test_boot(which)?;
        boot.modules = vec![Module::new(&self.dom0, words), Module::new(&self.archive, "")];
        Ok(boot)
    }

    /// A boot of dom0 as a person has it, with the archive of `cargo xtask run`, which lies beside that of
    /// the tests.
    ///
    /// # Errors
    /// As [`Images::hypervisor`].
    pub fn usual_boot(&self, which: Hypervisor) -> Result<Boot, Failure> {
        let mut boot = self.test_boot(which)?;
        let archive = self.archive.with_file_name("boot.cpio");
        boot.modules = vec![Module::new(&self.dom0, ""), Module::new(&archive, "")];
        Ok(boot)
    }

    /// A boot without modules, which reports the reason of its end where it can.
    fn test_boot(&self, which: Hypervisor) -> Result<Boot, Failure> {
        let mut arguments = which.arguments(DOM0_MIB);
        if which == Hypervisor::Zendo {
            arguments.push_str(" exit=debug");
        }
        Ok(Boot::new(self.hypervisor(which)?, &arguments))
    }

    /// A boot with the guest called `name` in dom0's place.
    ///
    /// # Errors
    /// As [`Images::hypervisor`].
    pub fn guest_boot(&self, which: Hypervisor, name: &str, words: &str) -> Result<Boot, Failure> {
        let mut boot = self.test_boot(which)?;
        boot.modules = vec![Module::new(&self.guests.join(name), words)];
        Ok(boot)
    }
}

/// Memory of dom0 in every boot.
pub const DOM0_MIB: u32 = 32;

/// One run of one test.
pub struct Session<'a> {
    /// The files.
    pub images: &'a Images,
    /// The hypervisor under test.
    pub hypervisor: Hypervisor,
    /// CPUs of the machine.
    pub cpus: u32,
    /// Whether what is repeated is repeated many more times.
    pub is_soak: bool,
    label: String,
    transcripts: RefCell<Vec<PathBuf>>,
    notes: RefCell<Vec<String>>,
}

impl<'a> Session<'a> {
    /// A run called `label`, which also names its transcripts.
    pub fn new(images: &'a Images, hypervisor: Hypervisor, cpus: u32, label: &str) -> Session<'a> {
        let label = label.to_string();
        let (transcripts, notes) = Default::default();
        Session { images, hypervisor, cpus, is_soak: false, label, transcripts, notes }
    }

    /// Keeps a measurement for the report.
    pub fn note(&self, text: String) {
        self.notes.borrow_mut().push(text);
    }

    /// All measurements in one line.
    pub fn notes(&self) -> String {
        self.notes.borrow().join(", ")
    }

    /// The transcripts written so far.
    pub fn transcripts(&self) -> Vec<PathBuf> {
        self.transcripts.borrow().clone()
    }

    /// Starts a machine with this run's number of CPUs.
    ///
    /// # Errors
    /// When QEMU cannot be started.
    pub fn start(&self, mut boot: Boot) -> Result<Watched<'_>, Failure> {
        boot.cpus = self.cpus;
        let machine = Machine::start(&boot)?;
        Ok(Watched { machine, session: self, line: boot.shell_line() })
    }

    /// Writes what a machine printed, under a name no other machine of this run has.
    fn keep(&self, line: &str, transcript: &[u8]) {
        let number = self.transcripts.borrow().len() + 1;
        let path = self.images.transcripts.join(format!("{}-{number}.log", self.label));
        let mut text = format!("$ {line}\n").into_bytes();
        text.extend_from_slice(transcript);
        let written =
            fs::create_dir_all(&self.images.transcripts).and_then(|()| fs::write(&path, text));
        if written.is_ok() {
            self.transcripts.borrow_mut().push(path);
        }
    }
}

/// A machine whose transcript is written down when it ends.
pub struct Watched<'a> {
    /// The machine.
    pub machine: Machine,
    session: &'a Session<'a>,
    line: String,
}

impl Watched<'_> {
    /// The command that started it, as a person would type it.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Waits for text; see [`Machine::expect`].
    ///
    /// # Errors
    /// As [`Machine::expect`].
    pub fn expect(&mut self, text: &str, seconds: u64) -> Result<String, Failure> {
        self.machine.expect(text, Duration::from_secs(seconds))
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.machine.kill();
        self.session.keep(&self.line, &self.machine.transcript());
    }
}
