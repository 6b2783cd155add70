//! What every backend promises about programs.
//!
//! The first tests need no processor and run on the host, too. Those called `program-...` write a few
//! instructions to a page and run them; a platform that runs no programs passes them all.

use alloc::vec::Vec;

use super::{check, Test, Verdict};
use crate::kernel::Kernel;
use crate::platform::{
    Change, FpuId, SpaceId, User, UserAccess, UserExit, UserRegs, ANSWERS, BLOCK,
};

/// Tests of spaces and registers as such.
pub(super) const SPACES: [Test; 3] = [
    ("user-spaces-give-back", spaces_give_everything_back),
    ("user-frames-copied", frames_are_copied),
    ("user-fpu-memory", fpu_memory_is_counted),
];

/// Tests that run instructions; not for the fake machine.
pub const PROGRAMS: &[Test] = &[
    ("program-calls", calls_keep_registers),
    ("program-faults", faults_are_told_apart),
    ("program-page-faults", page_faults_say_what_was_tried),
    ("program-flags", flags_are_made_harmless),
    ("program-addresses", odd_addresses_are_its_own_fault),
    ("program-kernel-hidden", the_kernel_cannot_be_reached),
    ("program-spaces", spaces_are_apart),
    ("program-changes", changes_have_effect_at_once),
    ("program-blocks", blocks_are_made_read_only),
    ("program-answers", answers_are_given_at_once),
    ("program-slice", slices_end),
    ("program-fpu", floating_point_is_its_own),
];

const PAGE: u64 = 4096;
const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x80_0000;
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// `mov al, [rdi]`
const LOAD: [u8; 2] = [0x8a, 0x07];
/// `mov [rdi], al`
const STORE: [u8; 2] = [0x88, 0x07];
/// `jmp rdi`
const JUMP: [u8; 2] = [0xff, 0xe7];
/// `jmp` to itself
const SPIN: [u8; 2] = [0xeb, 0xfe];
const READ: UserAccess = UserAccess { write: false, execute: false };
const WRITE: UserAccess = UserAccess { write: true, execute: false };
const EXECUTE: UserAccess = UserAccess { write: false, execute: true };

/// A space with what a test puts there; all of it goes when it is dropped.
struct Lab {
    kernel: &'static Kernel,
    user: &'static dyn User,
    space: SpaceId,
    fpu: FpuId,
    frames: Vec<usize>,
}

impl Lab {
    /// An empty one, active; `None` if the machine runs no programs.
    fn new(kernel: &'static Kernel) -> Result<Option<Self>, &'static str> {
        let Some(user) = kernel.platform().user else { return Ok(None) };
        let space = user.new_space().map_err(|_| "a space can be made")?;
        let fpu = user.new_fpu(None).map_err(|_| "memory for the FPU can be had")?;
        let lab = Self { kernel, user, space, fpu, frames: Vec::new() };
        lab.activate()?;
        Ok(Some(lab))
    }

    fn activate(&self) -> Verdict {
        self.user.activate(self.space).map_err(|_| "a space can be made active")
    }

    /// A page of zeros at an address.
    fn page(&mut self, address: u64, access: UserAccess) -> Result<usize, &'static str> {
        let frame = self.kernel.platform().mmu.alloc_frame().ok_or("a frame can be allocated")?;
        self.frames.push(frame);
        self.user.clear(frame);
        self.set(address, Some((frame, access)))?;
        Ok(frame)
    }

    fn set(&self, address: u64, page: Option<(usize, UserAccess)>) -> Verdict {
        let changed = self.user.change(self.space, &[Change { address, page }]);
        changed.map_err(|_| "a page can be changed")
    }

    /// Instructions at `CODE`.
    fn code(&mut self, parts: &[&[u8]]) -> Verdict {
        let frame = self.page(CODE, EXECUTE)?;
        self.user.write(frame, 0, &parts.concat());
        Ok(())
    }

