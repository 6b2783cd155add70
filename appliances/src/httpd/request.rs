//! Requests as they come: bytes in, a request or the reason why there is none out.
//!
//! Pure, and bounded: a head that does not end within `MAX_HEAD` bytes is refused.

use alloc::string::String;
use alloc::vec::Vec;

/// Longest head.
pub const MAX_HEAD: usize = 8 << 10;
/// Longest body; it is read and thrown away.
pub const MAX_BODY: u64 = 64 << 10;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The answer has no body.
    pub is_head: bool,
    /// The path with its escapes resolved, beginning with `/`, without what follows a question mark.
    pub path: String,
    /// The connection may be used again.
    pub keeps_alive: bool,
    /// Bytes of the head.
    pub head_len: usize,
    /// Bytes of the body behind it.
    pub body_len: u64,
}

/// What some bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Not all of the head yet.
    Partial,
    /// A request.
    Complete(Request),
    /// None that is answered; the status says why.
    Refused(u16),
}

/// Looks at what came so far.
pub fn parse(bytes: &[u8]) -> Parsed {
    let searched = bytes.get(..MAX_HEAD.min(bytes.len())).unwrap_or_default();
    let Some(head_len) = end_of_head(searched) else {
        return if bytes.len() >= MAX_HEAD { Parsed::Refused(431) } else { Parsed::Partial };
    };
    let head = searched.get(..head_len).unwrap_or_default();
    match understand(head, head_len) {
        Ok(request) => Parsed::Complete(request),
        Err(status) => Parsed::Refused(status),
    }
}

/// Bytes up to and with the empty line, whose ends may lack the carriage return.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.find_map(|(at, _)| {
        let rest = bytes.get(at + 1..)?;
        match rest {
            [b'\r', b'\n', ..] => Some(at + 3),
            [b'\n', ..] => Some(at + 2),
            _ => None,
        }
    })
}

fn understand(head: &[u8], head_len: usize) -> Result<Request, u16> {
    let text = core::str::from_utf8(head).map_err(|_| 400u16)?;
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target, version) = match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(version), None) => (method, target, version),
        _ => return Err(400),
    };
    let is_new = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ if version.starts_with("HTTP/") => return Err(505),
        _ => return Err(400),
    };
    let fields = Fields::collect(lines)?;
    if is_new && fields.hosts != 1 {
        return Err(400);
    }
    let is_head = match method {
        "GET" => false,
        "HEAD" => true,
        _ if method.bytes().all(|byte| byte.is_ascii_uppercase()) && !method.is_empty() => {
            return Err(405)
        }
        _ => return Err(400),
    };
    let body_len = fields.body_len.unwrap_or(0);
    if body_len > MAX_BODY {
        return Err(413);
    }
    let keeps_alive = fields.keeps_alive.unwrap_or(is_new);
    Ok(Request { is_head, path: path(target)?, keeps_alive, head_len, body_len })
}

/// The fields that matter here.
#[derive(Default)]
struct Fields {
    hosts: u32,
    body_len: Option<u64>,
    keeps_alive: Option<bool>,
}

impl Fields {
    fn collect<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Self, u16> {
        let mut fields = Self::default();
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(400u16)?;
            if name.is_empty() || name.contains([' ', '\t']) {
                return Err(400);
            }
            fields.add(name, value.trim())?;
        }
        Ok(fields)
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), u16> {
        if name.eq_ignore_ascii_case("host") {
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(501);
        } else if name.eq_ignore_ascii_case("content-length") {
            let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
            let len = value.parse().ok().filter(|_| is_number).ok_or(400u16)?;
            if self.body_len.replace(len).is_some_and(|other| other != len) {
                return Err(400);
            }
        } else if name.eq_ignore_ascii_case("connection") {
            for word in value.split(',').map(str::trim) {
                if word.eq_ignore_ascii_case("close") {
                    self.keeps_alive = Some(false);
                } else if word.eq_ignore_ascii_case("keep-alive") {
                    self.keeps_alive.get_or_insert(true);
                }
            }
        }
        Ok(())
    }
}

