//! How the rows of `bench system` come about: what is booted, typed and read.
//!
//! Both hypervisors boot the same control domain and are given the same commands. Instructions are
//! counted by an emulator that counts them (`-icount`), of hypervisor and domains together; nothing
//! is subtracted. Wall times are the least of a few.

use std::time::{Duration, Instant};

use system_tests::dom0::Dom0;
use system_tests::machine::Failure;
use system_tests::session::{Session, DOM0_MIB};
use system_tests::timed::{self, count, hypervisor_frames, timed};

use super::table::Values;

type Done = Result<(), Failure>;

/// Fills in rows from one or more boots.
pub struct Group {
    /// The rows.
    pub rows: &'static [&'static str],
    /// Measures them.
    pub run: fn(&Session<'_>, &mut Values) -> Done,
    /// Whether all it finds is the same in each run.
    pub exact: bool,
    /// Why Xen cannot be asked, if it cannot.
    pub not_on_xen: Option<&'static str>,
}

const NO_ENTRY: Option<&str> = Some("it does not say when it was entered");
const NO_TICKS: Option<&str> = Some("the ticks a domain reads there are not those of dom0");

/// All groups.
pub const GROUPS: &[Group] = &[
    Group { rows: &["entry_to_dom0"], run: entry, exact: true, not_on_xen: NO_ENTRY },
    Group { rows: &["entry_to_dom0_wall"], run: entry_wall, exact: false, not_on_xen: NO_ENTRY },
    Group { rows: &["power_on_to_prompt"], run: prompt, exact: false, not_on_xen: None },
    Group {
        rows: &["create", "list", "pause", "unpause", "destroy"],
        run: verbs,
        exact: true,
        not_on_xen: None,
    },
    Group {
        rows: &[
            "create_wall",
            "create_wall_first",
            "list_wall",
            "pause_wall",
            "unpause_wall",
            "destroy_wall",
        ],
        run: verbs_wall,
        exact: false,
        not_on_xen: None,
    },
    Group {
        rows: &["create_to_first_instruction"],
        run: first_instruction,
        exact: true,
        not_on_xen: NO_TICKS,
    },
    Group {
        rows: &[
            "create_1st_of_100",
            "create_100th_of_100",
            "create_spread_over_100",
            "memory_per_domain",
            "memory_per_domain_in_dom0",
        ],
        run: super::crowd::hundred,
        exact: true,
        not_on_xen: None,
    },
    Group { rows: &["switch_between_domains"], run: switch, exact: true, not_on_xen: None },
    Group {
        rows: &[
            "memory_at_256_mib",
            "memory_at_512_mib",
            "memory_at_1024_mib",
            "memory_at_2048_mib",
            "memory_at_4096_mib",
            "dom0_memory",
            "dom0_memory_used",
        ],
        run: memory,
        exact: true,
        not_on_xen: None,
    },
    Group {
        rows: &["density_8_mib_in_1_gib", "density_8_mib_in_1_gib_wall"],
        run: super::crowd::small,
        exact: false,
        not_on_xen: None,
    },
    Group {
        rows: &["density_16_mib_in_4_gib", "density_16_mib_in_4_gib_wall"],
        run: super::crowd::large,
        exact: false,
        not_on_xen: None,
    },
];

/// Boots of which the fastest counts.
const BOOTS: usize = 5;
/// Commands of which the fastest counts.
const TIMES: usize = 5;
/// The longest the two may take with their rounds.
const ROUNDS_WITHIN: Duration = Duration::from_secs(60);
const PAGES_PER_MIB: u64 = 256;
const KIB_PER_PAGE: u64 = 4;

/// What a domain says once it runs.
pub const SAID: &str = "first instruction at tick ";

