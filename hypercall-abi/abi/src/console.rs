//! The hypervisor's console: the numbers of `console_io`.

use crate::macros::consts;

consts! { u32:
    /// Prints bytes.
    CONSOLEIO_WRITE = 0;
    /// Fetches typed bytes.
    CONSOLEIO_READ = 1;
}
