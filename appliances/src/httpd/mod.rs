//! `httpd`: pages over HTTP/1.1.

pub mod facts;
mod page;
pub mod request;
mod response;
pub mod server;
