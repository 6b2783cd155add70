//! System calls: from numbers in registers to functions, and back to a number.
//!
//! `life` calls `call` when a program executed `syscall`. Arguments are the program's word: numbers are
//! checked here, addresses by `vm`, which copies by lookup, and paths and descriptors by `fs`.

mod files;
mod network;

use alloc::sync::Arc;
use alloc::vec::Vec;

use pvkernel_abi::{wait, Call, Errno, MemoryInfo, Process as Shown, Text, ARG_MAX, PATH_MAX};

use crate::platform::UserRegs;
use crate::proc::{Process, FIRST};
use crate::vm::Space;
use crate::wait::WaitQueue;

/// What happens to the program after its call.
pub enum Flow {
    /// It goes on with this in `rax`.
    Answer(i64),
    /// It goes on with the registers as they are now.
    Replaced,
    /// It ends.
    End(i32),
}

/// Answer of a call.
type Answer = Result<u64, Errno>;

/// Arguments of a call.
#[derive(Clone, Copy)]
struct Args([u64; 6]);

/// Serves a system call.
pub fn call(process: &Arc<Process>, regs: &mut UserRegs) -> Flow {
    let args = Args([regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9]);
    let answer = match Call::of(regs.rax) {
        Some(Call::Exit) => return Flow::End(args.0[0] as i32),
        Some(Call::Exec) => match exec(process, args) {
            Ok(begin) => {
                *regs = begin;
                return Flow::Replaced;
            }
            Err(errno) => Err(errno),
        },
        Some(Call::Fork) => process.fork(regs).map(u64::from),
        Some(call) => serve(process, call, args),
        None => Err(Errno::ENOSYS),
    };
    Flow::Answer(match answer {
        Ok(value) => value as i64,
        Err(errno) => errno.answer(),
    })
}

fn serve(process: &Arc<Process>, call: Call, args: Args) -> Answer {
    let os = process.os();
    let [a, b, c, ..] = args.0;
    match call {
        Call::Null => Ok(0),
        Call::Getpid => Ok(u64::from(process.pid())),
        Call::Getppid => Ok(u64::from(process.parent())),
        Call::Yield => {
            os.kernel.yield_now();
            Ok(0)
        }
        Call::SleepNs => {
            sleep(process, a);
            Ok(0)
        }
        Call::ClockNs => Ok(os.kernel.now_ns()),
        Call::WallClock => {
            let (seconds, ns) = os.kernel.platform().clock.wall_clock();
            in_space(process, |space| space.write_value(a, &[seconds, u64::from(ns)]))?;
            Ok(0)
        }
        Call::Wait => wait_child(process, a as i64, b, c),
        Call::Kill => kill(process, a),
        Call::Sbrk => in_space(process, |space| space.sbrk(a as i64)),
        Call::Memory => {
            let info = memory(process);
            in_space(process, |space| space.write_value(a, &info))?;
            Ok(0)
        }
        Call::Processes => processes(process, a, b),
        Call::Poweroff => os.power_off(a),
        Call::Ping | Call::Connect | Call::Resolve | Call::Listen | Call::Accept => {
            network::serve(process, call, args)
        }
        _ => files::serve(process, call, args),
    }
}

fn in_space<T>(
    process: &Process,
    work: impl FnOnce(&mut Space) -> Result<T, Errno>,
) -> Result<T, Errno> {
    process.with_space(work).unwrap_or(Err(Errno::ESRCH))
}

fn sleep(process: &Process, duration_ns: u64) {
    let kernel = process.os().kernel;
    let deadline_ns = kernel.now_ns().saturating_add(duration_ns);
    WaitQueue::new().wait_deadline(kernel, Some(deadline_ns), || process.is_killed());
}

fn wait_child(process: &Process, pid: i64, status_at: u64, flags: u64) -> Answer {
    if flags & !wait::NOHANG != 0 {
        return Err(Errno::EINVAL);
    }
    let pid = match pid {
        -1 => None,
        pid => Some(u32::try_from(pid).map_err(|_| Errno::ECHILD)?),
    };
    // A bad address is told before the child is forgotten.
    if status_at != 0 {
        in_space(process, |space| space.write_value(status_at, &0i32))?;
    }
    let Some((pid, status)) = process.wait(pid, flags & wait::NOHANG == 0)? else { return Ok(0) };
    if status_at != 0 {
        in_space(process, |space| space.write_value(status_at, &status))?;
    }
    Ok(u64::from(pid))
}

fn kill(process: &Process, pid: u64) -> Answer {
    let pid = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    if pid == FIRST {
        return Err(Errno::EPERM);
    }
    let target = process.os().processes.find(pid).filter(|target| !target.has_ended());
    target.ok_or(Errno::ESRCH)?.kill();
    Ok(0)
}

fn exec(process: &Process, args: Args) -> Result<UserRegs, Errno> {
    let [path, path_len, list, count, ..] = args.0;
    let count = usize::try_from(count).ok().filter(|count| *count <= ARG_MAX.0);
    let count = count.ok_or(Errno::E2BIG)?;
    let mut texts = [Text::default(); ARG_MAX.0];
    let mut all = Vec::new();
    let path = in_space(process, |space| {
        let path = space.bytes(path, path_len, PATH_MAX, Errno::ENAMETOOLONG)?;
        for (index, text) in texts.iter_mut().take(count).enumerate() {
            let at = list.checked_add(16 * index as u64).ok_or(Errno::EFAULT)?;
            *text = space.read_value(at)?;
        }
        for text in &texts[..count] {
            let left = ARG_MAX.1.saturating_sub(all.len());
            let bytes = space.bytes(text.address, text.len, left, Errno::E2BIG)?;
            all.try_reserve(bytes.len()).map_err(|_| Errno::ENOMEM)?;
            all.extend_from_slice(&bytes);
        }
        Ok(path)
    })?;
    let mut rest = all.as_slice();
    let mut list = Vec::new();
    list.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for text in &texts[..count] {
        let (arg, behind) = rest.split_at(text.len as usize);
        list.push(arg);
        rest = behind;
    }
    process.exec(&path, &list)
}

fn memory(process: &Process) -> MemoryInfo {
    let os = process.os();
    let mmu = os.kernel.platform().mmu;
    MemoryInfo {
        total: mmu.total_frames() as u64,
        free: mmu.free_frames() as u64,
        heap: mmu.heap_frames() as u64,
        user: os.pool.used() as u64,
        tables: os.user.table_frames() as u64,
    }
}

fn processes(process: &Process, to: u64, count: u64) -> Answer {
    let os = process.os();
    let mut entries = 0;
    while entries < count {
        let Some(shown) = os.processes.at(entries as usize).map(|one| one.shown()) else { break };
        let at = to.checked_add(entries * size_of::<Shown>() as u64).ok_or(Errno::EFAULT)?;
        in_space(process, |space| space.write_value(at, &shown))?;
        entries += 1;
    }
    Ok(entries)
}
