//! The rows of `bench kernel`: what the programs print, and what is required.

use std::collections::BTreeMap;

use super::Place;

/// The row of the start, which is not printed by `bench`.
pub const START: &str = "start_to_prompt";
/// What begins the line that tells of the start, with the word `tell-start` on the kernel's command line.
pub const START_BEGINS: &str = "shell: first wait for input after ";

/// Largest count on Zendo.
const LIMITS: &[(&str, u64)] = &[("null_call", 320), ("context_switch", 1300), (START, 30_000_000)];
/// Largest multiple of the native count on Zendo, in tenths; and it must be below Xen's.
const RATIOS: &[(&str, u64)] = &[("fork_exit_1mib", 25)];

/// Instructions by row and place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    order: Vec<String>,
    values: BTreeMap<(String, Place), u64>,
}

impl Figures {
    /// Adds those of another place.
    pub fn join(&mut self, others: Self) {
        let is_new = |name: &String| !self.order.contains(name);
        let new: Vec<String> = others.order.into_iter().filter(is_new).collect();
        self.order.extend(new);
        self.values.extend(others.values);
    }

    /// Takes the lines `bench NAME VALUE`; a row that cannot be measured, `bench NAME - WHY`, is left out.
    pub fn read(&mut self, place: Place, printed: &str) -> Result<(), String> {
        let before = self.values.len();
        for line in printed.lines().map(str::trim) {
            let mut words = line.split(' ');
            let (Some("bench"), Some(name), Some(value)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if value != "-" {
                let value = value.parse().map_err(|_| format!("not a row: '{line}'"))?;
                self.set(name, place, value);
            }
        }
        match self.values.len() - before {
            0 => Err("the program `bench` printed no rows".to_string()),
            _ => Ok(()),
        }
    }

    /// Takes what is behind `START_BEGINS`.
    pub fn read_start(&mut self, place: Place, rest: &str) -> Result<(), String> {
        let number = rest.split_whitespace().next().and_then(|word| word.parse().ok());
        let number = number.ok_or(format!("'{}' is no number of ticks", rest.trim()))?;
        self.set(START, place, number);
        Ok(())
    }

    fn set(&mut self, name: &str, place: Place, value: u64) {
        if !self.order.iter().any(|known| known == name) {
            self.order.push(name.to_string());
        }
        self.values.insert((name.to_string(), place), value);
    }

    /// Names in the order in which they came.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.order.len()
    }

    /// A value.
    pub fn get(&self, name: &str, place: Place) -> Option<u64> {
        self.values.get(&(name.to_string(), place)).copied()
    }
}

/// What is required of a row, for people; empty if nothing is.
pub fn required(name: &str) -> String {
    let limit = LIMITS.iter().find(|(row, _)| *row == name);
    let ratio = RATIOS.iter().find(|(row, _)| *row == name);
    match (limit, ratio) {
        (Some((_, limit)), _) => format!("<= {limit}"),
        (None, Some((_, tenths))) => {
            format!("<= {}.{} x native, < Xen", tenths / 10, tenths % 10)
        }
        (None, None) => String::new(),
    }
}

/// One line for each requirement that does not hold.
pub fn missed(figures: &Figures) -> Vec<String> {
    let mut missed = Vec::new();
    for (name, limit) in LIMITS {
        match figures.get(name, Place::Zendo) {
            Some(value) if value <= *limit => {}
            Some(value) => missed.push(format!("{name}: {value}, at most {limit}")),
            None => missed.push(format!("{name}: not measured")),
        }
    }
    for (name, tenths) in RATIOS {
        let [native, zendo, xen] = Place::ALL.map(|place| figures.get(name, place));
        match (native, zendo, xen) {
            (Some(native), Some(zendo), Some(xen)) => {
                if 10 * zendo > tenths * native {
                    missed.push(format!("{name}: {zendo}, native {native}"));
                }
                if zendo >= xen {
                    missed.push(format!("{name}: {zendo}, Xen {xen}"));
                }
            }
            _ => missed.push(format!("{name}: not measured everywhere")),
        }
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let mut figures = Figures::default();
        let rows = [("null_call", 60, 310, 700), ("context_switch", 500, 1200, 4000)];
        let fork = [("fork_exit_1mib", 20_000, 50_000, 90_000)];
        for (name, native, zendo, xen) in rows.into_iter().chain(fork) {
            for (place, value) in Place::ALL.into_iter().zip([native, zendo, xen]) {
                let line = format!("noise\nbench {name} {value}\r\nbench ping - no network\n");
                figures.read(place, &line).expect("rows");
                figures.read_start(place, "29000000 ticks\r").expect("a number");
            }
        }
        figures
    }

    #[test]
    fn what_holds_is_not_missed_and_what_does_not_is() {
        assert_eq!(missed(&figures()), Vec::<String>::new());
        let mut worse = figures();
        worse.set("null_call", Place::Zendo, 321);
        worse.set("fork_exit_1mib", Place::Zendo, 50_001);
        assert_eq!(missed(&worse).len(), 2);
        worse.set("fork_exit_1mib", Place::Xen, 50_000);
        assert_eq!(missed(&worse).len(), 3);
        assert_eq!(missed(&Figures::default()).len(), LIMITS.len() + RATIOS.len());
    }

    #[test]
    fn rows_without_a_value_are_left_out() {
        let figures = figures();
        assert_eq!(figures.get("ping", Place::Native), None);
        assert_eq!(figures.rows(), 4);
        assert!(Figures::default().read(Place::Xen, "bench ping - none").is_err());
        assert!(Figures::default().read(Place::Xen, "bench null_call many").is_err());
    }
}