    /// Runs until something else than an event ends it.
    fn run(&self, regs: &mut UserRegs) -> UserExit {
        self.run_with(regs, self.fpu)
    }

    fn run_with(&self, regs: &mut UserRegs, fpu: FpuId) -> UserExit {
        for _ in 0..1000 {
            match self.user.run(regs, fpu) {
                UserExit::Interrupted => self.kernel.dispatch_events(),
                exit => return exit,
            }
        }
        UserExit::Interrupted
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.user.set_slice(None);
        self.user.free_space(self.space);
        self.user.free_fpu(self.fpu);
        self.frames.iter().for_each(|frame| self.kernel.platform().mmu.free_frame(*frame));
    }
}

/// Registers whose contents tell them apart.
fn marked() -> UserRegs {
    UserRegs {
        r15: 15,
        r14: 14,
        r13: 13,
        r12: 12,
        rbp: 0x1111_2222_3333_4444,
        rbx: u64::MAX,
        r11: 11,
        r10: 10,
        r9: 9,
        r8: 8,
        rax: 0x8000_0000_0000_0000,
        rcx: 7,
        rdx: 6,
        rsi: 5,
        rdi: DATA,
        rip: CODE,
        rflags: 0x202,
        rsp: DATA + PAGE,
    }
}

fn spaces_give_everything_back(kernel: &'static Kernel) -> Verdict {
    let Some(user) = kernel.platform().user else { return Ok(()) };
    let mmu = kernel.platform().mmu;
    let frame = mmu.alloc_frame().ok_or("a frame can be allocated")?;
    let page = Some((frame, WRITE));
    let far = [PAGE, CODE, CODE + PAGE, 1 << 30, 1 << 39, 0x7fff_ffff_e000];
    let changes = far.map(|address| Change { address, page });
    let mut counts = None;
    for _ in 0..3 {
        let before = (mmu.free_frames(), user.table_frames());
        let space = user.new_space().map_err(|_| "a space can be made")?;
        user.change(space, &changes)
            .map_err(|_| "pages can be mapped anywhere in the lower half")?;
        check(user.table_frames() > before.1, "tables of spaces are counted")?;
        user.activate(space).map_err(|_| "a space can be made active")?;
        let gone = changes.map(|change| Change { page: None, ..change });
        user.change(space, &gone[..3]).map_err(|_| "pages can be unmapped")?;
        user.set_block_writable(space, CODE, false);
        user.free_space(space);
        let after = (mmu.free_frames(), user.table_frames());
        // The first may leave something behind for the next.
        let known = *counts.get_or_insert(after);
        check(after == known, "a freed space gives its tables back")?;
    }
    mmu.free_frame(frame);
    Ok(())
}

fn frames_are_copied(kernel: &'static Kernel) -> Verdict {
    let Some(user) = kernel.platform().user else { return Ok(()) };
    let mmu = kernel.platform().mmu;
    let first = mmu.alloc_frame().ok_or("a frame can be allocated")?;
    let second = mmu.alloc_frame().ok_or("a frame can be allocated")?;
    let mut buffer = [1; 5];
    user.clear(first);
    user.read(first, 4091, &mut buffer);
    check(buffer == [0; 5], "a cleared frame has zeros up to its end")?;
    user.write(first, 4091, b"hello");
    user.copy(first, second);
    user.clear(first);
    user.read(second, 4091, &mut buffer);
    check(&buffer == b"hello", "a copy keeps what its original had")?;
    mmu.free_frame(first);
    mmu.free_frame(second);
    Ok(())
}

fn fpu_memory_is_counted(kernel: &'static Kernel) -> Verdict {
    let Some(user) = kernel.platform().user else { return Ok(()) };
    let make = |like| user.new_fpu(like).map_err(|_| "memory for the FPU can be had");
    let first = make(None)?;
    let second = make(Some(first))?;
    check(first != second, "two programs do not share their floating-point registers")?;
    user.free_fpu(first);
    user.reset_fpu(second);
    user.free_fpu(second);
    Ok(())
}

