//! The table of `zl top`: the columns of xentop with their widths, and three of our own.
//!
//! Scripts cut batch lines by position, so the columns of xentop keep their places and ours follow. On
//! a screen that is too narrow columns are left out, those with the least news first.

use super::sample::{DomainSample, Rates, Sample};
use super::{Size, Top};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};
use hypercall_abi::domctl::Dominf;
use hypercall_abi::sched::shutdown;
use hypercall_abi::DomId;
use zl_toolstack::config::Vdev;
use zl_toolstack::devices::{DiskCounts, NetCounts};

const KIB_PER_PAGE: u64 = 4;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is described by its heading")]
pub enum Column {
    Name,
    State,
    CpuSec,
    CpuPercent,
    Mem,
    MemPercent,
    MaxMem,
    MaxMemPercent,
    Vcpus,
    Nets,
    NetTx,
    NetRx,
    Vbds,
    VbdOo,
    VbdRd,
    VbdWr,
    VbdRsect,
    VbdWsect,
    Ssid,
    Hypercalls,
    Traps,
    Events,
}

use Column::*;

/// Heading and width of each column, and how early it is left out (0 is never).
const COLUMNS: [(Column, &str, usize, u8); 22] = [
    (Name, "NAME", 10, 0),
    (State, "STATE", 6, 0),
    (CpuSec, "CPU(sec)", 10, 2),
    (CpuPercent, "CPU(%)", 6, 0),
    (Mem, "MEM(k)", 10, 1),
    (MemPercent, "MEM(%)", 6, 5),
    (MaxMem, "MAXMEM(k)", 10, 8),
    (MaxMemPercent, "MAXMEM(%)", 9, 9),
    (Vcpus, "VCPUS", 5, 7),
    (Nets, "NETS", 4, 6),
    (NetTx, "NETTX(k)", 8, 2),
    (NetRx, "NETRX(k)", 8, 2),
    (Vbds, "VBDS", 4, 6),
    (VbdOo, "VBD_OO", 8, 8),
    (VbdRd, "VBD_RD", 8, 3),
    (VbdWr, "VBD_WR", 8, 3),
    (VbdRsect, "VBD_RSECT", 10, 6),
    (VbdWsect, "VBD_WSECT", 10, 6),
    (Ssid, "SSID", 4, 10),
    (Hypercalls, "HCALLS/s", 9, 0),
    (Traps, "TRAPS/s", 9, 0),
    (Events, "EVTS/s", 9, 1),
];

impl Column {
    /// The column to sort by after this one; by number behind the last.
    #[must_use]
    pub fn after(column: Option<Self>) -> Option<Self> {
        let mut columns = COLUMNS.iter().map(|(column, ..)| *column);
        match column {
            None => columns.next(),
            Some(last) => columns.skip_while(|column| *column != last).nth(1),
        }
    }

    fn heading(self) -> &'static str {
        COLUMNS.iter().find(|(column, ..)| *column == self).map_or("", |(_, heading, ..)| heading)
    }
}

type Row<'a> = (&'a DomainSample, Rates);

/// Which of two rows comes first: names forwards, numbers from the largest.
pub fn order(column: Column, sample: &Sample, one: &Row<'_>, other: &Row<'_>) -> Ordering {
    match column {
        Name => one.0.name.cmp(&other.0.name),
        State => Reverse(state(one.0)).cmp(&Reverse(state(other.0))),
        _ => number(column, sample, other).cmp(&number(column, sample, one)),
    }
}

/// The number a column is about, in the unit in which it is exact.
fn number(column: Column, sample: &Sample, (domain, rates): &Row<'_>) -> u64 {
    let info = &domain.info;
    let nets = |of: fn(&NetCounts) -> u64| domain.nets.iter().map(of).sum::<u64>();
    let disks = |of: fn(&DiskCounts) -> u64| domain.disks.iter().map(of).sum::<u64>();
    match column {
        Name | State | Ssid => 0,
        CpuSec => info.cpu_time_ns,
        CpuPercent => rates.cpu_permille,
        Mem => info.tot_pages.saturating_mul(KIB_PER_PAGE),
        MemPercent => permille(info.tot_pages.saturating_mul(KIB_PER_PAGE), sample.total_kib),
        MaxMem => info.max_pages.saturating_mul(KIB_PER_PAGE),
        MaxMemPercent => permille(info.max_pages.saturating_mul(KIB_PER_PAGE), sample.total_kib),
        Vcpus => u64::from(info.nr_online_vcpus),
        Nets => domain.nets.len() as u64,
        NetTx => nets(|net| net.tx_bytes) / 1024,
        NetRx => nets(|net| net.rx_bytes) / 1024,
        Vbds => domain.disks.len() as u64,
        VbdOo => disks(|disk| disk.out_of_room),
        VbdRd => disks(|disk| disk.reads),
        VbdWr => disks(|disk| disk.writes),
        VbdRsect => disks(|disk| disk.read_sectors),
        VbdWsect => disks(|disk| disk.written_sectors),
        Hypercalls => rates.hypercalls.unwrap_or(0),
        Traps => rates.traps.unwrap_or(0),
        Events => rates.events.unwrap_or(0),
    }
}

