//! A guest with no kernel below it: it speaks, waits for a key, and switches itself off.
//!
//! Chapter 1 of the book reads it line by line. `start.S` calls `first_main`. As first domain it uses
//! the hypervisor's console and waits for nobody; as any other, the rings that dom0 reads and fills.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicU8, Ordering::*};
use hypercall_abi::mmu::{pte, uvmf};
use hypercall_abi::sched::{shutdown, SchedPoll, SchedShutdown, POLL, SHUTDOWN};
use hypercall_abi::start_info::{Sif, StartInfo};
use hypercall_abi::{addr::MACH2PHYS_VIRT_START, console::CONSOLEIO_WRITE, evtchn};
use hypercall_abi::{nr, shared_info::OFFSET_EVTCHN_PENDING, GuestVa};

#[cfg(target_os = "none")]
core::arch::global_asm!(include_str!("start.S"));

/// Where the image is mapped, and frame 0 of the domain with it.
const BASE: u64 = 0xffff_ffff_8000_0000;

/// The page with both rings of the console. The other end writes to it at any time: atomics only.
#[repr(C)]
struct Rings {
    input: [AtomicU8; 1024],
    output: [AtomicU8; 2048],
    in_cons: AtomicU32,
    in_prod: AtomicU32,
    out_cons: AtomicU32,
    out_prod: AtomicU32,
}

/// A page of the image, in whose place the page is mapped that we share with the hypervisor.
#[repr(C, align(4096))]
struct SharedPage([AtomicU64; 512]);
static SHARED: SharedPage = SharedPage([const { AtomicU64::new(0) }; 512]);

/// A hypercall: SYSCALL, as between a program and its kernel, one level further down.
fn hypercall(number: u64, [a, b, c]: [u64; 3]) {
    // SAFETY: every caller passes numbers, or addresses of memory it owns, as the call wants them.
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") number => _, inlateout("rdi") a => _,
            inlateout("rsi") b => _, inlateout("rdx") c => _, lateout("rcx") _, lateout("r11") _)
    }
}

/// A hypercall with a command and a structure.
fn command<T>(number: u64, cmd: u32, argument: T) {
    hypercall(number, [cmd.into(), &raw const argument as u64, 0]);
}

/// Finds the rings: the start page names a machine frame, and the loader mapped our frames in order.
fn rings(start: &StartInfo) -> &'static Rings {
    let entry = (MACH2PHYS_VIRT_START + 8 * start.console_mfn.get()) as *const u64;
    // SAFETY: the hypervisor shows everybody a table from machine frames to frames of their domains.
    let frame = unsafe { entry.read_volatile() };
    // SAFETY: the page stays mapped, and consists of atomics.
    unsafe { &*((BASE + 4096 * frame) as *const Rings) }
}

fn write(start: &StartInfo, text: &[u8]) {
    if start.flags.contains(Sif::INITDOMAIN) {
        let at = text.as_ptr() as u64;
        return hypercall(nr::CONSOLE_IO, [CONSOLEIO_WRITE.into(), text.len() as u64, at]);
    }
    let rings = rings(start);
    for byte in text {
        let at = rings.out_prod.load(Relaxed);
        rings.output[at as usize % 2048].store(*byte, Relaxed);
        rings.out_prod.store(at.wrapping_add(1), Release);
    }
    let port = start.console_evtchn;
    command(nr::EVENT_CHANNEL_OP, evtchn::SEND, evtchn::EvtchnSend { port });
}

/// The next key. The event is taken before the ring is looked at, so that none is missed.
fn key(start: &StartInfo) -> u8 {
    let (rings, port) = (rings(start), start.console_evtchn.get() as usize);
    let at = rings.in_cons.load(Relaxed);
    loop {
        SHARED.0[OFFSET_EVTCHN_PENDING / 8 + port / 64 % 64].fetch_and(!(1 << (port % 64)), SeqCst);
        if rings.in_prod.load(SeqCst) != at {
            break;
        }
        let ports = GuestVa::new(&raw const start.console_evtchn as u64);
        command(nr::SCHED_OP, POLL, SchedPoll { ports, nr_ports: 1, ..Default::default() });
    }
    let key = rings.input[at as usize % 1024].load(Relaxed);
    rings.in_cons.store(at.wrapping_add(1), Release);
    key
}

#[unsafe(no_mangle)]
extern "C" fn first_main(start: &StartInfo) -> ! {
    let (place, entry) =
        (&raw const SHARED as u64, start.shared_info_maddr | pte::PRESENT | pte::RW);
    hypercall(nr::UPDATE_VA_MAPPING, [place, entry, uvmf::INVLPG | uvmf::LOCAL]);
    write(start, b"A guest in under 150 lines.\r\n");
    if !start.flags.contains(Sif::INITDOMAIN) {
        write(start, b"Press a key: ");
        write(start, &[key(start), b'\r', b'\n']);
    }
    write(start, b"ZENDO-TEST first SUCCESS\r\n");
    loop {
        command(nr::SCHED_OP, SHUTDOWN, SchedShutdown { reason: shutdown::POWEROFF });
    }
}

/// Nothing here panics, but the compiler wants to know what would happen then.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// On a host the program only has to link.
#[cfg(not(target_os = "none"))]
#[unsafe(export_name = "main")]
extern "C" fn host_main() -> i32 {
    1
}
