//! Being attached to the console of a domain.

use crate::screen::CHANGED;
use crate::services::stack;
use crate::terminal::{Key, Terminal};
use alloc::format;
use alloc::string::String;
use zl_cli::Stream;
use zl_toolstack::lifecycle::{ConsoleId, ConsoleText};
use zl_toolstack::Status;

/// Shows what a domain prints and types what the person types, until ^], the domain's end, or the
/// person's.
pub fn attach(console: ConsoleId, leave: u8, terminal: &dyn Terminal) -> Status {
    terminal.wants_keys(Some(leave));
    terminal.note(&format!("[attached; {} leaves]\n", key_name(leave)));
    let mut place = 0;
    loop {
        let mut text = None;
        CHANGED.wait_until(|| {
            text = stack().read_console(console, place).filter(is_news);
            text.is_some() || terminal.has_key() || terminal.is_gone()
        });
        if let Some(text) = text {
            place = text.next;
            show(&text, terminal);
            if let Some(how) = text.ended {
                terminal.note(&format!("\n[the domain {how}]\n"));
                break;
            }
        }
        if forward_typed(console, leave, terminal) || terminal.is_gone() {
            terminal.note("\n[detached]\n");
            break;
        }
    }
    stack().detach(console);
    terminal.wants_lines();
    Status::Ok
}

/// Shows what a console holds from a place on and what comes, until ^C, the domain's end, or the
/// person's.
pub fn follow(console: ConsoleId, mut place: u64, terminal: &dyn Terminal) -> Status {
    loop {
        let (mut text, mut interrupted) = (None, false);
        CHANGED.wait_until(|| {
            text = stack().read_console(console, place).filter(is_news);
            interrupted = terminal.take_interrupt();
            text.is_some() || interrupted
        });
        if let Some(text) = text {
            place = text.next;
            show(&text, terminal);
            if text.ended.is_some() {
                break;
            }
        }
        if interrupted {
            break;
        }
    }
    stack().detach(console);
    Status::Ok
}

/// A key as people write it.
fn key_name(key: u8) -> String {
    match key {
        0..=0x1f => format!("^{}", char::from(key | 0x40)),
        _ => String::from(char::from(key)),
    }
}

fn is_news(text: &ConsoleText) -> bool {
    !text.bytes.is_empty() || text.missed > 0 || text.ended.is_some()
}

fn show(text: &ConsoleText, terminal: &dyn Terminal) {
    if text.missed > 0 {
        terminal.note(&format!("[{} bytes are lost]\n", text.missed));
    }
    terminal.write(Stream::Out, &text.bytes);
}

/// Types what was typed; returns whether the key that leaves was among it. Bytes behind it stay for
/// the shell.
fn forward_typed(console: ConsoleId, leave: u8, terminal: &dyn Terminal) -> bool {
    while let Some(key) = terminal.take_key() {
        let Key::Byte(byte) = key else { return true };
        if byte == leave {
            return true;
        }
        // A domain that does not read loses what is typed beyond the bound, as on a real line.
        let _taken = stack().type_in(console, &[byte]);
    }
    false
}
