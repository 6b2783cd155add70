//! Being attached to the console of a domain.

use crate::screen;
use crate::services::stack;
use alloc::format;
use zl_toolstack::lifecycle::{ConsoleId, ConsoleText};
use zl_toolstack::Status;

/// ^] leaves the console.
const LEAVE: u8 = 0x1d;

/// Shows what a domain prints and types what the person types, until ^] or the domain's end.
pub fn attach(console: ConsoleId) -> Status {
    screen::print("[attached; ^] leaves]\n");
    let mut place = 0;
    loop {
        let mut text = None;
        screen::CHANGED.wait_until(|| {
            text = stack().read_console(console, place).filter(is_news);
            text.is_some() || screen::has_typed()
        });
        if let Some(text) = text {
            place = text.next;
            show(&text);
            if let Some(how) = text.ended {
                screen::print(&format!("\n[the domain {how}]\n"));
                break;
            }
        }
        if forward_typed(console) {
            screen::print("\n[detached]\n");
            break;
        }
    }
    stack().detach(console);
    Status::Ok
}

fn is_news(text: &ConsoleText) -> bool {
    !text.bytes.is_empty() || text.missed > 0 || text.ended.is_some()
}

fn show(text: &ConsoleText) {
    if text.missed > 0 {
        screen::print(&format!("[{} bytes are lost]\n", text.missed));
    }
    screen::show(&text.bytes);
}

/// Types what was typed; returns whether ^] was among it. Bytes behind it stay for the shell.
fn forward_typed(console: ConsoleId) -> bool {
    while let Some(byte) = screen::read() {
        if byte == LEAVE {
            return true;
        }
        // A domain that does not read loses what is typed beyond the bound, as on a real line.
        let _taken = stack().type_in(console, &[byte]);
    }
    false
}
