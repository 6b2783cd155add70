//! System calls of the network; `ENETDOWN` as long as there is none.

use pvkernel_abi::{Call, Errno};

use super::{Answer, Args};
use crate::proc::Process;

/// Serves a call.
#[cfg(feature = "net")]
pub(super) fn serve(process: &Process, call: Call, args: Args) -> Answer {
    let [a, b, c, ..] = args.0;
    let stack = process.os().network.get().copied().ok_or(Errno::ENETDOWN)?;
    let give_up = || process.is_killed();
    match call {
        Call::Ping => crate::fs::ping(stack, a, b, c, &give_up),
        Call::Connect => crate::fs::connect(stack, &process.files, (a, b), c, &give_up),
        Call::Resolve => crate::fs::resolve(stack, &super::files::path(process, a, b)?, &give_up),
        _ => Err(Errno::ENOSYS),
    }
}

/// Serves a call.
#[cfg(not(feature = "net"))]
pub(super) fn serve(_: &Process, _: Call, _: Args) -> Answer {
    Err(Errno::ENETDOWN)
}
