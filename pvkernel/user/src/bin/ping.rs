//! `ping [-c COUNT] [-s BYTES] HOST`: asks a machine for answers, one a second, and says how long they took.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]
#![deny(unsafe_code)]

use pvkernel_user::io::{complain, usage};
use pvkernel_user::system::address_of;
use pvkernel_user::text::millis;
use pvkernel_user::{println, sys};

pvkernel_user::program!(run);

const USAGE: &str = "ping [-c COUNT] [-s BYTES] HOST";
const SECOND: u64 = 1_000_000_000;

fn run(args: &[&str]) -> i32 {
    let mut rest = args.get(1..).unwrap_or_default();
    let (mut count, mut bytes) = (4u64, 56u64);
    while let [option @ ("-c" | "-s"), number, behind @ ..] = rest {
        let Ok(number) = number.parse() else { return usage(USAGE) };
        match *option {
            "-c" => count = number,
            _ => bytes = number,
        }
        rest = behind;
    }
    let [host] = rest else { return usage(USAGE) };
    match address_of(host) {
        Ok(address) => ask(address, count, bytes),
        Err(why) => complain(host, why),
    }
}

fn ask(address: u32, count: u64, bytes: u64) -> i32 {
    let from = core::net::Ipv4Addr::from(address);
    let (mut answers, mut sum) = (0, 0);
    for number in 1..=count {
        match sys::ping(address, bytes, SECOND) {
            Ok(ns) => {
                println!("{bytes} bytes from {from}: seq={number} time={} ms", millis(ns));
                answers += 1;
                sum += ns;
                if number < count && sys::sleep_ns(SECOND.saturating_sub(ns)).is_err() {
                    break;
                }
            }
            Err(why) => {
                complain(from, why);
            }
        }
    }
    let average = millis(sum / answers.max(1));
    println!("{count} sent, {answers} answered, on average after {average} ms");
    i32::from(answers == 0)
}
