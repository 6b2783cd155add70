//! Showing what changes in the store, for `xenstore-watch`.
//!
//! The sinks of the watches put paths into a bounded queue; the person's thread prints them. A person
//! whose terminal is slow misses events and is told so.

use crate::screen::CHANGED;
use crate::terminal::Terminal;
use crate::xenstored;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use pv_xenbus::{WatchId, WatchSink};
use pvkernel_core::sync::Lock;
use zl_toolstack::{Status, ToolError};

/// Most events that wait to be printed.
const MOST_EVENTS: usize = 512;

#[derive(Default)]
struct Queue {
    paths: VecDeque<String>,
    missed: u64,
}

/// Prints events until there were `count`, or ^C, or the person is gone.
///
/// # Errors
/// A path cannot be watched.
pub fn watch(
    paths: &[String],
    count: Option<u64>,
    terminal: &dyn Terminal,
) -> Result<Status, ToolError> {
    let queue: Arc<Lock<Queue>> = Arc::new(Lock::new(Queue::default()));
    let mut watches = Vec::new();
    let mut result = Ok(Status::Ok);
    for path in paths {
        match xenstored::local().watch(path, sink(queue.clone())) {
            Ok(watch) => watches.push(watch),
            Err(errno) => {
                let text = format!("xenstore: {path}: {}; it cannot be watched", errno.name());
                result = Err(ToolError::failed(text));
            }
        }
    }
    if result.is_ok() {
        show(&queue, count, terminal);
    }
    end(watches);
    result
}

fn sink(queue: Arc<Lock<Queue>>) -> WatchSink {
    Arc::new(move |path: &str| {
        let mut queue = queue.lock();
        match queue.paths.len() < MOST_EVENTS {
            true => queue.paths.push_back(String::from(path)),
            false => queue.missed += 1,
        }
        drop(queue);
        CHANGED.wake_all();
    })
}

fn show(queue: &Lock<Queue>, count: Option<u64>, terminal: &dyn Terminal) {
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        let mut interrupted = false;
        CHANGED.wait_until(|| {
            interrupted = terminal.take_interrupt();
            let has_news = !queue.lock().paths.is_empty();
            interrupted || terminal.is_gone() || has_news
        });
        if interrupted || terminal.is_gone() {
            return;
        }
        let news = core::mem::take(&mut *queue.lock());
        for path in news.paths {
            if left > 0 {
                terminal.print(&format!("{path}\n"));
                left -= 1;
            }
        }
        if news.missed > 0 {
            terminal.note(&format!("[{} events are lost]\n", news.missed));
        }
    }
}

fn end(watches: Vec<WatchId>) {
    watches.into_iter().for_each(|watch| xenstored::local().unwatch(watch));
}
