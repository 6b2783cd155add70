//! One random call. The unsafe code of the fuzzer is here.
//!
//! Addresses lead into a page of the child's own, to read-only memory, or to where nothing is; a child may
//! also hit memory it needs, and then ends by a fault or does something odd, as any broken program does.

use pvkernel_user::abi::{Call, USER_END};
use pvkernel_user::random::Random;
use pvkernel_user::sys;

const PATHS: &[&[u8]] = &[
    b"file",
    b"other",
    b"folder",
    b"folder/x",
    b".",
    b"..",
    b"",
    b"/",
    b"/bin/true",
    b"/bin/sh",
    b"/dev/null",
    b"/dev/zero",
    b"file/x",
    b"//./../fuzz/file",
    b"/dev",
    b"a\0b",
    b"\xff\xfe",
];

const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    63,
    64,
    255,
    256,
    4095,
    4096,
    4097,
    65_536,
    1 << 20,
    1 << 31,
    1 << 32,
    1 << 47,
    1 << 62,
    1 << 63,
    u64::MAX,
    u64::MAX - 1,
    u64::MAX - 4095,
    USER_END,
    USER_END - 1,
    0xffff_8000_0000_0000,
    0xffff_ffff_8000_0000,
    0x40_0000,
    0x40_0ffe,
];

/// Makes it.
pub fn call(number: u64, random: &mut Random) {
    let mut room = alloc::vec![0u8; 8192];
    random_bytes(&mut room, random);
    let mut args = [0u64; 6];
    args.iter_mut().for_each(|arg| *arg = argument(&mut room, random));
    let path = random.of(PATHS).unwrap_or_default();
    // Mostly a good path or descriptor, so that the call gets beyond looking at it.
    if random.below(3) != 0 {
        (args[0], args[1]) = match Call::of(number) {
            Some(call) if takes_path(call) => (path.as_ptr() as u64, path.len() as u64),
            _ => (random.below(8), args[1]),
        };
    }
    if Call::of(number) == Some(Call::SleepNs) {
        args[0] %= 1_000_000;
    }
    if matches!(Call::of(number), Some(Call::Ping | Call::Connect)) {
        args[2] %= 1_000_000;
    }
    // And mostly this machine, where there is somebody: itself.
    if matches!(Call::of(number), Some(Call::Connect | Call::Listen)) && random.below(4) != 0 {
        (args[0], args[1]) = (0x7f00_0001, random.below(6));
    }
    if Call::of(number) == Some(Call::Accept) {
        args[1] %= 1_000_000;
    }
    // SAFETY: there is none to keep. The child is made to be broken; what it does to its own memory ends
    // at worst the child, and that the kernel and other processes stand is what is tried.
    let _ = unsafe { sys::raw(number, args) };
}

fn takes_path(call: Call) -> bool {
    matches!(
        call,
        Call::Exec
            | Call::Open
            | Call::Stat
            | Call::Mkdir
            | Call::Unlink
            | Call::Link
            | Call::Rename
            | Call::Chdir
            | Call::Mount
            | Call::Resolve
    )
}

fn random_bytes(room: &mut [u8], random: &mut Random) {
    for chunk in room.chunks_mut(256) {
        chunk.fill(random.next() as u8);
    }
}

fn argument(room: &mut [u8], random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.next(),
        1..=3 => random.of(NUMBERS).unwrap_or(0),
        4 => random.below(70),
        5 => random.of(NUMBERS).unwrap_or(0).wrapping_add(random.below(16)),
        _ => room.as_mut_ptr() as u64 + random.below(room.len() as u64),
    }
}