/// Boots dom0 in a machine of `mib` MiB, with instructions counted or not.
pub fn boot<'a>(session: &'a Session<'a>, mib: u32, icount: bool) -> Result<Dom0<'a>, Failure> {
    let mut boot = session.images.dom0_boot(session.hypervisor, "")?;
    (boot.memory_mib, boot.icount) = (mib, icount);
    Dom0::from_machine(session.start(boot)?, session.hypervisor)
}

/// Counts of exact things are far below 2^53.
pub fn real(count: u64) -> f64 {
    count as f64
}

/// Ticks from the hypervisor's entry to dom0's, as the hypervisor says.
fn entry_ticks(session: &Session<'_>, icount: bool) -> Result<u64, Failure> {
    let mut boot = session.images.usual_boot(session.hypervisor)?;
    boot.icount = icount;
    let mut watched = session.start(boot)?;
    watched.expect("dom0 starts after ", 60)?;
    let ticks = watched.expect(" ", 5)?;
    ticks.parse().map_err(|_| Failure(format!("'{ticks}' is no number")))
}

fn entry(session: &Session<'_>, values: &mut Values) -> Done {
    values.set("entry_to_dom0", real(entry_ticks(session, true)?));
    Ok(())
}

fn entry_wall(session: &Session<'_>, values: &mut Values) -> Done {
    let mut best = u64::MAX;
    for _ in 0..BOOTS {
        best = best.min(entry_ticks(session, false)?);
    }
    let mut dom0 = boot(session, 1024, false)?;
    let info = dom0.ok("zl info")?.lines;
    let value =
        |line: &String| line.strip_prefix("cpu_mhz")?.split(": ").nth(1)?.trim().parse().ok();
    let mhz: f64 = info.iter().find_map(value).ok_or(Failure("no cpu_mhz in `zl info`".into()))?;
    values.set("entry_to_dom0_wall", real(best) / mhz / 1000.0);
    Ok(())
}

fn prompt(session: &Session<'_>, values: &mut Values) -> Done {
    let mut best = f64::MAX;
    for _ in 0..BOOTS {
        best = best.min(Dom0::boot(session)?.boot_took.as_secs_f64());
    }
    values.set("power_on_to_prompt", best * 1000.0);
    Ok(())
}

/// The command that makes a domain that stays.
pub fn create(name: &str, settings: &str) -> String {
    format!("zl create -q hello.cfg name={name} cmdline=stay {settings}")
}

fn verbs(session: &Session<'_>, values: &mut Values) -> Done {
    let mut dom0 = boot(session, 1024, true)?;
    values.set("create", real(timed(&mut dom0, &create("a", ""))?.ticks));
    dom0.until("zl logs a", 10, |lines| lines.iter().any(|line| line.contains(SAID)))?;
    for (row, command) in
        [("list", "zl list"), ("pause", "zl pause a"), ("unpause", "zl unpause a")]
    {
        values.set(row, real(timed(&mut dom0, command)?.ticks));
    }
    values.set("destroy", real(timed(&mut dom0, "zl destroy a")?.ticks));
    Ok(())
}

fn verbs_wall(session: &Session<'_>, values: &mut Values) -> Done {
    let mut dom0 = boot(session, 1024, false)?;
    let ms = |ns: u64| real(ns) / 1e6;
    let [mut created, mut destroyed, mut paused, mut unpaused, mut first] = [u64::MAX; 5];
    for _ in 0..TIMES {
        let created_ns = timed(&mut dom0, &create("a", ""))?.ns;
        dom0.until("zl logs a", 10, |lines| lines.iter().any(|line| line.contains(SAID)))?;
        if first == u64::MAX {
            first = created_ns;
        }
        created = created.min(created_ns);
        paused = paused.min(timed(&mut dom0, "zl pause a")?.ns);
        unpaused = unpaused.min(timed(&mut dom0, "zl unpause a")?.ns);
        destroyed = destroyed.min(timed(&mut dom0, "zl destroy a")?.ns);
    }
    let list = timed::least(&mut dom0, "zl list", TIMES)?.ns;
    values.set("create_wall", ms(created));
    values.set("create_wall_first", ms(first));
    values.set("list_wall", ms(list));
    values.set("pause_wall", ms(paused));
    values.set("unpause_wall", ms(unpaused));
    values.set("destroy_wall", ms(destroyed));
    Ok(())
}

