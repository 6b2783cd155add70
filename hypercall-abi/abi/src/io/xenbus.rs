//! States two halves of a device announce to each other.

use crate::macros::consts;

consts! { u32:
    /// Not known.
    STATE_UNKNOWN = 0;
    /// Made by the tools.
    STATE_INITIALISING = 1;
    /// The back half waits for the front half.
    STATE_INIT_WAIT = 2;
    /// The front half waits for the back half.
    STATE_INITIALISED = 3;
    /// In use.
    STATE_CONNECTED = 4;
    /// Being given up.
    STATE_CLOSING = 5;
    /// Given up.
    STATE_CLOSED = 6;
    /// Being changed.
    STATE_RECONFIGURING = 7;
    /// Changed.
    STATE_RECONFIGURED = 8;
}
