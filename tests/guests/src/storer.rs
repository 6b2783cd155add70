//! `storer`: a domain that uses the store, and with `mode=abuse` one that misuses it.
//!
//! Used properly it checks what a domain may do and then answers: what is written into its node
//! `data/ask` comes back in `data/answer`. With `mode=abuse` it writes nonsense into its ring page,
//! checks that the store says so and lets it start over, and then asks for ever as fast as it can.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

mod storer_abuse;

use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use hypercall_abi::Errno;
use pv_xenbus::{retry, Store, Tx};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::xenstore::store;
use pvkernel_xen::{println, thread};

pvkernel_xen::entry!(run);

type Verdict = Result<(), &'static str>;
type Check = (&'static str, fn(&dyn Store) -> Verdict);

const CHECKS: &[Check] = &[
    ("finds what is its own", finds_its_own),
    ("may not touch the rest", is_kept_out),
    ("writes, lists and removes", writes),
    ("transactions notice conflicts", transacts),
    ("watches hear", watches),
    ("the quota holds", is_bounded),
];

/// Nodes a domain may own.
const MOST_NODES: u32 = 1000;
const WITHIN_NS: u64 = 5_000_000_000;

static CHANGED: thread::WaitQueue = thread::WaitQueue::new();

fn run(boot: &'static BootInfo) -> ! {
    if boot.args().value("mode") == Some("abuse") {
        storer_abuse::run(boot);
    }
    let store = store();
    let mut failed = 0;
    for (name, check) in CHECKS {
        match check(store) {
            Ok(()) => println!("storer: {name} ok"),
            Err(why) => {
                failed += 1;
                println!("storer: {name} FAIL {why}");
            }
        }
    }
    match failed {
        0 => println!("ZENDO-TEST storer SUCCESS {} checks", CHECKS.len()),
        _ => println!("ZENDO-TEST storer FAILURE {failed} checks"),
    }
    answer(store)
}

fn expect(holds: bool, what: &'static str) -> Verdict {
    holds.then_some(()).ok_or(what)
}

fn finds_its_own(store: &dyn Store) -> Verdict {
    let number = store.number(Tx::NONE, "domid").map_err(|_| "its number is there")?;
    expect(number > 0, "it is not the control domain")?;
    let whole = format!("/local/domain/{number}/name");
    let name = store.text(Tx::NONE, &whole).map_err(|_| "its name is there")?;
    expect(store.text(Tx::NONE, "name") == Ok(name), "relative paths lie in its home")?;
    expect(store.text(Tx::NONE, "cpu/0/availability").as_deref() == Ok("online"), "its vCPU")
}

fn is_kept_out(store: &dyn Store) -> Verdict {
    let refused = Err(Errno::EACCES);
    expect(store.read(Tx::NONE, "/local/domain/0/name").map(drop) == refused, "dom0's name")?;
    expect(store.write(Tx::NONE, "name", b"x") == refused, "its name is not its own")?;
    expect(store.write(Tx::NONE, "/mine", b"x") == refused, "the root is not its own")?;
    expect(store.list(Tx::NONE, "/").map(drop) == refused, "the root is not shown")?;
    expect(store.read(Tx::NONE, "data/none").map(drop) == Err(Errno::ENOENT), "what is missing")?;
    expect(store.write(Tx::NONE, "data//x", b"") == Err(Errno::EINVAL), "what is no path")
}

fn writes(store: &dyn Store) -> Verdict {
    let long = [7u8; 2000];
    store.write(Tx::NONE, "data/a/b", &long).map_err(|_| "a long value is written")?;
    expect(store.read(Tx::NONE, "data/a/b").as_deref() == Ok(&long), "it comes back")?;
    let names = store.list(Tx::NONE, "data/a").map_err(|_| "it is listed")?;
    expect(names == ["b"], "under its name")?;
    store.rm(Tx::NONE, "data/a").map_err(|_| "it is removed")?;
    expect(store.read(Tx::NONE, "data/a/b").map(drop) == Err(Errno::ENOENT), "with all below")
}

fn transacts(store: &dyn Store) -> Verdict {
    store.write(Tx::NONE, "data/count", b"1").map_err(|_| "it can write")?;
    let tx = store.begin().map_err(|_| "a transaction begins")?;
    expect(store.number(tx, "data/count") == Ok(1), "it reads")?;
    store.write(tx, "data/count", b"2").map_err(|_| "it writes")?;
    expect(store.number(Tx::NONE, "data/count") == Ok(1), "others do not see it")?;
    store.write(Tx::NONE, "data/count", b"5").map_err(|_| "others write")?;
    expect(store.end(tx, true) == Err(Errno::EAGAIN), "a conflict is noticed")?;
    let more = retry(store, |tx| {
        let count = store.number(tx, "data/count")? + 1;
        store.write(tx, "data/count", format!("{count}").as_bytes())
    });
    expect(more == Ok(()), "without interference it is committed")?;
    expect(store.number(Tx::NONE, "data/count") == Ok(6), "with what it wrote")
}

fn watches(store: &dyn Store) -> Verdict {
    let heard = Arc::new(AtomicU32::new(0));
    let count = heard.clone();
    let sink = Arc::new(move |path: &str| {
        if path == "data/w" || path == "data/w/x" {
            count.fetch_add(1, Ordering::Relaxed);
        }
        CHANGED.wake_all();
    });
    let watch = store.watch("data/w", sink).map_err(|_| "a watch can be set")?;
    expect(wait_for(|| heard.load(Ordering::Relaxed) == 1), "it is told once at the beginning")?;
    store.write(Tx::NONE, "data/w/x", b"1").map_err(|_| "it can write")?;
    expect(wait_for(|| heard.load(Ordering::Relaxed) == 2), "and of a change below")?;
    store.unwatch(watch);
    store.write(Tx::NONE, "data/w/x", b"2").map_err(|_| "it can write")?;
    expect(heard.load(Ordering::Relaxed) == 2, "and not after its end")
}

fn wait_for(condition: impl Fn() -> bool) -> bool {
    CHANGED.wait_deadline(pvkernel_xen::time::now_ns() + WITHIN_NS, condition)
}

fn is_bounded(store: &dyn Store) -> Verdict {
    let made = (0..2 * MOST_NODES)
        .find(|number| store.write(Tx::NONE, &format!("data/n/{number}"), b"").is_err());
    let made = made.ok_or("there is an end to nodes")?;
    expect(made <= MOST_NODES, "it is the quota")?;
    expect(
        store.write(Tx::NONE, "data/n/more", b"") == Err(Errno::ENOSPC),
        "with the right error",
    )?;
    store.rm(Tx::NONE, "data/n").map_err(|_| "there is room again")?;
    store.write(Tx::NONE, "data/more", b"").map_err(|_| "and it can be used")
}

/// Gives back what it is asked, for ever.
fn answer(store: &dyn Store) -> ! {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let sink = Arc::new(|_: &str| {
        ASKED.fetch_add(1, Ordering::Release);
        CHANGED.wake_all();
    });
    if store.watch("data/ask", sink).is_err() {
        println!("storer: data/ask cannot be watched");
    }
    loop {
        CHANGED.wait_until(|| ASKED.swap(0, Ordering::AcqRel) > 0);
        if let Ok(text) = store.text(Tx::NONE, "data/ask") {
            let answer = format!("echo {text}");
            if let Err(errno) = store.write(Tx::NONE, "data/answer", answer.as_bytes()) {
                println!("storer: the answer is refused: {errno}");
            }
        }
    }
}