/// The first domain after a boot: nothing of it was done before.
fn first_instruction(session: &Session<'_>, values: &mut Values) -> Done {
    let mut dom0 = boot(session, 1024, true)?;
    let ticks = ticks_to_first_instruction(&mut dom0, "a", "")?;
    values.set("create_to_first_instruction", real(ticks));
    Ok(())
}

/// Creates a domain; from the command to the first instruction, which the domain itself reports.
fn ticks_to_first_instruction(
    dom0: &mut Dom0<'_>,
    name: &str,
    settings: &str,
) -> Result<u64, Failure> {
    let from = timed(dom0, &create(name, settings))?.from;
    let said = |lines: &[String]| lines.iter().any(|line| line.contains(SAID));
    let lines = dom0.until(&format!("zl logs {name}"), 10, said)?.lines;
    let tick = lines.iter().find_map(|line| line.split(SAID).nth(1)?.trim().parse::<u64>().ok());
    let ticks = tick.and_then(|tick| tick.checked_sub(from));
    ticks.ok_or(Failure(format!("no tick behind {from} in {lines:?}")))
}

/// Two domains hand the processor to each other; what they find is theirs alone, dom0 sleeps.
fn switch(session: &Session<'_>, values: &mut Values) -> Done {
    let mut dom0 = boot(session, 1024, true)?;
    dom0.ok("zl create -q pair.cfg name=one cmdline=\"offer=2\"")?;
    let offers = |lines: &[String]| lines.iter().any(|line| line.starts_with("pair: port "));
    let lines = dom0.until("zl logs one", 10, offers)?.lines;
    let port = lines.iter().find_map(|line| line.strip_prefix("pair: port "));
    let port = port.ok_or(Failure("no port was offered".into()))?.trim().to_string();
    // On its console, where dom0 waits for what is printed: each question would be counted, too.
    let create = format!("zl create -q -c pair.cfg name=two cmdline=\"peer=1 port={port}\"\r");
    dom0.machine().send(&create)?;
    let printed = dom0.machine().expect("ZENDO-TEST pair ", ROUNDS_WITHIN)?;
    let verdict = dom0.machine().expect("\n", ROUNDS_WITHIN)?;
    let key = |key: &str| {
        let value = |word: &str| word.strip_prefix(key)?.parse::<u64>().ok();
        printed.split_whitespace().find_map(value)
    };
    let ok = verdict.starts_with("SUCCESS");
    match (ok, key("ticks="), key("switches=")) {
        (true, Some(ticks), Some(switches)) if switches > 0 => {
            values.set("switch_between_domains", real(ticks) / real(switches));
            Ok(())
        }
        _ => Err(Failure(format!("the pair said {printed}{verdict}"))),
    }
}

fn memory(session: &Session<'_>, values: &mut Values) -> Done {
    let sizes = [
        (256, "memory_at_256_mib"),
        (512, "memory_at_512_mib"),
        (1024, "memory_at_1024_mib"),
        (2048, "memory_at_2048_mib"),
        (4096, "memory_at_4096_mib"),
    ];
    let given = u64::from(DOM0_MIB) * PAGES_PER_MIB;
    for (mib, row) in sizes {
        let mut dom0 = boot(session, mib, false)?;
        values.set(row, real(hypervisor_frames(&mut dom0, given)? * KIB_PER_PAGE));
        if mib == 1024 {
            let free = count(&mut dom0, "dom0_free_frames")?;
            values.set("dom0_memory", DOM0_MIB);
            let used = real(given.saturating_sub(free));
            values.set("dom0_memory_used", used / real(PAGES_PER_MIB));
        }
    }
    Ok(())
}

/// Milliseconds since then.
pub fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}
