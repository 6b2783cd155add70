//! Guests that serve: pages to the host, measurements to each other, data that outlives its guest.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::{check, Verdict};
use crate::devices::{Disk, Forward, Nic, WEB_IP};
use crate::dom0::Dom0;
use crate::machine::Failure;
use crate::session::Session;

/// The guest that keeps keys and values, and its port.
const KV_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 70);
const KV_PORT: u16 = 7000;
/// How long a guest may take until it serves.
const UP: Duration = Duration::from_secs(30);
/// Bytes of the disk that outlives its guest.
const DISK_BYTES: u64 = 4 << 20;

fn failed(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure(format!("{what}: {error}"))
}

/// A port of the host's nobody uses.
///
/// # Errors
/// The host has none.
pub fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| failed("a port", error))?;
    listener.local_addr().map(|at| at.port()).map_err(|error| failed("a port", error))
}

/// Says something to a forwarded port and reads until the end; again while nobody answers there.
///
/// # Errors
/// Nobody answers for a long time.
pub fn ask(port: u16, text: &str) -> Result<String, Failure> {
    let limit = Instant::now() + UP;
    loop {
        match ask_once(port, text) {
            Ok(answer) if !answer.is_empty() => return Ok(answer),
            Err(error) if Instant::now() > limit => return Err(failed("no answer", error)),
            Ok(_) if Instant::now() > limit => return Err(Failure("an empty answer".into())),
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn ask_once(port: u16, text: &str) -> std::io::Result<String> {
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(text.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn contains(answer: &str, part: &str) -> Verdict {
    check(answer.contains(part), || format!("no {part:?} in {answer:?}"))
}

/// Boots dom0 with a card whose forwarded port leads to a guest.
fn boot<'a>(
    session: &'a Session<'a>,
    (guest_ip, guest_port): (Ipv4Addr, u16),
    disks: Vec<Disk>,
) -> Result<(Dom0<'a>, u16), Failure> {
    let host_port = free_port()?;
    let mut boot = session.images.dom0_boot(session.hypervisor, "")?;
    boot.nics.push(Nic::uplink(vec![Forward { host_port, guest_ip, guest_port }]));
    boot.disks = disks;
    let dom0 = Dom0::from_machine(session.start(boot)?, session.hypervisor)?;
    Ok((dom0, host_port))
}

/// A page of a guest's reaches the host and dom0; what it says of itself is true.
pub fn page_from_a_guest(session: &Session<'_>) -> Verdict {
    let (mut dom0, port) = boot(session, (WEB_IP, 80), vec![])?;
    dom0.ok("zl create httpd.cfg")?;
    dom0.console("httpd", &["serving http"], 30)?;
    let page = ask(port, "GET / HTTP/1.0\r\n\r\n")?;
    check(page.starts_with("HTTP/1.1 200 OK\r\n"), || page.clone())?;
    contains(&page, "10.0.2.80")?;
    let status = ask(port, "GET /status.json HTTP/1.0\r\n\r\n")?;
    contains(&status, "\"name\":\"httpd\",\"domid\":1,")?;
    contains(&ask(port, "GET /none HTTP/1.0\r\n\r\n")?, "404 Not Found")?;
    contains(&ask(port, "DELETE / HTTP/1.0\r\n\r\n")?, "Allow: GET, HEAD")?;
    let lines = dom0.ok("fetch http://10.0.2.80/status.json")?.lines;
    contains(&lines.concat(), "\"address\":\"10.0.2.80\"")?;
    dom0.ok("zl shutdown -w httpd")?;
    dom0.until_gone("httpd", 10)?;
    dom0.poweroff()
}

/// Two guests on the switch ping each other and move bytes, large frames and small.
pub fn guests_to_each_other(session: &Session<'_>) -> Verdict {
    let (mut dom0, _) = boot(session, (WEB_IP, 80), vec![])?;
    for (name, mtu) in [("large", 65_500), ("small", 1500)] {
        // Short, as Xen's console loses what is typed faster than dom0 reads it.
        let create = |name: &str, ip: &str, words: &str| {
            format!("zl create pinger.cfg name={name} \"vif=['ip={ip},mtu={mtu}']\" cmdline='\"{words}\"'")
        };
        dom0.ok(&create("server", "10.0.2.61", "serve=5001"))?;
        dom0.console("server", &["serving port 5001"], 20)?;
        for (words, wanted) in [
            ("ping=10.0.2.61 count=5 interval_ms=20", "5 packets transmitted, 5 received"),
            ("ping=10.0.2.61 count=500 flood", "500 packets transmitted, 500 received"),
            ("tcp=10.0.2.61 bytes=33554432", "tcp: 33554432 bytes in "),
            ("tcp=10.0.2.61 bytes=33554432 receive", "tcp: 33554432 bytes in "),
        ] {
            dom0.ok(&create("client", "10.0.2.62", words))?;
            dom0.until_gone("client", 60)?;
            let lines = dom0.ok("zl logs client")?.lines;
            let found = lines.iter().rev().find(|line| line.starts_with(wanted));
            let found = found.ok_or_else(|| Failure(format!("no '{wanted}' in {lines:?}")))?;
            if found.starts_with("tcp") {
                session.note(format!("{name}: {found}"));
            }
        }
        dom0.ok("zl destroy server")?;
        dom0.until_gone("server", 10)?;
    }
    dom0.poweroff()
}

/// What a guest wrote to its disk is there for the next guest.
pub fn data_outlives_its_guest(session: &Session<'_>) -> Verdict {
    let file = std::env::temp_dir().join(format!("zendo-kv-{}", std::process::id()));
    let made = std::fs::File::create(&file).and_then(|file| file.set_len(DISK_BYTES));
    made.map_err(|error| failed("the disk's file", error))?;
    let verdict = keep_data(session, Disk::scratch(&file));
    // Whether it was there is not this test's question.
    let _ = std::fs::remove_file(&file);
    verdict
}

fn keep_data(session: &Session<'_>, disk: Disk) -> Verdict {
    let (mut dom0, port) = boot(session, (KV_IP, KV_PORT), vec![disk])?;
    // The same card both times: who knew the first one's address would go on asking it.
    let create = "zl create kv.cfg 'disk=[\"phy:vda,xvda,w\"]' \
                  'vif=[\"mac=00:16:3e:00:02:46,ip=10.0.2.70\"]'";
    dom0.ok(create)?;
    dom0.console("kv", &["serving 10.0.2.70"], 30)?;
    let sets: String = (0..50).map(|at| format!("SET key{at} value {at}\n")).collect();
    let answer = ask(port, &format!("{sets}DEL key7\nCOUNT\nQUIT\n"))?;
    check(answer == "OK\n".repeat(51) + "COUNT 49\nBYE\n", || answer.clone())?;
    dom0.ok("zl destroy kv")?;
    dom0.until_gone("kv", 10)?;
    dom0.ok(create)?;
    dom0.console("kv", &["serving 10.0.2.70"], 30)?;
    let answer = ask(port, "GET key49\nGET key7\nCOUNT\nQUIT\n")?;
    check(answer == "VALUE value 49\nNONE\nCOUNT 49\nBYE\n", || answer.clone())?;
    dom0.ok("zl shutdown -w kv")?;
    dom0.poweroff()
}
