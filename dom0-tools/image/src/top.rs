//! `zl top` on a terminal: looks, shows, waits for the next look or a key.
//!
//! What is shown is decided in `zl-cli`. The toolstack is held for each look and never while waiting.

use crate::screen::CHANGED;
use crate::services::stack;
use crate::steps::Here;
use crate::terminal::{Key, Terminal};
use pvkernel_xen::time;
use zl_cli::top::{Action, Options, Sample, Top};
use zl_cli::Place;
use zl_toolstack::{Status, ToolError};

const NS_PER_MS: u64 = 1_000_000;

/// Shows what domains do until it is enough, the person quits or is gone.
pub fn run(options: Options, terminal: &dyn Terminal) -> Result<Status, ToolError> {
    let mut top = Top::new(options);
    if options.batch {
        return batch(&mut top, terminal);
    }
    terminal.wants_keys(None);
    terminal.print("\x1b[2J");
    let done = live(&mut top, terminal);
    terminal.wants_lines();
    terminal.print("\n");
    done
}

fn look(top: &mut Top) -> Result<(), ToolError> {
    let place = Here;
    let sample = Sample::of(&stack(), place.io());
    top.take(sample?);
    Ok(())
}

fn next_ns(top: &Top) -> u64 {
    time::now_ns().saturating_add(top.delay_ms().saturating_mul(NS_PER_MS))
}

fn batch(top: &mut Top, terminal: &dyn Terminal) -> Result<Status, ToolError> {
    loop {
        let limit_ns = next_ns(top);
        look(top)?;
        match top.options().json {
            true => terminal.document(&top.document()),
            false => terminal.print(&top.lines()),
        }
        if top.is_done() || terminal.is_gone() {
            return Ok(Status::Ok);
        }
        if CHANGED.wait_deadline(limit_ns, || terminal.take_interrupt()) {
            return Ok(Status::Ok);
        }
    }
}

fn live(top: &mut Top, terminal: &dyn Terminal) -> Result<Status, ToolError> {
    loop {
        let limit_ns = next_ns(top);
        look(top)?;
        terminal.print(&top.screen(terminal.size()));
        if top.is_done() {
            return Ok(Status::Ok);
        }
        while CHANGED.wait_deadline(limit_ns, || terminal.has_key() || terminal.is_gone()) {
            let Some(action) = next_action(top, terminal) else { return Ok(Status::Ok) };
            if action == Action::Redraw {
                terminal.print(&top.screen(terminal.size()));
            }
        }
    }
}

/// What the next key asks for; nothing when it is to end.
fn next_action(top: &mut Top, terminal: &dyn Terminal) -> Option<Action> {
    match terminal.take_key() {
        Some(Key::Byte(byte)) => Some(top.key(byte)).filter(|action| *action != Action::Quit),
        Some(Key::Leave) => None,
        None if terminal.is_gone() => None,
        None => Some(Action::None),
    }
}
