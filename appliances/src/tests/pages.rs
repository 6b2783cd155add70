//! What a browser gets.

use super::*;
use crate::httpd::facts::{FactSource, Facts};
use crate::httpd::server::{listen, serve, Site, MAX_CONNECTIONS};
use std::format;
use std::vec::Vec;
use zl_toolstack::archive::Archive;

struct Here;

impl FactSource for Here {
    fn facts(&self) -> Facts {
        Facts { name: "web".into(), domid: Some(7), memory_kib: 1024, ..Facts::default() }
    }
}

/// A cpio archive of one file.
fn archive(name: &str, data: &str) -> Archive<'static> {
    let mut bytes = Vec::new();
    for (name, data, mode) in [(name, data, 0o100_644), ("TRAILER!!!", "", 0)] {
        let head = format!(
            "070701{:08x}{mode:08x}{}{:08x}{}{:08x}{:08x}",
            1,
            "0".repeat(32),
            data.len(),
            "0".repeat(32),
            name.len() + 1,
            0
        );
        for part in [format!("{head}{name}\0"), data.into()] {
            bytes.extend(part.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    Archive::parse(bytes.leak()).expect("an archive")
}

fn site() -> &'static Stack {
    let (server, client) = stacks();
    let site = Site::new(&Here, archive("a.txt", "a file"));
    let listener = listen(server, 80).expect("listens");
    let body = move || serve(server, &listener, &site).expect("serves");
    server.kernel().spawn("httpd", body).expect("memory");
    client
}

fn get(client: &'static Stack, request: &str) -> std::string::String {
    ask(&connect(client, 80).expect("connected"), request)
}

#[test]
fn pages_files_and_errors_are_served() {
    let client = site();
    let page = get(client, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("Served by domain <span id=\"domid\">7</span>"));
    let file = get(client, "GET /a.txt HTTP/1.0\r\n\r\n");
    assert!(file.ends_with("\r\nConnection: close\r\n\r\na file"), "{file}");
    let head = get(client, "HEAD /a.txt HTTP/1.0\r\n\r\n");
    assert!(head.contains("Content-Length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    for (request, status) in [
        ("GET /b.txt HTTP/1.0\r\n\r\n", "404 Not Found"),
        ("PUT / HTTP/1.0\r\n\r\n", "405 Method Not Allowed"),
        ("nonsense\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
    ] {
        let answer = get(client, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {answer}");
        assert!(answer.contains("Connection: close\r\n"));
    }
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n", "a".repeat(9000));
    assert!(get(client, &long).starts_with("HTTP/1.1 431 "), "the head has a bound");
}

#[test]
fn one_connection_carries_many_requests() {
    let client = site();
    let one = "GET /status.json HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz";
    let text = get(client, &one.repeat(3));
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3, "{text}");
    assert!(text.contains("\"requests\":1,") && text.contains("\"requests\":3,"), "{text}");
}

#[test]
fn too_many_connections_are_told_so_and_the_others_served() {
    let client = site();
    let idle: Vec<TcpStream> =
        (0..MAX_CONNECTIONS).map(|_| connect(client, 80).expect("connected")).collect();
    let kernel = client.kernel();
    kernel.sleep_until(kernel.now_ns() + 50_000_000);
    let answer = get(client, "GET / HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let answer = ask(&idle[3], "GET /a.txt HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(idle);
    kernel.sleep_until(kernel.now_ns() + 100_000_000);
    assert!(get(client, "GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 "));
}
