//! The tables of `xl`, byte for byte.
//!
//! Called by `run`. Scripts cut these lines by position, so widths and letters are a contract; the
//! tests hold examples of every line.

use alloc::format;
use alloc::string::{String, ToString};
use hypercall_abi::domctl::{Dominf, GetDomainInfo, GetVcpuInfo};
use hypercall_abi::DomId;
use zl_toolstack::client::Affinity;
use zl_toolstack::config::Uuid;
use zl_toolstack::devices::{DiskRow, VifRow};
use zl_toolstack::lifecycle::DomainRow;

/// The name of a domain that nobody named.
pub const NO_NAME: &str = "(null)";
/// The header of `list`.
pub const LIST_HEADER: &str =
    "Name                                        ID   Mem VCPUs\tState\tTime(s)";
/// What `list -v` adds to it.
pub const LIST_HEADER_VERBOSE: &str =
    "   UUID                            Reason-Code\tSecurity Label";

const KIB_PER_PAGE: u64 = 4;
/// Letters of the reasons of a shutdown, by number.
const REASON_LETTERS: &[u8] = b"-rscwS";

/// The six letters of a domain's state.
#[must_use]
pub fn state_letters(info: &GetDomainInfo) -> String {
    let flags = info.flags;
    let reason = flags.shutdown_reason().unwrap_or(0) as usize;
    let letter = |flag: Dominf, letter: char| if flags.contains(flag) { letter } else { '-' };
    [
        letter(Dominf::RUNNING, 'r'),
        letter(Dominf::BLOCKED, 'b'),
        letter(Dominf::PAUSED, 'p'),
        letter(Dominf::SHUTDOWN, 's'),
        REASON_LETTERS.get(reason).map_or('?', |letter| char::from(*letter)),
        letter(Dominf::DYING, 'd'),
    ]
    .into_iter()
    .collect()
}

