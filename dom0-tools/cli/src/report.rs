//! What scripts are told about a verb: one JSON document for each, whatever the verb.
//!
//! `run` collects findings while it works. With `-o json` they become a [`Report`], which is closed
//! when everything is done, also what takes time, so that it holds the last status. SCHEMA.md beside
//! this crate describes the forms; golden files hold them.
//!
//! Invariants: exactly one document per verb, on the standard output, and nothing else there; a verb
//! that shows things as they come prints one document per line instead, the last with its status.

use crate::json::VERSION;
use crate::verbs::{find, Verb};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use hypercall_abi::DomId;
use serde::Serialize;
use serde_json::Value;
use zl_toolstack::{Status, ToolError};

/// A domain something was done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted {
    /// Its name then.
    pub name: Option<String>,
    /// Its number.
    pub domain: DomId,
}

impl Acted {
    fn document(&self) -> Domain<'_> {
        Domain { name: self.name.as_deref(), domid: self.domain.get() }
    }
}

/// What a verb found out on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// The first bad status.
    pub status: Status,
    /// What was acted on.
    pub acted: Vec<Acted>,
    /// What failed.
    pub failures: Vec<ToolError>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Whether what was printed is a document.
    pub is_document: bool,
    /// What was counted.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Default for Findings {
    fn default() -> Self {
        let (acted, failures, warnings, is_document, counts) = Default::default();
        Self { status: Status::Ok, acted, failures, warnings, is_document, counts }
    }
}

impl Findings {
    /// Nothing but a failure.
    #[must_use]
    pub fn of(error: &ToolError) -> Self {
        let mut findings = Self::default();
        findings.failed(error);
        findings
    }

    /// Something failed.
    pub fn failed(&mut self, error: &ToolError) {
        if self.status == Status::Ok {
            self.status = error.status;
        }
        self.failures.push(error.clone());
    }
}

/// The answer of a verb, before all of it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    verb: &'static str,
    /// What the verb printed.
    text: String,
    findings: Findings,
    /// One line for each document.
    streams: bool,
}

#[derive(Serialize)]
struct Failure<'a> {
    verb: &'a str,
    status: u8,
    reason: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct Failed<'a> {
    v: u32,
    error: Failure<'a>,
}

#[derive(Serialize)]
struct Domain<'a> {
    name: Option<&'a str>,
    domid: u16,
}

#[derive(Serialize)]
struct Done<'a> {
    v: u32,
    verb: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    domains: Vec<Domain<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    counts: &'a BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Failure<'a>>,
    status: u8,
}

impl Report {
    pub(crate) fn new(verb: &'static str, text: String, findings: Findings, streams: bool) -> Self {
        Self { verb, text, findings, streams }
    }

    /// Whether what the verb still shows must come as events, one per line.
    #[must_use]
    pub fn streams(&self) -> bool {
        self.streams
    }

    /// The document, with its end of line, and the status, now that `rest` is how the rest went.
    #[must_use]
    pub fn close(mut self, rest: &Result<Status, ToolError>) -> (String, Status) {
        match rest {
            Ok(status) if self.findings.status == Status::Ok => self.findings.status = *status,
            Ok(_) => {}
            Err(error) => self.findings.failed(error),
        }
        let document = self.document();
        (document + "\n", self.findings.status)
    }

    fn document(&self) -> String {
        let Findings { acted, failures, .. } = &self.findings;
        let printed = self.text.trim_end_matches('\n');
        if let (Some(first), true, true) = (failures.first(), acted.is_empty(), printed.is_empty())
        {
            let error = self.failure(first);
            return self.text_of(&Failed { v: VERSION, error });
        }
        let has_own = find(self.verb).is_some_and(Verb::has_own_json);
        match (has_own || self.findings.is_document) && !printed.is_empty() {
            true => self.own(printed),
            false => self.done(printed),
        }
    }

    /// The verb's own form, with what failed beside the rest.
    fn own(&self, printed: &str) -> String {
        let read = serde_json::from_str(printed);
        match read {
            Ok(Value::Object(mut document)) if !self.findings.failures.is_empty() => {
                let errors = self.failures();
                document.insert(
                    "errors".to_string(),
                    serde_json::to_value(&errors).unwrap_or_default(),
                );
                self.text_of(&document)
            }
            _ => String::from(printed),
        }
    }

    fn done(&self, printed: &str) -> String {
        let findings = &self.findings;
        let domains = findings.acted.iter();
        let lines = match printed.is_empty() || !findings.counts.is_empty() {
            true => Vec::new(),
            false => printed.split('\n').collect(),
        };
        self.text_of(&Done {
            v: VERSION,
            verb: self.verb,
            domains: domains.map(Acted::document).collect(),
            counts: &findings.counts,
            lines,
            warnings: &findings.warnings,
            errors: self.failures(),
            status: findings.status.number(),
        })
    }

    fn failures(&self) -> Vec<Failure<'_>> {
        self.findings.failures.iter().map(|error| self.failure(error)).collect()
    }

    fn failure<'a>(&'a self, error: &'a ToolError) -> Failure<'a> {
        failure(self.verb, error)
    }

    fn text_of<T: Serialize>(&self, value: &T) -> String {
        let text = match self.streams {
            true => serde_json::to_string(value),
            false => serde_json::to_string_pretty(value),
        };
        // Our types always have a text.
        text.unwrap_or_else(|error| error.to_string())
    }
}

fn failure<'a>(verb: &'a str, error: &'a ToolError) -> Failure<'a> {
    let reason = match error.status {
        Status::Ok => "none",
        Status::Failed => "failed",
        Status::Usage => "usage",
        Status::NoDomain => "no_domain",
        Status::Timeout => "timeout",
        Status::Refused => "refused",
        Status::Unreachable => "unreachable",
    };
    Failure { verb, status: error.status.number(), reason, text: &error.text }
}

/// The document of a verb that failed before it began.
#[must_use]
pub fn failed(verb: &str, error: &ToolError) -> String {
    let failed = Failed { v: VERSION, error: failure(verb, error) };
    serde_json::to_string_pretty(&failed).unwrap_or_else(|error| error.to_string()) + "\n"
}

#[derive(Serialize)]
struct Event<'a> {
    v: u32,
    event: &'static str,
    text: &'a str,
}

/// The line for text that came.
#[must_use]
pub fn event(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let event = Event { v: VERSION, event: "output", text: &text };
    serde_json::to_string(&event).unwrap_or_else(|error| error.to_string()) + "\n"
}
