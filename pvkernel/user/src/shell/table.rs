//! Things by name: few of them, so a sorted list does.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Things by name.
#[derive(Clone, Debug)]
pub struct Table<T>(Vec<(String, T)>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Table<T> {
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.as_str().cmp(name))
    }

    /// What has this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        let place = self.place(name).ok()?;
        self.0.get(place).map(|(_, thing)| thing)
    }

    /// Gives a thing a name, in place of what had it.
    pub fn set(&mut self, name: &str, thing: T) {
        match self.place(name) {
            Ok(place) => self.0[place].1 = thing,
            Err(place) => self.0.insert(place, (name.to_string(), thing)),
        }
    }

    /// Takes a name away.
    pub fn remove(&mut self, name: &str) {
        if let Ok(place) = self.place(name) {
            self.0.remove(place);
        }
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_table_is_a_map(steps in prop::collection::vec(("[a-c]{0,2}", prop::option::of(0..9u8)), 0..40)) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            for (name, thing) in steps {
                match thing {
                    Some(thing) => {
                        table.set(&name, thing);
                        model.insert(name.clone(), thing);
                    }
                    None => {
                        table.remove(&name);
                        model.remove(&name);
                    }
                }
                prop_assert_eq!(table.get(&name), model.get(&name));
            }
            prop_assert!(table.names().eq(model.keys()));
        }
    }
}
