//! The states a half of a device announces in its `state` node.

use core::fmt;
use hypercall_abi::io::xenbus as abi;

/// What a half says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum State {
    /// Not known.
    Unknown = abi::STATE_UNKNOWN,
    /// Made by the tools, or starting over.
    Initialising = abi::STATE_INITIALISING,
    /// The back half waits for what the front half publishes.
    InitWait = abi::STATE_INIT_WAIT,
    /// The front half has published its rings and waits.
    Initialised = abi::STATE_INITIALISED,
    /// In use.
    Connected = abi::STATE_CONNECTED,
    /// Being given up.
    Closing = abi::STATE_CLOSING,
    /// Given up.
    Closed = abi::STATE_CLOSED,
    /// Being changed.
    Reconfiguring = abi::STATE_RECONFIGURING,
    /// Changed.
    Reconfigured = abi::STATE_RECONFIGURED,
}

impl State {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Unknown,
        Self::Initialising,
        Self::InitWait,
        Self::Initialised,
        Self::Connected,
        Self::Closing,
        Self::Closed,
        Self::Reconfiguring,
        Self::Reconfigured,
    ];

    /// What a node's value says; anything that is no state is `Unknown`.
    #[must_use]
    pub fn of_value(value: &[u8]) -> Self {
        let text = core::str::from_utf8(value).unwrap_or("");
        let number: Option<usize> = text.trim().parse().ok();
        number.and_then(|number| Self::ALL.get(number)).copied().unwrap_or(Self::Unknown)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }
}

/// The value of the node.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::State;
    use alloc::string::ToString;

    #[test]
    fn values_are_numbers() {
        for (number, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state.number() as usize, number);
            assert_eq!(State::of_value(state.to_string().as_bytes()), state);
        }
        for nonsense in [&b""[..], b"9", b"-1", b"x", b"\xff", b"99999999999999999999"] {
            assert_eq!(State::of_value(nonsense), State::Unknown);
        }
        assert_eq!(State::of_value(b" 4\n"), State::Connected);
    }
}
