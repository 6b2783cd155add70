//! `bench kernel`: what the teaching kernel costs its programs, on three machines.
//!
//! The same programs run natively, on Zendo and on Xen 4.17, each as the first kernel of its machine, under
//! `-icount`: the time stamp counter then counts instructions, those of kernel and hypervisor together. One
//! boot runs the program `bench`, another goes to the shell's prompt, and a third is followed step by step for
//! the events of each row. What is required is judged here, too.

mod budgets;
pub mod events;
mod rows;
mod table;
mod tricks;

use std::fs;
use std::time::Duration;

use system_tests::machine::Failure;
use system_tests::qemu::{Boot, Hypervisor, Module};
use system_tests::session::{Images, Session};

use crate::args::Args;
use crate::build::Programs;
use crate::paths::Paths;
use crate::{book, programs, test, trace, Result};
use events::Events;
use rows::Figures;

/// A boot and all rows, or a boot and the prompt.
const WITHIN: Duration = Duration::from_secs(120);
/// Memory of the kernel, everywhere the same.
const MEMORY_MIB: u32 = 64;
/// Memory of the machine that also holds a hypervisor.
const MACHINE_MIB: u32 = 512;

/// Where the kernel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On the bare machine.
    Native,
    /// On our hypervisor.
    Zendo,
    /// On Xen 4.17.
    Xen,
}

impl Place {
    /// All, in the order of the table.
    pub const ALL: [Place; 3] = [Place::Native, Place::Zendo, Place::Xen];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Place::Native => "native",
            Place::Zendo => "Zendo",
            Place::Xen => "Xen 4.17",
        }
    }

    /// In the names of columns.
    pub const fn column(self) -> &'static str {
        match self {
            Place::Native => "native",
            Place::Zendo => "zendo",
            Place::Xen => "xen",
        }
    }

    const fn hypervisor(self) -> Hypervisor {
        match self {
            Place::Native | Place::Zendo => Hypervisor::Zendo,
            Place::Xen => Hypervisor::Xen,
        }
    }

    /// The kernel with its programs and these words.
    fn boot(self, images: &Images, words: &str) -> std::result::Result<Boot, Failure> {
        let mut boot = match self {
            Place::Native => {
                let kernel = images.guests.join("shell-native");
                let mut boot = Boot::new(&kernel, &format!("exit=debug {words}"));
                boot.memory_mib = MEMORY_MIB;
                boot.modules = vec![Module::new(&images.programs, "")];
                boot
            }
            Place::Zendo | Place::Xen => {
                let which = self.hypervisor();
                let mut boot = Boot::new(images.hypervisor(which)?, &which.arguments(MEMORY_MIB));
                let kernel = Module::new(&images.guests.join("shell"), words);
                boot.memory_mib = MACHINE_MIB;
                boot.modules = vec![kernel, Module::new(&images.programs, "")];
                boot
            }
        };
        boot.icount = true;
        Ok(boot)
    }
}

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    if args.word("tricks") {
        return tricks::run(args);
    }
    let (programs, is_kept) = (Programs::take(args), args.flag("--save"));
    args.finish()?;
    let paths = Paths::find()?;
    let images = test::prepare(&paths, &[Hypervisor::Zendo, Hypervisor::Xen], programs)?;
    let figures = measure(&images)?;
    println!("{}", table::text(&figures));
    let events = follow(&paths, &images, &Place::ALL)?;
    println!("{}", table::events(&figures, &events));
    if is_kept {
        save(&paths, &figures, &events)?;
    }
    match missed(&figures, &events, &Place::ALL) {
        missed if missed.is_empty() => Ok(()),
        missed => Err(format!("missed: {}", missed.join("; "))),
    }
}

