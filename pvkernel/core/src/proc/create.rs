//! How processes come to be: the first one, copies of others, and other programs in them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use pvkernel_abi::{Errno, Text, ARG_MAX};
use zerocopy::IntoBytes;

use super::life::live;
use super::{Process, FIRST};
use crate::elf::Image;
use crate::fs::FileTable;
use crate::os::Os;
use crate::platform::{Stack, UserRegs};
use crate::vm::{Space, STACK_TOP};

/// Makes the first process.
///
/// # Errors
/// As `exec`.
pub fn start_first(os: &'static Os, path: &[u8], args: &[&[u8]]) -> Result<(), Errno> {
    let pid = os.processes.promise()?;
    let made = first(os, pid, path, args);
    if made.is_err() {
        os.processes.give_back();
    }
    made
}

fn first(os: &'static Os, pid: u32, path: &[u8], args: &[&[u8]]) -> Result<(), Errno> {
    debug_assert_eq!(pid, FIRST);
    let files = FileTable::new(os.vfs);
    let program = files.program(path)?;
    let (space, regs) = load(os, &program, args)?;
    let fpu = os.user.new_fpu(None).map_err(|_| Errno::ENOMEM)?;
    let process = Process::new(os, pid, 0, space, files, fpu);
    process.set_name(path);
    set_off(process, regs)
}

/// Puts a process into the table and starts its thread.
fn set_off(process: Process, regs: UserRegs) -> Result<(), Errno> {
    let process = Arc::new(process);
    let os = process.os();
    let its = Arc::clone(&process);
    let body = move || live(&its, regs);
    let Ok(thread) = os.kernel.spawn_on("process", Stack::Small, body) else {
        os.user.free_fpu(process.fpu);
        return Err(Errno::ENOMEM);
    };
    // It runs when this thread lets it.
    *process.thread.lock() = Some(thread.id());
    os.meters.reset(process.pid());
    os.processes.add(process);
    Ok(())
}

impl Process {
    /// `fork`: a copy of this process, in which the call answers 0.
    ///
    /// # Errors
    /// `EAGAIN` with too many processes, `ENOMEM`.
    pub fn fork(&self, regs: &UserRegs) -> Result<u32, Errno> {
        let os = self.os();
        let pid = os.processes.promise()?;
        let made = self.copy(pid, regs);
        match made {
            // The child goes first: mostly it runs another program soon, or ends, and what the parent
            // writes before that would have to be copied.
            Ok(()) => os.kernel.yield_now(),
            Err(_) => os.processes.give_back(),
        }
        made.map(|()| pid)
    }

    fn copy(&self, pid: u32, regs: &UserRegs) -> Result<(), Errno> {
        let os = self.os();
        let files = self.files.fork()?;
        let space = self.with_space(Space::fork).ok_or(Errno::ESRCH)?;
        let space = space.map_err(|_| Errno::ENOMEM)?;
        let fpu = os.user.new_fpu(Some(self.fpu)).map_err(|_| Errno::ENOMEM)?;
        let child = Process::new(os, pid, self.pid(), space, files, fpu);
        child.set_name(&self.name());
        set_off(child, UserRegs { rax: 0, ..*regs })
    }

    /// `exec`: another program in this process.
    ///
    /// # Errors
    /// As files have them, `ENOEXEC`, `E2BIG`, `ENOMEM`; the old program goes on then.
    pub fn exec(&self, path: &[u8], args: &[&[u8]]) -> Result<UserRegs, Errno> {
        let os = self.os();
        let program = self.files.program(path)?;
        let (space, regs) = load(os, &program, args)?;
        drop(program);
        let old = self.space.lock().replace(space);
        drop(old);
        os.nobody_is_current();
        os.user.reset_fpu(self.fpu);
        self.files.close_for_exec();
        self.set_name(path);
        Ok(regs)
    }
}

/// A space with a program and its arguments, and the registers with which it begins.
fn load(os: &'static Os, program: &[u8], args: &[&[u8]]) -> Result<(Space, UserRegs), Errno> {
    let image = Image::parse(program)?;
    let mut needed = 0;
    for part in image.parts() {
        needed += part?.bytes.len().div_ceil(4096);
    }
    if !os.pool.has(needed) {
        return Err(Errno::ENOMEM);
    }
    let mut space = Space::new(os.pool).map_err(|_| Errno::ENOMEM)?;
    for part in image.parts() {
        let part = part?;
        space.add(part.start, part.end, part.access)?;
        space.load(part.address, part.bytes)?;
    }
    space.add_heap()?;
    let (stack, texts) = push_args(&mut space, args)?;
    space.enter_all().map_err(|_| Errno::ENOMEM)?;
    let count = args.len() as u64;
    let regs =
        UserRegs { rdi: count, rsi: texts, rip: image.entry, rsp: stack, ..Default::default() };
    Ok((space, regs))
}

/// Puts arguments on a new stack: the texts' bytes, and below them the list that names them. The stack
/// goes on below that.
fn push_args(space: &mut Space, args: &[&[u8]]) -> Result<(u64, u64), Errno> {
    let bytes: usize = args.iter().map(|arg| arg.len()).sum();
    if args.len() > ARG_MAX.0 || bytes > ARG_MAX.1 {
        return Err(Errno::E2BIG);
    }
    let mut texts = Vec::new();
    texts.try_reserve_exact(args.len()).map_err(|_| Errno::ENOMEM)?;
    let mut at = STACK_TOP;
    for arg in args {
        at -= arg.len() as u64;
        space.write(at, arg)?;
        texts.push(Text { address: at, len: arg.len() as u64 });
    }
    let list = (at - size_of_val(texts.as_slice()) as u64) & !15;
    space.write(list, texts.as_bytes())?;
    Ok((list, list))
}
