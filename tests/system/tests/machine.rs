//! The watched machine, with small shell programs in QEMU's place.

use std::process::Command;
use std::time::{Duration, Instant};

use system_tests::exit_code::End;
use system_tests::machine::Machine;

const SOON: Duration = Duration::from_secs(10);

fn machine(script: &str) -> Machine {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Machine::spawn(command).expect("sh starts")
}

#[test]
fn text_is_consumed_in_order_and_never_twice() {
    let mut machine = machine("echo one two one; exec cat");
    assert_eq!(machine.expect("one", SOON).as_deref(), Ok(""));
    assert_eq!(machine.expect("one", SOON).as_deref(), Ok(" two "));
    let failure = machine.expect("one", Duration::from_millis(50)).expect_err("no third one");
    assert!(failure.0.contains("did not come within"), "{failure}");
}

#[test]
fn what_is_typed_reaches_the_program() {
    let mut machine = machine("exec cat");
    machine.send("ping\n").expect("cat reads");
    machine.expect("ping\n", SOON).expect("cat answers");
}

#[test]
fn a_machine_that_ends_early_fails_the_wait_at_once_and_says_why() {
    let started = Instant::now();
    let mut machine = machine("echo last words; exit 33");
    let failure = machine.expect("prompt", Duration::from_secs(60)).expect_err("it ended");
    assert!(failure.0.contains("poweroff") && failure.0.contains("last words"), "{failure}");
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn the_reason_of_the_end_is_read_from_the_status() {
    assert_eq!(machine("exit 37").wait_end(SOON), Ok(End::Crash));
    assert_eq!(machine("exit 0").wait_end(SOON), Ok(End::Plain(0)));
}

#[test]
fn a_bug_of_the_hypervisor_fails_every_wait() {
    let script = "echo '(zendo) PANIC: broken'; echo prompt; exec cat";
    let failure = machine(script).expect("prompt", SOON).expect_err("a panic is no success");
    assert!(failure.0.contains("broken"), "{failure}");
    let failure = machine("echo '(zendo) BUG: x'; exit 33").wait_end(SOON);
    assert!(failure.is_err());
}

#[test]
fn a_dropped_machine_is_gone() {
    let mut dropped = machine("echo $$; exec sleep 600");
    let pid = dropped.expect("\n", SOON).expect("its number");
    drop(dropped);
    let alive = Command::new("kill").args(["-0", pid.trim()]).status().expect("kill runs");
    assert!(!alive.success());
}
