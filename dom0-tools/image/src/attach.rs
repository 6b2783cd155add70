//! Being attached to the console of a domain.

use crate::screen::CHANGED;
use crate::services::stack;
use crate::terminal::Terminal;
use alloc::format;
use zl_cli::Stream;
use zl_toolstack::lifecycle::{ConsoleId, ConsoleText};
use zl_toolstack::Status;

/// ^] leaves the console.
const LEAVE: u8 = 0x1d;

/// Shows what a domain prints and types what the person types, until ^], the domain's end, or the
/// person's.
pub fn attach(console: ConsoleId, terminal: &dyn Terminal) -> Status {
    terminal.print("[attached; ^] leaves]\n");
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
                terminal.print(&format!("\n[the domain {how}]\n"));
                break;
            }
        }
        if forward_typed(console, terminal) || terminal.is_gone() {
            terminal.print("\n[detached]\n");
            break;
        }
    }
    stack().detach(console);
    Status::Ok
}

fn is_news(text: &ConsoleText) -> bool {
    !text.bytes.is_empty() || text.missed > 0 || text.ended.is_some()
}

fn show(text: &ConsoleText, terminal: &dyn Terminal) {
    if text.missed > 0 {
        terminal.print(&format!("[{} bytes are lost]\n", text.missed));
    }
    terminal.write(Stream::Out, &text.bytes);
}

/// Types what was typed; returns whether ^] was among it. Bytes behind it stay for the shell.
fn forward_typed(console: ConsoleId, terminal: &dyn Terminal) -> bool {
    while let Some(byte) = terminal.take_key() {
        if byte == LEAVE {
            return true;
        }
        // A domain that does not read loses what is typed beyond the bound, as on a real line.
        let _taken = stack().type_in(console, &[byte]);
    }
    false
}
