//! `bench null`: what a hypercall that does nothing costs, here and on Xen.
//!
//! The same guest binary runs in dom0's place on both, under `-icount`, where the time-stamp
//! counter counts instructions: the numbers are exact and the same on every machine.

use std::time::Duration;

use system_tests::machine::Failure;
use system_tests::qemu::Hypervisor;
use system_tests::session::{Images, Session};

use crate::args::Args;
use crate::build::Programs;
use crate::paths::Paths;
use crate::{test, Result};

/// Instructions of a null hypercall, at most.
pub const NULL_BUDGET: u64 = 110;

const WITHIN: Duration = Duration::from_secs(120);

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    match args.positional().as_deref() {
        Some("null") => {}
        _ => return Err("`bench null` is the one there is".to_string()),
    }
    let programs = Programs::take(args);
    args.finish()?;
    let both = [Hypervisor::Zendo, Hypervisor::Xen];
    let images = test::prepare(&Paths::find()?, &both, programs)?;
    println!("{}", null(&images)?);
    Ok(())
}

/// Measures both; fails if ours is over its budget.
pub fn null(images: &Images) -> Result<String> {
    let zendo = measure(images, Hypervisor::Zendo).map_err(|failure| failure.to_string())?;
    let xen = match images.xen {
        Some(_) => measure(images, Hypervisor::Xen).map_err(|f| f.to_string())?.to_string(),
        None => "(not to be had)".to_string(),
    };
    let line = format!("null hypercall: zendo {zendo}, xen {xen}, budget {NULL_BUDGET}");
    match zendo <= NULL_BUDGET {
        true => Ok(line),
        false => Err(format!("{line}: over the budget")),
    }
}

/// Instructions of one null hypercall, from the row the guest prints.
fn measure(images: &Images, which: Hypervisor) -> std::result::Result<u64, Failure> {
    let label = format!("bench-{}", which.name());
    let session = Session::new(images, which, 1, &label);
    let mut boot = images.guest_boot(which, "bench", "rows=hc_xen_version")?;
    boot.icount = true;
    let mut watched = session.start(boot)?;
    watched.machine.expect("row hc_xen_version hypercall ", WITHIN)?;
    let rest = watched.expect("\n", 10)?;
    let numbers: Vec<u64> = rest.split_whitespace().flat_map(str::parse).collect();
    match numbers[..] {
        [units, ticks] if units > 0 => Ok((ticks + units / 2) / units),
        _ => Err(Failure(format!("the guest printed 'row hc_xen_version hypercall {rest}'"))),
    }
}
