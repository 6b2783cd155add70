//! Answers as bytes.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;

use super::page::error_page;

/// An answer.
pub struct Response<'a> {
    pub status: u16,
    pub kind: &'static str,
    pub body: Cow<'a, [u8]>,
}

impl Response<'_> {
    /// The answer that there is none.
    pub fn error(status: u16) -> Self {
        let body = error_page(status, reason(status)).into_bytes();
        Self { status, kind: "text/html; charset=utf-8", body: Cow::Owned(body) }
    }

    /// Head and, unless only that was asked for, body.
    pub fn bytes(&self, is_head: bool, keeps_alive: bool) -> Vec<u8> {
        let connection = if keeps_alive { "keep-alive" } else { "close" };
        let allow = if self.status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {} {}\r\nServer: zendo-httpd\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{allow}\
             Connection: {connection}\r\n\r\n",
            self.status,
            reason(self.status),
            self.kind,
            self.body.len(),
        );
        let mut bytes = head.into_bytes();
        if !is_head {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// A status in words.
pub const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}

/// What a file is, by its name.
pub fn kind_of(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "ico" => "image/x-icon",
        "txt" | "md" | "cfg" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
