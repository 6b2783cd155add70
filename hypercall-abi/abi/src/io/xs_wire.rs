//! The xenstore protocol: message head, message types and the ring page.

use crate::macros::{abi_struct, consts};

abi_struct! {
    /// Head of a message; `len` bytes follow.
    XsdSockmsg {
        /// A number of this module.
        kind: u32,
        /// Chosen by the client, returned with the answer.
        req_id: u32,
        /// Transaction, or 0.
        tx_id: u32,
        /// Bytes that follow.
        len: u32,
    }
}

consts! { u32:
    /// Commands to the store itself.
    XS_CONTROL = 0;
    /// Names below a path.
    XS_DIRECTORY = 1;
    /// Value at a path.
    XS_READ = 2;
    /// Who may read and write a path.
    XS_GET_PERMS = 3;
    /// Watches a path.
    XS_WATCH = 4;
    /// Ends a watch.
    XS_UNWATCH = 5;
    /// Begins a transaction.
    XS_TRANSACTION_START = 6;
    /// Ends a transaction.
    XS_TRANSACTION_END = 7;
    /// Tells the store of a domain.
    XS_INTRODUCE = 8;
    /// Tells the store that a domain is gone.
    XS_RELEASE = 9;
    /// Home of a domain.
    XS_GET_DOMAIN_PATH = 10;
    /// Sets a value.
    XS_WRITE = 11;
    /// Makes a path.
    XS_MKDIR = 12;
    /// Removes a path.
    XS_RM = 13;
    /// Sets who may read and write a path.
    XS_SET_PERMS = 14;
    /// From the store: something changed.
    XS_WATCH_EVENT = 15;
    /// From the store: the name of an error.
    XS_ERROR = 16;
    /// Whether the store knows a domain.
    XS_IS_DOMAIN_INTRODUCED = 17;
    /// Tells the store that a domain continues.
    XS_RESUME = 18;
    /// Lets a domain act for another.
    XS_SET_TARGET = 19;
    /// Ends all watches of the connection.
    XS_RESET_WATCHES = 21;
    /// Names below a path, in parts.
    XS_DIRECTORY_PART = 22;
    /// Number of types.
    XS_TYPE_COUNT = 23;
    /// No type.
    XS_INVALID = 0xffff;
}

/// Most bytes behind a head.
pub const PAYLOAD_MAX: usize = 4096;
/// Longest path from the root.
pub const ABS_PATH_MAX: usize = 3072;
/// Longest path from a domain's home.
pub const REL_PATH_MAX: usize = 2048;
/// Bytes of a ring.
pub const RING_SIZE: usize = 1024;

abi_struct! {
    /// The ring page of a domain.
    XenstoreDomainInterface {
        /// Requests.
        req: [u8; RING_SIZE],
        /// Answers and watch events.
        rsp: [u8; RING_SIZE],
        /// Requests read by the store.
        req_cons: u32,
        /// Requests written by the domain.
        req_prod: u32,
        /// Answers read by the domain.
        rsp_cons: u32,
        /// Answers written by the store.
        rsp_prod: u32,
        /// `SERVER_FEATURE_*`.
        server_features: u32,
        /// `CONNECTED` or `RECONNECT`.
        connection: u32,
        /// `ERROR_*`.
        error: u32,
    }
}

consts! { u32:
    /// The store can start over.
    SERVER_FEATURE_RECONNECTION = 1;
    /// The store reports errors in the page.
    SERVER_FEATURE_ERROR = 2;
    /// In use.
    CONNECTED = 0;
    /// The domain wants to start over.
    RECONNECT = 1;
    /// No error.
    ERROR_NONE = 0;
    /// The transport failed.
    ERROR_COMM = 1;
    /// The indices made no sense.
    ERROR_RINGIDX = 2;
    /// A message made no sense.
    ERROR_PROTO = 3;
}
