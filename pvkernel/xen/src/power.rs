//! The ends of this domain.

use hypercall_abi::sched::shutdown::{CRASH, POWEROFF, REBOOT};

use crate::hypercall::sched;

fn end(reason: u32) -> ! {
    loop {
        // An error is impossible for the reasons of this module; if the control domain resumes us
        // nevertheless, we ask again.
        let _ = sched::shutdown(reason);
    }
}

/// Switches off.
pub fn poweroff() -> ! {
    end(POWEROFF)
}

/// Starts anew.
pub fn reboot() -> ! {
    end(REBOOT)
}

/// Reports that something went wrong beyond repair.
pub fn crash() -> ! {
    end(CRASH)
}
