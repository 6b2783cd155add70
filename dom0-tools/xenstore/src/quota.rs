//! How much of the store one domain may use.
//!
//! The counts are those of Xen's daemon. The limits in bytes close what counts alone leave open:
//! long paths, long tokens, and versions of nodes that only a transaction still holds. The control
//! domain has no quota.

/// The limits of one unprivileged domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Nodes it owns.
    pub nodes: usize,
    /// Bytes of a value.
    pub node_size: usize,
    /// Entries of the permissions of a node.
    pub perms: usize,
    /// Bytes of all nodes it owns, with their paths.
    pub bytes: usize,
    /// Watches.
    pub watches: usize,
    /// Open transactions.
    pub transactions: usize,
    /// Nodes one transaction saw or changed.
    pub transaction_nodes: usize,
    /// Bytes all its transactions hold.
    pub transaction_bytes: usize,
    /// Answers that wait to be read. Behind this no request is executed.
    pub answers: usize,
    /// Watch events that wait to be read. Behind this, events of a watch are merged into one.
    pub events: usize,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            nodes: 1000,
            node_size: 2048,
            perms: 5,
            bytes: 1 << 20,
            watches: 128,
            transactions: 10,
            transaction_nodes: 1024,
            transaction_bytes: 512 << 10,
            answers: 8,
            events: 64,
        }
    }
}
