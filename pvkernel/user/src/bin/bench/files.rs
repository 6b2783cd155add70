//! Files in memory.

use pvkernel_user::abi::{open, Seek};
use pvkernel_user::{sys, File, Result};

use crate::meter::{Cost, Meter};

crate::rows! {
    file_create_delete,
    file_open_close,
    file_stat,
    file_read_4k,
    file_write_4k,
    write_nothing_kept,
}

const PATH: &str = "/bench-file";

fn file_create_delete(meter: Meter) -> Result<Cost> {
    meter.mean(200, || {
        File::open(PATH, open::WRITE | open::CREATE)?;
        sys::unlink(PATH.as_bytes())
    })
}

/// Does something with a file of 4 KiB, which is removed again.
fn with_file(measure: impl FnOnce(&File) -> Result<Cost>) -> Result<Cost> {
    let file = File::create(PATH)?;
    file.write_all(&[1; 4096])?;
    let cost = measure(&file);
    sys::unlink(PATH.as_bytes())?;
    cost
}

fn file_open_close(meter: Meter) -> Result<Cost> {
    with_file(|_| meter.mean(200, || File::read_only(PATH).map(|_| ())))
}

fn file_stat(meter: Meter) -> Result<Cost> {
    with_file(|_| meter.mean(200, || sys::stat(PATH.as_bytes()).map(|_| ())))
}

fn file_read_4k(meter: Meter) -> Result<Cost> {
    let mut bytes = alloc::vec![0; 4096];
    with_file(|file| {
        meter.mean(200, || {
            file.seek(0, Seek::Start)?;
            file.read(&mut bytes).map(|_| ())
        })
    })
}

fn file_write_4k(meter: Meter) -> Result<Cost> {
    let bytes = alloc::vec![2; 4096];
    with_file(|file| {
        meter.mean(200, || {
            file.seek(0, Seek::Start)?;
            file.write(&bytes).map(|_| ())
        })
    })
}

/// A byte to a device that forgets it: the way of a write.
fn write_nothing_kept(meter: Meter) -> Result<Cost> {
    let null = File::open("/dev/null", open::WRITE)?;
    meter.mean(500, || null.write(&[1]).map(|_| ()))
}
