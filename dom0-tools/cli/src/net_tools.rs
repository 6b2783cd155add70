//! The shell's commands that ask the network: `ping`, `fetch`, `tcp` and `ip`.
//!
//! Words in, a request out; whoever has a stack carries it out.

use alloc::format;
use alloc::string::String;
use zl_toolstack::config::shown;
use zl_toolstack::ToolError;

/// The port at which bytes are swallowed and made.
pub const BULK_PORT: u16 = 5001;
/// Bytes that `tcp` moves.
const BULK_BYTES: u64 = 64 << 20;
/// Longest payload of a ping.
const MAX_SIZE: u64 = 65_000;
/// Requests of a ping without `-c`: `^C` ends it sooner, a script goes on by itself.
const COUNT: u64 = 4;

/// A question to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetTool {
    /// Whether a host is there.
    Ping {
        /// Name or address.
        host: String,
        /// Requests; 0 is for ever.
        count: u64,
        /// Time between them.
        interval_ms: u64,
        /// Bytes in each.
        size: usize,
        /// One after another, without a line for each.
        is_flood: bool,
    },
    /// A page.
    Fetch {
        /// Where it is.
        url: String,
    },
    /// How fast TCP is.
    Tcp {
        /// Host, and port if it is another than `BULK_PORT`.
        server: String,
        /// How many bytes.
        bytes: u64,
        /// From the server.
        receives: bool,
    },
    /// Be the other side of `Tcp` from now on.
    TcpServe {
        /// The port.
        port: u16,
    },
    /// Addresses, routes and sockets.
    Ip,
}

/// The commands.
pub const COMMANDS: [&str; 4] = ["ping", "fetch", "tcp", "ip"];

/// Words that are taken from the front to the end.
struct Rest<'a> {
    name: &'a str,
    usage: &'static str,
    words: core::slice::Iter<'a, String>,
    operand: Option<&'a str>,
}

impl<'a> Rest<'a> {
    fn wrong(&self, what: &str) -> ToolError {
        ToolError::usage(format!("{}: {what}; usage: {}", self.name, self.usage))
    }

    /// The next flag; operands on the way are kept.
    fn flag(&mut self) -> Result<Option<&'a str>, ToolError> {
        for word in self.words.by_ref() {
            if word.starts_with('-') && word.len() > 1 {
                return Ok(Some(word));
            }
            if self.operand.replace(word).is_some() {
                return Err(self.wrong(&format!("unexpected '{}'", shown(word))));
            }
        }
        Ok(None)
    }

    fn number(&mut self, flag: &str, largest: u64) -> Result<u64, ToolError> {
        let word = self.words.next().map_or("", String::as_str);
        let number = word.parse().ok().filter(|number| *number <= largest);
        number.ok_or_else(|| {
            let word = shown(word);
            self.wrong(&format!("{flag} needs a number up to {largest}, not '{word}'"))
        })
    }

    fn unknown(&self, flag: &str) -> ToolError {
        self.wrong(&format!("unknown option '{}'", shown(flag)))
    }

    fn operand(&self, what: &str) -> Result<String, ToolError> {
        self.operand.map(String::from).ok_or_else(|| self.wrong(&format!("which {what}?")))
    }
}

/// What a command of `COMMANDS` asks for.
///
/// # Errors
/// What is wrong with its words, and the usage.
pub fn parse(name: &str, words: &[String]) -> Result<NetTool, ToolError> {
    let usage = match name {
        "ping" => "ping [-c COUNT] [-i MS] [-s BYTES] [-f] HOST",
        "fetch" => "fetch URL",
        "tcp" => "tcp [-n BYTES] [-r] HOST[:PORT], or tcp -l PORT",
        _ => "ip",
    };
    let rest = Rest { name, usage, words: words.iter(), operand: None };
    match name {
        "ping" => ping(rest),
        "fetch" => fetch(rest),
        "tcp" => tcp(rest),
        _ => ip(rest),
    }
}

