//! `usertests [-l] [NAME...]`: tries the kernel from where programs stand.
//!
//! Each case runs in a child and in a directory of its own. Afterwards there must be as many processes and
//! free pages as before. What the kernel keeps for later, such as a larger heap of its own, is kept once: a
//! case after which pages are missing runs again, and it is a leak when more are missing then. The last
//! lines are `usertests: N passed, M failed` and one for whoever watches the console.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod arguments;
mod check;
#[allow(unsafe_code)]
mod danger;
mod devices;
mod directories;
mod execs;
mod faults;
mod files;
mod kills;
mod memory;
mod network;
mod pipes;
mod processes;
mod runner;
mod shortage;
mod turns;

use alloc::vec::Vec;

use pvkernel_user::text::options;
use pvkernel_user::{eprintln, println, sys};

use check::Check;

pvkernel_user::program!(run);

/// A case.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    run: fn() -> Check,
}

/// Names a list of cases after their functions.
#[macro_export]
macro_rules! cases {
    ($($name:ident,)*) => {
        pub const CASES: &[$crate::Case] = &[$($crate::Case { name: stringify!($name), run: $name }),*];
    };
}

const GROUPS: &[(&str, &[Case])] = &[
    ("arguments", arguments::CASES),
    ("memory", memory::CASES),
    ("faults", faults::CASES),
    ("processes", processes::CASES),
    ("kills", kills::CASES),
    ("turns", turns::CASES),
    ("pipes", pipes::CASES),
    ("files", files::CASES),
    ("directories", directories::CASES),
    ("devices", devices::CASES),
    ("network", network::CASES),
    ("execs", execs::CASES),
    ("shortage", shortage::CASES),
];

fn run(args: &[&str]) -> i32 {
    if let Some(status) = execs::helper(args) {
        return status;
    }
    let Ok((letters, names)) = options(args.get(1..).unwrap_or_default(), "l") else {
        return pvkernel_user::io::usage("usertests [-l] [GROUP or NAME...]");
    };
    if letters.contains('l') {
        for (group, cases) in GROUPS {
            cases.iter().for_each(|case| println!("{group:<12} {}", case.name));
        }
        return 0;
    }
    match chosen(names) {
        Ok(cases) => all(&cases),
        Err(name) => {
            eprintln!("usertests: {name}: no such group or case; `usertests -l` names them");
            2
        }
    }
}

/// The cases that are named, or all.
fn chosen<'a>(names: &[&'a str]) -> Result<Vec<Case>, &'a str> {
    let is_known = |name: &&&str| {
        GROUPS
            .iter()
            .any(|(group, cases)| group == *name || cases.iter().any(|case| case.name == **name))
    };
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        return Err(unknown);
    }
    let mut found = Vec::new();
    for (group, cases) in GROUPS {
        let is_wanted =
            |case: &&Case| names.is_empty() || names.contains(group) || names.contains(&case.name);
        found.extend(cases.iter().filter(is_wanted).copied());
    }
    Ok(found)
}

fn all(cases: &[Case]) -> i32 {
    let started = sys::clock_ns();
    let (mut passed, mut failed) = (0, Vec::new());
    for case in cases {
        match runner::run(case) {
            Ok(()) => passed += 1,
            Err(failure) => {
                println!("usertests: {}: FAILED: {failure}", case.name);
                failed.push(case.name);
            }
        }
    }
    let millis = (sys::clock_ns() - started) / 1_000_000;
    println!("usertests: {passed} passed, {} failed, {millis} ms", failed.len());
    match failed.is_empty() {
        true => println!("ZENDO-TEST usertests SUCCESS {passed} passed"),
        false => println!("ZENDO-TEST usertests FAILURE {}", failed.join(" ")),
    }
    i32::from(!failed.is_empty())
}
