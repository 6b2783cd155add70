//! Costs over the size of a batch: both scales logarithmic, a line for each way and party.
//!
//! The first party's lines are drawn through, the second's are dashed, in the same colour. Names stand
//! at the right ends of the lines, pushed apart where they would overlap.

use super::scale::Log;
use super::{number, width_of, Svg};

/// One line.
pub struct Series {
    /// The class of its colour.
    pub class: &'static str,
    /// Its name; lines of the second party have none of their own.
    pub name: String,
    /// 0 or 1.
    pub party: usize,
    /// The same for every size: a line to compare with, without dots.
    pub flat: bool,
    /// Size of the batch, and what one operation costs in it.
    pub points: Vec<(f64, f64)>,
}

/// A plot.
pub struct Lines<'a> {
    /// What it shows, read out where it cannot be seen.
    pub description: &'a str,
    /// What the vertical axis counts.
    pub heading: &'a str,
    /// What the horizontal axis counts.
    pub below: &'a str,
    /// The names of the two parties.
    pub parties: [&'a str; 2],
    /// The lines.
    pub series: Vec<Series>,
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 58.0;
const BOTTOM: f64 = HEIGHT - 48.0;
/// Between the names of two lines.
const LEADING: f64 = 15.0;

impl Lines<'_> {
    /// The picture.
    pub fn svg(&self) -> String {
        let mut svg = Svg::new(WIDTH, HEIGHT, self.description);
        let names = self.series.iter().map(|series| width_of(&series.name)).fold(60.0, f64::max);
        let right = WIDTH - names - 26.0;
        let points = || self.series.iter().flat_map(|series| series.points.iter());
        let sizes = points().map(|point| point.0);
        let most = sizes.fold(1.0, f64::max);
        let across = Log::between(1.0, most.max(2.0), LEFT, right);
        let up = Log::around(points().map(|point| point.1), BOTTOM, TOP);
        self.axes(&mut svg, &across, &up, right);
        for series in self.series.iter().rev() {
            self.series(&mut svg, series, &across, &up);
        }
        for (series, y) in self.names(&up) {
            svg.text(
                &format!("{} name", series.class),
                "start",
                (right + 12.0, y + 4.0),
                &series.name,
            );
        }
        svg.finish()
    }

    fn axes(&self, svg: &mut Svg, across: &Log, up: &Log, right: f64) {
        svg.text("title", "start", (16.0, 24.0), self.heading);
        let mut x = right - 46.0 - width_of(self.parties[0]) - width_of(self.parties[1]);
        for (class, party) in
            [("native line", self.parties[0]), ("native line second", self.parties[1])]
        {
            svg.line(class, (x - 30.0, 20.0), (x - 6.0, 20.0));
            svg.text("", "start", (x, 24.0), party);
            x += 50.0 + width_of(party);
        }
        for tick in up.ticks() {
            svg.line("grid", (LEFT, up.at(tick)), (right, up.at(tick)));
            svg.text("soft", "end", (LEFT - 8.0, up.at(tick) + 4.0), &number(tick));
        }
        let mut size = 1.0;
        while across.at(size) < right + 0.1 {
            svg.line("axis", (across.at(size), BOTTOM), (across.at(size), BOTTOM + 4.0));
            svg.text("soft", "middle", (across.at(size), BOTTOM + 18.0), &number(size));
            if across.at(size * 2.0) <= across.at(size) {
                break;
            }
            size *= 2.0;
        }
        svg.line("axis", (LEFT, BOTTOM), (right, BOTTOM));
        svg.text("soft", "middle", ((LEFT + right) / 2.0, BOTTOM + 37.0), self.below);
    }

    fn series(&self, svg: &mut Svg, series: &Series, across: &Log, up: &Log) {
        let second = if series.party == 1 { " second" } else { "" };
        let place = |(size, cost): &(f64, f64)| (across.at(*size), up.at(*cost));
        let points: Vec<(f64, f64)> = series.points.iter().map(place).collect();
        let flat = if series.flat { " flat" } else { "" };
        svg.path(&format!("{} line{flat}{second}", series.class), &points);
        if series.flat {
            return;
        }
        let style = ["full", "hollow"][series.party.min(1)];
        for ((size, cost), at) in series.points.iter().zip(points) {
            let party = self.parties[series.party.min(1)];
            let tip = format!("{} of {}, {party}: {}", series.name, number(*size), number(*cost));
            svg.dot(&format!("{} {style}", series.class), at, 2.6, &tip);
        }
    }

    /// The first party's lines with the heights of their names, from top to bottom.
    fn names(&self, up: &Log) -> Vec<(&Series, f64)> {
        let named = self.series.iter().filter(|series| series.party == 0);
        let end = |series: &&Series| series.points.last().map_or(BOTTOM, |point| up.at(point.1));
        let mut names: Vec<(&Series, f64)> = named.map(|series| (series, end(&series))).collect();
        names.sort_by(|one, other| one.1.total_cmp(&other.1));
        spread(&mut names);
        names
    }
}

/// Moves heights that are too close downwards, and what then lies too low upwards again.
fn spread<T>(names: &mut [(T, f64)]) {
    for index in 1..names.len() {
        names[index].1 = names[index].1.max(names[index - 1].1 + LEADING);
    }
    let mut limit = BOTTOM;
    for (_, y) in names.iter_mut().rev() {
        *y = y.min(limit);
        limit = *y - LEADING;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_overlap_and_stay_inside() {
        let mut names = vec![((), 60.0), ((), 62.0), ((), BOTTOM - 3.0), ((), BOTTOM)];
        spread(&mut names);
        for pair in names.windows(2) {
            assert!(pair[1].1 - pair[0].1 >= LEADING - 0.01, "{names:?}");
        }
        assert!(names.iter().all(|name| name.1 <= BOTTOM));
    }

    #[test]
    fn both_parties_are_drawn_and_one_is_named() {
        let line = |party| Series {
            class: "batch",
            name: "mmu_update".into(),
            party,
            flat: false,
            points: vec![(1.0, 500.0), (2.0, 300.0), (128.0, 200.0)],
        };
        let plot = Lines {
            description: "d",
            heading: "instructions",
            below: "entries",
            parties: ["Zendo", "Xen"],
            series: vec![line(0), line(1)],
        };
        let svg = plot.svg();
        assert_eq!(svg.matches(">mmu_update</text>").count(), 1, "{svg}");
        assert!(svg.contains("batch line second") && svg.contains("\"batch line\""), "{svg}");
        assert!(svg.contains("mmu_update of 128, Xen: 200"), "{svg}");
        assert!(svg.contains(">128</text>") && !svg.contains(">256</text>"), "{svg}");
    }
}
