//! What a mounted file system keeps in memory does not grow with what is done to it. A program of its own,
//! because it looks at the memory of the whole program.

mod common;

use common::{assert_clean, disk, kernel, tree};
use pvkernel_abi::{open, Seek};
use pvkernel_core::fs::FileTable;

const MIB: u64 = 24;
const MAKE: u64 = open::READ | open::WRITE | open::CREATE;

/// Memory of this process in KiB, as the kernel counts it.
fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("a Linux host");
    let pages = text.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    pages.expect("the second number is the resident pages") * 4
}

#[test]
fn memory_grows_neither_with_reads_nor_with_changes() {
    let kernel = kernel();
    let disk = disk(kernel, MIB);
    let table = FileTable::new(tree(kernel, &disk));
    let file = table.open(b"/f", MAKE).unwrap();
    table.write(file, &[3; 65_536], &|| false).unwrap();
    let (mut warm, mut bytes) = (0, vec![0; 4096]);
    for round in 0..3000 {
        if round == 500 {
            warm = resident_kib();
        }
        table.lseek(file, i64::from(round % 16) * 4096, Seek::Start).unwrap();
        assert_eq!(table.read(file, &mut bytes, &|| false), Ok(4096));
        let name = format!("/name-{}", round % 20);
        let fd = table.open(name.as_bytes(), MAKE).unwrap();
        table.write(fd, &bytes, &|| false).unwrap();
        table.close(fd).unwrap();
        table.unlink(name.as_bytes()).unwrap();
    }
    let after = resident_kib();
    assert!(after < warm + 8192, "{warm} KiB after 500 rounds, {after} after 3000");
    assert_eq!(table.vfs().end(), Ok(()));
    drop(table);
    assert_clean(&disk, MIB);
}