/// A system call comes back with every register but the two the processor takes, and goes on behind.
fn calls_keep_registers(kernel: &'static Kernel) -> Verdict {
    let Some(mut lab) = Lab::new(kernel)? else { return Ok(()) };
    lab.code(&[&SYSCALL, &SYSCALL])?;
    let mut regs = marked();
    check(lab.run(&mut regs) == UserExit::Syscall, "`syscall` ends a run")?;
    let expected = UserRegs { rip: CODE + 2, rcx: regs.rcx, r11: regs.r11, ..marked() };
    check(regs == expected, "`syscall` keeps the registers")?;
    regs.rax = 77;
    check(lab.run(&mut regs) == UserExit::Syscall, "a program goes on behind `syscall`")?;
    let expected = UserRegs { rip: CODE + 4, rax: 77, rcx: regs.rcx, r11: regs.r11, ..marked() };
    check(regs == expected, "what the kernel answers is what the program gets")
}

fn faults_are_told_apart(kernel: &'static Kernel) -> Verdict {
    let Some(mut lab) = Lab::new(kernel)? else { return Ok(()) };
    let frame = lab.page(CODE, EXECUTE)?;
    // div ecx of 0; int3; ud2; hlt; cli; in al, dx; mov cr3, rax; a segment that is none
    let cases: [(&[u8], u8); 8] = [
        (&[0x31, 0xc9, 0xf7, 0xf1], 0),
        (&[0xcc], 3),
        (&[0x0f, 0x0b], 6),
        (&[0xf4], 13),
        (&[0xfa], 13),
        (&[0xec], 13),
        (&[0x0f, 0x22, 0xd8], 13),
        (&[0x8e, 0xd9], 13),
    ];
    for (code, expected) in cases {
        lab.user.write(frame, 0, code);
        let mut regs = UserRegs { rcx: 0x5550, ..marked() };
        let exit = lab.run(&mut regs);
        let is_it = matches!(exit, UserExit::Fault { vector, .. } if vector == expected);
        check(is_it, "what a program must not do is a fault with its vector")?;
    }
    Ok(())
}

fn page_faults_say_what_was_tried(kernel: &'static Kernel) -> Verdict {
    let Some(mut lab) = Lab::new(kernel)? else { return Ok(()) };
    let code = lab.page(CODE, EXECUTE)?;
    let page = lab.page(DATA, READ)?;
    let (here, there) = (DATA + 4095, DATA + PAGE);
    // Instruction, address, and what the fault says: write, execute, present.
    let cases = [
        (LOAD, there, false, false, false),
        (STORE, there, true, false, false),
        (JUMP, there, false, true, false),
        (STORE, here, true, false, true),
        (JUMP, here, false, true, true),
    ];
    for (bytes, rdi, write, execute, present) in cases {
        lab.user.write(code, 0, &bytes);
        let mut regs = UserRegs { rdi, ..marked() };
        let exit = lab.run(&mut regs);
        let expected = UserExit::PageFault { address: rdi, write, execute, present };
        check(exit == expected, "a page fault says where it was and what was tried")?;
    }
    lab.user.write(code, 0, &[LOAD, SYSCALL].concat());
    lab.user.write(page, 4095, &[42]);
    let mut regs = UserRegs { rdi: there + 4095, ..marked() };
    let exit = lab.run(&mut regs);
    check(matches!(exit, UserExit::PageFault { .. }), "there is no page yet")?;
    check(regs.rip == CODE, "the instruction that faulted is the next")?;
    lab.set(there, Some((page, READ)))?;
    check(lab.run(&mut regs) == UserExit::Syscall, "with the page it goes on")?;
    check(regs.rax & 0xff == 42, "it reads what is there")
}

