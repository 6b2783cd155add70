//! What `zl` prints about domains, in the forms scripts read.

use super::{check, Verdict};
use crate::dom0::Dom0;
use crate::machine::Failure;
use crate::session::Session;

/// The header that `xl list` prints, byte for byte.
const LIST_HEADER: &str =
    "Name                                        ID   Mem VCPUs State   Time(s)";

/// Table, names and JSON say the same; JSON is well formed.
pub fn formats(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    dom0.ok("zl create -p ticker.cfg")?;
    let table = dom0.ok("zl list")?;
    let header = table.lines.first().cloned().unwrap_or_default();
    let same = header.split_whitespace().eq(LIST_HEADER.split_whitespace());
    check(same, || format!("the header of zl list is {header:?}"))?;
    let names = dom0.ok("zl list -o name")?.lines;
    check(names == ["Domain-0", "ticker"], || format!("zl list -o name printed {names:?}"))?;
    let json = dom0.ok("zl list -o json")?.lines.join("\n");
    check_json(&json, &["Domain-0", "ticker"])?;
    let long = dom0.ok("zl list -l")?.lines.join("\n");
    check_json(&long, &["ticker"])?;
    check(long.trim_start().starts_with('['), || "zl list -l is no array".to_string())?;
    dom0.ok("zl destroy ticker")?;
    dom0.poweroff()
}

/// `info`, `uptime`, `vcpu-list`, `dmesg` and `help` answer something true.
pub fn looking_verbs(session: &Session<'_>) -> Verdict {
    let mut dom0 = Dom0::boot(session)?;
    let info = dom0.ok("zl info")?.lines.join("\n");
    for label in ["xen_version", "xen_caps", "nr_cpus", "free_memory", "xen_commandline"] {
        check(info.contains(label), || format!("zl info lacks {label}:\n{info}"))?;
    }
    check(info.contains("xen-3.0-x86_64"), || format!("no PV64 in the capabilities:\n{info}"))?;
    dom0.ok("zl create -p ticker.cfg")?;
    for (verb, wanted) in [("uptime", "ticker"), ("vcpu-list", "ticker"), ("list -v", "ticker")] {
        let said = dom0.ok(&format!("zl {verb}"))?.lines.join("\n");
        check(said.contains(wanted), || format!("zl {verb} printed:\n{said}"))?;
    }
    let log = dom0.ok("zl dmesg")?.lines.join("\n");
    check(log.contains("(zendo)"), || format!("zl dmesg printed:\n{log}"))?;
    let help = dom0.ok("zl help")?.lines.join("\n");
    for verb in ["create", "destroy", "console", "unpause", "vcpu-list"] {
        check(help.contains(verb), || format!("zl help does not name {verb}"))?;
    }
    dom0.ok("xl list")?;
    dom0.poweroff()
}

/// Fails unless `text` is JSON in which each of `words` occurs as a string.
fn check_json(text: &str, words: &[&str]) -> Verdict {
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| Failure(format!("no JSON ({error}):\n{text}")))?;
    let missing = words.iter().find(|word| !holds_string(&value, word));
    match missing {
        None => Ok(()),
        Some(word) => Err(Failure(format!("'{word}' is not in the JSON:\n{text}"))),
    }
}

fn holds_string(value: &serde_json::Value, word: &str) -> bool {
    match value {
        serde_json::Value::String(text) => text == word,
        serde_json::Value::Array(items) => items.iter().any(|item| holds_string(item, word)),
        serde_json::Value::Object(map) => map.values().any(|item| holds_string(item, word)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::check_json;

    #[test]
    fn json_is_parsed_and_searched_not_matched_as_text() {
        assert!(check_json(r#"[{"name":"a"},{"config":{"x":"b"}}]"#, &["a", "b"]).is_ok());
        assert!(check_json(r#"[{"a":1}]"#, &["a"]).is_err());
        assert!(check_json(r#"[{"name":"a"}"#, &["a"]).is_err());
    }
}
