//! What `zl debug` does beside counting: measuring and disturbing the control domain itself.

use crate::blkback;
use crate::netback;
use crate::terminal::Terminal;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use hypercall_abi::PAGE_SIZE;
use pvkernel_core::device::block::{BlockDevice, BlockOp};
use pvkernel_core::device::measure::{self, Run};
use pvkernel_xen::thread;
use zl_backends::blk::source;
use zl_toolstack::{Status, ToolError};

/// Whom disks without a name belong to while they are measured.
const BENCH: &str = "dom0/bench";

/// Carries out the words behind `debug`.
pub fn run(words: &[String], terminal: &dyn Terminal) -> Result<Status, ToolError> {
    let mut words = words.iter().map(String::as_str);
    let done = match (words.next(), words.next(), words.next()) {
        (Some("diskbench"), Some(disk), None) => bench(disk, false, terminal),
        (Some("diskbench"), Some(disk), Some("write")) => bench(disk, true, terminal),
        (Some("ram-drop"), Some(name), None) => blkback::drop_ram(name),
        (Some("restart-blkback"), None, None) => blkback::restart(),
        (Some("restart-netback"), None, None) => netback::restart(),
        _ => Err(String::from("these words make no sense; see 'zl help debug'")),
    };
    done.map(|()| Status::Ok).map_err(ToolError::failed)
}

/// A disk of dom0's, as dom0 itself reads it.
fn bench(disk: &str, writes: bool, terminal: &dyn Terminal) -> Result<(), String> {
    let (kind, params) = disk.split_once(':').unwrap_or(("phy", disk));
    let source = source::parse(kind, params)?;
    let lease = blkback::Lease::open(&source, BENCH, writes)?;
    let device: Arc<dyn BlockDevice> = match lease.backing().clone() {
        blkback::Backing::Ram(disk) => disk,
        blkback::Backing::Device(disk) => disk,
    };
    // The buffers would otherwise lie a multiple of a megabyte behind a disk in memory, where QEMU's
    // table of translations has one place for both.
    let _apart = device.buffer(PAGE_SIZE).map_err(|_| String::from("no memory"))?;
    for (what, wanted) in plans(&*device, writes) {
        let figures = measure::run(thread::kernel(), &*device, &wanted)
            .map_err(|error| format!("{source}: {what}: {error:?}"))?;
        let (ns, rate) = (figures.ns_each(), figures.megabytes_s());
        terminal.print(&format!("disk: {what} ns={ns} mb_s={rate}\n"));
    }
    drop((device, lease));
    blkback::forget_ram(BENCH);
    Ok(())
}

/// What is measured: single small requests, many small ones, large ones.
fn plans(device: &dyn BlockDevice, writes: bool) -> alloc::vec::Vec<(&'static str, Run)> {
    let op = if writes { BlockOp::Write } else { BlockOp::Read };
    let large = (device.info().max_sectors as usize * 512).min(1 << 20);
    let plan =
        |bytes, depth, requests| Run { op, bytes, depth, requests, is_random: bytes == 4096 };
    alloc::vec![
        ("small-single", plan(4096, 1, 2000)),
        ("small-many", plan(4096, 16, 8000)),
        ("large-single", plan(large, 1, 200)),
        ("large-many", plan(large, 3, 400)),
    ]
}