/// Seconds with one decimal, from nanoseconds.
#[must_use]
pub fn seconds(time_ns: u64) -> String {
    let tenths = time_ns.saturating_add(50_000_000) / 100_000_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Memory of a domain in KiB.
#[must_use]
pub fn mem_kib(info: &GetDomainInfo) -> u64 {
    info.tot_pages.saturating_add(info.outstanding_pages).saturating_mul(KIB_PER_PAGE)
}

/// The name to show.
#[must_use]
pub fn name(row: &DomainRow) -> &str {
    row.name.as_deref().unwrap_or(NO_NAME)
}

/// A line of `list`.
#[must_use]
pub fn list_line(row: &DomainRow) -> String {
    let info = &row.info;
    format!(
        "{:<40} {:>5} {:>5} {:>5}     {}  {:>8}",
        name(row),
        info.domain.get(),
        mem_kib(info) / 1024,
        info.nr_online_vcpus,
        state_letters(info),
        seconds(info.cpu_time_ns)
    )
}

/// What `list -v` adds to a line.
#[must_use]
pub fn list_line_verbose(row: &DomainRow) -> String {
    let reason = match row.info.flags.shutdown_reason() {
        Some(reason) => format!("{reason:x}"),
        None => "-".to_string(),
    };
    format!(" {} {reason:>8} {:>16}", Uuid(row.info.handle), "-")
}

/// The header of `vcpu-list`.
#[must_use]
pub fn vcpu_header() -> String {
    format!(
        "{:<32} {:>5} {:>5} {:>5} {:>5} {:>9} Affinity (Hard / Soft)",
        "Name", "ID", "VCPU", "CPU", "State", "Time(s)"
    )
}

/// A line of `vcpu-list`.
#[must_use]
pub fn vcpu_line(
    name: &str,
    domain: u16,
    vcpu: &GetVcpuInfo,
    affinity: Affinity,
    nr_cpus: u32,
) -> String {
    let place = if vcpu.online == 0 {
        format!("{:>5} {:>3}{}p ", '-', '-', '-')
    } else {
        let running = if vcpu.running != 0 { 'r' } else { '-' };
        let blocked = if vcpu.blocked != 0 { 'b' } else { '-' };
        format!("{:>5} {running:>3}{blocked}- ", vcpu.cpu)
    };
    format!(
        "{name:<32} {domain:>5} {:>5} {place}{:>9}  {} / {}",
        vcpu.vcpu.get(),
        seconds(vcpu.cpu_time_ns),
        cpu_list(affinity.hard, nr_cpus),
        cpu_list(affinity.soft, nr_cpus)
    )
}

/// A set of processors as `all`, `none` or ranges.
#[must_use]
pub fn cpu_list(bits: u64, nr_cpus: u32) -> String {
    let nr_cpus = nr_cpus.clamp(1, 64);
    let all = u64::MAX >> (64 - nr_cpus);
    if bits & all == all {
        return "all".to_string();
    }
    let mut text = String::new();
    let mut cpu = 0;
    while cpu < nr_cpus {
        if bits >> cpu & 1 == 0 {
            cpu += 1;
            continue;
        }
        let first = cpu;
        while cpu < nr_cpus && bits >> cpu & 1 == 1 {
            cpu += 1;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&first.to_string());
        if cpu - first > 1 {
            text.push_str(&format!("-{}", cpu - 1));
        }
    }
    if text.is_empty() {
        text.push_str("none");
    }
    text
}

/// The header of `block-list`.
#[must_use]
pub fn disk_header() -> String {
    format!(
        "{:<5} {:<3} {:<6} {:<5} {:<6} {:<8} {:<30}",
        "Vdev", "BE", "handle", "state", "evt-ch", "ring-ref", "BE-path"
    )
}

/// A line of `block-list`. As with `xl` the handle is the domain of the front half.
#[must_use]
pub fn disk_line(domain: DomId, row: &DiskRow) -> String {
    let halves = &row.halves;
    format!(
        "{:<5} {:<3} {:<6} {:<5} {:<6} {:<8} {:<30}",
        row.vdev,
        halves.backend_id,
        domain.get(),
        or_minus_one(halves.state),
        or_minus_one(halves.evtch),
        or_minus_one(row.ring_ref),
        halves.backend_path
    )
}

/// The header of `network-list`.
#[must_use]
pub fn vif_header() -> String {
    format!(
        "{:<3} {:<2} {:<17} {:<6} {:<5} {:<6} {:>5}/{:<11} {:<30}",
        "Idx", "BE", "Mac Addr.", "handle", "state", "evt-ch", "tx-", "rx-ring-ref", "BE-path"
    )
}

/// A line of `network-list`.
#[must_use]
pub fn vif_line(row: &VifRow) -> String {
    let halves = &row.halves;
    format!(
        "{:<3} {:<2} {:<17} {:>6} {:>5} {:>6} {:>5}/{:<11} {:<30}",
        row.idx,
        halves.backend_id,
        row.mac,
        halves.handle,
        or_minus_one(halves.state),
        or_minus_one(halves.evtch),
        or_minus_one(row.tx_ring_ref),
        or_minus_one(row.rx_ring_ref),
        halves.backend_path
    )
}

/// What a guest has not said shows as -1.
fn or_minus_one(number: Option<u32>) -> i64 {
    number.map_or(-1, i64::from)
}

/// The header of `uptime`.
#[must_use]
pub fn uptime_header() -> String {
    format!("{:<33} {:>4} {}", "Name", "ID", "Uptime")
}

/// A line of `uptime`.
#[must_use]
pub fn uptime_line(name: &str, domain: u16, uptime_ns: u64) -> String {
    let (days, clock) = days_and_clock(uptime_ns);
    format!("{name:<33} {domain:>4} {}{clock}", days_text(days))
}

/// A line of `uptime -s`.
#[must_use]
pub fn uptime_short(name: &str, domain: u16, uptime_ns: u64) -> String {
    let (days, clock) = days_and_clock(uptime_ns);
    let clock = clock.rsplit_once(':').map_or(clock.as_str(), |(minutes, _)| minutes);
    format!(" up {}{clock}, {name} ({domain})", days_text(days))
}

fn days_and_clock(uptime_ns: u64) -> (u64, String) {
    let total_s = uptime_ns / 1_000_000_000;
    let (hours, minutes) = (total_s / 3600 % 24, total_s / 60 % 60);
    (total_s / 86_400, format!("{hours:>2}:{minutes:02}:{:02}", total_s % 60))
}

fn days_text(days: u64) -> String {
    match days {
        0 => String::new(),
        1 => "1 day, ".to_string(),
        _ => format!("{days} days, "),
    }
}

/// A line of `info`.
#[must_use]
pub fn info_line(label: &str, value: &str) -> String {
    format!("{label:<23}: {value}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypercall_abi::{DomId, VcpuId};

    fn row(flags: Dominf) -> DomainRow {
        let info = GetDomainInfo {
            domain: DomId::new(3),
            flags,
            tot_pages: 4096,
            nr_online_vcpus: 1,
            cpu_time_ns: 12_340_000_000,
            ..GetDomainInfo::default()
        };
        DomainRow { name: Some("web".into()), info }
    }

    #[test]
    fn list_lines_have_the_columns_of_xl() {
        let header = "Name                                        ID   Mem VCPUs\tState\tTime(s)";
        assert_eq!(LIST_HEADER, header);
        let line = list_line(&row(Dominf::BLOCKED));
        let expected =
            "web                                          3    16     1     -b----      12.3";
        assert_eq!(line, expected);
    }

    #[test]
    fn the_fifth_letter_is_the_reason_of_the_shutdown() {
        let letters =
            |reason| state_letters(&row(Dominf::empty().with_shutdown_reason(reason)).info);
        let all: alloc::vec::Vec<String> = (0..7).map(letters).collect();
        assert_eq!(all, ["---s--", "---sr-", "---ss-", "---sc-", "---sw-", "---sS-", "---s?-"]);
        let flags = Dominf::RUNNING | Dominf::PAUSED | Dominf::DYING;
        assert_eq!(state_letters(&row(flags).info), "r-p--d");
    }

    #[test]
    fn verbose_lines_add_uuid_and_reason() {
        let verbose = list_line_verbose(&row(Dominf::empty().with_shutdown_reason(3)));
        let zero = "00000000-0000-0000-0000-000000000000";
        assert_eq!(verbose, format!(" {zero}        3                -"));
        let running = list_line_verbose(&row(Dominf::RUNNING));
        assert_eq!(running, format!(" {zero}        -                -"));
    }

    #[test]
    fn vcpu_lines_have_the_columns_of_xl() {
        let vcpu = GetVcpuInfo {
            vcpu: VcpuId::new(0),
            online: 1,
            blocked: 1,
            cpu: 1,
            cpu_time_ns: 4_560_000_000,
            ..GetVcpuInfo::default()
        };
        let affinity = Affinity { hard: u64::MAX, soft: 0b1011 };
        assert_eq!(
            vcpu_header(),
            "Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)"
        );
        assert_eq!(
            vcpu_line("web", 3, &vcpu, affinity, 4),
            "web                                  3     0     1   -b-       4.6  all / 0-1,3"
        );
        let offline = GetVcpuInfo { online: 0, ..vcpu };
        assert_eq!(
            vcpu_line("web", 3, &offline, affinity, 2),
            "web                                  3     0     -   --p       4.6  all / all"
        );
    }

    #[test]
    fn cpu_lists_are_ranges() {
        assert_eq!(cpu_list(0, 4), "none");
        assert_eq!(cpu_list(0b0110, 4), "1-2");
        assert_eq!(cpu_list(0b0101, 4), "0,2");
        assert_eq!(cpu_list(u64::MAX, 64), "all");
        assert_eq!(cpu_list(1, 1), "all");
    }

    #[test]
    fn uptimes_read_like_those_of_xl() {
        let second = 1_000_000_000;
        assert_eq!(uptime_header(), "Name                                ID Uptime");
        assert_eq!(
            uptime_line("web", 3, 3_725 * second),
            "web                                  3  1:02:05"
        );
        assert_eq!(
            uptime_line("web", 3, (86_400 + 60) * second),
            "web                                  3 1 day,  0:01:00"
        );
        assert_eq!(uptime_short("web", 3, 200_000 * second), " up 2 days,  7:33, web (3)");
    }

    #[test]
    fn seconds_round_to_tenths() {
        assert_eq!(seconds(0), "0.0");
        assert_eq!(seconds(49_999_999), "0.0");
        assert_eq!(seconds(50_000_000), "0.1");
        assert_eq!(seconds(u64::MAX), "18446744073.7");
    }
}
