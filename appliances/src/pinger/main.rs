//! `pinger`: pings, or measures TCP, as its command line says, and ends.
//!
//! See `appliances::pinger` for the words. As a server it stays.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

use appliances::machine::{give_up, network};
use appliances::pinger::{parse, Job, PORT};
use pvkernel_core::net::tools::{bulk, endpoint, look_up, ping};
use pvkernel_core::net::{NetError, Stack, TcpOptions};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::{power, println, time};

pvkernel_xen::entry!(run);

const NAME: &str = "pinger";
/// How long a name may take.
const NAME_LIMIT_NS: u64 = 10_000_000_000;

fn run(boot: &'static BootInfo) -> ! {
    let (job, options) = match parse(&boot.args()) {
        Ok(job) => job,
        Err(why) => give_up(NAME, why),
    };
    let (stack, ()) = network(NAME, boot, |_| ());
    match carry_out(stack, &job, options) {
        Ok(()) => power::poweroff(),
        Err(error) => give_up(NAME, error),
    }
}

fn carry_out(stack: &'static Stack, job: &Job, options: TcpOptions) -> Result<(), NetError> {
    let deadline_ns = Some(time::now_ns() + NAME_LIMIT_NS);
    match job {
        Job::Ping { host, count, interval_ns, timeout_ns, len, is_flood } => {
            let plan = ping::Plan {
                to: look_up(stack, host, deadline_ns)?,
                count: *count,
                interval_ns: *interval_ns,
                timeout_ns: *timeout_ns,
                len: *len,
                is_flood: *is_flood,
            };
            let sums = ping::run(stack, &plan, &|| false, &mut |line| println!("{line}"))?;
            println!("--- {} ping statistics ---\n{sums}", plan.to);
        }
        Job::Tcp { server, bytes, way, count } => {
            let server = endpoint(stack, server, PORT, deadline_ns)?;
            for _ in 0..*count {
                println!("{}", bulk::run(stack, server, *way, *bytes, options)?);
            }
        }
        Job::Serve(port) => {
            println!("{NAME}: serving port {port}");
            bulk::serve(stack, *port, options, &|| false)?;
        }
    }
    Ok(())
}
