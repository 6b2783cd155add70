//! A stack: the thread that drives it and the way in for everybody else.

use alloc::boxed::Box;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, Ordering};

use super::config::{Addresses, Config, NetError, Source};
use super::dhcp::Dhcp;
use super::phy::Phy;
use super::state::State;
use crate::device::net::NetDevice;
use crate::kernel::Kernel;
use crate::sync::Lock;
use crate::wait::WaitQueue;

/// IP on one card. Lives for ever; everything else refers to it.
pub struct Stack {
    pub(super) kernel: &'static Kernel,
    device: &'static dyn NetDevice,
    state: Lock<State>,
    /// There is something for the `net` thread to do.
    work: AtomicBool,
    worker: WaitQueue,
    addressed: WaitQueue,
}

impl Stack {
    /// Starts the stack of a card and its thread. `seed` should differ from boot to boot.
    ///
    /// # Errors
    /// `NoMemory`; `BadDevice` when the card's address is none; `BadAddress` when the static one is.
    pub fn start(
        kernel: &'static Kernel,
        device: &'static dyn NetDevice,
        config: Config,
        seed: u64,
    ) -> Result<&'static Self, NetError> {
        let now_ns = kernel.now_ns();
        let mut state = State::new(Phy::new(device), seed ^ now_ns, now_ns)?;
        match config {
            Config::Static(addresses) if addresses.is_usable() => {
                state.set_addresses(&addresses, Source::Static);
            }
            Config::Static(_) => return Err(NetError::BadAddress),
            Config::Loopback => {
                let own = Addresses::new(Ipv4Addr::LOCALHOST, 8);
                state.use_addresses(&own, Source::Static);
            }
            Config::Dhcp { fallback } => state.dhcp = Some(Dhcp::new(&mut state, fallback, now_ns)),
        }
        let stack: &'static Self = Box::leak(Box::new(Self {
            kernel,
            device,
            state: Lock::new(state),
            work: AtomicBool::new(true),
            worker: WaitQueue::new(),
            addressed: WaitQueue::new(),
        }));
        device.set_wake(Box::new(|| stack.notify()));
        kernel.spawn("net", || stack.serve()).map_err(|_| NetError::NoMemory)?;
        Ok(stack)
    }

    /// The kernel whose threads use this stack.
    #[must_use]
    pub const fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    /// Waits until the stack has an address, and says which.
    pub fn wait_address(&self, deadline_ns: Option<u64>) -> Option<Addresses> {
        let mut addresses = None;
        self.addressed.wait_deadline(self.kernel, deadline_ns, || {
            addresses = self.addresses();
            addresses.is_some()
        });
        addresses
    }

    /// The addresses in use.
    #[must_use]
    pub fn addresses(&self) -> Option<Addresses> {
        self.look(|state| state.current.as_ref().map(|(addresses, _)| addresses.clone()))
    }

    /// The address in use.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.look(|state| state.current.as_ref().map(|(addresses, _)| addresses.address))
    }

    /// Runs `f` on the state, without consequences for the network.
    pub(super) fn look<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        f(&mut state)
    }

    /// Runs `f` on the state; if it has a result, sockets may have something to send, which is sent.
    pub(super) fn attempt<R>(&self, f: impl FnOnce(&mut State) -> Option<R>) -> Option<R> {
        let (result, sent, is_work_left) = {
            let mut state = self.state.lock();
            let before = state.phy.traffic.tx_frames;
            let result = f(&mut state)?;
            let now_ns = self.kernel.now_ns();
            let is_early = state.send(now_ns);
            let is_work_left = is_early || state.due(now_ns) < state.sleeps_until;
            (result, state.phy.traffic.tx_frames != before, is_work_left)
        };
        if sent {
            self.device.flush();
        }
        if is_work_left {
            self.notify();
        }
        Some(result)
    }

    /// Like `attempt`, for what always has a result.
    pub(super) fn change<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let result = self.attempt(|state| Some(f(state)));
        result.expect("an attempt with a result gives it back")
    }

    /// Tells the thread that there is something to do; may be called by event handlers.
    fn notify(&self) {
        self.work.store(true, Ordering::Release);
        self.worker.wake_all(self.kernel);
    }

    fn serve(&self) -> ! {
        loop {
            let until_ns = self.turn();
            let deadline_ns = (until_ns != u64::MAX).then_some(until_ns);
            let is_told = || self.work.swap(false, Ordering::Acquire);
            self.worker.wait_deadline(self.kernel, deadline_ns, is_told);
        }
    }

    /// One turn of the thread; returns when the next is due.
    fn turn(&self) -> u64 {
        let now_ns = self.kernel.now_ns();
        let (is_more, until_ns, is_addressed) = {
            let mut state = self.state.lock();
            state.turns += 1;
            let is_more = state.step(now_ns);
            let until_ns = state.due(now_ns);
            state.sleeps_until = until_ns;
            (is_more, until_ns, core::mem::take(&mut state.addresses_changed))
        };
        self.device.flush();
        if is_addressed {
            self.addressed.wake_all(self.kernel);
        }
        if is_more {
            self.work.store(true, Ordering::Release);
            // Whoever was woken meanwhile comes first.
            self.kernel.yield_now();
        }
        until_ns
    }
}
