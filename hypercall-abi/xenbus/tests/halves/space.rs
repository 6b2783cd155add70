//! All worlds that can come out of others, and how far each of them is from rest.
//!
//! A model check, not a sample: worlds are finitely many, because halves remember little and rings are
//! told apart only while somebody names them. Every order of turns is a path through them.

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{BuildHasherDefault, Hasher};

use crate::model::{Event, Turn, World};

/// The turns of both halves: those that work first, then those whose step fails if it can.
const TURNS: [Event; 4] =
    [Event::Front(false), Event::Back(false), Event::Front(true), Event::Back(true)];
/// As many of them work.
pub const WORKING: usize = 2;
/// All of them.
pub const FAILING: usize = TURNS.len();

/// Once only turns follow, both halves together do at most as many steps, in whatever order.
pub const STEPS_TO_REST: u8 = 18;
/// The same when any of the steps may fail.
pub const STEPS_TO_REST_FAILING: u8 = 24;

/// Where a turn leads, and whether it did something.
type Edge = (u32, bool);

/// A set of worlds that turns and some events do not lead out of.
pub struct Space {
    pub worlds: Vec<World>,
    /// How each was found: from which one, by what.
    found: Vec<Option<(u32, Event)>>,
    edges: Vec<Vec<Edge>>,
}

/// Spreads values that nobody chooses to collide, fast.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let value = chunk.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
            self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

struct Search {
    index: HashMap<World, u32, BuildHasherDefault<Mixer>>,
    space: Space,
}

impl Search {
    fn visit(&mut self, world: World, found: Option<(u32, Event)>) -> u32 {
        if let Some(number) = self.index.get(&world) {
            return *number;
        }
        let number = u32::try_from(self.space.worlds.len()).expect("fewer than 2^32 worlds");
        self.space.worlds.push(world.clone());
        self.space.found.push(found);
        self.index.insert(world, number);
        number
    }

    fn turns(&mut self, number: u32, turns: usize) {
        let edges = TURNS[..turns]
            .iter()
            .map(|event| {
                let mut world = self.space.worlds[number as usize].clone();
                let turn = match event {
                    Event::Front(fails) => world.front_turn(*fails),
                    Event::Back(fails) => world.back_turn(*fails),
                    _ => unreachable!(),
                };
                (self.visit(world, Some((number, *event))), turn == Turn::Stepped)
            })
            .collect();
        self.space.edges.push(edges);
    }
}

impl Space {
    /// Everything that the first `turns` of [`TURNS`] and `events` make of `starts`.
    pub fn of(starts: impl IntoIterator<Item = World>, turns: usize, events: &[Event]) -> Self {
        let space = Self { worlds: Vec::new(), found: Vec::new(), edges: Vec::new() };
        let mut search = Search { index: HashMap::default(), space };
        for start in starts {
            search.visit(start, None);
        }
        let mut number = 0;
        while (number as usize) < search.space.worlds.len() {
            search.turns(number, turns);
            for event in events {
                let mut world = search.space.worlds[number as usize].clone();
                world.event(*event);
                search.visit(world, Some((number, *event)));
            }
            number += 1;
        }
        search.space
    }

    /// Everything that turns which work make of the worlds that `fit`, after these events.
    pub fn after(&self, fits: impl Fn(&World) -> bool, events: &[Event]) -> Self {
        let starts = self.worlds.iter().filter(|world| fits(world));
        Self::of(starts.map(|world| world.clone().after(events)), WORKING, &[])
    }

    /// The worlds in which no half has anything to do.
    fn at_rest(&self) -> impl Iterator<Item = usize> + '_ {
        let rests = |number: &usize| {
            let edges = &self.edges[*number][..WORKING];
            edges.iter().all(|(next, _)| *next as usize == *number)
        };
        (0..self.worlds.len()).filter(rests)
    }

    /// As [`Space::after`], only of the worlds in which no half has anything to do.
    pub fn after_rest(&self, fits: impl Fn(&World) -> bool, events: &[Event]) -> Self {
        let rests: Vec<_> = self.at_rest().map(|number| self.worlds[number].clone()).collect();
        let starts = rests.into_iter().filter(|world| fits(world)).map(|world| world.after(events));
        Self::of(starts, WORKING, &[])
    }

    /// Holds every world in which no half has anything to do to a condition.
    ///
    /// # Panics
    /// With a shortest way to one for which it is not true, or when there is none at rest.
    pub fn all_rest(&self, is_right: impl Fn(&World) -> bool) {
        assert!(self.at_rest().next().is_some(), "nothing rests");
        for number in self.at_rest() {
            let world = &self.worlds[number];
            assert!(is_right(world), "{world:?} after {}", self.history(number));
        }
    }

    /// The most steps that both halves can do from anywhere before they rest, when only turns follow (the
    /// first `turns` of [`TURNS`]), in whatever order.
    ///
    /// # Panics
    /// When they can go on for ever.
    pub fn steps_to_rest(&self, turns: usize) -> u8 {
        const NEW: u8 = u8::MAX;
        const OPEN: u8 = u8::MAX - 1;
        let mut steps = vec![NEW; self.worlds.len()];
        for start in 0..steps.len() {
            let mut path = vec![(start, 0)];
            while let Some((number, turn)) = path.pop() {
                if turn == 0 && steps[number] != NEW {
                    continue;
                }
                steps[number] = OPEN;
                let edges = &self.edges[number][..turns];
                let Some((next, _)) = edges.get(turn) else {
                    let ends = edges.iter().filter(|(next, _)| *next as usize != number);
                    let far = ends.map(|(next, acts)| steps[*next as usize] + u8::from(*acts));
                    steps[number] = far.max().unwrap_or(0);
                    continue;
                };
                path.push((number, turn + 1));
                let next = *next as usize;
                let is_idle = next == number && !edges[turn].1;
                assert!(is_idle || steps[next] != OPEN, "{}", self.describe_loop(next, &path));
                path.push((next, 0));
            }
        }
        steps.into_iter().max().unwrap_or(0)
    }

    fn describe_loop(&self, start: usize, path: &[(usize, usize)]) -> String {
        let mut text = format!("the halves never come to rest after {}", self.history(start));
        let from = path.iter().position(|(number, _)| *number == start).unwrap_or(0);
        for (number, turn) in &path[from..] {
            let world = &self.worlds[*number];
            write!(text, "\n{:?} in {world:?}", TURNS[*turn - 1]).expect("text");
        }
        text
    }

    /// A shortest way to a world.
    fn history(&self, mut number: usize) -> String {
        let mut events = Vec::new();
        while let Some((before, event)) = self.found[number] {
            events.push(event);
            number = before as usize;
        }
        events.reverse();
        format!("{events:?} from {:?}", self.worlds[number].nodes)
    }
}
