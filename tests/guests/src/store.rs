//! `store`: what a guest can do with the store, and what it is refused.
//!
//! Reads what the tools wrote for it, writes and removes below `data`, watches, runs transactions that
//! interfere, asks from several threads at once, and lists more names than one message holds.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use hypercall_abi::{DomId, Errno};
use pv_xenbus::{retry, Perm, Rights, Store, Tx};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{power, println, thread, time, xenstore};

pvkernel_xen::entry!(run);

type Check = (&'static str, fn(&'static dyn Store) -> Result<(), String>);

const CHECKS: &[Check] = &[
    ("home", finds_its_home),
    ("values", keeps_values),
    ("refusals", is_refused),
    ("permissions", sets_permissions),
    ("watches", hears_of_changes),
    ("transactions", isolates_transactions),
    ("threads", answers_many_at_once),
    ("long-list", lists_many_names),
];

const SECOND_NS: u64 = 1_000_000_000;
const NONE: Tx = Tx::NONE;

fn run(_: &'static BootInfo) -> ! {
    if !xenstore::is_present() {
        println!("ZENDO-TEST store SKIP no store");
        power::poweroff();
    }
    let store = xenstore::store();
    let mut failed = 0;
    for (name, check) in CHECKS {
        let verdict = check(store);
        let _ = store.rm(NONE, "data/test");
        match verdict {
            Ok(()) => println!("store: {name} ok"),
            Err(why) => {
                failed += 1;
                println!("store: {name} FAIL {why}");
            }
        }
    }
    print_costs(store);
    match failed {
        0 => println!("ZENDO-TEST store SUCCESS {} checks", CHECKS.len()),
        _ => println!("ZENDO-TEST store FAILURE {failed} checks"),
    }
    power::poweroff()
}

/// Fails unless both are the same.
fn same<T: PartialEq + core::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what}: {found:?} instead of {expected:?}")),
    }
}

fn done<T>(what: &str, result: Result<T, Errno>) -> Result<T, String> {
    result.map_err(|errno| format!("{what}: {}", errno.name()))
}

fn finds_its_home(store: &'static dyn Store) -> Result<(), String> {
    let id = done("its number", store.number(NONE, "domid"))?;
    let home = format!("/local/domain/{id}");
    same("its name", store.text(NONE, "name"), store.text(NONE, &format!("{home}/name")))?;
    let names = done("its nodes", store.list(NONE, &home))?;
    let has = |name: &str| names.iter().any(|known| known == name);
    match ["name", "domid", "device", "control", "data"].into_iter().find(|name| !has(name)) {
        Some(name) => Err(format!("{name} is not among {names:?}")),
        None => Ok(()),
    }
}

fn keeps_values(store: &'static dyn Store) -> Result<(), String> {
    let all_bytes: Vec<u8> = (0..=255).collect();
    for value in [&b"value"[..], b"", &all_bytes, &[7; 2000]] {
        done("write", store.write(NONE, "data/test/a/b", value))?;
        same("read", store.read(NONE, "data/test/a/b").as_deref(), Ok(value))?;
    }
    done("mkdir", store.mkdir(NONE, "data/test/a/c"))?;
    let mut names = done("list", store.list(NONE, "data/test/a"))?;
    names.sort();
    same("names", names, vec!["b".into(), "c".into()])?;
    done("rm", store.rm(NONE, "data/test/a"))?;
    done("rm again", store.rm(NONE, "data/test/a"))?;
    same("removed", store.read(NONE, "data/test/a/b"), Err(Errno::ENOENT))
}

fn is_refused(store: &'static dyn Store) -> Result<(), String> {
    let write = |path: &str| store.write(NONE, path, b"mine").err();
    same("name", write("name"), Some(Errno::EACCES))?;
    same("others' nodes", write("/local/domain/0/name"), Some(Errno::EACCES))?;
    same("a new root", write("/mine"), Some(Errno::EACCES))?;
    same("a bad path", write("data//x"), Some(Errno::EINVAL))?;
    same("a long path", write(&"x".repeat(4000)), Some(Errno::EINVAL))?;
    let long = store.write(NONE, "data/test/long", &[0; 5000]).err();
    same("more than a message", long, Some(Errno::E2BIG))?;
    let large = store.write(NONE, "data/test/large", &[0; 3000]).err();
    same("more than its quota", large, Some(Errno::ENOSPC))?;
    same("no transaction", store.read(Tx(4711), "name").err(), Some(Errno::ENOENT))?;
    same("nothing there", store.list(NONE, "data/nothing").err(), Some(Errno::ENOENT))
}

