//! The power fails after any write: the next mount finds a consistent disk with what was synced.

mod common;

use common::{assert_clean, Memory};
use zl_files::{format, Files};

const NOW: u64 = 1_790_000_000;

/// What is done until the power fails. The synced file must survive.
fn work(files: &mut Files) -> Result<(), zl_files::FileError> {
    for round in 0..18u8 {
        let path = format!("/images/round-{round}");
        let file = files.create(&path)?;
        files.write(file, 0, &vec![round; 30_000])?;
        if round > 1 {
            files.remove(&format!("/images/round-{}", round - 2))?;
        }
        files.sync()?;
    }
    Ok(())
}

#[test]
fn any_write_may_be_the_last() {
    let base = Memory::new(24);
    format(Box::new(base.clone()), NOW).unwrap();
    let mut files = Files::mount(Box::new(base.clone()), NOW).unwrap();
    files.make_folder("/images").unwrap();
    let kept = files.create("/kept").unwrap();
    files.write(kept, 0, &[42; 10_000]).unwrap();
    files.unmount().unwrap();
    drop(files);
    let all = count_writes(&base);
    assert!(all > 20, "the work writes: {all}");
    for last in (0..all).step_by(5) {
        let disk = base.copy();
        *disk.writes_left.lock().unwrap() = last;
        if let Ok(mut files) = Files::mount(Box::new(disk.clone()), NOW) {
            // It must fail at some point: the power goes.
            let _ = work(&mut files);
        }
        let disk = disk.copy();
        let mut files = Files::mount(Box::new(disk.clone()), NOW)
            .unwrap_or_else(|error| panic!("mount after {last} of {all} writes: {error}"));
        let kept = files.open("/kept").unwrap();
        let mut contents = vec![0; 10_000];
        assert_eq!(files.read(kept, 0, &mut contents).unwrap(), 10_000);
        assert!(contents.iter().all(|byte| *byte == 42), "after {last} of {all} writes");
        files.unmount().unwrap();
        println!("after {last} of {all} writes");
        assert_clean(&disk);
    }
}

fn count_writes(base: &Memory) -> u64 {
    let disk = base.copy();
    *disk.writes_left.lock().unwrap() = 1 << 40;
    let mut files = Files::mount(Box::new(disk.clone()), NOW).unwrap();
    work(&mut files).unwrap();
    let left = *disk.writes_left.lock().unwrap();
    (1 << 40) - left
}
