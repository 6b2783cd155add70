//! `pinger`: measures a network from inside a guest.
//!
//! What it does is on its command line: `ping=HOST` with `count=N interval_ms=N timeout_ms=N size=N` and
//! `flood`; `tcp=HOST[:PORT] bytes=N` with `receive`; `serve=PORT`. `buffer=N` sets the TCP buffers.

use alloc::format;
use alloc::string::String;

use pvkernel_core::cmdline::CommandLine;
use pvkernel_core::net::tools::bulk::Way;
use pvkernel_core::net::TcpOptions;

/// The port of the throughput server.
pub const PORT: u16 = 5001;
const NS_PER_MS: u64 = 1_000_000;
/// Longest payload of a ping.
const MAX_SIZE: u64 = 65_000;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Ping a host.
    Ping {
        /// Whom.
        host: String,
        /// How often; 0 is for ever.
        count: u64,
        /// Time between requests.
        interval_ns: u64,
        /// How long an answer may take.
        timeout_ns: u64,
        /// Bytes in a request.
        len: usize,
        /// One request after another.
        is_flood: bool,
    },
    /// Move bytes by TCP.
    Tcp {
        /// Host and port.
        server: String,
        /// How many.
        bytes: u64,
        /// Which way.
        way: Way,
        /// How often.
        count: u64,
    },
    /// Be the other side of `Tcp`.
    Serve(u16),
}

/// What the command line asks for, and the buffers for it.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn parse(args: &CommandLine<'_>) -> Result<(Job, TcpOptions), String> {
    let number = |key: &str, default: u64| match args.value(key) {
        None => Ok(default),
        Some(text) => {
            args.number(key).ok_or_else(|| format!("{key}={text}: a number was expected"))
        }
    };
    let buffer = number("buffer", 512 << 10)?.clamp(1 << 10, 16 << 20) as usize;
    let options = TcpOptions { receive: buffer, send: buffer };
    let job = if let Some(host) = args.value("ping") {
        let size = number("size", 56)?;
        if size > MAX_SIZE {
            return Err(format!("size={size}: at most {MAX_SIZE} bytes fit into a packet"));
        }
        Job::Ping {
            host: host.into(),
            count: number("count", 4)?,
            interval_ns: number("interval_ms", 1000)?.saturating_mul(NS_PER_MS),
            timeout_ns: number("timeout_ms", 1000)?.saturating_mul(NS_PER_MS),
            len: size as usize,
            is_flood: args.has("flood"),
        }
    } else if let Some(server) = args.value("tcp") {
        let way = if args.has("receive") { Way::Receive } else { Way::Send };
        let (bytes, count) = (number("bytes", 64 << 20)?, number("count", 1)?);
        Job::Tcp { server: server.into(), bytes, way, count }
    } else if args.has("serve") {
        let port = number("serve", u64::from(PORT))?;
        let port = u16::try_from(port).ok().filter(|port| *port != 0);
        Job::Serve(port.ok_or("serve=: a port from 1 to 65535 was expected")?)
    } else {
        return Err("nothing to do; say ping=HOST, tcp=HOST:PORT or serve=PORT".into());
    };
    Ok((job, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_a_job() {
        let job = |text| parse(&CommandLine::new(text)).map(|(job, _)| job);
        assert_eq!(job("serve=7"), Ok(Job::Serve(7)));
        assert_eq!(job("serve"), Ok(Job::Serve(PORT)));
        let tcp = Job::Tcp { server: "a:9".into(), bytes: 10, way: Way::Receive, count: 1 };
        assert_eq!(job("tcp=a:9 bytes=10 receive"), Ok(tcp));
        let Ok(Job::Ping { host, count, interval_ns, is_flood, .. }) =
            job("ping=10.0.2.2 count=9 interval_ms=5 flood")
        else {
            panic!("a ping")
        };
        assert_eq!((host.as_str(), count, interval_ns, is_flood), ("10.0.2.2", 9, 5_000_000, true));
        for bad in ["", "ping=x count=y", "ping=x size=70000", "serve=0", "serve=99999"] {
            assert!(job(bad).is_err(), "{bad}");
        }
    }
}
