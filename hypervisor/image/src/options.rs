//! The hypervisor's command line: words separated by blanks, as Xen takes them.
//!
//! Parsed once at boot by `boot`. Unknown words are reported on the console and otherwise ignored,
//! so that a command line made for Xen works here too.

use hv_machine::sync::Once;

/// Bytes in a MiB.
const MIB: u64 = 1 << 20;

/// What the person who boots the machine may choose.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Memory of dom0 in bytes (`dom0_mem=`).
    pub dom0_mem: u64,
    /// Whether dom0's shutdown becomes an exit code of the emulator (`exit=debug`).
    pub exit_debug: bool,
    /// Whether a finished machine halts instead of resetting (`noreboot`).
    pub noreboot: bool,
    /// Time slice of the scheduler in nanoseconds (`sched_slice=`, microseconds).
    pub slice_ns: u64,
}

impl Options {
    const DEFAULT: Self =
        Self { dom0_mem: 32 * MIB, exit_debug: false, noreboot: false, slice_ns: 10_000_000 };
}

static OPTIONS: Once<Options> = Once::new();

/// The options in force.
pub fn get() -> &'static Options {
    OPTIONS.get().unwrap_or(&Options::DEFAULT)
}

/// Reads the command line; calls `unknown` for each word that means nothing here.
pub fn parse(cmdline: &str, mut unknown: impl FnMut(&str)) {
    let mut options = Options::DEFAULT;
    for word in cmdline.split_ascii_whitespace() {
        if apply(&mut options, word).is_none() {
            unknown(word);
        }
    }
    OPTIONS.call_once(|| options);
}

/// Words of Xen's command line that need no action here.
const ACCEPTED: [&str; 8] =
    ["console=", "com1=", "dom0=", "loglvl=", "guest_loglvl=", "sync_console", "vga=", "smp="];

/// Applies one word; `None` when it means nothing or has a bad value.
fn apply(options: &mut Options, word: &str) -> Option<()> {
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    match key {
        "dom0_mem" => options.dom0_mem = dom0_mem(value)?,
        "exit" if value == "debug" => options.exit_debug = true,
        "noreboot" => options.noreboot = true,
        "sched_slice" => {
            let slice_us = value.parse::<u64>().ok().filter(|us| (100..=1_000_000).contains(us))?;
            options.slice_ns = slice_us * 1000;
        }
        _ => return ACCEPTED.iter().any(|known| word.starts_with(known)).then_some(()),
    }
    Some(())
}

/// Xen allows `dom0_mem=A`, and `dom0_mem=A,max:B`: the plain amount counts here.
fn dom0_mem(value: &str) -> Option<u64> {
    value.split(',').find(|part| !part.contains(':')).and_then(size).filter(|&size| size >= MIB)
}

/// A number of bytes with an optional K, M or G.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" | "b" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_shl(shift)
}
