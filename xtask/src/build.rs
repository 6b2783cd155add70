//! `build`: the images and the archives dom0 is booted with.
//!
//! Everything that is handed out lies in `target/zendo`: `zendo`, `dom0`, `guests/`, `boot.cpio`
//! (what `run` and `demo` use), `test.cpio` (the same and the files of the system tests) and
//! `programs.cpio` (the programs of the teaching kernel).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use system_tests::hostile;

use crate::archive::Archive;
use crate::args::Args;
use crate::paths::Paths;
use crate::sh;
use crate::{programs as user_programs, toolchain, Result};

/// The crates that make bare programs.
const BARE_PACKAGES: &[&str] = &[
    "zendo",
    "dom0",
    "test-guests",
    "appliances",
    "hv-machine",
    "pvkernel-image",
    "pvkernel-native",
];

/// One that is compiled by itself: features that others turn on in a shared library would make it need
/// a heap.
const HEAPLESS_PACKAGE: &str = "first-guest";

/// Guests of the boot archive: what a person creates from dom0's shell.
const GUESTS: &[&str] = &[
    "hello", "ticker", "spinner", "crasher", "blktest", "httpd", "kv", "pinger", "shell", "first",
];

/// Further guests that only the tests create. What is in the archive is read at each boot.
const TEST_GUESTS: &[&str] =
    &["selftest", "fuzz", "pair", "nettest", "store", "storer", "badfront", "load"];

/// Programs the tests boot without dom0: in its place, or in the hypervisor's.
const LONE_PROGRAMS: &[&str] = &["bench", "grants", "machine-probe", "native-probe", NATIVE_KERNEL];

/// The teaching kernel without a hypervisor.
const NATIVE_KERNEL: &str = "shell-native";

/// The sources of the boot archive's configuration files.
const CONFIGURATIONS: &str = "dom0-tools/image/archive";

/// What was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The hypervisor.
    pub zendo: PathBuf,
    /// The dom0 image.
    pub dom0: PathBuf,
    /// The archive of `run` and `demo`.
    pub archive: PathBuf,
    /// The archive of the system tests.
    pub test_archive: PathBuf,
    /// The folder of the guest images.
    pub guests: PathBuf,
    /// The archive of the teaching kernel's programs.
    pub programs: PathBuf,
}

/// Whether the programs are compiled first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// What is out of date is compiled.
    UpToDate,
    /// They are taken as they were left by the last build.
    AsTheyAre,
}

impl Programs {
    /// Takes `--no-build` from the command line.
    pub fn take(args: &mut Args) -> Programs {
        match args.flag("--no-build") {
            true => Programs::AsTheyAre,
            false => Programs::UpToDate,
        }
    }
}

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    let only_programs = args.flag("--only-programs");
    args.finish()?;
    let paths = Paths::find()?;
    let started = Instant::now();
    if only_programs {
        let archive = user_programs::build(&paths, Programs::UpToDate)?;
        println!("build: {:.1} s, {}", started.elapsed().as_secs_f64(), archive.display());
        return Ok(());
    }
    let built = build(&paths, Programs::UpToDate)?;
    print_sizes(&built);
    println!("build: {:.1} s, in {}", started.elapsed().as_secs_f64(), paths.images().display());
    Ok(())
}

/// Compiles if wished, and collects images and archives.
pub fn build(paths: &Paths, programs: Programs) -> Result<Built> {
    if programs == Programs::UpToDate {
        compile(paths)?;
    }
    let images = paths.images();
    let built = Built {
        zendo: images.join("zendo"),
        dom0: images.join("dom0"),
        archive: images.join("boot.cpio"),
        test_archive: images.join("test.cpio"),
        guests: images.join("guests"),
        programs: images.join("programs.cpio"),
    };
    make_folder(&built.guests)?;
    copy(&paths.bare_program("zendo"), &built.zendo)?;
    copy(&paths.bare_program("dom0"), &built.dom0)?;
    for guest in GUESTS.iter().chain(TEST_GUESTS).chain(LONE_PROGRAMS) {
        copy(&paths.bare_program(guest), &built.guests.join(guest))?;
    }
    let user = user_programs::build(paths, programs)?;
    let mut files = archive_files(paths, &built, GUESTS)?;
    files.push(("programs.cpio".to_string(), read(&user)?));
    write_archive(&built.archive, &files)?;
    let hello = read(&built.guests.join("hello"))?;
    files.extend(archive_files(paths, &built, TEST_GUESTS)?);
    files.extend(hostile::files(&hello));
    write_archive(&built.test_archive, &files)?;
    Ok(built)
}

/// The teaching kernel without a hypervisor, and its programs.
#[derive(Clone, Debug)]
pub struct Native {
    /// The kernel.
    pub kernel: PathBuf,
    /// The archive of programs.
    pub programs: PathBuf,
}

/// Compiles if wished, and collects what `run --native` boots.
pub fn native(paths: &Paths, programs: Programs) -> Result<Native> {
    if programs == Programs::UpToDate {
        let mut command = toolchain::find()?.cargo_build(paths);
        sh::run(command.args(["--package", "pvkernel-image", "--bin", NATIVE_KERNEL]))?;
    }
    make_folder(&paths.images())?;
    let kernel = paths.images().join(NATIVE_KERNEL);
    copy(&paths.bare_program(NATIVE_KERNEL), &kernel)?;
    Ok(Native { kernel, programs: user_programs::build(paths, programs)? })
}

