//! Files used as disks, past the file system: compared with a row of bytes, beside other work.

mod common;

use common::{assert_clean, Memory};
use proptest::prelude::*;
use zl_files::image::{self, World};
use zl_files::{format, Disk, FileError, Files, Hold, Places, What};

const NOW: u64 = 1_790_000_000;

/// A disk, its files, and one file that is a disk.
struct Machine {
    disk: Memory,
    files: Files,
    places: Places,
}

impl World for Machine {
    fn disk(&mut self) -> &mut dyn Disk {
        &mut self.disk
    }

    fn places<T>(&mut self, look: impl FnOnce(&mut Places) -> T) -> T {
        look(&mut self.places)
    }

    fn files<T>(
        &mut self,
        act: impl FnOnce(&mut Files) -> Result<T, FileError>,
    ) -> Result<T, FileError> {
        act(&mut self.files)
    }
}

impl Machine {
    fn new(mib: usize) -> Self {
        let disk = Memory::new(mib);
        format(Box::new(disk.clone()), NOW).unwrap();
        let files = Files::mount(Box::new(disk.clone()), NOW).unwrap();
        Self { disk, files, places: Places::default() }
    }

    fn hold(&mut self, path: &str) -> Result<Hold, FileError> {
        let again = self.disk.clone();
        let hold = self.files.hold(path, true, || Box::new(again))?;
        self.places = Places::default();
        image::learn(self, &hold, 0, hold.size())?;
        Ok(hold)
    }

