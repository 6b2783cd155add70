//! Pages: the one with the facts, and the ones that say that there is none.

use alloc::format;
use alloc::string::{String, ToString};

use super::facts::{spoken_time, Facts};

const PAGE: &str = include_str!("page.html");

/// Text that is shown and never understood as markup.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The page with the facts and the names of the files that can be had.
pub fn facts_page<'a>(facts: &Facts, files: impl Iterator<Item = &'a str>) -> String {
    let used_kib = facts.memory_kib.saturating_sub(facts.free_kib);
    let percent = (used_kib * 100).checked_div(facts.memory_kib).unwrap_or(0);
    let mut links = String::new();
    for name in files.filter(|name| !name.contains('%')).map(escaped) {
        let lead = if links.is_empty() { "Files: " } else { ", " };
        links.push_str(&format!("{lead}<a href=\"/{name}\">{name}</a>"));
    }
    fill(PAGE, |key| match key {
        "name" => escaped(&facts.name),
        "domid" => facts.domid.map_or("?".to_string(), |domid| domid.to_string()),
        "uptime" => spoken_time(facts.uptime_ns),
        "requests" => facts.requests.to_string(),
        "address" => escaped(&facts.address),
        "mac" => escaped(&facts.mac),
        "used_mib" => format!("{}.{}", used_kib / 1024, used_kib % 1024 * 10 / 1024),
        "used_percent" => percent.to_string(),
        "memory_mib" => (facts.memory_kib / 1024).to_string(),
        "rx" => facts.frames.0.to_string(),
        "tx" => facts.frames.1.to_string(),
        "threads" => facts.threads.to_string(),
        "hypervisor" => escaped(&facts.hypervisor),
        "files" => links.clone(),
        _ => String::new(),
    })
}

/// Replaces each `{{key}}`.
fn fill(page: &str, value: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(page.len() + 512);
    let mut rest = page;
    while let Some((before, behind)) = rest.split_once("{{") {
        let Some((key, after)) = behind.split_once("}}") else { break };
        out.push_str(before);
        out.push_str(&value(key));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The page of an error.
pub fn error_page(status: u16, reason: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{status} {reason}</title>\n\
         <style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;\
         display:grid;place-content:center;min-height:90vh;text-align:center}}\
         h1{{font-size:4rem;margin:0;color:#c8553d}}</style>\n\
         <h1>{status}</h1><p>{reason}</p><p><a href=\"/\">to the page that exists</a></p></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_fact_and_no_gap() {
        let facts = Facts {
            name: "<web>".into(),
            domid: Some(4),
            address: "10.0.2.80".into(),
            requests: 4711,
            memory_kib: 32_768,
            free_kib: 16_384,
            ..Facts::default()
        };
        let page = facts_page(&facts, ["a.txt", "b&c"].into_iter());
        for part in
            ["&lt;web&gt;", "10.0.2.80", ">4711<", "16.0", "width: 50%", "href=\"/b&amp;c\""]
        {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("{{") && !page.contains("<web>"));
        assert!(page.ends_with("</html>\n"));
    }
}