/// Runs cargo for the bare target.
fn compile(paths: &Paths) -> Result<()> {
    let toolchain = toolchain::find()?;
    let mut command = toolchain.cargo_build(paths);
    for package in BARE_PACKAGES {
        command.args(["--package", package]);
    }
    sh::run(&mut command)?;
    sh::run(toolchain.cargo_build(paths).args(["--package", HEAPLESS_PACKAGE]))
}

/// These guests and their configurations, sorted by name.
fn archive_files(paths: &Paths, built: &Built, guests: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for guest in guests {
        files.push((guest.to_string(), loaded_part(read(&built.guests.join(guest))?)));
    }
    let folder = paths.root.join(CONFIGURATIONS);
    let entries = folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".cfg") {
            continue;
        }
        let text = read(&entry.path())?;
        if kernel_of(&text).is_some_and(|kernel| guests.contains(&kernel)) {
            files.push((name, text));
        }
    }
    files.sort();
    Ok(files)
}

/// The guest a configuration is for.
fn kernel_of(configuration: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(configuration).ok()?;
    text.lines().find_map(|line| line.strip_prefix("kernel = \"")?.strip_suffix('"'))
}

/// An ELF file without what no loader reads: all that lies behind its last segment, and the table of
/// sections. The archive takes room in dom0's memory, and most of a file is there for debuggers.
pub fn loaded_part(mut elf: Vec<u8>) -> Vec<u8> {
    let number = |elf: &[u8], at: usize, len: usize| {
        let bytes = elf.get(at..at + len).unwrap_or_default();
        bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)) as usize
    };
    if elf.get(..5) != Some(b"\x7fELF\x02") {
        return elf;
    }
    let (table, size, count) = (number(&elf, 32, 8), number(&elf, 54, 2), number(&elf, 56, 2));
    let ends = (0..count).map(|index| {
        let header = table + index * size;
        number(&elf, header + 8, 8) + number(&elf, header + 32, 8)
    });
    let end = ends.chain([table + count * size]).max().unwrap_or(elf.len());
    elf.truncate(end);
    // e_shoff, then e_shnum and e_shstrndx: there are no sections any more.
    for range in [40..48, 60..64] {
        if let Some(bytes) = elf.get_mut(range) {
            bytes.fill(0);
        }
    }
    elf
}

fn write_archive(path: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let mut archive = Archive::default();
    for (name, contents) in files {
        archive.add(name, contents)?;
    }
    let bytes = archive.finish()?;
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn print_sizes(built: &Built) {
    for path in [&built.zendo, &built.dom0, &built.archive] {
        let file = fs::metadata(path).map_or(0, |data| data.len());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match fs::read(path).ok().as_deref().and_then(loadable_bytes) {
            Some(loaded) => println!("{name:<10} {loaded:>9} bytes loadable, {file} in the file"),
            None => println!("{name:<10} {file:>9} bytes"),
        }
    }
}

/// What of an ELF file, of 64 or of 32 bits, is loaded from it: the sum of its load segments' sizes.
pub fn loadable_bytes(elf: &[u8]) -> Option<u64> {
    let number = |at: usize, len: usize| {
        let bytes = elf.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    // Where the header has the table's place, entry size and count, and an entry its size in the file.
    let (word, [table, size, count, file_bytes]) = match elf.get(..5)? {
        b"\x7fELF\x02" => (8, [32, 54, 56, 32]),
        b"\x7fELF\x01" => (4, [28, 42, 44, 16]),
        _ => return None,
    };
    let (table, size) = (number(table, word)? as usize, number(size, 2)? as usize);
    let mut sum = 0;
    for index in 0..number(count, 2)? as usize {
        let header = table.checked_add(index.checked_mul(size)?)?;
        sum += if number(header, 4)? == 1 { number(header + file_bytes, word)? } else { 0 };
    }
    Some(sum)
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::copy(from, to);
    copied.map(|_| ()).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use system_tests::hostile::{ElfImage, Segment};

    #[test]
    fn what_is_loaded_stays_and_the_rest_goes() {
        let image = ElfImage::small();
        let whole = image.bytes();
        let mut long = whole.clone();
        long.extend_from_slice(&[0xdb; 1000]);
        let part = loaded_part(long);
        assert!(part.len() <= whole.len());
        assert_eq!(loadable_bytes(&part), loadable_bytes(&whole));
        assert_eq!(part.get(64..), whole.get(64..part.len()));
        assert_eq!(loaded_part(b"no elf".to_vec()), b"no elf");
    }

    #[test]
    fn only_load_segments_count_as_loadable() {
        let mut image = ElfImage::small();
        image.segments.push(Segment { kind: 4, file_bytes: 999, ..image.segments[0] });
        let expected = image.segments[0].file_bytes;
        assert_eq!(loadable_bytes(&image.bytes()), Some(expected));
        assert_eq!(loadable_bytes(b"\x7fELF"), None);
        let mut small = [0; 84];
        small[..5].copy_from_slice(b"\x7fELF\x01");
        (small[28], small[42], small[44]) = (52, 32, 1);
        (small[52], small[68], small[69]) = (1, 0x34, 0x12);
        assert_eq!(loadable_bytes(&small), Some(0x1234));
        assert_eq!(loadable_bytes(&small[..70]), None);
        assert_eq!(loadable_bytes(b"no elf at all"), None);
    }
}