fn permille(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 1000 / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

/// The six letters of xentop, which are not those of `list`.
fn state(domain: &DomainSample) -> String {
    let flags = domain.info.flags;
    let reason = flags.shutdown_reason();
    let letter = |set: bool, letter: char| if set { letter } else { '-' };
    [
        letter(flags.contains(Dominf::DYING), 'd'),
        letter(reason.is_some_and(|reason| reason != shutdown::CRASH), 's'),
        letter(flags.contains(Dominf::BLOCKED), 'b'),
        letter(reason == Some(shutdown::CRASH), 'c'),
        letter(flags.contains(Dominf::PAUSED), 'p'),
        letter(flags.contains(Dominf::RUNNING), 'r'),
    ]
    .into_iter()
    .collect()
}

fn cell(column: Column, sample: &Sample, row: &Row<'_>) -> String {
    let (domain, rates) = row;
    let has_no_limit = domain.info.domain == DomId::DOM0 || domain.info.max_pages >= 1 << 40;
    let rate = |rate: Option<u64>| rate.map_or_else(|| "-".to_string(), |rate| rate.to_string());
    let number = number(column, sample, row);
    match column {
        Name => domain.name.clone(),
        State => state(domain),
        CpuSec => (number / 1_000_000_000).to_string(),
        CpuPercent | MemPercent => tenths(number),
        MaxMem if has_no_limit => "no limit".to_string(),
        MaxMemPercent if has_no_limit => "n/a".to_string(),
        MaxMemPercent => tenths(number),
        Hypercalls => rate(rates.hypercalls),
        Traps => rate(rates.traps),
        Events => rate(rates.events),
        _ => number.to_string(),
    }
}

/// The columns that fit, in their order.
fn fitting(columns: usize, name_width: usize) -> Vec<(Column, &'static str, usize)> {
    let mut kept: Vec<(Column, &'static str, usize, u8)> = COLUMNS.to_vec();
    let width = |kept: &[(Column, &'static str, usize, u8)]| -> usize {
        kept.iter().map(|(column, _, width, _)| 1 + wide(*column, *width, name_width)).sum()
    };
    // One blank stands between two, none in front of the first.
    while width(&kept) > columns + 1 {
        let Some(early) = kept.iter().map(|(.., early)| *early).max().filter(|early| *early > 0)
        else {
            break;
        };
        let Some(at) = kept.iter().rposition(|(.., other)| *other == early) else { break };
        kept.remove(at);
    }
    kept.into_iter().map(|(column, heading, width, _)| (column, heading, width)).collect()
}

fn wide(column: Column, width: usize, name_width: usize) -> usize {
    if column == Name {
        name_width
    } else {
        width
    }
}

fn joined(
    columns: &[(Column, &'static str, usize)],
    name_width: usize,
    of: impl Fn(Column, &'static str) -> String,
) -> String {
    let cells = columns.iter().map(|(column, heading, width)| {
        let width = wide(*column, *width, name_width);
        let text = of(*column, heading);
        let text: String = match *column {
            Name => text.chars().take(width).collect(),
            _ => text,
        };
        format!("{text:>width$}")
    });
    cells.collect::<Vec<String>>().join(" ")
}

/// The heading, the domains and what was asked for below each.
fn body(top: &Top, sample: &Sample, width: usize) -> (String, Vec<Vec<String>>) {
    let rows = top.rows();
    let longest = rows.iter().map(|(domain, _)| domain.name.chars().count()).max().unwrap_or(0);
    let name_width = if top.options.full_names { longest.max(10) } else { 10 };
    let columns = fitting(width, name_width);
    let heading = joined(&columns, name_width, |_, heading| heading.to_string());
    let groups = rows.iter().map(|row| {
        let mut lines =
            Vec::from([joined(&columns, name_width, |column, _| cell(column, sample, row))]);
        below(top, row.0, &mut lines);
        lines
    });
    (heading, groups.collect())
}

/// The lines below a domain, as in xentop.
fn below(top: &Top, domain: &DomainSample, lines: &mut Vec<String>) {
    if top.options.vcpus {
        let vcpu = |vcpu: &super::VcpuSample| {
            format!("{:>3}: {:>10}s", vcpu.vcpu, vcpu.cpu_time_ns / 1_000_000_000)
        };
        let all: Vec<String> = domain.vcpus.iter().map(vcpu).collect();
        lines.push(format!("VCPUs(sec): {}", all.join(" ")));
    }
    if top.options.nets {
        lines.extend(domain.nets.iter().map(|net| {
            format!(
                "Net{} RX: {:>8}bytes {:>8}pkts {:>8}err {:>8}drop  TX: {:>8}bytes {:>8}pkts {:>8}err {:>8}drop",
                net.devid, net.rx_bytes, net.rx_frames, 0, net.rx_dropped, net.tx_bytes, net.tx_frames, 0,
                net.tx_dropped
            )
        }));
    }
    if top.options.disks {
        lines.extend(domain.disks.iter().map(|disk| {
            let name = Vdev::from_number(disk.devid).map_or_else(String::new, |vdev| vdev.to_string());
            format!(
                "VBD BlkBack {:>5} [{name}]  OO: {:>8}  RD: {:>8}  WR: {:>8}  RSECT: {:>10}  WSECT: {:>10}",
                disk.devid, disk.out_of_room, disk.reads, disk.writes, disk.read_sectors, disk.written_sectors
            )
        }));
    }
}

/// The lines above the table: when, how many in which state, memory.
fn headline(sample: &Sample) -> [String; 3] {
    let seconds = sample.at_ns / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let count = |is: fn(&DomainSample) -> bool| sample.domains.iter().filter(|d| is(d)).count();
    let crashed = count(|domain| domain.info.flags.shutdown_reason() == Some(shutdown::CRASH));
    let ended = count(|domain| domain.info.flags.shutdown_reason().is_some());
    [
        format!("zl top - up {hours}:{minutes:02}:{:02}   Xen {}", seconds % 60, sample.version),
        format!(
            "{} domains: {} running, {} blocked, {} paused, {crashed} crashed, {} dying, {} shutdown",
            sample.domains.len(),
            count(|domain| domain.info.flags.contains(Dominf::RUNNING)),
            count(|domain| domain.info.flags.contains(Dominf::BLOCKED)),
            count(|domain| domain.info.flags.contains(Dominf::PAUSED)),
            count(|domain| domain.info.flags.contains(Dominf::DYING)),
            ended - crashed,
        ),
        format!(
            "Mem: {}k total, {}k used, {}k free    CPUs: {} @ {}MHz",
            sample.total_kib,
            sample.total_kib.saturating_sub(sample.free_kib),
            sample.free_kib,
            sample.nr_cpus,
            sample.cpu_khz / 1000
        ),
    ]
}

/// One sample for a file or a pipe: all columns, no control characters.
pub fn batch(top: &Top) -> Vec<String> {
    let Some(sample) = &top.now else { return Vec::new() };
    let (heading, groups) = body(top, sample, usize::MAX - 1);
    let mut lines = Vec::from([heading]);
    lines.extend(groups.into_iter().flatten());
    lines
}

/// The screen, from its first line to its last, none longer than it is wide.
pub fn screen(top: &Top, size: Size) -> Vec<String> {
    let Some(sample) = &top.now else { return Vec::new() };
    let (heading, groups) = body(top, sample, size.columns);
    let mut lines: Vec<String> = headline(sample).into();
    // Reversed, as in xentop.
    let heading: String = heading.chars().take(size.columns).collect();
    let rest = size.rows.saturating_sub(lines.len() + 2);
    let shown = groups.into_iter().skip(top.scrolled).flatten().take(rest);
    let table: Vec<String> = shown.collect();
    lines.push(heading);
    lines.extend(table);
    lines.truncate(size.rows.saturating_sub(1));
    while lines.len() + 1 < size.rows {
        lines.push(String::new());
    }
    lines.push(footer(top));
    for (number, line) in lines.iter_mut().enumerate() {
        *line = line.chars().take(size.columns).collect();
        if number == 3 {
            *line = format!("\x1b[7m{line}\x1b[m");
        }
    }
    lines
}

fn footer(top: &Top) -> String {
    if let Some(typed) = &top.typed {
        return format!("Delay in seconds, then Enter: {typed}");
    }
    let delay = top.options.delay_ms;
    let sort = top.sort.map_or("number", Column::heading);
    format!(
        "D delay {}.{:03} s  N networks  B disks  V vCPUs  S sort: {sort}  arrows scroll  Q quit",
        delay / 1000,
        delay % 1000
    )
}
