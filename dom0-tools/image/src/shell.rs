//! The person's thread: prompt and lines.
//!
//! What a line means is decided in `zl-cli`; `steps` carries it out. Notices about domains that
//! ended appear above the line that is being typed.

use crate::screen::{self, Screen, CHANGED};
use crate::services::stack;
use crate::{steps, transport, xenstored};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use pv_xenbus::{path, Tx};
use pvkernel_xen::boot::BootInfo;
use zl_cli::complete::{Catalog, Which};
use zl_cli::edit::{Action, Editor};
use zl_cli::shell::PROMPT;
use zl_cli::{Shell, Step};
use zl_toolstack::client::Hypervisor;
use zl_toolstack::config::shown;
use zl_toolstack::devices::Kind;

const PAGES_PER_MIB: u64 = 256;

/// The first lines of the control domain.
pub fn greet(boot: &BootInfo) {
    let version = transport::Xen.version();
    screen::print(&format!(
        "dom0: pvkernel on Xen {}.{}{}, {} MiB; 'help' lists the commands\n",
        version.major,
        version.minor,
        version.extra,
        boot.nr_pages as u64 / PAGES_PER_MIB
    ));
}

/// Runs the script of the command line, then serves the person for ever.
pub fn run(boot: &'static BootInfo) -> ! {
    let mut shell = Shell::default();
    let args = boot.args();
    if let Some(file) = args.value("zl.run") {
        run_script(&mut shell, file);
    }
    match args.value("zl.then") {
        Some("poweroff") => steps::end_machine(Step::PowerOff, &Screen),
        Some("reboot") => steps::end_machine(Step::Reboot, &Screen),
        _ => {}
    }
    let mut editor = Editor::new(PROMPT);
    loop {
        let line = read_line(&mut editor, &mut shell);
        carry_out(&mut shell, &line);
    }
}

fn run_script(shell: &mut Shell, file: &str) {
    let text = stack().archive().get(file).map(String::from_utf8_lossy);
    let Some(text) = text else {
        let file = shown(file);
        screen::print(&format!(
            "dom0: zl.run={file}: no such file in the boot archive; see 'ls'\n"
        ));
        return;
    };
    for line in text.lines() {
        screen::print(&format!("{PROMPT}{line}\n"));
        carry_out(shell, line);
        show_notices();
    }
}

/// Reads a line; notices appear above it.
fn read_line(editor: &mut Editor, shell: &mut Shell) -> String {
    let mut output = String::new();
    show_notices();
    editor.redraw(&mut output);
    loop {
        screen::print(&output);
        output.clear();
        CHANGED.wait_until(|| screen::has_typed() || stack().has_notices());
        while let Some(byte) = screen::read() {
            match editor.feed(byte, &mut shell.history, &Names, &mut output) {
                Action::Nothing => {}
                Action::Line(line) => {
                    screen::print(&output);
                    return line;
                }
                Action::Interrupt => editor.redraw(&mut output),
                Action::EndOfInput => {
                    output.push_str("\r\n'poweroff' ends the machine\r\n");
                    editor.redraw(&mut output);
                }
            }
        }
        if stack().has_notices() {
            editor.hide(&mut output);
            screen::print(&output);
            output.clear();
            show_notices();
            editor.redraw(&mut output);
        }
    }
}

fn show_notices() {
    let notices = stack().take_notices();
    for notice in notices {
        screen::print(&format!("zl: {notice}\n"));
    }
}

fn carry_out(shell: &mut Shell, line: &str) {
    let commands = match shell.split(line) {
        Ok(commands) => commands,
        Err(error) => return steps::complain(shell, &Screen, &error),
    };
    for words in &commands {
        let step = shell.step(words);
        steps::carry_out(shell, &Screen, step);
        if screen::take_interrupt() {
            screen::print("^C\n");
            return;
        }
    }
}

/// Names for the tab key.
pub struct Names;

impl Catalog for Names {
    fn domains(&self, which: Which) -> Vec<String> {
        let rows = stack().list().unwrap_or_default().into_iter();
        rows.filter(|row| which.holds(row.info.flags)).filter_map(|row| row.name).collect()
    }

    fn files(&self) -> Vec<String> {
        stack().archive().files().map(|(name, _)| String::from(name)).collect()
    }

    fn store_paths(&self, above: &str) -> Vec<String> {
        let names = xenstored::local().list(Tx::NONE, above).unwrap_or_default();
        names.iter().map(|name| path::child(above, name)).collect()
    }

    fn devices(&self, domain: &str, kind: Kind) -> Vec<String> {
        let stack = stack();
        let Ok(domain) = stack.find(domain) else { return Vec::new() };
        match kind {
            Kind::Vbd => stack.disks(domain).into_iter().map(|disk| disk.name).collect(),
            Kind::Vif => stack.vifs(domain).into_iter().map(|vif| format!("{}", vif.idx)).collect(),
        }
    }
}
