//! The results as files: `target/bench/bench.{csv,json,svg}`.

use std::fs;
use std::path::PathBuf;

use serde_json::{json, Map, Value};

use super::chart;
use super::sheet::{Cell, Sheet};
use crate::paths::Paths;
use crate::trace::events::KINDS;
use crate::Result;

/// What was measured, for whoever reads the files later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The hash of the guest's file.
    pub guest_sha256: String,
    /// Xen's version.
    pub xen: Option<String>,
}

/// Writes all of them and says where.
pub fn write(paths: &Paths, sheet: &Sheet, origin: &Origin) -> Result<PathBuf> {
    let folder = paths.target.join("bench");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let json = serde_json::to_string_pretty(&json(sheet, origin));
    let json = json.map_err(|error| format!("bench.json: {error}"))?;
    let files =
        [("bench.csv", csv(sheet)), ("bench.json", json), ("bench.svg", chart::draw(sheet))];
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(folder)
}

/// One line for each row; numbers that were not measured are left empty.
pub fn csv(sheet: &Sheet) -> String {
    let mut text = String::from("row,unit");
    for which in ["xen", "zendo"] {
        text.push_str(&format!(",{which}_instructions,{which}_ns,{which}_guest,{which}_cycles"));
        KINDS.iter().for_each(|kind| text.push_str(&format!(",{which}_{}", kind.name)));
    }
    text.push('\n');
    for line in &sheet.lines {
        text.push_str(&format!("{},{}", line.name, line.unit));
        text.push_str(&cells(&line.xen));
        text.push_str(&cells(&line.zendo));
        text.push('\n');
    }
    text
}

fn cells(cell: &Option<Cell>) -> String {
    let events = cell.as_ref().and_then(|cell| cell.events.as_ref());
    let number = |number: Option<f64>| number.map_or(",".into(), |number| format!(",{number:.2}"));
    let mut text = number(cell.as_ref().map(|cell| cell.instructions));
    text.push_str(&number(cell.as_ref().and_then(|cell| cell.nanoseconds)));
    text.push_str(&number(events.map(|events| events.guest)));
    text.push_str(&number(events.map(|events| events.cycles)));
    for index in 0..KINDS.len() {
        text.push_str(&number(events.map(|events| events.counts[index])));
    }
    text
}

fn json(sheet: &Sheet, origin: &Origin) -> Value {
    let rows = sheet.lines.iter().map(|line| {
        json!({
            "row": line.name,
            "unit": line.unit,
            "xen": line.xen.as_ref().map(object),
            "zendo": line.zendo.as_ref().map(object),
        })
    });
    let weights = KINDS
        .iter()
        .map(|kind| json!({ "event": kind.name, "cycles": kind.cycles, "why": kind.why }));
    json!({
        "guest_sha256": origin.guest_sha256,
        "xen_version": origin.xen,
        "weights": weights.collect::<Vec<_>>(),
        "rows": rows.collect::<Vec<_>>(),
    })
}

fn object(cell: &Cell) -> Value {
    let events = cell.events.as_ref();
    let named = events.map(|events| {
        let pairs = KINDS.iter().zip(events.counts).filter(|(_, count)| *count > 0.0);
        pairs.map(|(kind, count)| (kind.name.to_string(), json!(count))).collect::<Map<_, _>>()
    });
    json!({
        "instructions": cell.instructions,
        "nanoseconds": cell.nanoseconds,
        "traced_instructions": events.map(|events| events.instructions),
        "guest_instructions": events.map(|events| events.guest),
        "cycles": events.map(|events| events.cycles),
        "events": named,
    })
}

#[cfg(test)]
mod tests {
    use super::super::sheet::tests::sample;
    use super::*;

    #[test]
    fn every_line_of_the_csv_has_as_many_fields_as_the_header() {
        let text = csv(&sample());
        let fields: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(fields, [2 + 2 * (4 + KINDS.len()); 4]);
        assert!(text.contains("\nhc_a,hypercall,200.00,200.00,,"), "{text}");
    }

    #[test]
    fn the_json_names_what_ran_and_leaves_unknown_numbers_null() {
        let origin = Origin { guest_sha256: "00ff".into(), xen: None };
        let value = json(&sample(), &origin);
        assert_eq!(value["guest_sha256"], "00ff");
        assert_eq!(value["rows"][0]["zendo"]["instructions"], 100.0);
        assert!(value["rows"][2]["xen"].is_null());
        assert!(value["rows"][0]["zendo"]["cycles"].is_null());
    }
}
