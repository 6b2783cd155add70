//! `fetch`: a page by HTTP.
//!
//! One request, one answer, no redirections. The answer is bounded; what is beyond is an error, so
//! that a server cannot fill the memory.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{endpoint, split_port};
use crate::net::{NetError, Stack, TcpOptions, TcpStream};

/// Most bytes of the head.
const MAX_HEAD: usize = 16 << 10;

/// Where a page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// `HOST` or `HOST:PORT`.
    pub authority: String,
    /// The path, with what follows a question mark.
    pub path: String,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The status, 200 when all is well.
    pub status: u16,
    /// The head as it came.
    pub head: String,
    /// The page.
    pub body: Vec<u8>,
}

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The URL is none, or of a protocol that is not spoken here.
    BadUrl,
    /// The network.
    Net(NetError),
    /// The answer is not HTTP.
    NotHttp,
    /// More than was allowed.
    TooLarge,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl => f.write_str("not a URL like http://HOST[:PORT]/PATH"),
            Self::Net(error) => error.fmt(f),
            Self::NotHttp => f.write_str("the answer is not HTTP"),
            Self::TooLarge => f.write_str("the page is too large"),
        }
    }
}

impl From<NetError> for FetchError {
    fn from(error: NetError) -> Self {
        Self::Net(error)
    }
}

impl Url {
    /// Understands `[http://]HOST[:PORT][/PATH]`.
    ///
    /// # Errors
    /// `BadUrl`.
    pub fn parse(text: &str) -> Result<Self, FetchError> {
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let is_printable = rest.bytes().all(|byte| byte.is_ascii_graphic());
        if rest.contains("://") || !is_printable {
            return Err(FetchError::BadUrl);
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        split_port(authority, 80).map_err(|_| FetchError::BadUrl)?;
        Ok(Self { authority: authority.into(), path: path.into() })
    }
}

/// Fetches a page of at most `limit` bytes.
///
/// # Errors
/// See `FetchError`.
pub fn run(
    stack: &'static Stack,
    url: &Url,
    limit: usize,
    deadline_ns: Option<u64>,
) -> Result<Page, FetchError> {
    let server = endpoint(stack, &url.authority, 80, deadline_ns)?;
    let stream = TcpStream::connect(stack, server, TcpOptions::default(), deadline_ns)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: zendo\r\nConnection: close\r\n\r\n",
        url.path, url.authority
    );
    stream.write_all(request.as_bytes(), deadline_ns)?;
    let mut all = Vec::new();
    let mut part = [0; 4096];
    loop {
        let len = stream.read(&mut part, deadline_ns)?;
        all.extend_from_slice(part.get(..len).unwrap_or_default());
        if all.len() > limit.saturating_add(MAX_HEAD) {
            stream.abort();
            return Err(FetchError::TooLarge);
        }
        if len == 0 || is_complete(&all) {
            return understand(&all, limit);
        }
    }
}

/// Whether the head said how long the body is and all of it is there.
fn is_complete(bytes: &[u8]) -> bool {
    let Some((head, body)) = split_head(bytes) else { return false };
    length(head).is_some_and(|length| body.len() as u64 >= length)
}

fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(4).take(MAX_HEAD).position(|part| part == b"\r\n\r\n")?;
    Some((bytes.get(..end)?, bytes.get(end + 4..)?))
}

fn length(head: &[u8]) -> Option<u64> {
    let head = core::str::from_utf8(head).ok()?;
    let mut fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    let value = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?.1;
    value.trim().parse().ok()
}

fn understand(bytes: &[u8], limit: usize) -> Result<Page, FetchError> {
    let (head, body) = split_head(bytes).ok_or(FetchError::NotHttp)?;
    let text = core::str::from_utf8(head).map_err(|_| FetchError::NotHttp)?;
    let first = text.split("\r\n").next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    let status = status.and_then(|status| status.parse().ok()).ok_or(FetchError::NotHttp)?;
    let length = length(head).map_or(body.len() as u64, |length| length.min(body.len() as u64));
    let body = body.get(..length as usize).unwrap_or_default();
    if body.len() > limit {
        return Err(FetchError::TooLarge);
    }
    Ok(Page { status, head: text.into(), body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_have_a_host_and_a_path() {
        let parse = |text| Url::parse(text).map(|url| (url.authority, url.path));
        assert_eq!(parse("http://10.0.2.80/"), Ok(("10.0.2.80".into(), "/".into())));
        assert_eq!(parse("web:8080/a?b"), Ok(("web:8080".into(), "/a?b".into())));
        assert_eq!(parse("web"), Ok(("web".into(), "/".into())));
        for bad in ["", "https://web/", "web:x/", "web:0", "/a", "we b", "web/\r\nX: y", ":80"] {
            assert_eq!(parse(bad), Err(FetchError::BadUrl), "{bad}");
        }
    }

    #[test]
    fn answers_are_cut_at_their_length() {
        let page = understand(b"HTTP/1.1 404 No\r\ncontent-LENGTH: 3\r\n\r\nabcdef", 10);
        let page = page.expect("a page");
        assert_eq!((page.status, &page.body[..]), (404, &b"abc"[..]));
        assert_eq!(understand(b"HTTP/1.0 200 OK\r\n\r\nabc", 2), Err(FetchError::TooLarge));
        assert_eq!(understand(b"SSH-2.0-x\r\n\r\n", 2), Err(FetchError::NotHttp));
    }

    proptest! {
        #[test]
        fn any_answer_is_judged(bytes in "(HTTP/1.1 [0-9]{0,6})?[\\PC\\r\\n]{0,80}") {
            let _ = is_complete(bytes.as_bytes());
            let _ = understand(bytes.as_bytes(), 40);
        }
    }
}
