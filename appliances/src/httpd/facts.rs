//! What the page shows of the domain it comes from.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

/// The domain at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The domain's name.
    pub name: String,
    /// The domain's number.
    pub domid: Option<u16>,
    /// What it runs on.
    pub hypervisor: String,
    /// Its address.
    pub address: String,
    /// Its card's MAC address.
    pub mac: String,
    /// Since the program started.
    pub uptime_ns: u64,
    /// Its memory.
    pub memory_kib: u64,
    /// What of it is free.
    pub free_kib: u64,
    /// Its threads.
    pub threads: u64,
    /// Frames in and out of its card.
    pub frames: (u64, u64),
    /// Requests answered.
    pub requests: u64,
    /// Connections now.
    pub connections: u64,
}

/// Where facts come from; the requests and connections are filled in by the server.
pub trait FactSource: Send + Sync {
    /// The domain now.
    fn facts(&self) -> Facts;
}

/// Text as JSON has it, quotes included.
fn json_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl Facts {
    /// The facts for programs.
    #[must_use]
    pub fn to_json(&self) -> String {
        let domid = self.domid.map_or(String::from("null"), |domid| format!("{domid}"));
        format!(
            "{{\"v\":1,\"name\":{},\"domid\":{domid},\"hypervisor\":{},\"address\":{},\"mac\":{},\
             \"uptime_ms\":{},\"memory_kib\":{},\"free_kib\":{},\"threads\":{},\"rx_frames\":{},\
             \"tx_frames\":{},\"requests\":{},\"connections\":{}}}\n",
            json_text(&self.name),
            json_text(&self.hypervisor),
            json_text(&self.address),
            json_text(&self.mac),
            self.uptime_ns / 1_000_000,
            self.memory_kib,
            self.free_kib,
            self.threads,
            self.frames.0,
            self.frames.1,
            self.requests,
            self.connections,
        )
    }
}

/// A time as people say it.
#[must_use]
pub fn spoken_time(ns: u64) -> String {
    let s = ns / 1_000_000_000;
    let (days, hours, minutes, seconds) = (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {seconds} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_json_whatever_the_name_is() {
        let facts = Facts { name: "a\"\\\n".into(), domid: Some(3), ..Facts::default() };
        let json = facts.to_json();
        assert!(json.starts_with("{\"v\":1,\"name\":\"a\\\"\\\\\\u000a\",\"domid\":3,"), "{json}");
        assert!(json.ends_with("\"connections\":0}\n"));
        assert!(Facts::default().to_json().contains("\"domid\":null"));
    }

    #[test]
    fn times_are_spoken_in_two_units() {
        let s = |s: u64| spoken_time(s * 1_000_000_000);
        assert_eq!(s(59), "59 s");
        assert_eq!(s(61), "1 min 1 s");
        assert_eq!(s(3_700), "1 h 1 min");
        assert_eq!(s(90_000), "1 d 1 h");
    }
}
