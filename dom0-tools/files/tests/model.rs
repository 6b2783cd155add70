//! Random work on the file system, compared with a map, and judged by `e2fsck`.

mod common;

use common::{assert_clean, Memory};
use proptest::prelude::*;
use std::collections::BTreeMap;
use zl_files::{format, Files, Kind, What};

const NOW: u64 = 1_790_000_000;

fn fresh(mib: usize) -> (Memory, Files) {
    let disk = Memory::new(mib);
    format(Box::new(disk.clone()), NOW).unwrap();
    let files = Files::mount(Box::new(disk.clone()), NOW).unwrap();
    (disk, files)
}

#[derive(Clone, Debug)]
enum Step {
    Create(u8),
    Write(u8, u32, u16, u8),
    Resize(u8, u32),
    Remove(u8),
    Rename(u8, u8),
    Again,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0u8..6;
    let step = prop_oneof![
        2 => name.clone().prop_map(Step::Create),
        4 => (name.clone(), 0u32..40_000, 1u16..20_000, any::<u8>())
            .prop_map(|(n, at, len, fill)| Step::Write(n, at, len, fill)),
        1 => (name.clone(), 0u32..60_000).prop_map(|(n, size)| Step::Resize(n, size)),
        1 => name.clone().prop_map(Step::Remove),
        1 => (name.clone(), name).prop_map(|(a, b)| Step::Rename(a, b)),
        1 => Just(Step::Again),
    ];
    proptest::collection::vec(step, 1..40)
}

fn path(name: u8) -> String {
    match name % 2 {
        0 => format!("/f{name}"),
        _ => format!("/images/f{name}"),
    }
}

fn write_model(contents: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    contents.resize(contents.len().max(at + bytes.len()), 0);
    contents[at..at + bytes.len()].copy_from_slice(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn files_are_what_was_written(steps in steps()) {
        let (disk, mut files) = fresh(24);
        files.make_folder("/images").unwrap();
        let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Create(n) => {
                    let made = files.create(&path(n)).map(drop).map_err(|e| e.what);
                    let expected = match model.contains_key(&path(n)) {
                        true => Err(What::Exists),
                        false => Ok(()),
                    };
                    prop_assert_eq!(made, expected);
                    model.entry(path(n)).or_default();
                }
                Step::Write(n, at, len, fill) => {
                    let Ok(file) = files.open(&path(n)) else { continue };
                    let bytes: Vec<u8> = (0..len).map(|i| fill.wrapping_add(i as u8)).collect();
                    files.write(file, u64::from(at), &bytes).unwrap();
                    write_model(model.get_mut(&path(n)).unwrap(), at as usize, &bytes);
                }
                Step::Resize(n, size) => {
                    let Ok(file) = files.open(&path(n)) else { continue };
                    files.set_size(file, u64::from(size)).unwrap();
                    model.get_mut(&path(n)).unwrap().resize(size as usize, 0);
                }
                Step::Remove(n) => {
                    let removed = files.remove(&path(n)).map_err(|e| e.what);
                    let expected = model.remove(&path(n)).map(drop).ok_or(What::Missing);
                    prop_assert_eq!(removed, expected);
                }
                Step::Rename(a, b) if a != b => {
                    let done = files.rename(&path(a), &path(b)).is_ok();
                    let can = model.contains_key(&path(a)) && !model.contains_key(&path(b));
                    prop_assert_eq!(done, can);
                    if can {
                        let contents = model.remove(&path(a)).unwrap();
                        model.insert(path(b), contents);
                    }
                }
                Step::Rename(..) => {}
                Step::Again => {
                    files.unmount().unwrap();
                    drop(files);
                    files = Files::mount(Box::new(disk.clone()), NOW).unwrap();
                }
            }
        }
        for n in 0..6 {
            let found = files.open(&path(n)).ok();
            prop_assert_eq!(found.is_some(), model.contains_key(&path(n)), "{}", path(n));
            let (Some(file), Some(expected)) = (found, model.get(&path(n))) else { continue };
            let mut contents = vec![0xee; expected.len() + 10];
            let count = files.read(file, 0, &mut contents).unwrap();
            prop_assert_eq!(count, expected.len());
            prop_assert!(contents[..count] == expected[..], "contents of {}", path(n));
        }
        files.unmount().unwrap();
        assert_clean(&disk);
    }
}