/// Whatever flags a program is given, it may not use ports, and events come through.
fn flags_are_made_harmless(kernel: &'static Kernel) -> Verdict {
    const INTERRUPTS: u64 = 0x200;
    const IO_PRIVILEGE: u64 = 0x3000;
    let Some(mut lab) = Lab::new(kernel)? else { return Ok(()) };
    // pushf; pop rax; syscall; in al, dx
    lab.code(&[&[0x9c, 0x58], &SYSCALL, &[0xec]])?;
    lab.page(DATA, WRITE)?;
    // All but single steps and alignment checks, which are the program's business.
    for rflags in [0, !(0x100_u64 | 0x4_0000)] {
        let mut regs = UserRegs { rflags, ..marked() };
        check(lab.run(&mut regs) == UserExit::Syscall, "odd flags do not end a program")?;
        let flags = regs.rax & (INTERRUPTS | IO_PRIVILEGE);
        check(flags == INTERRUPTS, "a program runs with interrupts and without I/O privilege")?;
        let exit = lab.run(&mut regs);
        check(matches!(exit, UserExit::Fault { vector: 13, .. }), "a program may use no port")?;
    }
    Ok(())
}

fn odd_addresses_are_its_own_fault(kernel: &'static Kernel) -> Verdict {
    let Some(mut lab) = Lab::new(kernel)? else { return Ok(()) };
    lab.code(&[&SYSCALL])?;
    for rip in [1 << 47, 0x7fff_ffff_ffff, 0xffff_7fff_ffff_ffff, 0xdead << 48, u64::MAX] {
        // As after a system call, and as after an event.
        for (rcx, r11) in [(rip, 0x202), (1, 2)] {
            let mut regs = UserRegs { rip, rcx, r11, ..marked() };
            let exit = lab.run(&mut regs);
            let is_fault = matches!(exit, UserExit::Fault { .. } | UserExit::PageFault { .. });
            check(is_fault, "to run at an odd address is a fault")?;
        }
    }
    check(lab.run(&mut marked()) == UserExit::Syscall, "others run on")
}

fn the_kernel_cannot_be_reached(kernel: &'static Kernel) -> Verdict {
    static TARGET: u64 = 1;
    let Some(mut lab) = Lab::new(kernel)? else { return Ok(()) };
    let code = lab.page(CODE, EXECUTE)?;
    let addresses = [&raw const TARGET as u64, &raw const lab as u64, 0xffff_8800_0000_0000];
    for (bytes, address) in [LOAD, STORE, JUMP].into_iter().zip(addresses) {
        lab.user.write(code, 0, &bytes);
        let mut regs = UserRegs { rdi: address, ..marked() };
        let exit = lab.run(&mut regs);
        let is_it = matches!(exit, UserExit::PageFault { address: at, .. } if at == address);
        check(is_it, "the kernel's memory is a page fault")?;
    }
    Ok(())
}

fn spaces_are_apart(kernel: &'static Kernel) -> Verdict {
    let (Some(mut first), Some(mut second)) = (Lab::new(kernel)?, Lab::new(kernel)?) else {
        return Ok(());
    };
    for (lab, byte) in [(&mut first, 1), (&mut second, 2)] {
        lab.code(&[&LOAD, &SYSCALL])?;
        let frame = lab.page(DATA, READ)?;
        lab.user.write(frame, 0, &[byte]);
    }
    for (lab, byte) in [(&first, 1), (&second, 2), (&first, 1)] {
        lab.activate()?;
        let mut regs = marked();
        check(lab.run(&mut regs) == UserExit::Syscall, "both run")?;
        check(regs.rax & 0xff == byte, "each space has its own page at an address")?;
    }
    Ok(())
}