fn ping(mut rest: Rest<'_>) -> Result<NetTool, ToolError> {
    let (mut count, mut interval_ms, mut size, mut is_flood) = (COUNT, 1000, 56, false);
    while let Some(flag) = rest.flag()? {
        match flag {
            "-c" => count = rest.number(flag, u64::from(u32::MAX))?,
            "-i" => interval_ms = rest.number(flag, 3_600_000)?,
            "-s" => size = rest.number(flag, MAX_SIZE)? as usize,
            "-f" => is_flood = true,
            _ => return Err(rest.unknown(flag)),
        }
    }
    let host = rest.operand("host")?;
    Ok(NetTool::Ping { host, count, interval_ms, size, is_flood })
}

fn fetch(mut rest: Rest<'_>) -> Result<NetTool, ToolError> {
    match rest.flag()? {
        None => rest.operand("page").map(|url| NetTool::Fetch { url }),
        Some(flag) => Err(rest.unknown(flag)),
    }
}

fn tcp(mut rest: Rest<'_>) -> Result<NetTool, ToolError> {
    let (mut bytes, mut receives, mut listens) = (BULK_BYTES, false, None);
    while let Some(flag) = rest.flag()? {
        match flag {
            "-n" => bytes = rest.number(flag, u64::MAX)?,
            "-r" => receives = true,
            "-l" => listens = Some(rest.number(flag, u64::from(u16::MAX))? as u16),
            _ => return Err(rest.unknown(flag)),
        }
    }
    match (listens, rest.operand) {
        (Some(1..), None) => Ok(NetTool::TcpServe { port: listens.unwrap_or(BULK_PORT) }),
        (Some(_), _) => Err(rest.wrong("-l needs a port and nothing else")),
        (None, _) => Ok(NetTool::Tcp { server: rest.operand("host")?, bytes, receives }),
    }
}

fn ip(mut rest: Rest<'_>) -> Result<NetTool, ToolError> {
    match (rest.flag()?, rest.operand) {
        (None, None) => Ok(NetTool::Ip),
        (flag, operand) => {
            let word = shown(flag.or(operand).unwrap_or_default());
            Err(rest.wrong(&format!("takes no words, not '{word}'")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn tool(line: &str) -> Result<NetTool, String> {
        let words: Vec<String> = line.split(' ').map(String::from).collect();
        parse(&words[0], &words[1..]).map_err(|error| error.text)
    }

    #[test]
    fn words_become_questions() {
        let Ok(NetTool::Ping { host, count, interval_ms, size, is_flood }) =
            tool("ping -c 9 10.0.2.2 -s 100 -f")
        else {
            panic!("a ping")
        };
        assert_eq!(
            (host.as_str(), count, interval_ms, size, is_flood),
            ("10.0.2.2", 9, 1000, 100, true)
        );
        assert_eq!(tool("fetch web/a"), Ok(NetTool::Fetch { url: "web/a".into() }));
        assert_eq!(tool("tcp -l 7"), Ok(NetTool::TcpServe { port: 7 }));
        let down = NetTool::Tcp { server: "h:9".into(), bytes: 5, receives: true };
        assert_eq!(tool("tcp -r -n 5 h:9"), Ok(down));
        assert_eq!(tool("ip"), Ok(NetTool::Ip));
    }

    #[test]
    fn mistakes_are_one_line_with_the_usage() {
        for (line, part) in [
            ("ping", "which host?"),
            ("ping a b", "unexpected 'b'"),
            ("ping -c x a", "-c needs a number"),
            ("ping -s 70000 a", "up to 65000, not '70000'"),
            ("ping -z a", "unknown option '-z'"),
            ("fetch", "which page?"),
            ("tcp", "which host?"),
            ("tcp -l 0", "-l needs a port"),
            ("tcp -l 70000", "up to 65535"),
            ("ip addr", "takes no words, not 'addr'"),
        ] {
            let error = tool(line).expect_err(line);
            assert!(error.contains(part) && error.contains("; usage: "), "{line}: {error}");
            assert!(!error.contains('\n'));
        }
    }
}
