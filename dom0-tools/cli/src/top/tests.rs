//! The table of `zl top`, byte for byte, and its keys.

use super::*;
use alloc::vec::Vec;
use hypercall_abi::domctl::{Dominf, GetDomainInfo};
use hypercall_abi::sched::shutdown;
use hypercall_abi::zendo::DomainCounters;
use hypercall_abi::DomId;
use proptest::prelude::*;
use zl_toolstack::devices::{DiskCounts, NetCounts};

const SECOND: u64 = 1_000_000_000;

fn domain(id: u16, name: &str, flags: Dominf, cpu_time_ns: u64) -> DomainSample {
    let info = GetDomainInfo {
        domain: DomId::new(id),
        flags,
        tot_pages: 8192,
        max_pages: 8448,
        nr_online_vcpus: 1,
        cpu_time_ns,
        handle: [id as u8; 16],
        ..GetDomainInfo::default()
    };
    let vcpus = Vec::from([VcpuSample { vcpu: 0, cpu_time_ns }]);
    let (nets, disks) = (Vec::new(), Vec::new());
    DomainSample { name: name.into(), info, counters: None, vcpus, nets, disks }
}

fn sample(at_ns: u64, domains: Vec<DomainSample>) -> Sample {
    Sample {
        at_ns,
        version: "4.17-zendo".into(),
        total_kib: 1_048_576,
        free_kib: 524_288,
        nr_cpus: 2,
        cpu_khz: 2_000_000,
        domains,
    }
}

fn counters(hypercalls: u64) -> Option<DomainCounters> {
    let (traps, events) = (hypercalls / 2, hypercalls / 4);
    Some(DomainCounters { hypercalls, traps, events, ..DomainCounters::default() })
}

fn two() -> Top {
    let mut top = Top::new(Options::default());
    let at = |seconds: u64| {
        let mut web = domain(1, "web", Dominf::BLOCKED, seconds * SECOND / 4);
        web.counters = counters(seconds * 1000);
        web.nets.push(NetCounts {
            devid: 0,
            tx_bytes: 4096,
            rx_bytes: 10_240,
            tx_frames: 3,
            ..NetCounts::default()
        });
        web.disks.push(DiskCounts {
            devid: 51712,
            reads: 7,
            read_sectors: 56,
            ..DiskCounts::default()
        });
        let mut dom0 = domain(0, "Domain-0", Dominf::RUNNING, seconds * SECOND);
        dom0.counters = counters(seconds * 10);
        sample(seconds * SECOND, Vec::from([dom0, web]))
    };
    top.take(at(2));
    top.take(at(4));
    top
}

#[test]
fn batch_lines_have_the_columns_of_xentop_and_three_more() {
    let text = two().lines();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS NETS NETTX(k) \
         NETRX(k) VBDS   VBD_OO   VBD_RD   VBD_WR  VBD_RSECT  VBD_WSECT SSID  HCALLS/s   TRAPS/s    EVTS/s"
    );
    assert_eq!(
        lines[1],
        "  Domain-0 -----r          4  100.0      32768    3.1   no limit       n/a     1    0        0        \
         0    0        0        0        0          0          0    0        10         5         2"
    );
    assert_eq!(
        lines[2],
        "       web --b---          1   25.0      32768    3.1      33792       3.2     1    1        4       \
         10    1        0        7        0         56          0    0      1000       500       250"
    );
    assert_eq!(lines.len(), 3);
    assert!(!text.contains('\x1b'));
}

#[test]
fn states_are_xentops_letters() {
    let of = |flags| {
        let mut top = Top::new(Options::default());
        top.take(sample(0, Vec::from([domain(1, "a", flags, 0)])));
        String::from(top.lines().lines().nth(1).unwrap().get(11..17).unwrap())
    };
    assert_eq!(of(Dominf::RUNNING), "-----r");
    assert_eq!(of(Dominf::PAUSED | Dominf::BLOCKED), "--b-p-");
    assert_eq!(of(Dominf::empty().with_shutdown_reason(shutdown::POWEROFF)), "-s----");
    assert_eq!(of(Dominf::empty().with_shutdown_reason(shutdown::CRASH)), "---c--");
    assert_eq!(of(Dominf::DYING), "d-----");
}

#[test]
fn without_counters_the_columns_show_a_hyphen() {
    let mut top = Top::new(Options::default());
    for seconds in [1, 2] {
        top.take(sample(seconds * SECOND, Vec::from([domain(1, "a", Dominf::RUNNING, 0)])));
    }
    assert!(top.lines().lines().nth(1).unwrap().ends_with("-         -         -"));
}

#[test]
fn a_number_that_comes_again_is_another_domain() {
    let mut top = Top::new(Options::default());
    let mut old = domain(1, "old", Dominf::RUNNING, 9 * SECOND);
    old.counters = counters(5000);
    top.take(sample(SECOND, Vec::from([old])));
    let mut new = domain(1, "new", Dominf::RUNNING, SECOND);
    new.info.handle = [99; 16];
    new.counters = counters(100);
    top.take(sample(2 * SECOND, Vec::from([new])));
    let rates = top.rows()[0].1;
    assert_eq!((rates.cpu_permille, rates.hypercalls), (0, Some(0)));
}

