//! What a mounted file system keeps in memory does not grow with what was done to it.

mod common;

use common::{assert_clean, Memory};
use zl_files::{format, Files};

/// Memory of this process in KiB, as the kernel counts it.
fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("a Linux host");
    let pages = text.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    pages.expect("the second number is the resident pages") * 4
}

#[test]
fn memory_does_not_grow_with_every_sync() {
    let disk = Memory::new(48);
    format(Box::new(disk.clone()), 1).unwrap();
    let mut files = Files::mount(Box::new(disk.clone()), 1).unwrap();
    let mut warm = 0;
    for round in 0..800u32 {
        if round == 100 {
            warm = resident_kib();
        }
        let path = format!("/f{}", round % 7);
        if files.stat(&path).is_ok() {
            files.remove(&path).unwrap();
        }
        let file = files.create(&path).unwrap();
        files.write(file, 0, &[round as u8; 9000]).unwrap();
        files.sync().unwrap();
    }
    let after = resident_kib();
    assert!(after < warm + 4096, "{warm} KiB after 100 rounds, {after} after 800");
    files.unmount().unwrap();
    assert_clean(&disk);
}
