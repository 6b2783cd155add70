//! The slow model: what all counts must be, found by reading every table.

use hypercall_abi::mmu::pte;
use hypercall_abi::Mfn;

use super::super::testkit::FrameWorld;
use super::super::{Entry, Level, PageHost, PageType, ENTRIES};

/// References that are held outside of tables and pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    Plain(Mfn),
    Typed(Mfn),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    refs: u32,
    types: u32,
    linear: i32,
}

/// Compares all counts of a world in which no walk is pending with a full recount.
pub fn check(world: &FrameWorld, held: &[Held]) -> Result<(), String> {
    let mut counts = vec![Counts::default(); world.frames().len()];
    for held in held {
        match held {
            Held::Plain(mfn) => add(&mut counts, *mfn, 1, 0),
            Held::Typed(mfn) => add(&mut counts, *mfn, 1, 1),
        }
    }
    for number in 0..counts.len() {
        let mfn = Mfn::new(number as u64);
        let state = world.state(mfn);
        if state.is_pinned() {
            add(&mut counts, mfn, 1, 1);
        }
        if state.is_special() {
            add(&mut counts, mfn, 1, 1);
        }
        if let (true, Some(level)) = (state.is_validated(), state.page_type().level()) {
            count_table(world, mfn, level, &mut counts)?;
        }
    }
    for (number, counts) in counts.iter().enumerate() {
        let mfn = Mfn::new(number as u64);
        let state = world.state(mfn);
        if (counts.refs, counts.types) != (state.ref_count(), state.type_count()) {
            return Err(format!("frame {number}: counted {counts:?}, stored {state:?}"));
        }
        let is_table = state.page_type().level().is_some() && state.type_count() > 0;
        if is_table && counts.linear != world.frame(mfn).linear() {
            let stored = world.frame(mfn).linear();
            return Err(format!("frame {number}: counted {counts:?}, stored linear {stored}"));
        }
        if state.type_count() > 0 && !state.is_validated() {
            return Err(format!("frame {number} is half done: {state:?}"));
        }
    }
    match world.violations().first() {
        Some(violation) => Err(violation.clone()),
        None => Ok(()),
    }
}

fn add(counts: &mut [Counts], mfn: Mfn, refs: u32, types: u32) {
    counts[mfn.get() as usize].refs += refs;
    counts[mfn.get() as usize].types += types;
}

fn count_table(
    world: &FrameWorld,
    table: Mfn,
    level: Level,
    counts: &mut [Counts],
) -> Result<(), String> {
    for index in 0..ENTRIES {
        let entry = Entry::new(world.peek(table, index));
        let is_hv_slot = level == Level::L4 && (256..=271).contains(&index);
        if is_hv_slot {
            if entry.bits() != world.hv_slot(index, table) {
                return Err(format!("slot {index} of root {table} is {entry:?}"));
            }
            continue;
        }
        if !entry.is_present() {
            continue;
        }
        count_entry(world, table, level, entry, counts)
            .map_err(|why| format!("entry {index} of table {table} ({level:?}): {why}"))?;
    }
    Ok(())
}

fn count_entry(
    world: &FrameWorld,
    table: Mfn,
    level: Level,
    entry: Entry,
    counts: &mut [Counts],
) -> Result<(), String> {
    let target = entry.mfn();
    if !entry.has_any(pte::USER) {
        return Err(format!("{entry:?} is not a user entry"));
    }
    if level == Level::L1 {
        if target.get() < counts.len() as u64 {
            add(counts, target, 1, u32::from(entry.is_writable()));
            if entry.is_writable() && world.state(target).page_type() != PageType::Writable {
                return Err(format!("{target} is writable and {:?}", world.state(target)));
            }
        }
        return Ok(());
    }
    if target == table {
        return if entry.is_writable() { Err("writable self map".into()) } else { Ok(()) };
    }
    if world.frame(target).owner() != world.frame(table).owner() {
        return Err(format!("{target} is a foreign table"));
    }
    add(counts, target, 1, 1);
    let found = world.state(target).page_type();
    if found == level.page_type() && !entry.is_writable() {
        counts[table.get() as usize].linear += 1;
        counts[target.get() as usize].linear -= 1;
        return Ok(());
    }
    if Some(found) == level.below().map(Level::page_type) {
        Ok(())
    } else {
        Err(format!("{target} is {found:?}"))
    }
}
