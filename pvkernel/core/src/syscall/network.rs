//! System calls of the network; `ENETDOWN` as long as there is none. A machine has its loop in any case.

use pvkernel_abi::{Call, Errno};

use super::{Answer, Args};
use crate::proc::Process;

/// Serves a call.
#[cfg(feature = "net")]
pub(super) fn serve(process: &Process, call: Call, args: Args) -> Answer {
    use crate::fs;
    let [a, b, c, ..] = args.0;
    let (os, files) = (process.os(), &process.files);
    let give_up = || process.is_killed();
    match call {
        Call::Ping => fs::ping(stack::of(os, a)?, a, b, c, &give_up),
        Call::Connect => fs::connect(stack::of(os, a)?, files, (a, b), c, &give_up),
        Call::Listen => fs::listen(stack::of(os, a)?, files, (a, b), c),
        Call::Accept => files.accept(a, b, &give_up),
        Call::Resolve => {
            fs::resolve(stack::network(os)?, &super::files::path(process, a, b)?, &give_up)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// Which stack.
#[cfg(feature = "net")]
mod stack {
    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use core::net::Ipv4Addr;

    use pvkernel_abi::Errno;

    use crate::device::loopback::Loopback;
    use crate::net::{Config, Stack};
    use crate::os::Os;

    /// More than a stack takes: its sockets, its thread, its card.
    const LOOP_BYTES: usize = 256 << 10;

    /// The one that leads to an address.
    pub(super) fn of(os: &Os, address: u64) -> Result<&'static Stack, Errno> {
        let is_loopback = |bits: u32| Ipv4Addr::from_bits(bits).is_loopback();
        match u32::try_from(address).is_ok_and(is_loopback) {
            true => os.loopback.try_call_once(|| start(os)).copied(),
            false => network(os),
        }
    }

    /// The one of the card.
    pub(super) fn network(os: &Os) -> Result<&'static Stack, Errno> {
        os.network.get().copied().ok_or(Errno::ENETDOWN)
    }

    /// Nobody else runs meanwhile, so what there is room for now there is room for until it is done: a
    /// stack is never begun and given up, which would cost memory each time.
    fn start(os: &Os) -> Result<&'static Stack, Errno> {
        let mut probe: Vec<u8> = Vec::new();
        probe.try_reserve_exact(LOOP_BYTES).map_err(|_| Errno::ENOMEM)?;
        drop(probe);
        let card = Box::leak(Box::new(Loopback::new()));
        let seed = os.kernel.now_ns();
        Stack::start(os.kernel, card, Config::Loopback, seed).map_err(|_| Errno::ENOMEM)
    }
}

/// Serves a call.
#[cfg(not(feature = "net"))]
pub(super) fn serve(process: &Process, call: Call, args: Args) -> Answer {
    match call {
        Call::Accept => process.files.accept(args.0[0], args.0[1], &|| process.is_killed()),
        _ => Err(Errno::ENETDOWN),
    }
}