/// Many pages and few, and the same for a space that is not the active one.
fn changes_have_effect_at_once(kernel: &'static Kernel) -> Verdict {
    let Some(other) = Lab::new(kernel)? else { return Ok(()) };
    let Some(mut lab) = Lab::new(kernel)? else { return Ok(()) };
    lab.code(&[&STORE, &SYSCALL])?;
    let frame = lab.page(DATA, WRITE)?;
    for pages in [1, 3, 600] {
        for is_active in [true, false] {
            let step = |page| -> Result<(UserExit, UserExit), &'static str> {
                let all = (0..pages).map(|at| Change { address: DATA + at * PAGE, page });
                let all: Vec<Change> = all.collect();
                if is_active { &lab } else { &other }.activate()?;
                lab.user.change(lab.space, &all).map_err(|_| "pages can be changed")?;
                lab.activate()?;
                let at = |at: u64| lab.run(&mut UserRegs { rdi: DATA + at * PAGE, ..marked() });
                Ok((at(0), at(pages - 1)))
            };
            let calls = (UserExit::Syscall, UserExit::Syscall);
            check(step(Some((frame, WRITE)))? == calls, "pages that can be written are written")?;
            let fault = |at: u64, present: bool| {
                let address = DATA + at * PAGE;
                UserExit::PageFault { address, write: true, execute: false, present }
            };
            let both = |present| (fault(0, present), fault(pages - 1, present));
            let refused = step(Some((frame, READ)))?;
            check(refused == both(true), "a page that was made read-only is")?;
            check(step(None)? == both(false), "an unmapped page is gone")?;
        }
    }
    Ok(())
}

/// A block that must not be written keeps all its pages from being written, and no others.
fn blocks_are_made_read_only(kernel: &'static Kernel) -> Verdict {
    let Some(mut lab) = Lab::new(kernel)? else { return Ok(()) };
    lab.code(&[&STORE, &SYSCALL])?;
    let block = 5 * BLOCK;
    let addresses = [block - PAGE, block, block + BLOCK - PAGE, block + BLOCK];
    let frame = lab.page(block - PAGE, WRITE)?;
    let set = |writable| lab.user.set_block_writable(lab.space, block + PAGE, writable);
    // Nothing is there yet, and what comes is writable.
    set(false);
    for address in addresses {
        lab.set(address, Some((frame, WRITE)))?;
    }
    let store = |rdi: u64| lab.run(&mut UserRegs { rdi, ..marked() });
    check(addresses.map(store) == [UserExit::Syscall; 4], "a new table's block can be written")?;
    for _ in 0..2 {
        set(false);
        for (address, is_inside) in addresses.into_iter().zip([false, true, true, false]) {
            let fault = UserExit::PageFault { address, write: true, execute: false, present: true };
            let expected = if is_inside { fault } else { UserExit::Syscall };
            check(store(address) == expected, "a block that is read-only is, and it alone")?;
        }
        lab.set(block + PAGE, Some((frame, WRITE)))?;
        let is_fault = matches!(store(block + PAGE), UserExit::PageFault { .. });
        check(is_fault, "a page that comes to a read-only block cannot be written either")?;
        set(true);
        check(addresses.map(store) == [UserExit::Syscall; 4], "what was permitted is again")?;
    }
    Ok(())
}

fn answers_are_given_at_once(kernel: &'static Kernel) -> Verdict {
    const NONE: [i64; ANSWERS] = [-1; ANSWERS];
    let Some(mut lab) = Lab::new(kernel)? else { return Ok(()) };
    // syscall; mov rbx, rax; mov rax, rsi; syscall
    lab.code(&[&SYSCALL, &[0x48, 0x89, 0xc3, 0x48, 0x89, 0xf0], &SYSCALL])?;
    let mut answers = NONE;
    (answers[1], answers[ANSWERS - 1]) = (i64::MAX, 0);
    lab.user.set_answers(&answers);
    let cases = [(1, i64::MAX as u64), (ANSWERS as u64 - 1, 0)];
    let result = cases.into_iter().try_for_each(|(rax, answer)| {
        // Calls without an answer: one that could have one, one behind them, and an odd number.
        [0, ANSWERS as u64, u64::MAX].into_iter().try_for_each(|rsi| {
            let mut regs = UserRegs { rax, rsi, ..marked() };
            check(lab.run(&mut regs) == UserExit::Syscall, "a call without an answer ends a run")?;
            let (rcx, r11) = (regs.rcx, regs.r11);
            let last = UserRegs { rip: CODE + 10, rax: rsi, rsi, rbx: answer, ..marked() };
            check(regs == UserRegs { rcx, r11, ..last }, "one with an answer is given it at once")
        })
    });
    lab.user.set_answers(&NONE);
    result?;
    let mut regs = UserRegs { rax: 1, ..marked() };
    check(lab.run(&mut regs) == UserExit::Syscall, "without answers each call ends a run")?;
    check(regs.rip == CODE + 2, "without answers each call ends a run")
}

