//! The programs of the teaching kernel, as an archive: `target/zendo/programs.cpio`.
//!
//! They are compiled with a profile of their own, because they are many, small, and not worth the time
//! that the optimizer takes for a hypervisor. `bin/NAME` is a program; the other files of the archive are
//! those below `pvkernel/user/archive`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::archive::Archive;
use crate::build::{loaded_part, Programs};
use crate::paths::{Paths, BARE_TARGET};
use crate::{sh, toolchain, Result};

/// Their names. As files of cargo they begin with `user-`: other packages have a `bench`, too.
const PROGRAMS: &[&str] = &[
    "bench",
    "cat",
    "cp",
    "date",
    "df",
    "echo",
    "false",
    "fetch",
    "free",
    "fuzz",
    "grep",
    "head",
    "hexdump",
    "init",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mount",
    "mv",
    "ping",
    "poweroff",
    "ps",
    "rm",
    "seq",
    "sh",
    "sleep",
    "sort",
    "tail",
    "tee",
    "touch",
    "true",
    "umount",
    "uptime",
    "usertests",
    "wc",
];

/// Cargo's profile, and the name of its folder.
const PROFILE: &str = "programs";

/// Files that are no programs.
const FILES: &str = "pvkernel/user/archive";

/// Compiles if wished and packs the archive: where it is.
pub fn build(paths: &Paths, programs: Programs) -> Result<PathBuf> {
    if programs == Programs::UpToDate {
        let mut command = toolchain::find()?.cargo_build_as(paths, PROFILE);
        sh::run(command.args(["--package", "pvkernel-user", "--bins"]))?;
    }
    let mut archive = Archive::default();
    for name in PROGRAMS {
        let program = read(&file(paths, name))?;
        archive.add(&format!("bin/{name}"), &loaded_part(program))?;
    }
    for (name, file) in files(&paths.root.join(FILES))? {
        archive.add(&name, &read(&file)?)?;
    }
    let path = paths.images().join("programs.cpio");
    fs::create_dir_all(paths.images()).map_err(|error| error.to_string())?;
    let bytes = archive.finish()?;
    fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// A program as it was linked, with its symbols.
pub fn file(paths: &Paths, name: &str) -> PathBuf {
    paths.bare_target().join(BARE_TARGET).join(PROFILE).join(format!("user-{name}"))
}

/// Names and paths of the files in a folder and those below it, sorted.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let entries = folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            let inside = files(&entry.path())?;
            found.extend(inside.into_iter().map(|(below, path)| (format!("{name}/{below}"), path)));
        } else {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_of_the_package_is_packed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let manifest = fs::read_to_string(root.join("pvkernel/user/Cargo.toml")).unwrap();
        let named = manifest.lines().filter_map(|line| line.strip_prefix("name = \"user-"));
        let mut names: Vec<&str> = named.map(|name| name.trim_end_matches('"')).collect();
        names.sort_unstable();
        assert_eq!(names, PROGRAMS);
    }

    #[test]
    fn files_are_named_by_their_place_below_the_folder() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let found = files(&root.join(FILES)).unwrap();
        assert!(found.iter().any(|(name, _)| name == "README"), "{found:?}");
    }
}
