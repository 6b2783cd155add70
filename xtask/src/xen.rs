//! `xen run` and `xen test`: the same, with Debian's Xen 4.17 in Zendo's place.

use system_tests::cases::Selection;
use system_tests::qemu::Hypervisor;

use crate::args::Args;
use crate::build::Programs;
use crate::paths::Paths;
use crate::{run, test, xen_package, Result};

/// The verb. Where Xen cannot be had, that is said, and it is no failure.
pub fn run(args: &mut Args) -> Result<()> {
    let what = args.positional().unwrap_or_else(|| "run".to_string());
    let paths = Paths::find()?;
    if let Err(why) = xen_package::ensure(&paths) {
        println!("xen: skipped: {why}");
        return Ok(());
    }
    match what.as_str() {
        "run" => run::run_on(Hypervisor::Xen, args),
        "test" => {
            let filter = args.positional().unwrap_or_default();
            let cpus = test::cpus(args)?;
            let programs = Programs::take(args);
            args.finish()?;
            let hypervisor = Some(Hypervisor::Xen);
            test::system(
                &paths,
                &Selection { filter, hypervisor, cpus, ..Selection::default() },
                programs,
            )
        }
        other => Err(format!("`xen run` or `xen test`, not '{other}'")),
    }
}
