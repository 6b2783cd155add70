//! Event channels and the console, misused.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ptr::NonNull;

use hypercall_abi::EvtchnPort;
use pv_ring::{ByteRing, ConsolePage};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::hypercall::evtchn;
use pvkernel_xen::{layout, p2m, print, thread};

use crate::dice::Dice;
use crate::{Endless, Rounds};

/// Notifications in a round.
const BURST: usize = 2000;

/// All ports that lead to dom0, as fast as this domain can.
pub fn events(boot: &'static BootInfo, rounds: &mut Rounds) -> Endless {
    let mut ports = alloc::vec![boot.console_evtchn, boot.store_evtchn];
    // Ports that are offered to dom0 and that it never takes, as many as there are.
    let offered: Vec<EvtchnPort> = (0..5000)
        .map_while(|_| {
            evtchn::alloc_unbound(hypercall_abi::DomId::SELF, hypercall_abi::DomId::DOM0).ok()
        })
        .collect();
    ports.extend(offered.iter().take(4));
    loop {
        for _ in 0..BURST {
            for port in &ports {
                // The offered ones have no other end.
                let _ = evtchn::send(*port);
            }
        }
        let count = offered.len().to_string();
        rounds.add(&(count + " ports offered"));
    }
}

fn console(boot: &'static BootInfo) -> Result<&'static ConsolePage, String> {
    let pfn = p2m::pfn(boot.console_mfn).ok_or("no console")?;
    let page = core::ptr::with_exposed_provenance_mut(layout::initial_va(pfn) as usize);
    let page: NonNull<ConsolePage> = NonNull::new(page).ok_or("no console")?;
    // SAFETY: the builder mapped the console page in its mapping, where it stays; it consists of
    // atomics, so the other end may write to it at any time.
    Ok(unsafe { page.as_ref() })
}

/// Indices of the console that cannot be. It is the last this domain says.
pub fn console_indices(boot: &'static BootInfo, dice: &mut Dice, rounds: &mut Rounds) -> Endless {
    let page = console(boot)?;
    rounds.add("");
    thread::sleep_ns(10_000_000);
    loop {
        page.output().store_prod(dice.index(page.output().load_prod()));
        page.output().store_cons(dice.next() as u32);
        page.input().store_prod(dice.next() as u32);
        page.input().store_cons(dice.index(page.input().load_cons()));
        let _ = evtchn::send(boot.console_evtchn);
        thread::sleep_ns(dice.below(1_000_000));
    }
}

/// Output without end, with everything that means something to a terminal.
pub fn console_endless(rounds: &mut Rounds) -> Endless {
    loop {
        for _ in 0..50 {
            print!("\x1b[2J\x1b[1;1H\x07\x1b]0;title\x07\x1b[6n\u{fffd}\u{0}no end ");
        }
        rounds.add("");
    }
}
