//! Values of two parties side by side: one line for each thing, a dot for each value.
//!
//! On a logarithmic scale the length of a bar means nothing; the place of a dot does. A full dot is
//! the first party, a hollow one the second, and the line between them is their ratio.

use super::scale::Log;
use super::{number, width_of, Svg};

/// The two values of one thing in one panel.
pub type Pair = [Option<f64>; 2];

/// One line of the plot.
pub struct Row {
    /// What it is.
    pub label: String,
    /// The dots: a colour's class, a word for the pointer, and a pair for each panel.
    pub dots: Vec<(&'static str, String, Vec<Pair>)>,
}

/// A plot.
pub struct Dots<'a> {
    /// What it shows, read out where it cannot be seen.
    pub description: &'a str,
    /// The headings of the panels.
    pub panels: &'a [&'a str],
    /// The names of the two parties.
    pub parties: [&'a str; 2],
    /// Names of colours, where the lines do not say what they are.
    pub legend: &'a [(&'static str, &'a str)],
    /// The lines from top to bottom.
    pub rows: Vec<Row>,
}

const WIDTH: f64 = 900.0;
const LINE: f64 = 26.0;
const TOP: f64 = 62.0;
const MARGIN: f64 = 16.0;
const GAP: f64 = 44.0;
const RADIUS: f64 = 4.5;

impl Dots<'_> {
    /// The picture.
    pub fn svg(&self) -> String {
        let bottom = TOP + LINE * self.rows.len() as f64;
        let mut svg = Svg::new(WIDTH, bottom + 34.0, self.description);
        let labels = self.rows.iter().map(|row| width_of(&row.label)).fold(80.0, f64::max);
        let first = MARGIN + labels + 14.0;
        let each = (WIDTH - MARGIN - 14.0 - first - GAP * (self.panels.len() as f64 - 1.0))
            / self.panels.len() as f64;
        self.legend(&mut svg);
        for (index, row) in self.rows.iter().enumerate() {
            let y = TOP + LINE * (index as f64 + 0.5);
            let class = match row.dots.as_slice() {
                [(class, _, _)] if self.legend.is_empty() => format!("{class} name"),
                _ => String::new(),
            };
            svg.text(&class, "end", (first - 14.0, y + 4.0), &row.label);
        }
        for (panel, heading) in self.panels.iter().enumerate() {
            let from = first + panel as f64 * (each + GAP);
            self.panel(&mut svg, panel, heading, (from, from + each), bottom);
        }
        svg.finish()
    }

    fn legend(&self, svg: &mut Svg) {
        let mut x = MARGIN;
        for (class, party) in [("full", self.parties[0]), ("hollow", self.parties[1])] {
            svg.dot(&format!("native {class}"), (x + RADIUS, 18.0), RADIUS, party);
            svg.text("", "start", (x + 14.0, 22.0), party);
            x += 30.0 + width_of(party);
        }
        x += 16.0;
        for (class, name) in self.legend {
            svg.dot(&format!("{class} full"), (x + RADIUS, 18.0), RADIUS, name);
            svg.text("", "start", (x + 14.0, 22.0), name);
            x += 30.0 + width_of(name);
        }
    }

    fn panel(
        &self,
        svg: &mut Svg,
        panel: usize,
        heading: &str,
        (from, to): (f64, f64),
        bottom: f64,
    ) {
        let pair = |dots: &Vec<Pair>| dots.get(panel).copied().unwrap_or_default();
        let pairs = self.rows.iter().flat_map(|row| row.dots.iter().map(move |dot| pair(&dot.2)));
        let scale = Log::around(pairs.flatten().flatten(), from, to);
        svg.text("title", "start", (from, 46.0), heading);
        let mut free = from - 100.0;
        for tick in scale.ticks() {
            let (x, text) = (scale.at(tick), number(tick));
            svg.line("grid", (x, TOP - 4.0), (x, bottom));
            if x - width_of(&text) / 2.0 > free {
                svg.text("soft", "middle", (x, bottom + 18.0), &text);
                free = x + width_of(&text) / 2.0 + 6.0;
            }
        }
        for (index, row) in self.rows.iter().enumerate() {
            let y = TOP + LINE * (index as f64 + 0.5);
            for (class, name, pairs) in &row.dots {
                self.dots(svg, class, name, pair(pairs), &scale, y);
            }
        }
    }

    fn dots(&self, svg: &mut Svg, class: &str, name: &str, pair: Pair, scale: &Log, y: f64) {
        if let [Some(one), Some(other)] = pair {
            svg.line(&format!("{class} span"), (scale.at(one), y), (scale.at(other), y));
        }
        // The second first: where both are the same, the first party is seen.
        for (party, value) in pair.iter().enumerate().rev() {
            let Some(value) = value else { continue };
            let style = ["full", "hollow"][party];
            let tip = format!("{name}, {}: {}", self.parties[party], number(*value));
            svg.dot(&format!("{class} {style}"), (scale.at(*value), y), RADIUS, &tip);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(value: Option<f64>) -> String {
        let pairs = vec![[value, Some(2000.0)]];
        let rows =
            vec![Row { label: "trap".into(), dots: vec![("trap", "by trap".into(), pairs)] }];
        let plot = Dots {
            description: "d",
            panels: &["instructions"],
            parties: ["Zendo", "Xen"],
            legend: &[],
            rows,
        };
        plot.svg()
    }

    #[test]
    fn each_value_has_a_dot_that_tells_it() {
        let svg = plot(Some(500.0));
        assert!(svg.contains("<title>by trap, Zendo: 500</title>"), "{svg}");
        assert!(svg.contains("<title>by trap, Xen: 2,000</title>"), "{svg}");
        assert!(svg.contains("trap span"), "{svg}");
    }

    #[test]
    fn a_value_that_was_not_measured_has_none() {
        let svg = plot(None);
        assert!(!svg.contains("Zendo:") && svg.contains("Xen: 2,000"), "{svg}");
        assert!(!svg.contains("trap span"), "{svg}");
    }
}
