//! The JSON of `zl top -b -o json`: one document for each sample.

use super::Top;
use crate::json::VERSION;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;
use zl_toolstack::devices::{DiskCounts, NetCounts};

#[derive(Serialize)]
struct Document<'a> {
    v: u32,
    event: &'static str,
    time_ns: u64,
    total_mem_kib: u64,
    free_mem_kib: u64,
    nr_cpus: u32,
    domains: Vec<Domain<'a>>,
}

#[derive(Serialize)]
struct Domain<'a> {
    name: &'a str,
    domid: u16,
    state: String,
    cpu_time_ns: u64,
    cpu_permille: u64,
    mem_kib: u64,
    vcpus: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    hypercalls_per_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traps_per_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events_per_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counters: Option<Counters>,
    nets: Vec<Net>,
    disks: Vec<Disk>,
}

#[derive(Serialize)]
struct Counters {
    hypercalls: u64,
    traps: u64,
    emulated: u64,
    events: u64,
    switches: u64,
}

#[derive(Serialize)]
struct Net {
    devid: u32,
    tx_bytes: u64,
    tx_frames: u64,
    tx_dropped: u64,
    rx_bytes: u64,
    rx_frames: u64,
    rx_dropped: u64,
}

#[derive(Serialize)]
struct Disk {
    devid: u32,
    out_of_room: u64,
    reads: u64,
    writes: u64,
    read_sectors: u64,
    written_sectors: u64,
}

fn net(net: &NetCounts) -> Net {
    let NetCounts { devid, tx_bytes, tx_frames, tx_dropped, rx_bytes, rx_frames, rx_dropped } =
        *net;
    Net { devid, tx_bytes, tx_frames, tx_dropped, rx_bytes, rx_frames, rx_dropped }
}

fn disk(disk: &DiskCounts) -> Disk {
    let DiskCounts { devid, out_of_room, reads, writes, read_sectors, written_sectors } = *disk;
    Disk { devid, out_of_room, reads, writes, read_sectors, written_sectors }
}

/// One sample.
pub fn document(top: &Top) -> String {
    let Some(sample) = &top.now else { return String::new() };
    let domains = top.rows().into_iter().map(|(domain, rates)| Domain {
        name: &domain.name,
        domid: domain.info.domain.get(),
        state: crate::format::state_letters(&domain.info),
        cpu_time_ns: domain.info.cpu_time_ns,
        cpu_permille: rates.cpu_permille,
        mem_kib: domain.info.tot_pages.saturating_mul(4),
        vcpus: domain.info.nr_online_vcpus,
        hypercalls_per_s: rates.hypercalls,
        traps_per_s: rates.traps,
        events_per_s: rates.events,
        counters: domain.counters.map(|all| Counters {
            hypercalls: all.hypercalls,
            traps: all.traps,
            emulated: all.emulated,
            events: all.events,
            switches: all.switches,
        }),
        nets: domain.nets.iter().map(net).collect(),
        disks: domain.disks.iter().map(disk).collect(),
    });
    let document = Document {
        v: VERSION,
        event: "sample",
        time_ns: sample.at_ns,
        total_mem_kib: sample.total_kib,
        free_mem_kib: sample.free_kib,
        nr_cpus: sample.nr_cpus,
        domains: domains.collect(),
    };
    // Our types always have a text.
    serde_json::to_string(&document).unwrap_or_else(|error| error.to_string()) + "\n"
}
