//! Files of `/dev`.

use pvkernel_user::abi::{open, FileKind};
use pvkernel_user::{sys, Errno, File};

use crate::check::{holds, refused, same, Check};

crate::cases! {
    nothing_and_zeros,
    the_console_is_a_device,
    devices_stay,
    addresses_that_do_not_answer,
}

fn nothing_and_zeros() -> Check {
    let null = File::open("/dev/null", open::READ | open::WRITE)?;
    same(null.write(&[1; 1000])?, 1000)?;
    same(null.read(&mut [1; 10])?, 0)?;
    let zero = File::open("/dev/zero", open::READ | open::WRITE)?;
    let mut bytes = [7; 5000];
    same(zero.read_full(&mut bytes)?, 5000)?;
    holds(bytes.iter().all(|byte| *byte == 0), "zeros")?;
    same(zero.write(&[1; 10])?, 10)
}

fn the_console_is_a_device() -> Check {
    same(sys::stat(b"/dev/console")?.kind, FileKind::Character as u32)?;
    let console = File::open("/dev/console", open::WRITE)?;
    refused(console.read(&mut [0]), &[Errno::EBADF])?;
    refused(sys::getdents(console.fd(), &mut [sys::NO_ENTRY]), &[Errno::ENOTDIR, Errno::EBADF])
}

fn devices_stay() -> Check {
    for name in [&b"/dev/null"[..], b"/dev/console"] {
        let why = [Errno::EROFS, Errno::EPERM, Errno::EBUSY];
        refused(sys::unlink(name), &why)?;
        sys::stat(name)?;
    }
    let why = [Errno::EROFS, Errno::EPERM];
    refused(File::create("/dev/new"), &why)?;
    refused(sys::mkdir(b"/dev/new"), &why)
}

/// Without a network that is the answer; with one, nobody answers there.
fn addresses_that_do_not_answer() -> Check {
    let why = [
        Errno::ENETDOWN,
        Errno::ENOSYS,
        Errno::ETIMEDOUT,
        Errno::ECONNREFUSED,
        Errno::EADDRNOTAVAIL,
        Errno::EINVAL,
        Errno::ECONNRESET,
    ];
    const SHORT_NS: u64 = 20_000_000;
    refused(sys::ping(0xf000_0001, 8, SHORT_NS), &why)?;
    refused(sys::ping(0, 8, SHORT_NS), &why)?;
    refused(sys::ping(0x0a00_0001, u64::MAX, SHORT_NS), &why)?;
    refused(sys::connect(0, 80, SHORT_NS), &why)?;
    refused(sys::connect(0xffff_ffff, 80, SHORT_NS), &why)
}