#[test]
fn the_screen_fits_and_keeps_what_matters() {
    let top = two();
    let lines = table::screen(&top, Size { columns: 80, rows: 12 });
    assert_eq!(lines.len(), 12);
    assert_eq!(lines[0], "zl top - up 0:00:04   Xen 4.17-zendo");
    assert_eq!(
        lines[1],
        "2 domains: 1 running, 1 blocked, 0 paused, 0 crashed, 0 dying, 0 shutdown"
    );
    assert_eq!(lines[2], "Mem: 1048576k total, 524288k used, 524288k free    CPUs: 2 @ 2000MHz");
    let plain: Vec<String> =
        lines.iter().map(|line| line.replace("\x1b[7m", "").replace("\x1b[m", "")).collect();
    assert!(plain.iter().all(|line| line.chars().count() <= 80), "{plain:#?}");
    for heading in ["NAME", "STATE", "CPU(%)", "HCALLS/s", "TRAPS/s", "EVTS/s", "MEM(k)"] {
        assert!(plain[3].contains(heading), "{heading} in {}", plain[3]);
    }
    assert!(lines[3].starts_with("\x1b[7m"));
    assert!(plain[11].starts_with("D delay 3.000 s"));
    assert!(top.screen(Size { columns: 200, rows: 24 }).starts_with("\x1b[Hzl top"));
    assert!(!top.screen(Size { columns: 80, rows: 4 }).ends_with('\n'));
}

#[test]
fn keys_do_what_they_do_in_xentop() {
    let mut top = two();
    let size = Size { columns: 200, rows: 24 };
    assert!(!top.screen(size).contains("Net0"));
    assert_eq!(top.key(b'N'), Action::Redraw);
    assert!(top.screen(size).contains("Net0 RX:    10240bytes"));
    assert_eq!(top.key(b'b'), Action::Redraw);
    assert!(top.screen(size).contains("VBD BlkBack 51712 [xvda]  OO:        0  RD:        7"));
    assert_eq!(top.key(b'v'), Action::Redraw);
    assert!(top.screen(size).contains("VCPUs(sec):   0:          4s"));
    assert_eq!(top.key(b'x'), Action::None);
    for byte in *b"d0.25" {
        assert_eq!(top.key(byte), Action::Redraw);
    }
    assert!(top.screen(size).contains("Delay in seconds, then Enter: 0.25"));
    top.key(b'\r');
    assert_eq!(top.delay_ms(), 250);
    for byte in *b"d\x1bd99999\x7f\x7f\x7f\x7f\x7f\r" {
        top.key(byte);
    }
    assert_eq!(top.delay_ms(), 250);
    for byte in *b"\x1b[B\x1b[B\x1b[B" {
        top.key(byte);
    }
    assert!(!top.screen(size).contains("  Domain-0 ") && top.screen(size).contains("     web "));
    for byte in *b"\x1b[A\x1bOA" {
        top.key(byte);
    }
    assert!(top.screen(size).contains("  Domain-0 "));
    assert_eq!(top.key(b'q'), Action::Quit);
}

#[test]
fn sorting_goes_through_all_columns_and_back_to_numbers() {
    let mut top = two();
    let names =
        |top: &Top| top.rows().iter().map(|(domain, _)| domain.name.clone()).collect::<Vec<_>>();
    let mut orders = Vec::new();
    for _ in 0..22 {
        top.key(b's');
        orders.push(names(&top));
    }
    assert_eq!(top.sort, Some(Column::Events));
    assert_eq!(orders[19], ["web", "Domain-0"], "by hypercalls");
    assert_eq!(orders[3], ["Domain-0", "web"], "by processor time");
    top.key(b's');
    assert_eq!(top.sort, None);
}

#[test]
fn delays_are_seconds() {
    for (text, expected) in [
        ("3", Some(3000)),
        ("0.5", Some(500)),
        (".5", None),
        ("0.01", Some(10)),
        ("0.009", None),
        ("", None),
        ("1e3", None),
        ("3600", Some(3_600_000)),
        ("3601", None),
        ("-1", None),
        ("1.2345", None),
    ] {
        assert_eq!(Options::delay_from(text), expected, "{text}");
    }
}

#[test]
fn a_document_is_one_line_with_rates_and_counts() {
    let text = two().document();
    assert_eq!(text.matches('\n').count(), 1);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["v"], &value["event"]), (&1.into(), &"sample".into()));
    let web = &value["domains"][1];
    assert_eq!((&web["hypercalls_per_s"], &web["cpu_permille"]), (&1000.into(), &250.into()));
    assert_eq!(web["counters"]["hypercalls"], 4000);
    assert_eq!(web["disks"][0]["read_sectors"], 56);
    assert_eq!(web["nets"][0]["rx_bytes"], 10_240);
}

proptest! {
    #[test]
    fn no_screen_is_larger_than_asked_for(
        columns in 0usize..220, rows in 2usize..40, count in 0u16..60, keys in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut top = Top::new(Options::default());
        for seconds in 1..3 {
            let all = (0..count).map(|id| domain(id, "name-of-a-domain-that-is-long", Dominf::RUNNING, u64::MAX / 2));
            top.take(sample(seconds * SECOND, all.collect()));
            keys.iter().for_each(|key| { let _ = top.key(*key); });
        }
        let lines = table::screen(&top, Size { columns, rows });
        prop_assert!(lines.len() <= rows);
        for line in lines {
            let plain = line.replace("\x1b[7m", "").replace("\x1b[m", "");
            prop_assert!(plain.chars().count() <= columns);
        }
    }

    #[test]
    fn rates_never_exceed_what_was_counted(
        first in any::<u64>(), second in any::<u64>(), elapsed in 1u64..u64::MAX / 2,
    ) {
        let mut top = Top::new(Options::default());
        for (at, count) in [(0, first), (elapsed, second)] {
            let mut one = domain(1, "a", Dominf::RUNNING, count);
            one.counters = counters(count);
            top.take(sample(at, Vec::from([one])));
        }
        let rate = top.rows()[0].1.hypercalls.unwrap();
        let counted = second.saturating_sub(first);
        prop_assert!(u128::from(rate) * u128::from(elapsed) <= u128::from(counted) * 1_000_000_000 || rate == u64::MAX);
    }
}
