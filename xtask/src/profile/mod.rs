//! `profile ROW`: where the instructions of one operation go.
//!
//! Traces the row (see `trace`) and prints a tree of the functions that ran, with their own
//! instructions and those below them, for one operation; then a list of the functions that have most
//! of their own. Inlined functions are shown where they ended up.

mod symbols;
mod tree;

use std::io::{ErrorKind, Write};

use system_tests::qemu::Hypervisor;
use system_tests::session::Images;

use crate::args::Args;
use crate::build::Programs;
use crate::paths::Paths;
use crate::trace::events::{Counts, KINDS};
use crate::trace::log::Code;
use crate::trace::rows::Traced;
use crate::trace::{self};
use crate::{test, Result};
use symbols::Symbols;
use tree::Node;

/// Functions below this share of the whole are left out of the list, and of the tree.
const LEAST_SHARE: f64 = 0.004;

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    let pattern = args.positional().ok_or("`profile ROW`: which row? (see `bench --list`)")?;
    let which = only(args)?;
    let steps = args.flag("--steps");
    let programs = Programs::take(args);
    args.finish()?;
    let images = test::prepare(&Paths::find()?, &[which], programs)?;
    let traced = trace::trace(&images, which, &pattern)?;
    let mut symbols = symbols(&images, which)?;
    let mut text = String::new();
    for row in &traced.rows {
        text.push_str(&report(row, &traced.code, &mut symbols, which));
        if steps {
            text.push_str(&listing(row, &traced.code, &mut symbols));
        }
        text.push('\n');
    }
    // A reader who has seen enough, as `head`, is no error.
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("printing: {error}")),
        _ => Ok(()),
    }
}

/// Takes `--only zendo|xen`; Zendo if it is left out.
fn only(args: &mut Args) -> Result<Hypervisor> {
    match args.value("--only")?.as_deref() {
        None | Some("zendo") => Ok(Hypervisor::Zendo),
        Some("xen") => Ok(Hypervisor::Xen),
        Some(other) => Err(format!("--only wants zendo or xen, not '{other}'")),
    }
}

fn symbols(images: &Images, which: Hypervisor) -> Result<Symbols> {
    let mut symbols = Symbols::default();
    symbols.add(&images.guests.join("bench"))?;
    if which == Hypervisor::Zendo {
        symbols.add(&images.zendo)?;
    }
    Ok(symbols)
}

/// The tree and the list of one row.
fn report(row: &Traced, code: &Code, symbols: &mut Symbols, which: Hypervisor) -> String {
    let mut root = Node::default();
    for items in &row.samples {
        let sample = tree::build(items, code, &mut |at| symbols.frames(at).to_vec());
        root.add(&sample);
    }
    let counts = row.counts(code);
    let scale = Scale { units: row.units, least: counts.instructions as f64 * LEAST_SHARE };
    let mut text = heading(row, &counts, which);
    text.push_str("      all      own\n");
    scale.tree(&root, 0, &mut text);
    text.push_str("\n      own      all  (most of its own first)\n");
    scale.list(&root, &mut text);
    text
}

fn heading(row: &Traced, counts: &Counts, which: Hypervisor) -> String {
    let each = |number: u64| number as f64 / row.units as f64;
    let mut text = format!(
        "{} on {}: {:.1} instructions, {:.1} of them the guest's, {:.0} modelled cycles;",
        row.name,
        which.name(),
        each(counts.instructions),
        each(counts.guest),
        each(counts.cycles())
    );
    for (kind, count) in KINDS.iter().zip(counts.events).filter(|(_, count)| *count > 0) {
        text.push_str(&format!(" {} {}", kind.name, shown(each(count))));
    }
    text.push('\n');
    text
}

/// A number of events for one operation: mostly whole.
fn shown(number: f64) -> String {
    match number.fract() == 0.0 {
        true => format!("{number:.0}"),
        false => format!("{number:.2}"),
    }
}

/// How numbers are printed: for one operation, and not the smallest.
struct Scale {
    units: u64,
    least: f64,
}

impl Scale {
    fn each(&self, number: u64) -> f64 {
        number as f64 / self.units as f64
    }

    fn tree(&self, node: &Node, depth: usize, text: &mut String) {
        for (name, below) in &node.calls {
            let total = below.total();
            if (total as f64) < self.least {
                continue;
            }
            let (last, end) = below.sole();
            let (all, own, indent) = (self.each(total), self.each(end.own), depth * 2);
            text.push_str(&format!("{all:9.1}{own:9.1}  {:indent$}{name}", ""));
            text.push_str(&last.map_or("\n".into(), |last| format!(" .. {last}\n")));
            self.tree(end, depth + 1, text);
        }
    }

    fn list(&self, root: &Node, text: &mut String) {
        let mut flat: Vec<_> = root.flat().into_iter().collect();
        flat.sort_by_key(|(name, (own, _))| (std::cmp::Reverse(*own), name.clone()));
        for (name, (own, all)) in flat.into_iter().filter(|(_, (own, _))| *own as f64 >= self.least)
        {
            text.push_str(&format!("{:9.1}{:9.1}  {name}\n", self.each(own), self.each(all)));
        }
    }
}

/// Every instruction of the first sample, with the function it is in.
fn listing(row: &Traced, code: &Code, symbols: &mut Symbols) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for item in row.samples.first().into_iter().flatten() {
        let trace::log::Item::Step(at) = item else {
            text.push_str(&format!("  -- {item:?}\n"));
            continue;
        };
        let place = symbols.frames(*at).join(" > ");
        if place != last {
            text.push_str(&format!("{place}:\n"));
            last = place;
        }
        let instruction = code.get(at).map_or("?", String::as_str);
        text.push_str(&format!("  {at:016x}  {instruction}\n"));
    }
    text
}
