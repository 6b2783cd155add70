//! The answers for scripts.
//!
//! Called by `run` for `-o json` and `list -l`. Keys are in snake case with the unit in the name;
//! the version counts changes that could break a reader.

use crate::format;
use crate::run::{Listed, Vcpu};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use hypercall_abi::sched::shutdown;
use hypercall_abi::sysctl::PhysInfo;
use serde::Serialize;
use zl_toolstack::client::VersionInfo;
use zl_toolstack::config::{DomainConfig, Uuid};
use zl_toolstack::devices::{DiskRow, VifRow};
use zl_toolstack::lifecycle::DomainRow;

/// Version of the form of these answers.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct Domains {
    domains: Vec<Domain>,
}

#[derive(Serialize)]
struct Domain {
    name: Option<String>,
    domid: u16,
    uuid: Uuid,
    mem_kib: u64,
    max_mem_kib: u64,
    vcpus: u32,
    state: String,
    shutdown_reason: Option<&'static str>,
    cpu_time_ns: u64,
}

/// The answer of `list`.
#[must_use]
pub fn list(rows: &[DomainRow]) -> String {
    let domain = |row: &DomainRow| Domain {
        name: row.name.clone(),
        domid: row.info.domain.get(),
        uuid: Uuid(row.info.handle),
        mem_kib: format::mem_kib(&row.info),
        max_mem_kib: row.info.max_pages.saturating_mul(4),
        vcpus: row.info.nr_online_vcpus,
        state: format::state_letters(&row.info),
        shutdown_reason: row.info.flags.shutdown_reason().map(reason_word),
        cpu_time_ns: row.info.cpu_time_ns,
    };
    text(&Versioned { v: VERSION, body: Domains { domains: rows.iter().map(domain).collect() } })
}

fn reason_word(reason: u32) -> &'static str {
    match reason {
        shutdown::POWEROFF => "poweroff",
        shutdown::REBOOT => "reboot",
        shutdown::SUSPEND => "suspend",
        shutdown::CRASH => "crash",
        shutdown::WATCHDOG => "watchdog",
        shutdown::SOFT_RESET => "soft_reset",
        _ => "unknown",
    }
}

#[derive(Serialize)]
struct LongDomain<'a> {
    domid: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a DomainConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// The answer of `list -l`: an array, one item per domain, whatever is known about it.
#[must_use]
pub fn list_long(rows: &[(u16, Option<&DomainConfig>)]) -> String {
    let domains = rows.iter().map(|(domid, config)| long_domain(*domid, *config));
    text(&domains.collect::<Vec<_>>())
}

fn long_domain(domid: u16, config: Option<&DomainConfig>) -> LongDomain<'_> {
    let error = match (domid, config) {
        (0, _) => Some("the control domain has no configuration"),
        (_, None) => Some("not created here"),
        (_, Some(_)) => None,
    };
    LongDomain { domid, config, error }
}

#[derive(Serialize)]
struct Machine<'a> {
    xen_major: u32,
    xen_minor: u32,
    xen_extra: &'a str,
    xen_caps: &'a str,
    xen_scheduler: &'a str,
    xen_commandline: &'a str,
    nr_cpus: u32,
    cpu_khz: u32,
    total_mem_kib: u64,
    free_mem_kib: u64,
}

/// The answer of `info`.
#[must_use]
pub fn info(version: &VersionInfo, physical: &PhysInfo, scheduler: &str) -> String {
    let machine = Machine {
        xen_major: version.major,
        xen_minor: version.minor,
        xen_extra: &version.extra,
        xen_caps: version.capabilities.trim(),
        xen_scheduler: scheduler,
        xen_commandline: &version.command_line,
        nr_cpus: physical.nr_cpus,
        cpu_khz: physical.cpu_khz,
        total_mem_kib: physical.total_pages.saturating_mul(4),
        free_mem_kib: physical.free_pages.saturating_mul(4),
    };
    text(&Versioned { v: VERSION, body: machine })
}

#[derive(Serialize)]
struct Uptimes<'a> {
    domains: Vec<Uptime<'a>>,
}

#[derive(Serialize)]
struct Uptime<'a> {
    name: &'a str,
    domid: u16,
    uptime_ns: u64,
}

/// The answer of `uptime`: name, number and nanoseconds of each domain.
#[must_use]
pub fn uptime(rows: &[(String, u16, u64)]) -> String {
    let domains = rows
        .iter()
        .map(|(name, domid, uptime_ns)| Uptime { name, domid: *domid, uptime_ns: *uptime_ns })
        .collect();
    text(&Versioned { v: VERSION, body: Uptimes { domains } })
}

#[derive(Serialize)]
struct Vcpus<'a> {
    vcpus: Vec<VcpuItem<'a>>,
}

#[derive(Serialize)]
struct VcpuItem<'a> {
    name: &'a str,
    domid: u16,
    vcpu: u32,
    cpu: Option<u32>,
    online: bool,
    running: bool,
    blocked: bool,
    cpu_time_ns: u64,
    hard_affinity: String,
    soft_affinity: String,
}

/// The answer of `vcpu-list`.
#[must_use]
pub fn vcpus(rows: &[Vcpu], nr_cpus: u32) -> String {
    let vcpus = rows.iter().map(|row| vcpu_item(row, nr_cpus)).collect();
    text(&Versioned { v: VERSION, body: Vcpus { vcpus } })
}

fn vcpu_item(row: &Vcpu, nr_cpus: u32) -> VcpuItem<'_> {
    let Vcpu { name, domain, info, affinity } = row;
    VcpuItem {
        name,
        domid: *domain,
        vcpu: info.vcpu.get(),
        cpu: (info.online != 0).then_some(info.cpu),
        online: info.online != 0,
        running: info.running != 0,
        blocked: info.blocked != 0,
        cpu_time_ns: info.cpu_time_ns,
        hard_affinity: format::cpu_list(affinity.hard, nr_cpus),
        soft_affinity: format::cpu_list(affinity.soft, nr_cpus),
    }
}

#[derive(Serialize)]
struct Disks<'a> {
    disks: Vec<OfDomain<'a, DiskRow>>,
}

#[derive(Serialize)]
struct Vifs<'a> {
    vifs: Vec<OfDomain<'a, VifRow>>,
}

#[derive(Serialize)]
struct OfDomain<'a, Row> {
    domain_name: Option<&'a str>,
    domid: u16,
    #[serde(flatten)]
    row: &'a Row,
}

fn of_domains<Row>(all: &[Listed<Row>]) -> Vec<OfDomain<'_, Row>> {
    all.iter().flat_map(of_domain).collect()
}

fn of_domain<Row>(one: &Listed<Row>) -> impl Iterator<Item = OfDomain<'_, Row>> {
    let (domain_name, domid) = (one.name.as_deref(), one.domain.get());
    one.rows.iter().map(move |row| OfDomain { domain_name, domid, row })
}

/// The answer of `block-list`.
#[must_use]
pub(crate) fn disks(all: &[Listed<DiskRow>]) -> String {
    text(&Versioned { v: VERSION, body: Disks { disks: of_domains(all) } })
}

/// The answer of `network-list`.
#[must_use]
pub(crate) fn vifs(all: &[Listed<VifRow>]) -> String {
    text(&Versioned { v: VERSION, body: Vifs { vifs: of_domains(all) } })
}

#[derive(Serialize)]
struct Planned<'a> {
    config: &'a DomainConfig,
}

/// The answer of `create -n`.
#[must_use]
pub fn config(config: &DomainConfig) -> String {
    text(&Versioned { v: VERSION, body: Planned { config } })
}

/// A value as text; our types always have one.
fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string())
}
