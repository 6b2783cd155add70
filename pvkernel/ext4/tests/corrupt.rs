//! Disks whose contents contradict themselves: errors, never a panic, and an end.

mod common;

use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use common::{bytes, disk, from_bytes, kernel, tree};
use proptest::prelude::*;
use pvkernel_abi::open;
use pvkernel_core::fs::exercise::{Op, Player};
use pvkernel_core::fs::{FileTable, Limits, Vfs};
use pvkernel_core::kernel::Kernel;

const MIB: u64 = 24;
const MAKE: u64 = open::READ | open::WRITE | open::CREATE;

/// Puts something of everything on a disk.
fn fill(table: &FileTable) {
    for name in ["/a", "/b", "/a/b", "/a/c"] {
        table.mkdir(name.as_bytes()).unwrap();
    }
    for number in 0..120 {
        let path = format!("/a/c/a-rather-long-name-of-a-file-{number}");
        let fd = table.open(path.as_bytes(), MAKE).unwrap();
        table.write(fd, &[number as u8; 700], &|| false).unwrap();
        table.close(fd).unwrap();
    }
    let fd = table.open(b"/c", MAKE).unwrap();
    for at in 0..40 {
        table.lseek(fd, at * 20_000, pvkernel_abi::Seek::Start).unwrap();
        table.write(fd, &[9; 5000], &|| false).unwrap();
    }
    table.link(b"/c", b"/a/a").unwrap();
    table.close(fd).unwrap();
}

fn ours(kernel: &'static Kernel) -> Vec<u8> {
    let disk = disk(kernel, MIB);
    let vfs = tree(kernel, &disk);
    let table = FileTable::new(vfs);
    fill(&table);
    drop(table);
    vfs.sync().unwrap();
    bytes(&disk, MIB)
}

/// One without checksums, made by the format's own tools, where they are installed.
fn theirs(kernel: &'static Kernel) -> Option<Vec<u8>> {
    let path =
        std::env::temp_dir().join(format!("pvkernel-ext4-theirs-{}.img", std::process::id()));
    std::fs::write(&path, vec![0; (MIB << 20) as usize]).unwrap();
    let made = Command::new("/usr/sbin/mkfs.ext4")
        .args(["-q", "-O", "^metadata_csum", "-b", "4096"])
        .arg(&path)
        .status();
    let image = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    made.ok().filter(|status| status.success())?;
    let disk = from_bytes(&image);
    let vfs = tree(kernel, &disk);
    let table = FileTable::new(vfs);
    fill(&table);
    drop(table);
    vfs.sync().unwrap();
    Some(bytes(&disk, MIB))
}

/// A disk, and the places where something other than one repeated byte is written.
struct Image {
    bytes: Vec<u8>,
    busy: Vec<usize>,
}

fn images() -> &'static [Image] {
    static IMAGES: OnceLock<Vec<Image>> = OnceLock::new();
    IMAGES.get_or_init(|| {
        // A panic on the file system's thread would leave everybody waiting for it.
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            usual(info);
            std::process::abort();
        }));
        let kernel = kernel();
        let all = [Some(ours(kernel)), theirs(kernel)];
        let image = |bytes: Vec<u8>| {
            let pieces = bytes.chunks(32).enumerate();
            let busy = pieces.filter(|(_, piece)| piece.iter().any(|byte| *byte != piece[0]));
            Image { busy: busy.map(|(number, _)| number * 32).collect(), bytes }
        };
        all.into_iter().flatten().map(image).collect()
    })
}

fn try_out(kernel: &'static Kernel, image: &[u8], numbers: &[(u8, u32, u32, u16)]) {
    let Ok(fs) = pvkernel_ext4::mount(kernel, from_bytes(image)) else { return };
    let vfs = Vfs::new(kernel, Arc::clone(&fs), None, Limits::default());
    let mut player = Player::new(FileTable::new(Box::leak(Box::new(vfs))));
    for path in ["/", "/a", "/a/c"] {
        let _ = player.apply(&Op::List { path: path.into() });
    }
    let _ = player.apply(&Op::Read { path: "/c".into(), at: 0, len: 900_000 });
    for n in numbers {
        let _ = player.apply(&Op::from_numbers(n.0, n.1, n.2, n.3));
    }
    drop(player);
    let _ = fs.end();
}

fn cases() -> u32 {
    let asked = std::env::var("ZENDO_CORRUPT_CASES").ok();
    asked.and_then(|number| number.parse().ok()).unwrap_or(40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 0, ..Default::default() })]
    #[test]
    fn no_disk_does_harm(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..32, 0_u8..4, any::<u8>()), 1..9),
        numbers in prop::collection::vec(any::<(u8, u32, u32, u16)>(), 0..40),
    ) {
        let image = &images()[which.index(images().len())];
        let mut bytes = image.bytes.clone();
        for (piece, offset, how, byte) in changes {
            let at = image.busy[piece.index(image.busy.len())] + offset;
            bytes[at] = match how {
                0 => 0,
                1 => 0xff,
                2 => bytes[at] ^ (1 << (byte % 8)),
                _ => byte,
            };
        }
        let start = Instant::now();
        try_out(kernel(), &bytes, &numbers);
        let took = start.elapsed();
        println!("{} ms", took.as_millis());
        prop_assert!(took.as_secs() < 60, "it ends soon: {:?}", took);
    }
}