/// A program that does nothing of use is interrupted when its time is over, with all its registers.
fn slices_end(kernel: &'static Kernel) -> Verdict {
    let Some(mut lab) = Lab::new(kernel)? else { return Ok(()) };
    lab.code(&[&SPIN])?;
    for _ in 0..5 {
        let deadline = kernel.now_ns() + 2_000_000;
        let mut regs = marked();
        while kernel.now_ns() < deadline {
            lab.user.set_slice(Some(deadline));
            let exit = lab.user.run(&mut regs, lab.fpu);
            check(exit == UserExit::Interrupted, "only events end an endless loop")?;
            kernel.dispatch_events();
            check(regs == marked(), "an interrupted program keeps its registers")?;
        }
        lab.user.set_slice(Some(deadline));
        let exit = lab.user.run(&mut regs, lab.fpu);
        check(exit == UserExit::Interrupted, "a time that is over ends the next run")?;
    }
    Ok(())
}

fn floating_point_is_its_own(kernel: &'static Kernel) -> Verdict {
    let Some(mut lab) = Lab::new(kernel)? else { return Ok(()) };
    // movq xmm7, rdi; syscall; movq rax, xmm7; syscall
    let (put, get) = ([0x66, 0x48, 0x0f, 0x6e, 0xff], [0x66, 0x48, 0x0f, 0x7e, 0xf8]);
    lab.code(&[&put, &SYSCALL, &get, &SYSCALL])?;
    let other = lab.user.new_fpu(None).map_err(|_| "memory for the FPU can be had")?;
    let value = |fpu| {
        let mut regs = UserRegs { rip: CODE + 7, ..marked() };
        let exit = lab.run_with(&mut regs, fpu);
        check(exit == UserExit::Syscall, "the FPU can be used").map(|()| regs.rax)
    };
    check(value(lab.fpu)? == 0, "new floating-point registers are empty")?;
    for (fpu, rdi) in [(lab.fpu, 1), (other, 2), (lab.fpu, 3)] {
        let exit = lab.run_with(&mut UserRegs { rdi, ..marked() }, fpu);
        check(exit == UserExit::Syscall, "the FPU can be used")?;
    }
    let copy = lab.user.new_fpu(Some(lab.fpu)).map_err(|_| "memory for the FPU can be had")?;
    let copied = lab.user.new_fpu(Some(other)).map_err(|_| "memory for the FPU can be had")?;
    let all = (value(other)?, value(lab.fpu)?, value(copy)?, value(copied)?);
    check(all == (2, 3, 3, 2), "each program has its floating-point registers, a copy the same")?;
    lab.user.reset_fpu(copied);
    lab.user.reset_fpu(other);
    check((value(other)?, value(copied)?) == (0, 0), "a reset empties them")?;
    lab.user.free_fpu(other);
    let again = lab.user.new_fpu(None).map_err(|_| "memory for the FPU can be had")?;
    check((value(again)?, value(copy)?) == (0, 3), "what is freed is forgotten")?;
    [copy, copied, again].into_iter().for_each(|fpu| lab.user.free_fpu(fpu));
    Ok(())
}
