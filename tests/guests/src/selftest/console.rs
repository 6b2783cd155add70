//! `console_io`.

use crate::harness::{address, hypercall, Report, UNMAPPED};
use hypercall_abi::console::{CONSOLEIO_READ, CONSOLEIO_WRITE};
use hypercall_abi::{nr, Errno};

/// Runs the topic.
pub fn run(t: &mut Report) {
    let mut text = *b"\n";
    let call = |cmd: u32, count: u64, buffer: u64| {
        hypercall(nr::CONSOLE_IO, &[u64::from(cmd), count, buffer])
    };
    if !t.is_dom0 {
        // Release builds of Xen keep ordinary domains away from the machine's console.
        t.errno("read-refused", Errno::EPERM, call(CONSOLEIO_READ, 1, address(&mut text)));
        return;
    }
    t.ret("write", 0, call(CONSOLEIO_WRITE, 1, address(&mut text)));
    t.ret("write-nothing", 0, call(CONSOLEIO_WRITE, 0, UNMAPPED));
    t.errno("write-bad-pointer", Errno::EFAULT, call(CONSOLEIO_WRITE, 4, UNMAPPED));
    t.ret("read-nothing-typed", 0, call(CONSOLEIO_READ, 1, address(&mut text)));
    t.errno("read-too-much", Errno::E2BIG, call(CONSOLEIO_READ, 1 << 31, address(&mut text)));
    t.errno("unknown-command", Errno::ENOSYS, call(7, 1, address(&mut text)));
}
