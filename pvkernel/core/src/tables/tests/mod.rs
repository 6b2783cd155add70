//! Spaces on a machine that refuses what a real one would, beside maps.

mod fake;

use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::{index, Spaces, Tables, POOL, SPARES, SPARE_TABLES};
use crate::platform::{Change, OutOfMemory, SpaceId, UserAccess, BLOCK};
use fake::{Fake, WRITE};

/// What a space should show.
#[derive(Default)]
struct Model {
    pages: BTreeMap<u64, u64>,
    /// Blocks for which there is a table, and whether they can be written.
    blocks: BTreeMap<u64, bool>,
}

impl Model {
    fn visible(&self) -> BTreeMap<u64, u64> {
        let is_frozen = |page: u64| self.blocks.get(&(page * 4096 / BLOCK)) == Some(&false);
        let shown = |(page, entry): (&u64, &u64)| match is_frozen(*page) {
            true => (*page, entry & !WRITE),
            false => (*page, *entry),
        };
        self.pages.iter().map(shown).collect()
    }
}

/// A block, an index, and a frame that may be written, run; or nothing.
type Wanted = (usize, usize, Option<(usize, bool, bool)>);

/// A step; spaces are chosen among those there are.
#[derive(Clone, Debug)]
enum Step {
    New,
    Free(usize),
    Change(usize, Vec<Wanted>),
    Freeze(usize, usize, bool),
    Activate(usize),
    /// The program that runs touches all it has.
    Touch,
    GiveUp,
    /// So many more tables can be had.
    Limit(usize),
}

/// Blocks that share tables above them, or do not.
const BLOCKS: [u64; 6] = [0, 1, 7, 512, 512 * 512, 512 * 512 * 255 + 511];
const INDEXES: [u64; 5] = [0, 1, 63, 64, 511];

fn address(block: usize, index: usize) -> u64 {
    BLOCKS[block % BLOCKS.len()] * BLOCK + INDEXES[index % INDEXES.len()] * 4096
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let page = proptest::option::weighted(0.7, (1..9_usize, any::<bool>(), any::<bool>()));
    let block = || prop_oneof![4 => 0..2_usize, 1 => 0..6_usize];
    let changes = proptest::collection::vec((block(), 0..5_usize, page), 1..12);
    let step = prop_oneof![
        3 => Just(Step::New),
        3 => any::<usize>().prop_map(Step::Free),
        8 => (any::<usize>(), changes).prop_map(|(space, changes)| Step::Change(space, changes)),
        5 => (any::<usize>(), block(), any::<bool>()).prop_map(|(s, b, w)| Step::Freeze(s, b, w)),
        5 => any::<usize>().prop_map(Step::Activate),
        4 => Just(Step::Touch),
        1 => Just(Step::GiveUp),
        1 => (0..20_usize).prop_map(Step::Limit),
    ];
    proptest::collection::vec(step, 1..80)
}

struct World {
    fake: Fake,
    spaces: Spaces<Fake>,
    models: Vec<(SpaceId, Model)>,
    active: Option<SpaceId>,
}

impl World {
    fn new(is_early: bool, is_keeping: bool) -> Self {
        let fake = Fake::new(is_early, is_keeping);
        let spaces = Spaces::new(fake.clone());
        spaces.reserve();
        Self { fake, spaces, models: Vec::new(), active: None }
    }