#[test]
fn a_full_disk_says_so_and_loses_nothing() {
    let (disk, mut files) = fresh(24);
    let kept = files.create("/kept").unwrap();
    files.write(kept, 0, b"precious").unwrap();
    let big = files.create("/big").unwrap();
    let chunk = vec![7; 1 << 20];
    let mut written = 0u64;
    let error = loop {
        match files.write(big, written, &chunk) {
            Ok(()) => written += chunk.len() as u64,
            Err(error) => break error,
        }
        assert!(written < 24 << 20, "a disk of 24 MiB never filled up");
    };
    assert_eq!(error.what, What::Full);
    let mut contents = [0; 8];
    assert_eq!(files.read(kept, 0, &mut contents).unwrap(), 8);
    assert_eq!(&contents, b"precious");
    // What is there can still be changed.
    files.write(big, 0, &chunk).unwrap();
    while files.space().free > 200_000 {
        files.write(big, written, &[1; 4096]).unwrap();
        written += 4096;
    }
    files.remove("/big").unwrap();
    let again = files.create("/again").unwrap();
    files.write(again, 0, &chunk).unwrap();
    files.unmount().unwrap();
    assert_clean(&disk);
}

#[test]
fn hundreds_of_files_come_and_go() {
    let (disk, mut files) = fresh(32);
    files.make_folder("/many").unwrap();
    let before = files.space().free;
    for index in 0..300 {
        let file = files.create(&format!("/many/file-{index:03}")).unwrap();
        files.write(file, 0, &vec![index as u8; 5000]).unwrap();
    }
    let listed = files.list("/many").unwrap();
    assert_eq!(listed.len(), 300);
    assert!(listed.iter().all(|entry| entry.stat.kind == Kind::File && entry.stat.size == 5000));
    for index in 0..300 {
        files.remove(&format!("/many/file-{index:03}")).unwrap();
    }
    files.remove_folder("/many").unwrap();
    assert!(files.space().free + 64 * 4096 >= before, "room came back");
    files.unmount().unwrap();
    assert_clean(&disk);
}

#[test]
fn a_copy_of_a_mounted_disk_can_be_mounted() {
    let (disk, mut files) = fresh(24);
    let file = files.create("/f").unwrap();
    files.write(file, 0, b"x").unwrap();
    files.sync().unwrap();
    let mut copy = Files::mount(Box::new(disk.copy()), NOW).unwrap();
    assert_eq!(copy.stat("/f").unwrap().size, 1);
}

#[test]
fn mistakes_are_told_apart() {
    let (_disk, mut files) = fresh(24);
    files.make_folder("/a").unwrap();
    files.create("/a/f").unwrap();
    assert_eq!(files.open("/a").unwrap_err().what, What::IsFolder);
    assert_eq!(files.open("/x").unwrap_err().what, What::Missing);
    assert_eq!(files.open("/a/f/x").unwrap_err().what, What::NotFolder);
    assert_eq!(files.list("/a/f").unwrap_err().what, What::NotFolder);
    assert_eq!(files.remove_folder("/a").unwrap_err().what, What::NotEmpty);
    assert_eq!(files.create("/no/f").unwrap_err().what, What::Missing);
    assert_eq!(files.create("relative").unwrap_err().what, What::BadPath);
    let text = files.open("/x").unwrap_err().to_string();
    assert_eq!(text, "/x: no such file or folder");
    let blank = Memory::new(16);
    let error = Files::mount(Box::new(blank), NOW).map(drop).unwrap_err();
    assert_eq!(error.what, What::NotFormatted);
}
