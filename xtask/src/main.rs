//! The project's own commands: `cargo xtask <verb>`.
//!
//! One file per verb; this one only knows their names. Verbs that need something the machine lacks
//! install it themselves where they can (`setup`, `toolchain`, `xen_package`) and otherwise say
//! exactly what to install. Nothing here runs on the bare machine.

#![forbid(unsafe_code)]

mod archive;
mod args;
mod backends;
mod bench;
mod bench_io;
mod bench_kernel;
mod bench_system;
mod book;
mod build;
mod ci;
mod citations;
mod demo;
mod devices;
mod doctor;
mod gdb;
mod host_tests;
mod linux;
mod native;
mod paths;
mod plot;
mod profile;
mod programs;
mod run;
mod setup;
mod sh;
mod sources;
mod test;
mod tidy;
mod toolchain;
mod trace;
mod versus;
mod xen;
mod xen_package;
mod zl;

use std::process::ExitCode;

use args::Args;

/// A verb's result: an error is one line (or a few) for the person at the terminal.
type Result<T> = std::result::Result<T, String>;

struct Verb {
    name: &'static str,
    options: &'static str,
    help: &'static str,
    run: fn(&mut Args) -> Result<()>,
}

const VERBS: &[Verb] = &[
    Verb {
        name: "doctor",
        options: "",
        help: "check toolchain, target and QEMU; install what is missing",
        run: doctor::run,
    },
    Verb {
        name: "build",
        options: "[--only-programs]",
        help: "build the hypervisor, dom0, the guests and the boot archive",
        run: build::run,
    },
    Verb {
        name: "run",
        options:
            "[--smp N] [--mem MIB] [--cmdline WORDS] [--dom0-cmdline WORDS] [--disk FILE]... [--no-disk] [--fresh-disk] \
            [--no-net] [--icount] [--no-build] [--native [--q35]]",
        help: "boot Zendo in QEMU with dom0's shell on this terminal, or the teaching kernel alone",
        run: run::run,
    },
    Verb {
        name: "zl",
        options: "[--] [--run FILE] VERB ...",
        help: "the verbs of zl in this terminal, for a machine that `run` started in another",
        run: zl::run,
    },
    Verb {
        name: "demo",
        options: "[--smp N]",
        help: "boot, create, list, kill, power off: by itself, checking each step",
        run: demo::run,
    },
    Verb {
        name: "test",
        options: "[host|system|soak|random] [FILTER] [--smp N] [--minutes N] [--list] [--no-build]",
        help: "host tests and system tests; `random`: the host tests again and again with other numbers",
        run: test::run,
    },
    Verb {
        name: "xen",
        options: "run|test [FILTER] [options of run or test]",
        help: "the same with Debian's Xen 4.17 in Zendo's place",
        run: xen::run,
    },
    Verb {
        name: "bench",
        options:
            "[system | io | kernel | ROWS...] [--only zendo|xen] [--events] [--boots N] [--domu] [--save NAME] \
            [--compare NAME] [--readme] [--check] [--list] [--no-build]",
        help: "what each operation costs, or `system` as a whole, on Zendo and on Xen",
        run: bench::run,
    },
    Verb {
        name: "linux",
        options: "[--smp N]",
        help: "a stock Debian kernel as a guest, with a disk and a network card of ours",
        run: linux::run,
    },
    Verb {
        name: "profile",
        options: "ROW [--only zendo|xen] [--steps] [--no-build]",
        help: "the functions in which the instructions of one operation are, as a tree",
        run: profile::run,
    },
    Verb {
        name: "report",
        options: "versus [--save] [--no-build]",
        help: "hypercalls versus traps: a page of tables and plots, here and on Xen",
        run: versus::run,
    },
    Verb {
        name: "gdb",
        options: "[options of run] [--wait]",
        help: "boot stopped, with gdb and symbols attached",
        run: gdb::run,
    },
    Verb {
        name: "book",
        options: "",
        help: "write the numbers of docs/*.csv into the chapters of pvkernel/book",
        run: book::run,
    },
    Verb {
        name: "diff-backends",
        options: "[FILE]",
        help: "in how many lines the kernel on hypercalls and the one on instructions differ",
        run: backends::run,
    },
    Verb {
        name: "tidy",
        options: "",
        help: "rules of the source tree: sizes, unsafe code, links, citations",
        run: tidy::run,
    },
    Verb {
        name: "ci",
        options: "",
        help: "everything that must hold before a change is taken",
        run: ci::run,
    },
];

fn main() -> ExitCode {
    let mut args = Args::new(std::env::args().skip(1).collect());
    let name = args.positional().unwrap_or_else(|| "help".to_string());
    // Behind `zl` all words are its own.
    if name == "help" || (name != "zl" && args.flag("--help")) {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        eprintln!("xtask: no verb called '{name}'");
        eprint!("{}", usage());
        return ExitCode::from(2);
    };
    match (verb.run)(&mut args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("xtask {name}: {text}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let mut text = String::from("usage: cargo xtask <verb> [options]\n\n");
    for verb in VERBS {
        let call = format!("{} {}", verb.name, verb.options);
        text.push_str(&format!("  {}\n      {}\n", call.trim_end(), verb.help));
    }
    text
}
