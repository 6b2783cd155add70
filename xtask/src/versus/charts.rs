//! The plots of the page.

use super::measure::{Measured, NAMES};
use super::wishes::{Best, Curve, Kind, Wish, SIZES, SUMMARY, WISHES};
use crate::plot::dots::{Dots, Pair, Row};
use crate::plot::lines::{Lines, Series};

const PANELS: [&str; 2] = ["instructions", "modelled cycles"];

/// Every plot with the name of its file, without extension.
pub fn all(measured: &Measured) -> Vec<(String, String)> {
    let mut plots = vec![("versus".to_string(), summary(measured))];
    for wish in WISHES {
        plots.push((format!("versus-{}", wish.id), ways(wish, measured)));
        if !wish.curves.is_empty() {
            plots.push((format!("versus-{}-batch", wish.id), batches(wish, measured)));
        }
    }
    plots
}

fn pairs(row: &str, measured: &Measured) -> Vec<Pair> {
    let both = [measured.cost(row, 0), measured.cost(row, 1)];
    let instructions = both.map(|cost| cost.map(|cost| cost.instructions()));
    let cycles = both.map(|cost| cost.map(|cost| cost.cycles()));
    vec![instructions, cycles]
}

/// All wishes, a dot for each kind of way.
fn summary(measured: &Measured) -> String {
    let row = |wish: &Wish| {
        let kinds = SUMMARY.iter().zip(&wish.summary);
        let dots = kinds.filter_map(|((name, kind), best)| match best {
            Best::Row(row) => Some((kind.class(), name.to_string(), pairs(row, measured))),
            Best::None(_) => None,
        });
        Row { label: wish.title.to_string(), dots: dots.collect() }
    };
    let legend = SUMMARY.map(|(name, kind)| (kind.class(), name));
    let plot = Dots {
        description:
            "What each wish of a kernel costs by trap, by one hypercall, in a batch of 128 \
                      and by shared memory, on Zendo and on Xen",
        panels: &PANELS,
        parties: NAMES,
        legend: &legend,
        rows: WISHES.iter().map(row).collect(),
    };
    plot.svg()
}

/// The ways to get one wish.
fn ways(wish: &Wish, measured: &Measured) -> String {
    let row = |way: &super::wishes::Way| {
        let name = format!("{} ({})", way.label, way.kind.name());
        let dots = vec![(way.kind.class(), name, pairs(way.row, measured))];
        Row { label: way.label.to_string(), dots }
    };
    let description = format!("{}: instructions and modelled cycles by each way", wish.title);
    let plot = Dots {
        description: &description,
        panels: &PANELS,
        parties: NAMES,
        legend: &[],
        rows: wish.ways.iter().map(row).collect(),
    };
    plot.svg()
}

/// What one wish costs in batches, beside the flat lines of the ways that know none.
fn batches(wish: &Wish, measured: &Measured) -> String {
    let mut series = Vec::new();
    for party in 0..NAMES.len() {
        for way in wish.ways.iter().filter(|way| flat(wish, way)) {
            let Some(cost) = measured.cost(way.row, party) else { continue };
            let points = SIZES.map(|size| (size as f64, cost.instructions())).to_vec();
            let name = format!("{} ({})", way.label, way.kind.name());
            series.push(Series { class: way.kind.class(), name, party, flat: true, points });
        }
        for curve in wish.curves {
            series.push(line(curve, party, measured));
        }
    }
    series.retain(|series| !series.points.is_empty());
    let heading = format!("instructions for each {}", wish.unit);
    let description = format!("{}: {heading} over the size of the batch", wish.title);
    let plot = Lines {
        description: &description,
        heading: &heading,
        below: wish.below,
        parties: NAMES,
        series,
    };
    plot.svg()
}

/// Whether a way is drawn as a flat line: traps, and calls that are not the first point of a curve.
fn flat(wish: &Wish, way: &super::wishes::Way) -> bool {
    let starts_curve = wish.curves.iter().any(|curve| way.row.starts_with(curve.rows));
    matches!(way.kind, Kind::Trap | Kind::Call) && !starts_curve
}

fn line(curve: &Curve, party: usize, measured: &Measured) -> Series {
    let point = |size: u64| {
        let cost = measured.cost(&format!("{}_{size}", curve.rows), party)?;
        Some((size as f64, cost.instructions()))
    };
    let points = SIZES.into_iter().filter_map(point).collect();
    Series { class: curve.kind.class(), name: curve.label.to_string(), party, flat: false, points }
}
