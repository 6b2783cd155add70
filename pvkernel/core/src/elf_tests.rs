//! Files that are programs, and files that are not.

use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

/// A program of parts: (flags, address, bytes in the file, bytes in memory).
pub(crate) fn program(entry: u64, parts: &[(u32, u64, &[u8], u64)]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    file.extend(entry.to_le_bytes());
    file.extend(64u64.to_le_bytes());
    file.extend([0; 12]);
    file.extend([64, 0, 56, 0, parts.len() as u8, 0, 0, 0, 0, 0, 0, 0]);
    let mut offset = (64 + 56 * parts.len()) as u64;
    for (flags, address, bytes, in_memory) in parts {
        file.extend(1u32.to_le_bytes());
        file.extend(flags.to_le_bytes());
        let words = [offset, *address, *address, bytes.len() as u64, *in_memory, 4096];
        words.iter().for_each(|word| file.extend(word.to_le_bytes()));
        offset += bytes.len() as u64;
    }
    parts.iter().for_each(|part| file.extend(part.2));
    file
}

#[test]
fn parts_are_what_the_file_says() {
    let file = program(0x40_1002, &[(5, 0x40_1000, b"code", 4), (6, 0x40_2010, b"data", 0x2000)]);
    let image = Image::parse(&file).unwrap();
    let parts: Vec<_> = image.parts().map(Result::unwrap).collect();
    assert_eq!(image.entry, 0x40_1002);
    assert_eq!(
        (parts[0].bytes, parts[0].start, parts[0].end),
        (&b"code"[..], 0x40_1000, 0x40_2000)
    );
    assert!(parts[0].access.execute && !parts[0].access.write);
    assert_eq!(
        (parts[1].bytes, parts[1].start, parts[1].end),
        (&b"data"[..], 0x40_2000, 0x40_5000)
    );
    assert!(!parts[1].access.execute && parts[1].access.write);
}

#[test]
fn what_is_not_for_this_machine_is_refused() {
    let good = program(0x40_1000, &[(5, 0x40_1000, b"code", 4)]);
    assert!(Image::parse(&good).is_ok());
    // Class, byte order, kind, machine, size of an entry.
    for at in [0, 4, 5, 6, 16, 18, 54] {
        let mut bad = good.clone();
        bad[at] ^= 3;
        assert_eq!(Image::parse(&bad).err(), Some(Errno::ENOEXEC), "byte {at}");
    }
    let elsewhere = [
        program(0x50_1000, &[(5, 0x40_1000, b"code", 4)]),
        program(0x40_1000, &[(6, 0x40_1000, b"code", 4)]),
        program(0x40_1000, &[(5, 0x40_1000, b"code", 3)]),
        program(0x10, &[(5, 0, b"code", 4)]),
        program(1 << 40, &[(5, 1 << 40, b"code", 4)]),
        program(0x40_1000, &[(5, 0x40_1000, b"code", u64::MAX)]),
        program(0x40_1000, &[]),
        good[..good.len() - 1].to_vec(),
    ];
    for bad in elsewhere {
        assert_eq!(Image::parse(&bad).err(), Some(Errno::ENOEXEC));
    }
}

proptest! {
    #[test]
    fn any_file_is_refused_or_inside_the_limits(
        changes in proptest::collection::vec((0usize..180, any::<u8>()), 0..6),
        cut in 0usize..200,
    ) {
        let mut file = program(0x40_1000, &[(5, 0x40_1000, b"code", 4), (6, 0x40_2000, b"", 8)]);
        for (at, value) in changes {
            if let Some(byte) = file.get_mut(at) {
                *byte = value;
            }
        }
        file.truncate(cut.max(120));
        if let Ok(image) = Image::parse(&file) {
            for part in image.parts() {
                let part = part.unwrap();
                prop_assert!(part.start >= USER_START && part.end <= HEAP_LIMIT);
                prop_assert!(part.start <= part.address && part.start < part.end);
                prop_assert!(part.address + part.bytes.len() as u64 <= part.end);
            }
        }
    }
}
