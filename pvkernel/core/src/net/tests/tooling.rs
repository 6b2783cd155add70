//! The small programs, against each other.

use super::*;
use crate::net::tools::bulk::{self, Way};
use crate::net::tools::fetch::{self, FetchError, Url};
use crate::net::tools::ping::{self, Plan};
use crate::net::NetError;
use std::string::{String, ToString};
use std::vec::Vec;

#[test]
fn bulk_moves_every_byte_both_ways() {
    let world = World::new(65_500, true, Faults::NONE);
    let (a, large) = (world.a, TcpOptions::large());
    let serve = move || bulk::serve(a, 5001, large, &|| false).expect("serves");
    world.kernel.spawn("bulk", serve).expect("memory");
    let to = SocketAddrV4::new(A, 5001);
    for (way, bytes) in [(Way::Send, 0), (Way::Send, 3_000_001), (Way::Receive, 3_000_001)] {
        let speed = bulk::run(world.b, to, way, bytes, large).expect("moved");
        assert_eq!(speed.bytes, bytes);
        let text = speed.to_string();
        assert!(text.starts_with(&std::format!("tcp: {bytes} bytes in ")), "{text}");
    }
    let client = TcpStream::connect(world.b, to, large, world.soon()).expect("connected");
    client.write_all(b"NONSENSE\n", world.soon()).expect("written");
    let mut answer = [0; 64];
    let len = client.read_full(&mut answer, world.soon()).expect("answered");
    assert_eq!(&answer[..len], b"SINK or SOURCE n was expected\n");
}

#[test]
fn ping_prints_answers_and_sums() {
    let world = World::new(1500, false, Faults::NONE);
    let mut lines: Vec<String> = Vec::new();
    let plan = Plan { interval_ns: 1_000_000, ..Plan::new(A, 3) };
    let sums = ping::run(world.b, &plan, &|| false, &mut |line| lines.push(line.into()));
    let sums = sums.expect("sent");
    assert_eq!((sums.sent, sums.received, lines.len()), (3, 3, 3));
    assert!(lines[2].starts_with("56 bytes from 10.9.0.1: seq=2 time=0."), "{}", lines[2]);
    let flood = Plan { is_flood: true, ..Plan::new(A, 200) };
    let sums = ping::run(world.b, &flood, &|| false, &mut |_| panic!("a line")).expect("sent");
    assert_eq!(sums.received, 200);
    let nobody = Plan { timeout_ns: 5_000_000, ..Plan::new(Ipv4Addr::new(10, 9, 0, 9), 1) };
    lines.clear();
    let sums = ping::run(world.b, &nobody, &|| false, &mut |line| lines.push(line.into()));
    assert_eq!(sums.map(|sums| (sums.sent, sums.received)), Ok((1, 0)));
    assert_eq!(lines, ["no answer to seq=0 within 5 ms"]);
}

#[test]
fn fetch_takes_a_page_and_refuses_an_endless_one() {
    let world = World::new(1500, false, Faults::NONE);
    let listener = TcpListener::bind(world.a, 80, 2, TcpOptions::default()).expect("listens");
    let serve = move || loop {
        let Ok(stream) = listener.accept(None) else { return };
        let mut request = [0; 512];
        let len = stream.read(&mut request, None).unwrap_or(0);
        if request[..len].starts_with(b"GET /page HTTP/1.1\r\nHost: 10.9.0.1\r\n") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", None);
        } else {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n", None);
            while stream.write_all(&[7; 4096], None).is_ok() {}
        }
    };
    world.kernel.spawn("web", serve).expect("memory");
    let get = |url: &str| fetch::run(world.b, &Url::parse(url)?, 20_000, world.soon());
    let page = get("http://10.9.0.1/page").expect("a page");
    assert_eq!((page.status, &page.body[..]), (200, &b"hello"[..]));
    assert_eq!(get("http://10.9.0.1/endless"), Err(FetchError::TooLarge));
    assert_eq!(get("http://10.9.0.1:81/"), Err(FetchError::Net(NetError::Refused)));
}
