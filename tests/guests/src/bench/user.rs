//! Into guest user mode by the `iret` hypercall, and out again.
//!
//! One operation begins and ends in the kernel, so a system call is measured from the outside in: the
//! same two transitions as from user mode to the kernel and back.

use hypercall_abi::mmu::{mmuext, pte};
use hypercall_abi::regs::{IretContext, VGCF_IN_SYSCALL};
use pvkernel_xen::hypercall::cpu;
use pvkernel_xen::mmu::{self, TABLE};
use test_guests::pages::{ext, Page};

use crate::handlers::{enter_user, restore, stamp, user_count, Entry};
use crate::meter::{Meter, Row};

const SYSCALL: &str = "syscall";
/// Address of the code in user mode; programs are 16 bytes apart.
const CODE: u64 = 0x40_0000;
const PROGRAM_BYTES: u64 = 16;

/// A user program of a few instructions, the last of which leaves user mode.
#[derive(Clone, Copy)]
enum Program {
    Syscall,
    TimedSyscall,
    Undefined,
    Load,
    Breakpoint,
    Int80,
}

impl Program {
    const ALL: [Program; 6] = [
        Program::Syscall,
        Program::TimedSyscall,
        Program::Undefined,
        Program::Load,
        Program::Breakpoint,
        Program::Int80,
    ];

    const fn code(self) -> &'static [u8] {
        match self {
            Program::Syscall => &[0x0f, 0x05],
            // rdtsc; mov esi, eax; syscall
            Program::TimedSyscall => &[0x0f, 0x31, 0x89, 0xc6, 0x0f, 0x05],
            // ud2
            Program::Undefined => &[0x0f, 0x0b],
            // mov rax, [0x1000], where nothing is mapped
            Program::Load => &[0x48, 0x8b, 0x04, 0x25, 0x00, 0x10, 0x00, 0x00],
            // int3
            Program::Breakpoint => &[0xcc],
            // int 0x80
            Program::Int80 => &[0xcd, 0x80],
        }
    }

    const fn address(self) -> u64 {
        CODE + self as u64 * PROGRAM_BYTES
    }

    /// The frame that leads there, with events masked.
    fn frame(self, flags: u64) -> IretContext {
        let (cs, ss, rsp) = (0xe033, 0xe02b, CODE + 0x1000);
        IretContext { rip: self.address(), cs, rflags: 2, rsp, ss, flags, ..Default::default() }
    }
}

/// The address space of user mode.
struct Space {
    tables: [Page; 4],
    code: Page,
    stack: Page,
}

impl Space {
    fn new() -> Space {
        let tables = core::array::from_fn(|_| Page::new());
        let space = Space { tables, code: Page::new(), stack: Page::new() };
        for program in Program::ALL {
            let at = (program as u64 * PROGRAM_BYTES / 8) as usize;
            let mut word = [0; 8];
            word[..program.code().len()].copy_from_slice(program.code());
            space.code.write(at, u64::from_le_bytes(word));
        }
        for upper in 0..3 {
            let lower = space.tables[upper + 1].entry(TABLE);
            space.tables[upper].write(mmu::index(CODE, 4 - upper as u32), lower);
        }
        let flags = pte::PRESENT | pte::USER | pte::ACCESSED;
        space.tables[3].write(mmu::index(CODE, 1), space.code.entry(flags));
        space.tables.iter().for_each(Page::seal);
        let ret = ext(mmuext::NEW_USER_BASEPTR, space.tables[0].mfn.get());
        assert_eq!(ret, 0, "the user root can be installed");
        // SAFETY: the page is used by entries from user mode only.
        let set = unsafe { cpu::stack_switch(0xe02b, space.stack.va + 4096) };
        assert_eq!(set, Ok(()), "the stack can be set");
        space
    }

    /// The code selector and the instruction that the last entry saved: what was interrupted.
    fn interrupted(&self) -> (u64, u64) {
        (self.stack.read(508) & 0xffff, self.stack.read(507))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let ret = ext(mmuext::NEW_USER_BASEPTR, 0);
        assert_eq!(ret, 0, "the user root can be removed");
    }
}

/// Runs the topic.
pub fn run(m: &mut Meter) {
    let space = Space::new();
    for vector in [3, 6, 14, 0x80] {
        Entry::UserLeft.take(vector);
    }
    Entry::UserLeft.take_syscalls();
    let mut row = |name, unit, program, flags, behind| {
        round_trip(m, &space, Row::new(name, unit), program, flags, behind);
    };
    row("user_syscall_roundtrip_sysret", SYSCALL, Program::Syscall, VGCF_IN_SYSCALL, 2);
    row("user_syscall_roundtrip_iretq", SYSCALL, Program::Syscall, 0, 2);
    row("user_ud_roundtrip", "fault", Program::Undefined, 0, 0);
    row("user_pf_roundtrip", "fault", Program::Load, 0, 0);
    row("user_int3_roundtrip", "trap", Program::Breakpoint, 0, 1);
    row("user_int80_roundtrip", "trap", Program::Int80, 0, 2);
    one_way(m, &space);
    restore();
}

/// `behind` is how far the saved address lies behind the program's start.
fn round_trip(m: &mut Meter, space: &Space, row: Row, program: Program, flags: u64, behind: u64) {
    let frame = program.frame(flags);
    let before = user_count();
    m.cost(
        row,
        (),
        |()| enter_user(&frame),
        |(), made| {
            let saved = (0xe033, program.address() + behind);
            user_count() - before == made && space.interrupted() == saved
        },
    );
}

/// From an instruction in user mode to the first of the kernel's handler.
fn one_way(m: &mut Meter, space: &Space) {
    Entry::UserTimed.take_syscalls();
    let frame = Program::TimedSyscall.frame(0);
    let before = user_count();
    m.timed(
        Row::new("user_syscall_to_kernel", SYSCALL),
        || {
            enter_user(&frame);
            stamp()
        },
        |made| {
            let saved = (0xe033, Program::TimedSyscall.address() + 6);
            user_count() - before == made && space.interrupted() == saved
        },
    );
}
