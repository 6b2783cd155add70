//! Running code in user mode: an address space of its own, a way in, and a way back.

use core::sync::atomic::Ordering;

use hypercall_abi::mmu::{mmuext, pte};
use hypercall_abi::regs::IretContext;
use pvkernel_core::sync::Lock;
use pvkernel_xen::event;
use pvkernel_xen::hypercall::cpu;
use pvkernel_xen::mmu::{self, TABLE};
use pvkernel_xen::trap::TrapFrame;

use crate::pages::{ext, Page};

/// Address of the code page in user mode.
pub const CODE: u64 = 0x40_0000;
/// Address of the data page, which is also the stack.
pub const DATA: u64 = 0x40_1000;
/// Address of a page that is mapped read-only.
pub const READ_ONLY: u64 = 0x40_2000;

#[cfg(target_os = "none")]
mod symbols {
    // SAFETY: defined in the assembly of this module's program, with these types.
    unsafe extern "C" {
        pub fn user_enter(frame: *const hypercall_abi::regs::IretContext, argument: u64);
        pub static user_recover: u8;
        pub static user_sp: u64;
    }
}

/// On a host the guest does not run; the names only have to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    #![allow(non_upper_case_globals, clippy::missing_safety_doc)]
    pub unsafe extern "C" fn user_enter(_: *const hypercall_abi::regs::IretContext, _: u64) {}
    pub static user_recover: u8 = 0;
    pub static user_sp: u64 = 0;
}

static LEFT: Lock<Option<Exit>> = Lock::new(None);

/// Why user mode was left.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// All registers; vector 258 is a system call.
    pub frame: TrapFrame,
    /// Fault address.
    pub cr2: u64,
    /// The event mask in the handler.
    pub mask: u8,
}

/// The hook for everything that happens in user mode.
pub fn on_trap(frame: &mut TrapFrame) -> bool {
    let mask = event::vcpu_info().u8_at(1).load(Ordering::Relaxed);
    *LEFT.lock() = Some(Exit { frame: *frame, cr2: event::fault_address(), mask });
    frame.rip = &raw const symbols::user_recover as u64;
    // SAFETY: written by `user_enter`, which is active.
    frame.rsp = unsafe { (&raw const symbols::user_sp).read_volatile() };
    frame.cs = 0xe030;
    frame.ss = 0xe02b;
    frame.rflags = 0x202;
    frame.error = 0;
    true
}

/// A user address space with one code page and one data page.
pub struct Space {
    /// Level 4 to 1, in this order.
    pub tables: [Page; 4],
    /// The code page.
    pub code: Page,
    /// The data page.
    pub data: Page,
}

impl Space {
    /// An address space whose code page holds `program`, installed as the user root.
    pub fn new(program: &[u8]) -> Self {
        let space = Self {
            tables: core::array::from_fn(|_| Page::new()),
            code: Page::new(),
            data: Page::new(),
        };
        for (at, chunk) in program.chunks(8).enumerate() {
            let mut word = [0x90; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            space.code.write(at, u64::from_le_bytes(word));
        }
        for upper in 0..3 {
            let lower = space.tables[upper + 1].entry(TABLE);
            space.tables[upper].write(mmu::index(CODE, 4 - upper as u32), lower);
        }
        let user = pte::PRESENT | pte::USER | pte::ACCESSED | pte::DIRTY;
        let level1 = &space.tables[3];
        level1.write(mmu::index(CODE, 1), space.code.entry(user));
        level1.write(mmu::index(DATA, 1), space.data.entry(user | pte::RW));
        level1.write(mmu::index(READ_ONLY, 1), space.data.entry(user));
        space.tables.iter().for_each(Page::seal);
        let ret = ext(mmuext::NEW_USER_BASEPTR, space.tables[0].mfn.get());
        assert_eq!(ret, 0, "the user root can be installed");
        space
    }

    /// Runs user code from `CODE + offset` with `argument` in rdi until something happens.
    pub fn run(&self, offset: u64, argument: u64) -> Exit {
        self.run_frame(&Self::frame(offset), argument)
    }

    /// The usual frame for user mode.
    pub fn frame(offset: u64) -> IretContext {
        IretContext {
            rip: CODE + offset,
            cs: 0xe033,
            rflags: 0x202,
            rsp: DATA + 0x1000,
            ss: 0xe02b,
            ..Default::default()
        }
    }

    /// Enters user mode by a frame.
    pub fn run_frame(&self, frame: &IretContext, argument: u64) -> Exit {
        let stack = Page::new();
        *LEFT.lock() = None;
        // SAFETY: the stack is used by entries from user mode only, and lives longer than that.
        let set = unsafe { cpu::stack_switch(0xe02b, stack.va + 4096) };
        assert_eq!(set, Ok(()), "the stack can be set");
        // SAFETY: the frame leads to user mode, which is left through `on_trap`.
        unsafe { symbols::user_enter(frame, argument) };
        LEFT.lock().take().expect("user mode was left by a trap")
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let ret = ext(mmuext::NEW_USER_BASEPTR, 0);
        assert_eq!(ret, 0, "the user root can be removed");
    }
}
