//! dom0 on the network: its stack, and the commands that use it.
//!
//! The stack sits on dom0's own port of the switch and asks for an address by DHCP; as long as nobody
//! answers it uses the one QEMU's network would give.

use crate::netback;
use crate::terminal::Terminal;
use alloc::format;
use alloc::string::{String, ToString};
use core::net::Ipv4Addr;
use pvkernel_core::net::tools::bulk::{self, Way};
use pvkernel_core::net::tools::fetch::{self, Url};
use pvkernel_core::net::tools::{endpoint, look_up, ping};
use pvkernel_core::net::{Addresses, Config, NetError, Stack, Status as NetStatus, TcpOptions};
use pvkernel_xen::{println, thread, time};
use spin::Once;
use zl_cli::net_tools::{NetTool, BULK_PORT};
use zl_toolstack::config::shown;
use zl_toolstack::{Status, ToolError};

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;
/// How long nobody may answer before the address is taken that QEMU's network would give.
const FALLBACK_NS: u64 = 3 * NS_PER_S;
/// How long names and pages may take.
const LIMIT_NS: u64 = 15 * NS_PER_S;
/// Largest page that is shown.
const MAX_PAGE: usize = 256 << 10;

static STACK: Once<&'static Stack> = Once::new();

/// The addresses without a DHCP server.
fn fallback() -> Addresses {
    let [address, gateway, dns] = [15, 2, 3].map(|host| Ipv4Addr::new(10, 0, 2, host));
    Addresses::new(address, 24).with_gateway(gateway, dns)
}

/// Starts the stack.
pub fn start() {
    let config = Config::Dhcp { fallback: Some((fallback(), FALLBACK_NS)) };
    match Stack::start(thread::kernel(), netback::local(), config, time::tsc()) {
        Ok(stack) => {
            STACK.call_once(|| stack);
        }
        Err(error) => println!("dom0: no IP: {error}"),
    }
}

/// dom0's stack.
fn stack() -> Result<&'static Stack, ToolError> {
    let stack = STACK.get().copied();
    stack.ok_or_else(|| ToolError::failed("dom0 has no IP; see what it printed when it started"))
}

/// Carries a command out.
pub fn ask(tool: &NetTool, terminal: &dyn Terminal) -> Result<Status, ToolError> {
    match tool {
        NetTool::Ping { host, count, interval_ms, size, is_flood } => {
            let stack = stack()?;
            let deadline_ns = Some(time::now_ns() + LIMIT_NS);
            let to =
                look_up(stack, host, deadline_ns).map_err(|error| failed("ping", host, error))?;
            let plan = ping::Plan {
                interval_ns: interval_ms * NS_PER_MS,
                len: *size,
                is_flood: *is_flood,
                ..ping::Plan::new(to, *count)
            };
            run_ping(stack, &plan, terminal)
        }
        NetTool::Fetch { url } => run_fetch(url, terminal),
        NetTool::Tcp { server, bytes, receives } => {
            run_tcp(server, *bytes, if *receives { Way::Receive } else { Way::Send }, terminal)
        }
        NetTool::TcpServe { port } => serve_tcp(*port, terminal),
        NetTool::Ip => {
            terminal.print(&describe(&stack()?.status()));
            Ok(Status::Ok)
        }
    }
}

fn failed(command: &str, what: &str, error: impl core::fmt::Display) -> ToolError {
    ToolError::failed(format!("{command}: {}: {error}", shown(what)))
}

fn run_ping(
    stack: &'static Stack,
    plan: &ping::Plan,
    terminal: &dyn Terminal,
) -> Result<Status, ToolError> {
    let mut print = |line: &str| terminal.print(&format!("{line}\n"));
    let sums = ping::run(stack, plan, &|| terminal.take_interrupt(), &mut print);
    let sums = sums.map_err(|error| failed("ping", &plan.to.to_string(), error))?;
    terminal.print(&format!("--- {} ping statistics ---\n{sums}\n", plan.to));
    Ok(if sums.received > 0 { Status::Ok } else { Status::Failed })
}

