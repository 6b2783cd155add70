//! `report versus`: hypercalls versus traps, as a page.
//!
//! For each thing a kernel wants (`wishes`) the ways to get it are measured on Zendo and on Xen
//! (`measure`) and shown as tables, plots (`charts`) and explanations (`text`). The page is one file
//! without anything from elsewhere; beside it lie its numbers as CSV and each plot as a file.

mod charts;
mod csv;
mod measure;
mod page;
mod text;
mod wishes;

use std::fs;
use std::path::Path;

use system_tests::qemu::Hypervisor;

use crate::args::Args;
use crate::build::Programs;
use crate::paths::Paths;
use crate::{test, Result};

/// The verb `report`; with `--save` the files in `docs` are replaced as well.
pub fn run(args: &mut Args) -> Result<()> {
    match args.positional().as_deref() {
        Some("versus") => {}
        _ => return Err("`report versus` is the one there is".to_string()),
    }
    let save = args.flag("--save");
    let programs = Programs::take(args);
    args.finish()?;
    let paths = Paths::find()?;
    let images = test::prepare(&paths, &[Hypervisor::Zendo, Hypervisor::Xen], programs)?;
    let measured = measure::measure(&images, &paths)?;
    let plots = charts::all(&measured);
    let html = page::html(&measured, &plots)?;
    let mut files = vec![("versus.html".to_string(), html)];
    files.push(("versus.csv".to_string(), csv::csv(&measured)));
    files.extend(plots.into_iter().map(|(name, svg)| (format!("{name}.svg"), svg)));
    let mut folders = vec![paths.target.join("report")];
    if save {
        folders.push(paths.root.join("docs"));
    }
    for folder in folders {
        write(&folder, &files)?;
        println!("versus: {}", folder.join("versus.html").display());
    }
    Ok(())
}

fn write(folder: &Path, files: &[(String, String)]) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for (name, contents) in files {
        let file = folder.join(name);
        fs::write(&file, contents).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}