/// Stores the numbers, from which the book has its own.
fn save(paths: &Paths, figures: &Figures, events: &Events) -> Result<()> {
    let texts = [
        (book::KERNEL_FILE, table::csv(figures)),
        (book::EVENTS_FILE, table::events_csv(figures, events)),
    ];
    for (name, text) in texts {
        let file = paths.root.join(name);
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    book::update(&paths.root)?;
    println!("{}, {} and the book are of today", book::KERNEL_FILE, book::EVENTS_FILE);
    Ok(())
}

/// For `ci`: one line, or what was missed. All that is required of events is required of Zendo.
pub fn guard(paths: &Paths, images: &Images) -> Result<String> {
    let figures = measure(images)?;
    let events = follow(paths, images, &[Place::Zendo])?;
    match missed(&figures, &events, &[Place::Zendo]) {
        missed if missed.is_empty() => {
            Ok(format!("{} rows in three places, with their events on Zendo", figures.rows()))
        }
        missed => Err(missed.join("; ")),
    }
}

fn missed(figures: &Figures, events: &Events, places: &[Place]) -> Vec<String> {
    let mut missed = rows::missed(figures);
    missed.extend(budgets::missed(figures, events, places));
    missed
}

/// All places at once: instructions are counted, and how long they take does not matter.
fn measure(images: &Images) -> Result<Figures> {
    let measure_at = |place: Place| {
        let mut figures = Figures::default();
        let measured = measure_at(images, place, &mut figures);
        measured.map(|()| figures).map_err(|failure| format!("{}: {failure}", place.name()))
    };
    let mut all = Figures::default();
    at_once(&Place::ALL, measure_at, |figures| all.join(figures)).map(|()| all)
}

/// Does something in these places at once.
fn at_once<T: Send>(
    places: &[Place],
    work: impl Fn(Place) -> Result<T> + Sync,
    mut take: impl FnMut(T),
) -> Result<()> {
    let work = &work;
    std::thread::scope(|scope| {
        let running = places.iter().map(|place| scope.spawn(move || work(*place)));
        for thread in running.collect::<Vec<_>>() {
            take(thread.join().map_err(|_| "a thread panicked")??);
        }
        Ok(())
    })
}

fn measure_at(
    images: &Images,
    place: Place,
    figures: &mut Figures,
) -> std::result::Result<(), Failure> {
    run_rows(images, place, "-- bench", figures)?;
    let session = session(images, place);
    let mut watched = session.start(place.boot(images, "tell-start")?)?;
    watched.machine.expect(rows::START_BEGINS, WITHIN)?;
    let line = watched.machine.expect("\n", WITHIN)?;
    figures.read_start(place, &line).map_err(Failure)
}

/// Boots with these words, which run the program `bench`, and takes what it prints.
fn run_rows(
    images: &Images,
    place: Place,
    words: &str,
    figures: &mut Figures,
) -> std::result::Result<(), Failure> {
    let session = session(images, place);
    let mut watched = session.start(place.boot(images, words)?)?;
    let ends = ["ZENDO-TEST bench ", "panicked at "];
    let (end, printed) = watched.machine.expect_any(&ends, WITHIN)?;
    if end != 0 {
        return Err(Failure(format!("the kernel panicked; last: {}", last_line(&printed))));
    }
    figures.read(place, &printed).map_err(Failure)
}

/// What happens in each row, in these places.
fn follow(paths: &Paths, images: &Images, places: &[Place]) -> Result<Events> {
    let follow_at = |place| {
        let mut events = Events::default();
        follow_rows(paths, images, place, "-- bench trace", &mut events).map(|()| events)
    };
    let mut all = Events::default();
    at_once(places, follow_at, |events| all.join(events)).map(|()| all)
}

/// Boots with these words, which run the program `bench` between marks, and follows it.
fn follow_rows(
    paths: &Paths,
    images: &Images,
    place: Place,
    words: &str,
    events: &mut Events,
) -> Result<()> {
    let session = session(images, place);
    let boot = place.boot(images, words).map_err(|failure| failure.to_string());
    boot.and_then(|boot| trace::follow(&session, boot, &programs::file(paths, "bench")))
        .and_then(|trace| events.take(place, &trace))
        .map_err(|text| format!("{}: {text}", place.name()))
}

fn session(images: &Images, place: Place) -> Session<'_> {
    let label = format!("bench-kernel-{}", place.name().replace(' ', "-"));
    Session::new(images, place.hypervisor(), 1, &label)
}

fn last_line(printed: &str) -> &str {
    printed.lines().last().map_or("nothing", str::trim)
}
