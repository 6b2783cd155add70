//! The ends of this domain.

use hypercall_abi::sched::shutdown;

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
    end(shutdown::POWEROFF)
}

/// Starts anew.
pub fn reboot() -> ! {
    end(shutdown::REBOOT)
}

/// Reports that something went wrong beyond repair.
pub fn crash() -> ! {
    end(shutdown::CRASH)
}
