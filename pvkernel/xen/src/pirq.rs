//! Interrupt lines of devices.
//!
//! A line is level-triggered and may be shared: when it fires, the hypervisor masks it and notifies the
//! port; every device on it is asked, which clears its request; then one end of interrupt unmasks the line,
//! and a device that asked meanwhile makes it fire again. Handlers run as event handlers.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hypercall_abi::evtchn::BIND_PIRQ_WILL_SHARE;
use hypercall_abi::Errno;
use pvkernel_core::sync::Lock;

use crate::event;
use crate::hypercall::{evtchn, physdev};

/// What looks whether its device wants something.
pub type LineHandler = Arc<dyn Fn() + Send + Sync>;

type Handlers = Arc<Lock<Vec<LineHandler>>>;

static LINES: Lock<BTreeMap<u32, Handlers>> = Lock::new(BTreeMap::new());

/// Calls `handler` whenever the line fires, from now on for ever.
///
/// # Errors
/// `EPERM` without the right to the line, `EBUSY` when another domain has it.
pub fn on_line(line: u32, handler: LineHandler) -> Result<(), Errno> {
    let known = LINES.lock().get(&line).cloned();
    if let Some(handlers) = known {
        handlers.lock().push(handler);
        return Ok(());
    }
    // Somebody may have said so before.
    match physdev::setup_gsi(line) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let pirq = physdev::map_gsi(line)?;
    let port = evtchn::bind_pirq(pirq, BIND_PIRQ_WILL_SHARE)?;
    let handlers: Handlers = Arc::new(Lock::new(Vec::from([handler])));
    LINES.lock().insert(line, Arc::clone(&handlers));
    event::on_event(port, Box::new(move || fired(pirq, &handlers)));
    Ok(())
}

fn fired(line: u32, handlers: &Lock<Vec<LineHandler>>) {
    let mut index = 0;
    loop {
        // Not locked while it runs: it may print, or start what ends in here again.
        let handler = handlers.lock().get(index).cloned();
        let Some(handler) = handler else { break };
        handler();
        index += 1;
    }
    physdev::eoi(line).expect("a line that is bound can be ended");
}