fn run_fetch(url: &str, terminal: &dyn Terminal) -> Result<Status, ToolError> {
    let wrong = |error| failed("fetch", url, error);
    let parsed = Url::parse(url).map_err(wrong)?;
    let deadline_ns = Some(time::now_ns() + LIMIT_NS);
    let page = fetch::run(stack()?, &parsed, MAX_PAGE, deadline_ns).map_err(wrong)?;
    let text = match core::str::from_utf8(&page.body) {
        Ok(text) => text,
        Err(_) => {
            let len = page.body.len();
            return Err(failed("fetch", url, format_args!("{len} bytes that are not text")));
        }
    };
    terminal.print(text);
    if !text.ends_with('\n') {
        terminal.print("\n");
    }
    match page.status {
        200..=299 => Ok(Status::Ok),
        status => Err(failed("fetch", url, format_args!("the server says status {status}"))),
    }
}

fn run_tcp(
    server: &str,
    bytes: u64,
    way: Way,
    terminal: &dyn Terminal,
) -> Result<Status, ToolError> {
    let wrong = |error: NetError| failed("tcp", server, error);
    let (stack, deadline_ns) = (stack()?, Some(time::now_ns() + LIMIT_NS));
    let to = endpoint(stack, server, BULK_PORT, deadline_ns).map_err(wrong)?;
    let speed = bulk::run(stack, to, way, bytes, TcpOptions::large()).map_err(wrong)?;
    terminal.print(&format!("{speed}\n"));
    Ok(Status::Ok)
}

/// Swallows and makes bytes at a port until the machine ends.
fn serve_tcp(port: u16, terminal: &dyn Terminal) -> Result<Status, ToolError> {
    let stack = stack()?;
    if stack.status().sockets.iter().any(|line| line.kind == "tcp" && line.port == port) {
        return Err(failed("tcp", &format!("-l {port}"), NetError::InUse));
    }
    let body = move || {
        if let Err(error) = bulk::serve(stack, port, TcpOptions::large(), &|| false) {
            println!("dom0: tcp -l {port}: {error}");
        }
    };
    thread::spawn("bulk", body)
        .map_err(|_| failed("tcp", &format!("-l {port}"), NetError::NoMemory))?;
    terminal.print(&format!("tcp: serving port {port}\n"));
    Ok(Status::Ok)
}

/// A stack in words.
fn describe(status: &NetStatus) -> String {
    let mac = status.card.mac.map(|byte| format!("{byte:02x}")).join(":");
    let link = if status.card.is_up { "up" } else { "down" };
    let mut text = format!("card      {mac}, link {link}, mtu {}\n", status.card.mtu);
    match &status.addresses {
        None => text.push_str("address   none yet\n"),
        Some((now, source)) => {
            text.push_str(&format!("address   {}/{} ({source})\n", now.address, now.prefix));
            if let Some(gateway) = now.gateway {
                text.push_str(&format!("route     default via {gateway}\n"));
            }
            for server in &now.dns {
                text.push_str(&format!("dns       {server}\n"));
            }
        }
    }
    let traffic = &status.traffic;
    text.push_str(&format!(
        "received  {} frames, {} bytes, {} dropped\nsent      {} frames, {} bytes, {} dropped\n",
        traffic.rx_frames,
        traffic.rx_bytes,
        traffic.rx_dropped,
        traffic.tx_frames,
        traffic.tx_bytes,
        traffic.tx_dropped
    ));
    for line in &status.sockets {
        let peer = line.peer.map_or("*".to_string(), |peer| peer.to_string());
        text.push_str(&format!(
            "{:<9} port {:<5} {peer:<21} {:<12} {} unread, {} unsent\n",
            line.kind, line.port, line.state, line.unread, line.unsent
        ));
    }
    text
}
