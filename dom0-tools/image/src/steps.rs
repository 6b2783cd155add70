//! Carries the steps of the shell out: prints, waits, attaches, ends the machine.
//!
//! Called by `shell`, and by sessions from the host, with one step at a time and the terminal of the
//! person. Waiting happens here and only here, always without holding the toolstack; ^C ends every
//! wait, and so does the loss of the person.

use crate::screen::CHANGED;
use crate::services::stack;
use crate::terminal::{Events, Terminal};
use crate::{
    attach, blkback, debug, devices, disk_test, files, ip, netback, top, transport, watching,
};
use alloc::format;
use alloc::vec::Vec;
use hypercall_abi::DomId;
use pvkernel_xen::{power, stats, thread, time};
use zl_cli::{
    run as run_verb, After, Command, LocalCounts, Place, Printed, Shell, Step, Stopwatch,
};
use zl_toolstack::client::Hypervisor;
use zl_toolstack::devices::{DiskCounts, IoStats, NetCounts};
use zl_toolstack::lifecycle::{ConsoleId, WaitId};
use zl_toolstack::staged::Staged;
use zl_toolstack::{Status, ToolError};

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;
/// How long the last traces of a destroyed domain may take to go.
const GONE_LIMIT_NS: u64 = 2 * NS_PER_S;
/// How often it is looked at.
const GONE_POLL_NS: u64 = NS_PER_MS / 2;
const PAGES_PER_MIB: u64 = 256;

/// Prints a complaint and remembers its status.
pub fn complain(shell: &mut Shell, terminal: &dyn Terminal, error: &ToolError) {
    terminal.complain(&format!("{error}\n"));
    shell.set_status(error.status);
}

/// Carries one step out, and says how long it took and at which tick it began.
fn carry_out_timed(shell: &mut Shell, terminal: &dyn Terminal, step: Step) {
    let (from, start_ns) = (time::tsc(), time::now_ns());
    carry_out(shell, terminal, step);
    let (ns, ticks) = (time::now_ns() - start_ns, time::tsc() - from);
    let status = shell.status();
    terminal.print(&format!("time: status={status} ns={ns} ticks={ticks} from={from}\n"));
}

/// Carries one step out and remembers its status.
pub fn carry_out(shell: &mut Shell, terminal: &dyn Terminal, step: Step) {
    let done = match step {
        Step::Time(step) => return carry_out_timed(shell, terminal, *step),
        Step::Zl(command) => carry_out_verb(&command, terminal),
        Step::Print(text) => {
            terminal.print(&text);
            Ok(Status::Ok)
        }
        Step::Complain(error) => Err(error),
        Step::File(verb) => files::carry_out(&verb, terminal),
        Step::Free => show_memory(terminal),
        Step::Devices => devices::list(terminal),
        Step::DiskTest { disk, writes } => disk_test::run(&disk, writes, terminal),
        Step::Net(tool) => ip::ask(&tool, terminal),
        Step::Clear => {
            terminal.print("\x1b[H\x1b[2J");
            Ok(Status::Ok)
        }
        Step::Sleep(ms) => sleep(ms, terminal),
        ending @ (Step::PowerOff | Step::Reboot) => end_machine(ending, terminal),
    };
    match done {
        Ok(status) => shell.set_status(status),
        Err(error) => complain(shell, terminal, &error),
    }
}

/// The toolstack is held while the verb runs; what it printed is shown when it is free again.
fn carry_out_verb(command: &Command, terminal: &dyn Terminal) -> Result<Status, ToolError> {
    let mut printed = Printed::default();
    let staged = files::for_command(command, terminal.sent());
    if matches!(command, Command::DebugCounts) {
        blkback::settle();
        files::settle();
    }
    let mut held = stack();
    held.stage(staged);
    let outcome = run_verb(command, &mut held, &Here, &mut printed);
    held.stage(Staged::default());
    drop(held);
    printed.pieces().for_each(|(stream, text)| terminal.write(stream, text.as_bytes()));
    let Some(report) = outcome.report else {
        let after = finish(outcome.after, terminal)?;
        return Ok(if outcome.status == Status::Ok { after } else { outcome.status });
    };
    let rest = match report.streams() {
        true => finish(outcome.after, &Events(terminal)),
        false => finish(outcome.after, terminal),
    };
    let (document, status) = report.close(&rest);
    terminal.print(&document);
    Ok(status)
}

/// Does what remains to be done after a verb.
fn finish(after: After, terminal: &dyn Terminal) -> Result<Status, ToolError> {
    match after {
        After::Nothing => Ok(Status::Ok),
        After::Attach { console, leave } => Ok(attach::attach(console, leave, terminal)),
        After::Follow { console, place } => Ok(attach::follow(console, place, terminal)),
        After::Watch { paths, count } => watching::watch(&paths, count, terminal),
        After::Debug(words) => debug::run(&words, terminal),
        After::WaitDevices { wait, console, created } => {
            wait_devices(wait, console, created, terminal)
        }
        After::Top(options) => top::run(options, terminal),
        After::WaitGone(domains) => wait_gone(&domains),
        After::WaitEnded { domains, timeout_s } => wait_ended(&domains, timeout_s, terminal),
    }
}

