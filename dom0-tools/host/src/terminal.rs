//! The person's terminal: its size, its modes, its keys.
//!
//! While a console is shown each key goes through as it is typed. The mode before is put back when
//! the guard is dropped, however the program ends short of being killed.

use std::io::{self, IsTerminal, Read};
use std::sync::mpsc::Sender;
use std::thread;

use rustix::termios::{
    tcgetattr, tcgetwinsize, tcsetattr, InputModes, LocalModes, OptionalActions, SpecialCodeIndex,
    Termios,
};
use signal_hook::consts::{SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;
use zl_client::message::Size;

use crate::session::Event;

/// The size of the terminal that shows results; `None` when they go to a file or pipe.
pub fn size() -> Option<Size> {
    let size = tcgetwinsize(io::stdout()).ok().filter(|_| io::stdout().is_terminal())?;
    Some(Size { columns: size.ws_col, rows: size.ws_row })
}

/// Keys as they are typed, for as long as this lives.
pub struct Raw(Option<Termios>);

impl Raw {
    /// Changes the mode of the terminal keys come from; does nothing where that is none.
    pub fn enter() -> Self {
        let stdin = io::stdin();
        let Ok(before) = tcgetattr(&stdin) else { return Self(None) };
        let mut raw = before.clone();
        raw.local_modes -=
            LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        raw.input_modes -= InputModes::IXON | InputModes::ICRNL | InputModes::INLCR;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        match tcsetattr(&stdin, OptionalActions::Drain, &raw) {
            Ok(()) => Self(Some(before)),
            Err(_) => Self(None),
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // There is nothing to be done about a terminal that went away.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Sends what is typed, until nobody listens.
pub fn watch_keys(events: Sender<Event>) {
    thread::spawn(move || {
        let mut bytes = [0; 1024];
        let mut stdin = io::stdin().lock();
        while let Ok(count @ 1..) = stdin.read(&mut bytes) {
            let typed = bytes.get(..count).unwrap_or(&[]).to_vec();
            if events.send(Event::Typed(typed)).is_err() {
                return;
            }
        }
    });
}

/// Sends what signals say, until nobody listens. Without signals ^C simply ends the program.
pub fn watch_signals(events: Sender<Event>) {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGWINCH]) else { return };
    thread::spawn(move || {
        for signal in signals.forever() {
            let event = match signal {
                SIGINT => Event::Interrupt,
                SIGTERM => Event::Terminated,
                _ => Event::Resized,
            };
            if events.send(event).is_err() {
                return;
            }
        }
    });
}