    fn contents(&mut self, path: &str) -> Vec<u8> {
        let stat = self.files.stat(path).unwrap();
        let mut bytes = vec![0; stat.size as usize];
        assert_eq!(self.files.read(stat.id, 0, &mut bytes).unwrap(), bytes.len());
        bytes
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(u16, u16, u8),
    Read(u16, u16),
    /// Somebody else works on another file: other blocks come and go in the cache.
    Beside(u16, u16),
    Sync,
    /// The disk is closed; its file is written by its name, unevenly, and opened again.
    Reopen(u32, u16, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let range = (0_u16..1030, 1_u16..300);
    let step = prop_oneof![
        6 => (range.clone(), any::<u8>()).prop_map(|((at, len), fill)| Step::Write(at, len, fill)),
        3 => range.clone().prop_map(|(at, len)| Step::Read(at, len)),
        2 => range.prop_map(|(at, len)| Step::Beside(at, len)),
        1 => Just(Step::Sync),
        1 => (0_u32..520_000, 1_u16..9000, any::<u8>()).prop_map(|(a, l, f)| Step::Reopen(a, l, f)),
    ];
    proptest::collection::vec(step, 1..40)
}

fn run(size: u64, steps: Vec<Step>) {
    let mut machine = Machine::new(24);
    let file = machine.files.create("/disk").unwrap();
    let other = machine.files.create("/other").unwrap();
    machine.files.set_size(file, size).unwrap();
    let mut model = vec![0_u8; size as usize];
    let mut hold = machine.hold("/disk").unwrap();
    let pattern = |fill: u8, len: usize| -> Vec<u8> {
        (0..len).map(|i| fill.wrapping_add((i / 7) as u8) | 1).collect()
    };
    for step in steps {
        match step {
            Step::Write(at, len, fill) => {
                let start = usize::from(at) * 512;
                let end = (start + usize::from(len) * 512).min(model.len());
                let Some(part) = model.get_mut(start..end) else { continue };
                part.copy_from_slice(&pattern(fill, part.len()));
                let bytes = part.to_vec();
                image::write(&mut machine, &hold, start as u64, &bytes).unwrap();
            }
            Step::Read(at, len) => {
                let start = usize::from(at) * 512;
                let end = (start + usize::from(len) * 512).min(model.len());
                let Some(part) = model.get(start..end) else { continue };
                let mut bytes = vec![0x55; part.len()];
                image::read(&mut machine, &hold, start as u64, &mut bytes).unwrap();
                assert!(bytes == part, "{start}..{end}");
                if let Some(place) =
                    image::direct(&hold, &machine.places, start as u64, part.len() as u64)
                {
                    machine.disk.read(place / 512, &mut bytes).unwrap();
                    assert!(bytes == part, "{start}..{end} at {place}");
                }
            }
            Step::Beside(at, len) => {
                let bytes = pattern(3, usize::from(len));
                machine.files.write(other, u64::from(at) * 900, &bytes).unwrap();
                assert!(machine.contents("/disk") == model, "read by its name");
            }
            Step::Sync => machine.files.sync().unwrap(),
            Step::Reopen(at, len, fill) => {
                let error = machine.files.write(file, 0, b"x").unwrap_err();
                assert_eq!(error.what, What::InUse);
                drop(hold);
                let start = (at as usize).min(model.len());
                let end = (start + usize::from(len)).min(model.len());
                model[start..end].copy_from_slice(&pattern(fill, end - start));
                machine.files.write(file, start as u64, &model[start..end]).unwrap();
                hold = machine.hold("/disk").unwrap();
            }
        }
    }
    drop(hold);
    assert!(machine.contents("/disk") == model, "at the end");
    machine.files.unmount().unwrap();
    assert_clean(&machine.disk);
    machine.files = Files::mount(Box::new(machine.disk.clone()), NOW).unwrap();
    assert!(machine.contents("/disk") == model, "after another mount");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_file_as_a_disk_is_a_row_of_bytes(blocks in 1_u64..131, rest in 0_u64..8, steps in steps()) {
        run(blocks * 4096 + rest * 512, steps);
    }
}

#[test]
fn a_held_file_is_nobody_elses() {
    let mut machine = Machine::new(24);
    let file = machine.files.create("/disk").unwrap();
    machine.files.set_size(file, 64 << 10).unwrap();
    let again = |machine: &Machine| Box::new(machine.disk.clone());
    let reader = {
        let a = again(&machine);
        machine.files.hold("/disk", false, || a)
    }
    .unwrap();
    let second = {
        let a = again(&machine);
        machine.files.hold("/disk", false, || a)
    }
    .unwrap();
    let in_use = |result: Result<(), FileError>| assert_eq!(result.unwrap_err().what, What::InUse);
    in_use(
        {
            let a = again(&machine);
            machine.files.hold("/disk", true, || a)
        }
        .map(drop),
    );
    in_use(machine.files.remove("/disk"));
    in_use(machine.files.rename("/disk", "/other"));
    in_use(machine.files.set_size(file, 0));
    in_use(machine.files.write(file, 0, b"x"));
    assert_eq!(machine.files.fill(&reader, 0, &[1; 4096]).unwrap_err().what, What::ReadOnly);
    assert!(machine.files.is_any_held());
    drop((reader, second));
    let writer = machine.hold("/disk").unwrap();
    in_use(
        {
            let a = again(&machine);
            machine.files.hold("/disk", false, || a)
        }
        .map(drop),
    );
    drop(writer);
    assert!(!machine.files.is_any_held());
    machine.files.remove("/disk").unwrap();
    assert_eq!(machine.hold("/disk").map(drop).unwrap_err().what, What::Missing);
    assert_eq!(machine.hold("/").map(drop).unwrap_err().what, What::IsFolder);
}

#[test]
fn a_full_disk_refuses_new_blocks_and_keeps_the_old() {
    let mut machine = Machine::new(24);
    let file = machine.files.create("/disk").unwrap();
    machine.files.set_size(file, 32 << 20).unwrap();
    let hold = machine.hold("/disk").unwrap();
    let room = machine.files.space().free;
    let mut written = 0;
    let full = loop {
        let bytes = vec![(written / 4096) as u8 | 1; 4096];
        match image::write(&mut machine, &hold, written, &bytes) {
            Ok(_) => written += 4096,
            Err(error) => break error,
        }
    };
    assert_eq!(full.what, What::Full);
    assert!(written + (40 << 12) > room && written <= room, "{written} of {room} bytes");
    let free = machine.files.space().free;
    assert!(free < 40 * 4096, "{free} bytes are free, the portions were not cut down");
    // What is there can still be overwritten and read; what is missing reads as zeros.
    assert!(!image::write(&mut machine, &hold, 8192, &[9; 4096]).unwrap());
    let mut bytes = vec![0; 4096];
    for (at, expected) in [(8192, 9), (0, 1), (written - 4096, ((written / 4096) - 1) as u8 | 1)] {
        image::read(&mut machine, &hold, at, &mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == expected), "at {at}");
    }
    image::read(&mut machine, &hold, (32 << 20) - 4096, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
    drop(hold);
    machine.files.unmount().unwrap();
    assert_clean(&machine.disk);
}