/// Nothing says when the last page of a domain is free, so this looks again and again.
fn wait_gone(domains: &[DomId]) -> Result<Status, ToolError> {
    let limit_ns = time::now_ns() + GONE_LIMIT_NS;
    for domain in domains {
        while !stack().is_gone(*domain) {
            if time::now_ns() > limit_ns {
                let text =
                    format!("domain {domain} is dying but still holds memory; see 'zl list'");
                return Err(ToolError { status: Status::Timeout, text });
            }
            thread::sleep_ns(GONE_POLL_NS);
        }
    }
    Ok(Status::Ok)
}

/// Waits for back halves; `console` is attached to already.
fn wait_devices(
    wait: WaitId,
    console: Option<(ConsoleId, u8)>,
    created: Option<Stopwatch>,
    terminal: &dyn Terminal,
) -> Result<Status, ToolError> {
    let mut verdict = None;
    let mut interrupted = false;
    CHANGED.wait_until(|| {
        verdict = stack().verdict(wait);
        interrupted = verdict.is_none() && terminal.take_interrupt();
        verdict.is_some() || interrupted
    });
    let verdict = verdict.unwrap_or_else(|| {
        stack().leave_wait(wait);
        Err(ToolError::failed("interrupted; it goes on, and what fails is told here"))
    });
    match (verdict, console) {
        (Ok(()), console) => {
            if let Some(created) = created {
                terminal.print(&created.line(time::now_ns()));
            }
            let attach = |(console, leave)| attach::attach(console, leave, terminal);
            Ok(console.map_or(Status::Ok, attach))
        }
        (Err(error), console) => {
            console.into_iter().for_each(|(console, _)| stack().detach(console));
            Err(error)
        }
    }
}

fn wait_ended(
    domains: &[DomId],
    timeout_s: u64,
    terminal: &dyn Terminal,
) -> Result<Status, ToolError> {
    let limit_ns = time::now_ns().saturating_add(timeout_s.saturating_mul(NS_PER_S));
    let all_ended = || domains.iter().all(|domain| stack().has_ended(*domain));
    let mut interrupted = false;
    let is_done = CHANGED.wait_deadline(limit_ns, || {
        interrupted = terminal.take_interrupt();
        interrupted || all_ended()
    });
    if interrupted {
        return Err(ToolError::failed("interrupted; the domains end all the same"));
    }
    if !is_done {
        let text =
            format!("not all domains ended within {timeout_s} s; 'zl shutdown -F' does not ask");
        return Err(ToolError { status: Status::Timeout, text });
    }
    wait_gone_unless_kept(domains)
}

/// Domains that were destroyed disappear; those that are kept stay.
fn wait_gone_unless_kept(domains: &[DomId]) -> Result<Status, ToolError> {
    let destroyed: Vec<DomId> =
        domains.iter().copied().filter(|domain| stack().name_of(*domain).is_none()).collect();
    wait_gone(&destroyed)
}

fn sleep(ms: u64, terminal: &dyn Terminal) -> Result<Status, ToolError> {
    let limit_ns = time::now_ns() + ms * NS_PER_MS;
    let interrupted = CHANGED.wait_deadline(limit_ns, || terminal.take_interrupt());
    match interrupted {
        true => Err(ToolError::failed("interrupted")),
        false => Ok(Status::Ok),
    }
}

fn show_memory(terminal: &dyn Terminal) -> Result<Status, ToolError> {
    let physical = stack().hypervisor().physinfo().map_err(|errno| {
        let advice = "this must run in the control domain";
        ToolError::hypercall("sysctl physinfo", format_args!("no argument"), errno, advice)
    })?;
    let own = Here.counts();
    let mib = |pages: u64| pages / PAGES_PER_MIB;
    terminal.print(&format!(
        "{:<12} {:>9} {:>9}\n{:<12} {:>5} MiB {:>5} MiB\n{:<12} {:>5} MiB {:>5} MiB\n",
        "",
        "total",
        "free",
        "machine",
        mib(physical.total_pages),
        mib(physical.free_pages),
        "dom0",
        mib(own.total_frames),
        mib(own.free_frames)
    ));
    Ok(Status::Ok)
}

/// Ends all domains, then the machine.
pub fn end_machine(how: Step, terminal: &dyn Terminal) -> ! {
    let mut stack = stack();
    let domains: Vec<DomId> = match stack.list() {
        Ok(rows) => rows.iter().map(|row| row.info.domain).collect(),
        Err(_) => Vec::new(),
    };
    for domain in domains.into_iter().filter(|domain| *domain != DomId::DOM0) {
        // The machine ends anyway; a domain that cannot be destroyed ends with it.
        let _ = stack.destroy(domain);
    }
    drop(stack);
    files::end();
    terminal.print("dom0: bye\n");
    match how {
        Step::Reboot => power::reboot(),
        _ => power::poweroff(),
    }
}

/// Counts of this domain.
pub struct Here;

impl Place for Here {
    fn counts(&self) -> LocalCounts {
        LocalCounts {
            free_frames: stats::free_frames() as u64,
            total_frames: pvkernel_xen::boot::info().nr_pages as u64,
            heap_bytes: stats::heap_used_bytes() as u64,
            foreign_frames: transport::mapped_frames(),
            grant_frames: transport::grant_frames(),
        }
    }

    fn io(&self) -> &dyn IoStats {
        self
    }
}

impl IoStats for Here {
    fn nets(&self, domain: DomId) -> Vec<NetCounts> {
        netback::counts(domain)
    }

    fn disks(&self, domain: DomId) -> Vec<DiskCounts> {
        blkback::counts(domain)
    }
}
