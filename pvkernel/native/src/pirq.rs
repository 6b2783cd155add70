//! Interrupt lines of devices.
//!
//! A line is level-triggered and may be shared: when it fires, the upcall masks it; every device on it
//! is asked, which clears its request; then the line is unmasked, and a device that asked meanwhile
//! makes it fire again. Handlers run as event handlers.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use pvkernel_core::sync::Lock;

use crate::apic::{self, Line, NoLine};
use crate::event;

/// What looks whether its device wants something.
pub type LineHandler = Arc<dyn Fn() + Send + Sync>;

type Handlers = Arc<Lock<Vec<LineHandler>>>;

static LINES: Lock<BTreeMap<u32, Handlers>> = Lock::new(BTreeMap::new());

/// Calls `handler` whenever the line fires, from now on for ever.
///
/// # Errors
/// `NoLine`.
pub fn on_line(line: u32, handler: LineHandler) -> Result<(), NoLine> {
    let known = LINES.lock().get(&line).cloned();
    if let Some(handlers) = known {
        handlers.lock().push(handler);
        return Ok(());
    }
    let port = apic::route(line, true)?;
    let handlers: Handlers = Arc::new(Lock::new(Vec::from([handler])));
    LINES.lock().insert(line, Arc::clone(&handlers));
    event::on_event(port, Box::new(move || fired(port, &handlers)));
    Ok(())
}

fn fired(line: Line, handlers: &Lock<Vec<LineHandler>>) {
    let mut index = 0;
    loop {
        // Not locked while it runs: it may print, or start what ends in here again.
        let handler = handlers.lock().get(index).cloned();
        let Some(handler) = handler else { break };
        handler();
        index += 1;
    }
    apic::unmask(line);
}