    fn pick(&mut self, number: usize) -> Option<&mut (SpaceId, Model)> {
        let count = self.models.len();
        self.models.get_mut(number.checked_rem(count)?)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::New => {
                if let Ok(id) = self.spaces.new_space() {
                    let root = self.spaces.root_of(id);
                    assert!(self.fake.inner().walk(root).is_empty(), "a new space maps something");
                    // A block of a tree that was kept has its table already.
                    self.models.push((id, Model::default()));
                }
            }
            Step::Free(number) => {
                let Some(place) = number.checked_rem(self.models.len()) else { return };
                let (id, _) = self.models.swap_remove(place);
                self.active.take_if(|active| *active == id);
                self.spaces.free_space(id);
            }
            Step::Change(number, changes) => self.change(*number, changes),
            Step::Freeze(number, block, writable) => self.freeze(*number, *block, *writable),
            Step::Activate(number) => {
                let Some(id) = self.pick(*number).map(|(id, _)| *id) else { return };
                self.spaces.activate(id);
                self.active = Some(id);
            }
            Step::Touch => {
                let mut inner = self.fake.inner();
                if let (Some(_), Some(root)) = (self.active, inner.loaded) {
                    inner.cached = inner.walk(root);
                }
            }
            Step::GiveUp => {
                let before = self.spaces.spare_frames();
                assert_eq!(self.spaces.give_up_spare(), before > 0);
                assert!(before == 0 || self.spaces.spare_frames() < before);
            }
            Step::Limit(more) => {
                let mut inner = self.fake.inner();
                inner.limit = inner.tables.len() + more;
            }
        }
    }

    fn change(&mut self, number: usize, wanted: &[Wanted]) {
        let change = |(block, index, page): &Wanted| {
            let page = page.map(|(frame, write, execute)| (frame, UserAccess { write, execute }));
            Change { address: address(*block, *index), page }
        };
        let changes: Vec<Change> = wanted.iter().map(change).collect();
        let Some(id) = self.pick(number).map(|(id, _)| *id) else { return };
        if self.spaces.change(id, &changes) == Err(OutOfMemory) {
            // Making all of them again is right.
            self.fake.inner().limit += 20;
            self.spaces.change(id, &changes).expect("there is memory now");
        }
        let fake = self.fake.clone();
        let Some((_, model)) = self.pick(number) else { return };
        for Change { address, page } in changes {
            match page {
                Some((frame, access)) => {
                    model.pages.insert(address / 4096, fake.page_entry(frame, access));
                    model.blocks.entry(address / BLOCK).or_insert(true);
                }
                None => {
                    model.pages.remove(&(address / 4096));
                }
            }
        }
    }

    fn freeze(&mut self, number: usize, block: usize, writable: bool) {
        let Some((id, model)) = self.pick(number) else { return };
        let (id, address) = (*id, address(block, 0));
        // Whether there is a table for a block nothing was ever mapped in is not said.
        if let Some(is_writable) = model.blocks.get_mut(&(address / BLOCK)) {
            *is_writable = writable;
            self.spaces.set_block_writable(id, address, writable);
        }
    }

    fn check(&self) {
        let inner = self.fake.inner();
        assert!(inner.asked.is_empty(), "something was not carried out");
        drop(inner);
        let (used, kept) = (self.spaces.table_frames(), self.spaces.spare_frames());
        assert!(kept <= SPARES * SPARE_TABLES + POOL, "{kept} frames are kept");
        assert_eq!(self.fake.inner().tables.len(), used + kept);
        for (id, model) in &self.models {
            let root = self.spaces.root_of(*id);
            let inner = self.fake.inner();
            assert_eq!(inner.walk(root), model.visible());
            if self.active == Some(*id) {
                assert_eq!(inner.loaded, Some(root));
                for (page, entry) in &inner.cached {
                    assert_eq!(Some(entry), model.visible().get(page), "an old translation");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn spaces_are_what_maps_would_be(
        steps in steps(), is_early in any::<bool>(), is_keeping in any::<bool>(),
    ) {
        let mut world = World::new(is_early, is_keeping);
        for step in &steps {
            world.step(step);
            world.check();
        }
        let ids: Vec<SpaceId> = world.models.drain(..).map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| world.spaces.free_space(id));
        assert_eq!(world.spaces.table_frames(), 0);
        while world.spaces.give_up_spare() {}
        assert_eq!(world.fake.inner().tables.len(), 0, "a table is lost");
    }
}

#[test]
fn a_kept_tree_serves_the_next_process_without_a_new_table() {
    let World { fake, spaces, .. } = World::new(false, true);
    let page = |address, frame| Change { address, page: Some((frame, UserAccess::default())) };
    let first = spaces.new_space().unwrap();
    spaces.change(first, &[page(0, 7), page(BLOCK, 8)]).unwrap();
    spaces.activate(first);
    spaces.set_block_writable(first, 0, false);
    spaces.free_space(first);
    assert_eq!((spaces.table_frames(), spaces.spare_frames()), (0, 5));
    fake.inner().limit = 0;
    let second = spaces.new_space().unwrap();
    assert!(fake.inner().walk(spaces.root_of(second)).is_empty());
    spaces.change(second, &[page(4096, 9)]).unwrap();
    assert_eq!(fake.inner().walk(spaces.root_of(second)), [(1, fake_entry(9))].into());
    // It was frozen when its process ended.
    let page = Some((9, UserAccess { write: true, execute: false }));
    spaces.change(second, &[Change { address: 4096, page }]).unwrap();
    let is_writable = || fake.inner().walk(spaces.root_of(second))[&1] & WRITE != 0;
    assert!(is_writable());
    spaces.set_block_writable(second, 0, false);
    assert!(!is_writable());
    assert_eq!((spaces.table_frames(), spaces.spare_frames()), (5, 0));
}

#[test]
fn a_tree_that_never_ran_is_not_kept_and_its_tables_are() {
    let World { spaces, .. } = World::new(false, true);
    let space = spaces.new_space().unwrap();
    let page = Some((3, UserAccess::default()));
    spaces.change(space, &[Change { address: 0, page }]).unwrap();
    spaces.free_space(space);
    assert_eq!(spaces.spare_frames(), 4);
    assert!((0..4).all(|_| spaces.give_up_spare()) && !spaces.give_up_spare());
}

#[test]
fn without_memory_a_tree_that_is_kept_is_taken_apart() {
    let World { fake, spaces, .. } = World::new(true, true);
    let page = Some((3, UserAccess::default()));
    let [first, second] = [(); 2].map(|()| spaces.new_space().unwrap());
    spaces.change(first, &[Change { address: 0, page }]).unwrap();
    spaces.free_space(first);
    fake.inner().limit = 0;
    spaces.change(second, &[Change { address: 0, page }]).unwrap();
    assert_eq!((spaces.table_frames(), spaces.spare_frames()), (4, 1));
}

#[test]
fn each_level_has_nine_bits() {
    let address = 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12 | 5;
    assert_eq!([4, 3, 2, 1].map(|level| index(address, level)), [1, 2, 3, 4]);
}

fn fake_entry(frame: usize) -> u64 {
    Fake::new(false, false).page_entry(frame, UserAccess::default())
}
