//! The texts of the page: numbers filled in, and a little Markdown turned into HTML.
//!
//! A text says what happens on each way; the numbers in it are those that were measured, so that it
//! cannot go stale. Between braces stands a party and a row: `{z pte_trap}` are instructions on Zendo,
//! `{x pte_trap}` on Xen, and `{z mask_trap/mask_shared}` is a ratio. Of Markdown there are paragraphs,
//! `code`, *emphasis* and **strong**.

use super::measure::Measured;
use crate::plot::{escape, number};
use crate::Result;

/// What stands for a number that is not there.
const NOTHING: &str = "(not measured)";

/// A text as HTML.
pub fn html(text: &str, measured: &Measured) -> Result<String> {
    let filled = fill(text, measured)?;
    let paragraphs = filled.split("\n\n").map(str::trim).filter(|text| !text.is_empty());
    Ok(paragraphs.map(|text| format!("<p>{}</p>\n", inline(text))).collect())
}

/// Puts numbers in the place of what stands between braces.
fn fill(text: &str, measured: &Measured) -> Result<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) =
            after.split_once('}').ok_or("a text has a brace without its other")?;
        filled.push_str(before);
        filled.push_str(&value(inside, measured)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn value(inside: &str, measured: &Measured) -> Result<String> {
    let wrong = || format!("a text asks for '{inside}'");
    let (party, rows) = inside.split_once(' ').ok_or_else(wrong)?;
    let party = ["z", "x"].iter().position(|name| *name == party).ok_or_else(wrong)?;
    let cost = |row: &str| {
        let known = measured.rows.contains_key(&format!("versus_{row}"));
        let cost = measured.cost(row, party).map(|cost| cost.instructions());
        if known {
            Ok(cost)
        } else {
            Err(wrong())
        }
    };
    let number = match rows.split_once('/') {
        None => cost(rows)?.map(number),
        Some((one, other)) => {
            let pair = cost(one)?.zip(cost(other)?);
            pair.filter(|(_, other)| *other > 0.0).map(|(one, other)| number(one / other))
        }
    };
    Ok(number.unwrap_or(NOTHING.to_string()))
}

/// Marks within a paragraph; an odd mark out stays as it is.
fn inline(text: &str) -> String {
    let text = escape(text);
    let text = between(&text, "`", "code");
    let text = between(&text, "**", "strong");
    between(&text, "*", "em")
}

fn between(text: &str, mark: &str, element: &str) -> String {
    let mut parts = text.split(mark).peekable();
    let mut html = parts.next().unwrap_or_default().to_string();
    while let Some(part) = parts.next() {
        match parts.next() {
            Some(after) => html.push_str(&format!("<{element}>{part}</{element}>{after}")),
            None => html.push_str(&format!("{mark}{part}")),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versus::measure::Cost;
    use crate::versus::wishes::{SIZES, WISHES};

    fn cost(ticks: u64) -> Option<Cost> {
        Some(Cost { units: 10, ticks, ..Default::default() })
    }

    fn measured() -> Measured {
        let rows =
            [("versus_a".into(), [cost(12_000), None]), ("versus_b".into(), [cost(80), cost(90)])];
        Measured { rows: rows.into(), provenance: Vec::new() }
    }

    #[test]
    fn numbers_are_those_that_were_measured() {
        let text = html("It is {z a} or {x b}, {z a/b} times.", &measured()).expect("known rows");
        assert_eq!(text, "<p>It is 1,200 or 9, 150 times.</p>\n");
        let text = html("{x a} and {x a/b}", &measured()).expect("known rows");
        assert_eq!(text, format!("<p>{NOTHING} and {NOTHING}</p>\n"));
    }

    #[test]
    fn a_row_that_does_not_exist_is_an_error() {
        for text in ["{z c}", "{y a}", "{za}", "{z a", "{z a/c}"] {
            assert!(html(text, &measured()).is_err(), "{text}");
        }
    }

    #[test]
    fn marks_become_elements() {
        let text =
            html("**By trap.** `cli` & *nothing*\nmore\n\nnext 2 * 3", &measured()).expect("fine");
        let wanted =
            "<p><strong>By trap.</strong> <code>cli</code> &amp; <em>nothing</em>\nmore</p>\n\
                      <p>next 2 * 3</p>\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn the_texts_ask_for_rows_of_their_wish_only() {
        for wish in WISHES {
            let single = wish.ways.iter().map(|way| format!("versus_{}", way.row));
            let curves = wish
                .curves
                .iter()
                .flat_map(|curve| SIZES.iter().map(|size| format!("versus_{}_{size}", curve.rows)));
            let rows = single.chain(curves).map(|name| (name, [cost(10), cost(10)])).collect();
            let measured = Measured { rows, provenance: Vec::new() };
            let text =
                html(wish.text, &measured).unwrap_or_else(|error| panic!("{}: {error}", wish.id));
            assert!(text.matches("<p>").count() >= 6 && !text.contains("**"), "{}", wish.id);
        }
    }
}
