//! The way into a program and out of it.
//!
//! The kernel enters at `_start` with the number of arguments in `rdi` and the address of as many `Text`s
//! in `rsi`; they and their bytes stay where they are as long as the program runs.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pvkernel_abi::Text;

/// Status of a program that found itself broken.
pub const STATUS_PANIC: i32 = 101;
/// Status of a program that was called in a wrong way.
pub const STATUS_USAGE: i32 = 2;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static TEXTS: AtomicUsize = AtomicUsize::new(0);

/// Argument `index` as the kernel gave it.
#[must_use]
pub fn arg(index: usize) -> Option<&'static [u8]> {
    if index >= COUNT.load(Relaxed) {
        return None;
    }
    let text = (TEXTS.load(Relaxed) as *const Text).wrapping_add(index);
    // SAFETY: the kernel left `COUNT` texts there, aligned, which nobody changes.
    let text = unsafe { text.read() };
    // SAFETY: each names bytes that the kernel put beside it, which nobody changes.
    Some(unsafe { core::slice::from_raw_parts(text.address as *const u8, text.len as usize) })
}

/// The name the program was called by, without its folder.
#[must_use]
pub fn name() -> &'static str {
    let name = arg(0).and_then(|name| core::str::from_utf8(name).ok()).unwrap_or("program");
    crate::text::base_name(name)
}

#[cfg(target_os = "none")]
mod bare {
    use super::{arg, Text, COUNT, STATUS_PANIC, STATUS_USAGE, TEXTS};
    use crate::{eprintln, sys};
    use alloc::vec::Vec;
    use core::sync::atomic::Ordering::Relaxed;

    core::arch::global_asm!(
        ".pushsection .text.start, \"ax\", @progbits",
        ".global _start",
        "_start:",
        "    xor ebp, ebp",
        "    and rsp, -16",
        "    call {begin}",
        "    ud2",
        ".popsection",
        begin = sym begin,
    );

    unsafe extern "Rust" {
        fn program_main(args: &[&'static str]) -> i32;
    }

    extern "C" fn begin(count: usize, texts: *const Text) -> ! {
        COUNT.store(count, Relaxed);
        TEXTS.store(texts as usize, Relaxed);
        let mut args = Vec::with_capacity(count);
        for index in 0..count {
            let text = arg(index).map(core::str::from_utf8);
            let Some(Ok(text)) = text else {
                eprintln!("{}: argument {index}: no UTF-8", super::name());
                sys::exit(STATUS_USAGE);
            };
            args.push(text);
        }
        // SAFETY: `program!` of the program defines it with this type.
        let status = unsafe { program_main(&args) };
        sys::exit(status)
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        eprintln!("{}: {info}", super::name());
        sys::exit(STATUS_PANIC)
    }
}