/// The path of a request's target: escapes resolved, no way up.
fn path(target: &str) -> Result<String, u16> {
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => target,
    };
    let plain = target.split(['?', '#']).next().unwrap_or_default();
    if !plain.starts_with('/') {
        return Err(400);
    }
    let mut bytes = Vec::with_capacity(plain.len());
    let mut rest = plain.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => digit(rest.next())? << 4 | digit(rest.next())?,
            byte => byte,
        };
        if byte < b' ' || byte == 0x7f {
            return Err(400);
        }
        bytes.push(byte);
    }
    let path = String::from_utf8(bytes).map_err(|_| 400u16)?;
    match path.split('/').any(|part| part == "..") {
        true => Err(400),
        false => Ok(path),
    }
}

fn digit(byte: Option<u8>) -> Result<u8, u16> {
    let digit = byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(400u16)?;
    Ok(digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;

    fn of(text: &str) -> Result<Request, u16> {
        match parse(text.as_bytes()) {
            Parsed::Complete(request) => Ok(request),
            Parsed::Refused(status) => Err(status),
            Parsed::Partial => Err(0),
        }
    }

    #[test]
    fn good_requests_are_understood() {
        let request = of("GET /a%20b/c?x=1 HTTP/1.1\r\nHost: x\r\n\r\nrest").expect("good");
        assert_eq!((request.path.as_str(), request.is_head), ("/a b/c", false));
        assert_eq!((request.keeps_alive, request.head_len, request.body_len), (true, 38, 0));
        let request = of("HEAD http://h/p HTTP/1.0\nContent-Length: 7\n\n").expect("good");
        assert_eq!((request.path.as_str(), request.is_head), ("/p", true));
        assert_eq!((request.keeps_alive, request.body_len), (false, 7));
        let close = of("GET / HTTP/1.1\r\nHost: x\r\nConnection: Foo, Close\r\n\r\n");
        assert!(close.is_ok_and(|request| !request.keeps_alive));
        let keep = of("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        assert!(keep.is_ok_and(|request| request.keeps_alive));
    }

    #[test]
    fn bad_requests_have_their_status() {
        let with = |fields: &str| of(&format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n"));
        assert_eq!(with("Host: x\r\nContent-Length: 70000").map(|_| ()), Err(413));
        for (fields, status) in [
            ("Accept: *", 400),
            ("Host: a\r\nHost: b", 400),
            ("Host: a\r\nno colon", 400),
            ("Host : a", 400),
            ("Host: a\r\nContent-Length: +5", 400),
            ("Host: a\r\nContent-Length: 5\r\nContent-Length: 6", 400),
            ("Host: a\r\nTransfer-Encoding: chunked", 501),
        ] {
            assert_eq!(with(fields), Err(status), "{fields}");
        }
        for (line, status) in [
            ("POST / HTTP/1.1", 405),
            ("get / HTTP/1.1", 400),
            ("GET /", 400),
            ("GET / HTTP/2.0", 505),
            ("GET / FTP/1", 400),
            ("GET a HTTP/1.1", 400),
            ("GET /../x HTTP/1.1", 400),
            ("GET /%2e%2E/x HTTP/1.1", 400),
            ("GET /%0 HTTP/1.1", 400),
            ("GET /%00 HTTP/1.1", 400),
            ("GET /%ff HTTP/1.1", 400),
        ] {
            assert_eq!(of(&format!("{line}\r\nHost: x\r\n\r\n")), Err(status), "{line}");
        }
    }

    #[test]
    fn a_head_without_end_is_waited_for_and_then_refused() {
        assert_eq!(of("GET / HTTP/1.1\r\nHost: x\r\n"), Err(0));
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_HEAD));
        assert_eq!(of(&long), Err(431));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_request_is_the_same_whatever_follows(
            text in "(GET|HEAD|PUT) [/%a-f0-9?.]{1,12} HTTP/1.[01]\r\n([A-Za-z-]{1,9}:[ -~]{0,9}\r\n){0,3}(Host: x\r\n)?\r\n",
            more in proptest::collection::vec(any::<u8>(), 0..50),
        ) {
            let whole = parse(text.as_bytes());
            prop_assert!(whole != Parsed::Partial);
            let mut longer = text.clone().into_bytes();
            longer.extend(more);
            prop_assert_eq!(parse(&longer), whole);
            for end in 0..text.len() {
                prop_assert_eq!(parse(&text.as_bytes()[..end]), Parsed::Partial);
            }
        }
    }
}
