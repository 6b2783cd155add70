//! The management service: `zl` on the host speaks to it.
//!
//! It listens on the card for management, which leads to a port of the host's loopback address and to
//! nothing else. Whoever comes must prove that it knows the token of this run, which came with the
//! boot archive; `gate` sees to that. Each connection is a thread (`session`) with a terminal
//! (`remote`), and carries out the same steps as dom0's shell.
//!
//! Without the card or the token there is no service, and no listener.

mod download;
mod gate;
mod remote;
mod session;
mod uploads;

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU64, Ordering};

use alloc::boxed::Box;
use alloc::sync::Arc;
use pvkernel_core::device::net::NetDevice;
use pvkernel_core::net::{Addresses, Config, NetError, Stack, TcpListener, TcpOptions};
use pvkernel_core::sync::Lock;
use pvkernel_xen::{println, thread, time};
use zl_client::doorman::Doorman;
use zl_client::{Token, PORT};

use crate::devices;

/// The address QEMU forwards the host's port to, and its network.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 15);
const PREFIX: u8 = 24;
/// Connections that may wait to be accepted.
const BACKLOG: usize = 2;
/// When it is tried again to accept connections after that failed.
const AGAIN_NS: u64 = 100_000_000;
/// Files come in, answers go out.
const BUFFERS: TcpOptions = TcpOptions { receive: 128 << 10, send: 32 << 10 };

/// Who is here.
static DOORMAN: Lock<Doorman> = Lock::new(Doorman::new());
/// Connections so far, which makes each nonce another.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// Starts the service, if there are a token and a card for it.
pub fn start(token: Option<Token>) {
    let (Some(token), Some(card)) = (token, devices::management()) else { return };
    let listening =
        listen(card).map(|listener| thread::spawn("zld", move || serve(&listener, &token)));
    match listening {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => println!("dom0: no memory for zl on the host; give dom0 more with dom0_mem="),
        Err(error) => println!("dom0: zl on the host cannot connect: {error}"),
    }
}

fn listen(card: Arc<dyn NetDevice>) -> Result<TcpListener, NetError> {
    let card: &'static Arc<dyn NetDevice> = Box::leak(Box::new(card));
    let config = Config::Static(Addresses::new(ADDRESS, PREFIX));
    let stack = Stack::start(thread::kernel(), card.as_ref(), config, time::tsc())?;
    TcpListener::bind(stack, PORT, BACKLOG, BUFFERS)
}

fn serve(listener: &TcpListener, token: &Token) {
    loop {
        let Ok(link) = listener.accept(None) else {
            // A stack that has failed does so at once, and others want to run.
            thread::sleep_ns(AGAIN_NS);
            continue;
        };
        let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let nonce = token.nonce(&[number.to_le_bytes(), time::tsc().to_le_bytes()].concat());
        let token = token.clone();
        let is_admitted = DOORMAN.lock().admit();
        if !is_admitted {
            gate::turn_away(&link);
            continue;
        }
        let spawned = thread::spawn("zl", move || session::serve(link, token, nonce));
        if spawned.is_err() {
            // The connection went with the closure; only its place is left.
            DOORMAN.lock().leave(false);
        }
    }
}
