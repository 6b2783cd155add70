//! dom0 on the network: an address, answers to pings, pages, and what it costs to be idle.
//!
//! The other side is QEMU's user network and, behind its address 10.0.2.2, the host's loopback address:
//! a small server in the test itself.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use super::{check, Verdict};
use crate::devices::Nic;
use crate::dom0::Dom0;
use crate::machine::Failure;
use crate::session::Session;

/// The host as the machine sees it.
const HOST: &str = "10.0.2.2";
/// How long an address may take.
const ADDRESS_S: u64 = 20;
/// What the page says that dom0 fetches: more than one segment.
const PAGE_LINES: usize = 400;

/// Boots dom0 with the card that leads out, and waits for its address.
fn boot<'a>(session: &'a Session<'a>) -> Result<Dom0<'a>, Failure> {
    let mut boot = session.images.dom0_boot(session.hypervisor, "")?;
    boot.nics.push(Nic::uplink(vec![]));
    let mut dom0 = Dom0::from_machine(session.start(boot)?, session.hypervisor)?;
    let has_lease = |lines: &[String]| lines.iter().any(|line| line.ends_with("(dhcp)"));
    dom0.until("ip", ADDRESS_S, has_lease)?;
    Ok(dom0)
}

/// dom0 gets its address from a server, and who is asked by ping answers.
pub fn address_and_ping(session: &Session<'_>) -> Verdict {
    let mut dom0 = boot(session)?;
    let lines = dom0.ok("ip")?.lines;
    for wanted in ["address   10.0.2.15/24 (dhcp)", "route     default via 10.0.2.2"] {
        check(lines.iter().any(|line| line == wanted), || format!("no '{wanted}' in {lines:?}"))?;
    }
    let lines = dom0.ok(&format!("ping -c 3 -i 20 {HOST}"))?.lines;
    let received = lines.iter().any(|line| line.starts_with("3 packets transmitted, 3 received"));
    check(received, || format!("{lines:?}"))?;
    session.note(lines.last().cloned().unwrap_or_default());
    let said = dom0.run("ping -c 1 10.0.2.77")?;
    check(said.status == 1, || format!("nobody answers, but {:?}", said.lines))?;
    dom0.refused("ping 300.1.1.1.")?;
    dom0.refused("fetch ftp://x/")?;
    dom0.refused(&format!("fetch {HOST}:1/"))?;
    dom0.poweroff()
}

/// dom0 fetches a page of several segments from the host, and counts of memory stay.
pub fn fetch(session: &Session<'_>) -> Verdict {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| Failure(error.to_string()))?;
    let port = listener.local_addr().map_err(|error| Failure(error.to_string()))?.port();
    thread::spawn(move || serve(&listener));
    let mut dom0 = boot(session)?;
    let fetch = format!("fetch http://{HOST}:{port}/page");
    let lines = dom0.ok(&fetch)?.lines;
    let numbers = lines.iter().filter(|line| line.starts_with("line ")).count();
    check(numbers == PAGE_LINES, || format!("{numbers} lines of {PAGE_LINES} came"))?;
    let refused = dom0.run(&format!("fetch http://{HOST}:{port}/none"))?;
    check(refused.status == 1, || format!("404 is no success: {:?}", refused.lines))?;
    let no_tcp = |lines: &[String]| !lines.iter().any(|line| line.starts_with("tcp"));
    dom0.until("ip", 10, no_tcp)?;
    let before = dom0.counts()?;
    for _ in 0..5 {
        dom0.ok(&fetch)?;
    }
    dom0.until("ip", 10, no_tcp)?;
    let after = dom0.counts()?;
    check(before == after, || format!("{before:?} became {after:?}"))?;
    dom0.poweroff()
}

/// Serves one page.
fn serve(listener: &TcpListener) {
    let page: String = (0..PAGE_LINES).map(|at| format!("line {at}\n")).collect();
    for stream in listener.incoming().flatten() {
        let mut stream = stream;
        let mut request = [0; 1024];
        let len = stream.read(&mut request).unwrap_or(0);
        let status = match request[..len].starts_with(b"GET /page ") {
            true => "200 OK",
            false => "404 Not Found",
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", page.len());
        // A client that went away is seen by the test itself.
        let _ = stream.write_all((head + &page).as_bytes());
    }
}

/// A stack at rest sends nothing and takes no turn.
pub fn idle(session: &Session<'_>) -> Verdict {
    let mut dom0 = boot(session)?;
    dom0.ok(&format!("ping -c 1 {HOST}"))?;
    thread::sleep(Duration::from_secs(2));
    let sent = |lines: &[String]| lines.iter().find(|line| line.starts_with("sent")).cloned();
    let before = sent(&dom0.ok("ip")?.lines);
    dom0.ok("sleep 5")?;
    let after = sent(&dom0.ok("ip")?.lines);
    check(before.is_some() && before == after, || format!("{before:?} became {after:?}"))?;
    dom0.poweroff()
}
