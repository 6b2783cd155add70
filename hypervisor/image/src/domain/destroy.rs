//! Taking a domain apart: a bounded step at a time, until nothing of it is left.
//!
//! `XEN_DOMCTL_destroydomain` calls [`step`] again and again; each call does a bounded amount of
//! work, so that the controller stays responsive. A frame that others still map outlives the
//! teardown; the domain leaves the table when the last one is free ([`reap`]).

use core::sync::atomic::Ordering;
use hv_machine::frames;
use hypercall_abi::Virq;

use super::{memory, table, Domain};
use crate::control::context;
use crate::control::rights::Rights;
use crate::hypercall::{evtchn, grant_map, physdev};
use crate::{events, sched, wake};

/// How far teardown has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nothing done yet.
    #[default]
    Begin,
    /// Event channels are being closed.
    Ports,
    /// Grant mappings are being released, from this handle on.
    Maptrack(u32),
    /// Root tables and descriptor tables of the vCPUs are let go.
    Vcpus,
    /// Tables are being taken apart and frames given up.
    Frames,
    /// All done that can be done here.
    Done,
}

/// Units of work per step: ports, handles, table entries or frames.
const BUDGET: u32 = 16_384;
/// Ports closed per step.
const PORTS_PER_STEP: u32 = 256;

/// Does a step of teardown; true when there is none left.
pub fn step(dom: &Domain) -> bool {
    let stage = dom.control.lock().teardown;
    let next = match stage {
        Stage::Begin => begin(dom),
        Stage::Ports if evtchn::close_all(dom, PORTS_PER_STEP) => Stage::Maptrack(0),
        Stage::Maptrack(cursor) => maptrack(dom, cursor),
        Stage::Vcpus => {
            context::drop_all(dom);
            Stage::Frames
        }
        Stage::Frames => give_up_frames(dom),
        Stage::Ports | Stage::Done => stage,
    };
    dom.control.lock().teardown = next;
    next == Stage::Done
}

fn begin(dom: &Domain) -> Stage {
    dom.dying.store(true, Ordering::SeqCst);
    sched::wait_off_cpu(dom);
    sched::remove_domain(dom);
    wake::cancel_domain(dom);
    physdev::release_domain(dom);
    events::release_handlers(dom.id);
    dom.control.lock().memory_map.clear();
    *dom.rights.lock() = Rights::default();
    Stage::Ports
}

fn maptrack(dom: &Domain, mut cursor: u32) -> Stage {
    let mut budget = BUDGET;
    loop {
        match dom.maptrack.lock().drain_step(&mut cursor, &mut budget) {
            Ok(Some(mapping)) => grant_map::end_at(table::get(mapping.granter).as_ref(), &mapping),
            Ok(None) => return Stage::Vcpus,
            Err(_) => return Stage::Maptrack(cursor),
        }
    }
}

/// Dissolves the page tables and drops the allocation of every frame. What others still map stays
/// on the list and charged, until they let go of it.
fn give_up_frames(dom: &Domain) -> Stage {
    let head = || dom.pages.lock().list.head();
    let mut budget = BUDGET;
    dom.pages.lock().run = Some(0..0);
    let ended = dom.tables().relinquish(&mut dom.mmu.lock(), head, &mut budget);
    let run = dom.pages.lock().run.take();
    run.into_iter().for_each(frames::free_range);
    if ended.is_err() {
        return Stage::Frames;
    }
    finish(dom);
    Stage::Done
}

fn finish(dom: &Domain) {
    dom.dead.store(true, Ordering::SeqCst);
    memory::release_specials(dom);
    reap_one(dom);
    events::raise_global(Virq::DOM_EXC);
}

/// Takes a dead domain out of the table if nothing of it is left.
fn reap_one(dom: &Domain) {
    let empty = dom.pages.lock().is_empty();
    // A use of a grant names its granter by number, so the number is not free before the use ends.
    let unused = dom.grants.lock().pinned() == 0;
    if empty && unused && dom.dead.load(Ordering::SeqCst) {
        table::remove(dom.id);
    }
}

/// Looks through the dead domains for those whose last frame has gone.
pub fn reap() {
    for dom in table::all().iter().filter(|dom| dom.dead.load(Ordering::SeqCst)) {
        reap_one(dom);
        if table::get(dom.id).is_none() {
            events::raise_global(Virq::DOM_EXC);
        }
    }
}
