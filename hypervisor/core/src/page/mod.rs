//! Page types: how a guest may write its own page tables and still reach nothing but its memory.
//!
//! # The problem
//!
//! A paravirtual guest sees machine frame numbers and its page tables are the ones the CPU walks.
//! There is no second level of translation behind them. Whoever can write one arbitrary word into a
//! table the CPU uses owns the machine. So each frame is, at any moment, *either* something a guest
//! can write *or* something the CPU believes, never both, and the change from one to the other is
//! the only dangerous moment.
//!
//! # Two counts
//!
//! Each frame has two counts, in one word that changes atomically ([`State`]):
//!
//! * The **total count** answers "may this frame be reused?". Everything that would be surprised to
//!   find other content in the frame holds one: the allocation itself (a flag), each mapping in any
//!   domain, each grant handle, each use as a table. At zero the frame goes back to the allocator.
//! * The **type count** answers "may this frame become something else?". It counts the uses that
//!   depend on what the frame *is*: for a table the entries, pins and vCPU roots that name it; for
//!   writable memory the writable mappings. The type may change only while this count is zero. Each
//!   type reference comes with a general one, so the total count is never smaller.
//!
//! A read-only mapping takes only a general reference: to look at a page table harms nobody. A
//! writable mapping takes a reference of type `Writable`; a use as page table takes one of type
//! `L1` to `L4`. As the types exclude each other, *a frame with a writable mapping cannot become a
//! page table, and a page table cannot get a writable mapping*. Nothing else in this module is
//! needed for security; the rest is there to keep the counts right.
//!
//! # Validation
//!
//! The first reference of a table type finds a frame the guest has filled with anything. Three
//! things happen, in this order (the other orders are XSA-401 and its like): the new type becomes
//! visible, so no writable mapping can appear any more; translations that CPUs may still have
//! cached from old mappings are flushed; then the content is read. Each present entry must be one
//! the domain is allowed to have, and takes the references it stands for: a leaf entry on the
//! frame it maps, another entry a type reference on the table below, which is validated in turn.
//! When the last type reference goes, the entries' references are dropped in the same manner.
//!
//! Trees are large and guests choose their shape, so both walks can stop after any entry. They use
//! an explicit stack that owns the references of what is half done (`walk.rs`); a half-done table
//! is not validated and nobody but the walk can refer to it.
//!
//! # Who may run what
//!
//! All operations on the page tables of a domain run under that domain's page-table lock, so
//! validation code has the tables for itself. Counts, however, are changed by anybody: another
//! domain may map a frame, by privilege or by grant, under *its* lock. That is why the word changes
//! only by compare-exchange over pure transitions (`state.rs`).
//!
//! | file | idea |
//! | --- | --- |
//! | `types`, `state`, `frame` | names; the word and its transitions; the 24-byte frame entry |
//! | `refs` | references on single frames, ownership |
//! | `entry`, `descriptor` | what a guest may write into an entry or a descriptor |
//! | `leaf`, `walk`, `scan` | references of leaf entries; validation of trees; empty stretches |
//! | `tables`, `update`, `lookup`, `teardown` | the operations hypercalls are made of |
//! | `host` | what all this needs of the machine |
//!
//! What is not here: locks, TLB shootdown, the machine-to-physical table, copying from guests.

mod descriptor;
mod entry;
mod error;
mod frame;
mod host;
mod leaf;
mod list;
mod lookup;
mod refs;
mod scan;
mod state;
mod tables;
mod teardown;
mod types;
mod update;
mod walk;

#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
#[cfg(test)]
mod tests;

pub use entry::Entry;
pub use error::{PageError, Progress, Stop};
pub use frame::FrameInfo;
pub use host::PageHost;
pub use list::PageList;
pub use lookup::Translation;
pub use refs::{
    drop_allocation, get_page, get_writable, page_type_info, put_page, put_writable,
    release_special, steal, PageRef, PageTypeInfo, WritableRef,
};
pub use state::{Next, State, Taken};
pub use tables::PageTables;
pub use types::{Level, PageType, ENTRIES};
pub use update::{EntryUpdate, UpdateMode, Updated};
pub use walk::MmuState;