fn sets_permissions(store: &'static dyn Store) -> Result<(), String> {
    done("write", store.write(NONE, "data/test/p", b"x"))?;
    let id = done("its number", store.number(NONE, "domid"))? as u16;
    let own = Perm { domain: DomId::new(id), rights: Rights::None };
    let other = Perm { domain: DomId::new(7), rights: Rights::Read };
    done("set", store.set_perms(NONE, "data/test/p", &[own, other]))?;
    same("permissions", store.perms(NONE, "data/test/p"), Ok(vec![own, other]))
}

fn hears_of_changes(store: &'static dyn Store) -> Result<(), String> {
    static TOLD: thread::WaitQueue = thread::WaitQueue::new();
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let sink = move |path: &str| {
        if path.starts_with("data/test/w") {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        TOLD.wake_all();
    };
    let at_least = |wanted: u32| {
        let enough = || count.load(Ordering::Relaxed) >= wanted;
        match TOLD.wait_deadline(time::now_ns() + 5 * SECOND_NS, enough) {
            true => Ok(()),
            false => Err(format!("{} events, {wanted} were due", count.load(Ordering::Relaxed))),
        }
    };
    let watch = done("watch", store.watch("data/test/w", Arc::new(sink)))?;
    at_least(1)?;
    done("write", store.write(NONE, "data/test/w", b"1"))?;
    at_least(2)?;
    done("write below", store.write(NONE, "data/test/w/x/y", b"1"))?;
    at_least(3)?;
    done("rm above", store.rm(NONE, "data/test"))?;
    at_least(4)?;
    store.unwatch(watch);
    let before = count.load(Ordering::Relaxed);
    done("write", store.write(NONE, "data/test/w", b"2"))?;
    done("an answer behind what could come", store.read(NONE, "name"))?;
    same("after the end", count.load(Ordering::Relaxed), before)?;
    same("holders of the sink", Arc::strong_count(&count), 1)
}

fn isolates_transactions(store: &'static dyn Store) -> Result<(), String> {
    done("write", store.write(NONE, "data/test/t", b"1"))?;
    let first = done("begin", store.begin())?;
    same("seen inside", store.read(first, "data/test/t"), Ok(b"1".to_vec()))?;
    done("write inside", store.write(first, "data/test/t", b"2"))?;
    same("seen outside", store.read(NONE, "data/test/t"), Ok(b"1".to_vec()))?;
    done("write outside", store.write(NONE, "data/test/t", b"3"))?;
    same("a conflict", store.end(first, true), Err(Errno::EAGAIN))?;
    same("which won", store.read(NONE, "data/test/t"), Ok(b"3".to_vec()))?;
    let given_up = done("begin", store.begin())?;
    done("write inside", store.write(given_up, "data/test/t", b"4"))?;
    done("giving up", store.end(given_up, false))?;
    same("after that", store.read(NONE, "data/test/t"), Ok(b"3".to_vec()))
}

/// Threads that all add to one number, each addition a transaction. All of them together win fewer
/// times than `retry` tries, so no one can lose for ever.
fn answers_many_at_once(store: &'static dyn Store) -> Result<(), String> {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 15;
    done("write", store.write(NONE, "data/test/n", b"0"))?;
    let failed = Arc::new(AtomicU32::new(0));
    let add = |tx| {
        let number = store.number(tx, "data/test/n")?;
        store.write(tx, "data/test/n", format!("{}", number + 1).as_bytes())
    };
    let body = |failed: Arc<AtomicU32>| {
        move || {
            for _ in 0..ROUNDS {
                if retry(store, add).is_err() {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    let handles: Vec<_> =
        (0..THREADS).map(|_| thread::spawn("adder", body(Arc::clone(&failed)))).collect();
    for handle in handles {
        handle.map_err(|_| String::from("memory for a thread"))?.join();
    }
    same("additions that failed", failed.load(Ordering::Relaxed), 0)?;
    same("the sum", store.number(NONE, "data/test/n"), Ok(THREADS * ROUNDS))
}

fn lists_many_names(store: &'static dyn Store) -> Result<(), String> {
    const NAMES: usize = 200;
    let name =
        |number: usize| format!("a-name-that-is-rather-long-so-that-many-do-not-fit-{number}");
    for number in 0..NAMES {
        done("mkdir", store.mkdir(NONE, &format!("data/test/l/{}", name(number))))?;
    }
    let mut names = done("list", store.list(NONE, "data/test/l"))?;
    let mut expected: Vec<String> = (0..NAMES).map(name).collect();
    names.sort();
    expected.sort();
    same("names", names, expected)
}

fn print_costs(store: &'static dyn Store) {
    const ROUNDS: u64 = 100;
    let start = time::now_ns();
    let failed = (0..ROUNDS).filter(|_| store.read(NONE, "name").is_err()).count();
    let each = (time::now_ns() - start) / ROUNDS;
    println!("store: a read takes {each} ns, {failed} of {ROUNDS} failed");
}
