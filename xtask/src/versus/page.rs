//! The page: one HTML file with everything in it.

use super::measure::{Cost, Measured, NAMES};
use super::text;
use super::wishes::{Best, Kind, Way, Wish, SUMMARY, WISHES};
use crate::plot::{escape, number};
use crate::trace::events::{Event, KINDS};
use crate::Result;

const STYLE: &str = include_str!("page.css");
const INTRODUCTION: &str = include_str!("text/introduction.md");
const METHOD: &str = include_str!("text/method.md");

/// The events that have columns of their own.
const COLUMNS: [(Event, &str); 5] = [
    (Event::Exception, "exceptions"),
    (Event::Syscall, "syscalls"),
    (Event::Cr3Load, "CR3 loads"),
    (Event::Invlpg, "invlpgs"),
    (Event::Port, "ports"),
];

const KINDS_OF_WAYS: [Kind; 6] =
    [Kind::Trap, Kind::Call, Kind::Batch, Kind::Multi, Kind::Memory, Kind::Native];

/// The whole page; `plots` by the names of their files.
pub fn html(measured: &Measured, plots: &[(String, String)]) -> Result<String> {
    let plot = |name: &str| {
        let found = plots.iter().find(|(file, _)| file == name);
        found.map(|(_, svg)| svg.as_str()).ok_or(format!("there is no plot called {name}"))
    };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>Hypercalls versus traps</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <div class=\"frame\">\n<header>\n<h1>Hypercalls versus traps</h1>\n\
         <p class=\"edition\">First edition: paravirtualised x86-64 in ring 3, on {} and {}</p>\n",
        NAMES[0], NAMES[1]
    );
    page.push_str(&text::html(INTRODUCTION, measured)?.replacen("<p>", "<p class=\"lead\">", 1));
    page.push_str("<ul class=\"legend\">");
    for kind in KINDS_OF_WAYS {
        let (class, name) = (kind.class(), kind.name());
        page.push_str(&format!("<li class=\"{class}\"><i class=\"kind\"></i>{name}</li>"));
    }
    page.push_str("</ul>\n</header>\n");
    page.push_str(&summary(measured));
    let caption =
        "The same as a picture: each dot is one way to get a wish, full on Zendo, hollow \
                   on Xen; both scales are logarithmic. Further left is cheaper.";
    page.push_str(&figure(plot("versus")?, caption));
    for wish in WISHES {
        page.push_str(&section(wish, measured, &plot)?);
    }
    page.push_str(&method(measured)?);
    page.push_str("</div>\n</body>\n</html>\n");
    Ok(page)
}

fn figure(svg: &str, caption: &str) -> String {
    format!(
        "<figure><div class=\"scroll\">{svg}</div><figcaption>{caption}</figcaption></figure>\n"
    )
}

/// The table that stays in sight: a wish in each line, a kind of way in each column.
fn summary(measured: &Measured) -> String {
    let mut html =
        String::from("<div class=\"summary\"><div class=\"scroll\"><table>\n<thead><tr>");
    html.push_str("<th>Instructions for each wish: Zendo <small>/ Xen</small></th>");
    for (name, kind) in SUMMARY {
        html.push_str(&format!("<th class=\"{}\"><i class=\"kind\"></i>{name}</th>", kind.class()));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for wish in WISHES {
        html.push_str(&format!("<tr><th><a href=\"#{}\">{}</a></th>", wish.id, wish.title));
        let least = wish.summary.iter().filter_map(|best| cost_of(best, measured, 0));
        let least = least.map(|cost| cost.instructions()).fold(f64::MAX, f64::min);
        for best in &wish.summary {
            html.push_str(&summary_cell(best, measured, least));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div></div>\n");
    html
}

fn cost_of(best: &Best, measured: &Measured, party: usize) -> Option<Cost> {
    match best {
        Best::Row(row) => measured.cost(row, party),
        Best::None(_) => None,
    }
}

fn summary_cell(best: &Best, measured: &Measured, least: f64) -> String {
    if let Best::None(why) = best {
        return format!("<td class=\"no\">{why}</td>");
    }
    let show = |party| {
        let cost = cost_of(best, measured, party);
        cost.map_or("\u{2013}".to_string(), |cost| number(cost.instructions()))
    };
    let ours = cost_of(best, measured, 0).is_some_and(|cost| cost.instructions() <= least);
    let class = if ours { " class=\"best\"" } else { "" };
    format!("<td><span{class}>{}</span> <small>/ {}</small></td>", show(0), show(1))
}

fn section<'a>(
    wish: &Wish,
    measured: &Measured,
    plot: &impl Fn(&str) -> Result<&'a str>,
) -> Result<String> {
    let mut html = format!("<section id=\"{}\">\n<h2>{}</h2>\n", wish.id, wish.title);
    let words = text::html(wish.text, measured)?;
    // The first paragraph says what is wished for; the numbers follow, then what they mean.
    let (first, rest) = words.split_once("</p>\n").unwrap_or((words.as_str(), ""));
    html.push_str(&format!("{first}</p>\n"));
    html.push_str(&ways(wish, measured));
    let caption = format!("For each {}: full dots are Zendo, hollow ones Xen.", wish.unit);
    html.push_str(&figure(plot(&format!("versus-{}", wish.id))?, &caption));
    if !wish.curves.is_empty() {
        let caption = format!(
            "Over the size of the batch, for each {}; drawn through on Zendo, dashed on Xen.",
            wish.unit
        );
        html.push_str(&figure(plot(&format!("versus-{}-batch", wish.id))?, &caption));
    }
    html.push_str(rest);
    html.push_str("</section>\n");
    Ok(html)
}

/// The table of one wish.
fn ways(wish: &Wish, measured: &Measured) -> String {
    let mut html = String::from("<div class=\"ways scroll\"><table>\n<thead><tr><th></th>");
    let heading = format!("colspan=\"2\">instructions for each {}</th>", wish.unit);
    html.push_str(&format!("<th class=\"n first\" {heading}<th class=\"n first\" colspan=\"5\">"));
    html.push_str("events on Zendo <small>/ Xen, where they differ</small></th>");
    html.push_str(
        "<th class=\"n first\" colspan=\"2\">modelled cycles</th></tr>\n<tr><th>way</th>",
    );
    let both = format!("<th class=\"n first\">{}</th><th class=\"n\">{}</th>", NAMES[0], NAMES[1]);
    html.push_str(&both);
    for (index, (_, name)) in COLUMNS.iter().enumerate() {
        let first = if index == 0 { " first" } else { "" };
        html.push_str(&format!("<th class=\"n{first}\">{name}</th>"));
    }
    html.push_str(&format!("{both}</tr></thead>\n<tbody>\n"));
    wish.ways.iter().for_each(|way| html.push_str(&line(way, measured)));
    html.push_str("</tbody></table></div>\n");
    html
}

fn line(way: &Way, measured: &Measured) -> String {
    let costs = [measured.cost(way.row, 0), measured.cost(way.row, 1)];
    let label = escape(way.label);
    let (class, kind) = (way.kind.class(), way.kind.name());
    let mut html = format!(
        "<tr class=\"{class}\" title=\"versus_{}\"><th><i class=\"kind\" title=\"{kind}\"></i>{label}</th>",
        way.row
    );
    html.push_str(&two(costs.map(|cost| cost.map(|cost| number(cost.instructions())))));
    for (index, (event, _)) in COLUMNS.iter().enumerate() {
        let first = if index == 0 { " first" } else { "" };
        let counts = costs.map(|cost| cost.map(|cost| count(cost.event(*event))));
        html.push_str(&format!("<td class=\"n{first}\">{}</td>", compared(counts)));
    }
    html.push_str(&two(costs.map(|cost| cost.map(|cost| number(cost.cycles())))));
    html.push_str("</tr>\n");
    html
}

/// Two columns.
fn two(values: [Option<String>; 2]) -> String {
    let [one, other] = values.map(|value| value.unwrap_or("\u{2013}".to_string()));
    format!("<td class=\"n first\">{one}</td><td class=\"n\">{other}</td>")
}

/// How often something happened, to a hundredth; a mark where it never did.
fn count(value: f64) -> String {
    if value == 0.0 {
        return "\u{b7}".to_string();
    }
    format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_string()
}

/// One number where both agree, else both.
fn compared(counts: [Option<String>; 2]) -> String {
    match counts {
        [Some(one), Some(other)] if one == other => one,
        [Some(one), Some(other)] => format!("{one} <small>/ {other}</small>"),
        [Some(one), None] | [None, Some(one)] => one,
        [None, None] => "\u{2013}".to_string(),
    }
}

/// How it was measured: words, provenance, weights.
fn method(measured: &Measured) -> Result<String> {
    let mut html = String::from("<section id=\"method\">\n<h2>How this was measured</h2>\n");
    html.push_str(&text::html(METHOD, measured)?);
    html.push_str("<dl class=\"facts\">\n");
    for (name, value) in &measured.provenance {
        html.push_str(&format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value)));
    }
    html.push_str(
        "</dl>\n<h3>The model of cycles</h3>\n<div class=\"ways scroll weights\"><table>\n",
    );
    html.push_str(
        "<thead><tr><th>event</th><th class=\"n\">cycles</th><th>why</th></tr></thead>\n<tbody>\n",
    );
    for kind in &KINDS {
        let (name, why) = (kind.name.replace('_', " "), escape(kind.why));
        html.push_str(&format!(
            "<tr><th>{name}</th><td class=\"n\">{}</td><td>{why}</td></tr>\n",
            kind.cycles
        ));
    }
    html.push_str("</tbody></table></div>\n</section>\n");
    Ok(html)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versus::charts;
    use crate::versus::wishes::SIZES;

    /// Every row the page asks for, on as many hypervisors.
    fn measured(parties: usize) -> Measured {
        let ways = WISHES.iter().flat_map(|wish| wish.ways).map(|way| way.row.to_string());
        let curves = WISHES.iter().flat_map(|wish| wish.curves);
        let sized =
            curves.flat_map(|curve| SIZES.iter().map(move |size| format!("{}_{size}", curve.rows)));
        let cost = Some(Cost { units: 10, ticks: 4200, traced: 10, ..Default::default() });
        let costs = [cost, cost.filter(|_| parties > 1)];
        let rows = ways.chain(sized).map(|row| (format!("versus_{row}"), costs)).collect();
        Measured { rows, provenance: vec![("guest on both", "sha256 00ff".to_string())] }
    }

    fn page(measured: &Measured) -> String {
        html(measured, &charts::all(measured)).expect("every row is there")
    }

    #[test]
    fn the_page_has_all_wishes_and_needs_nothing_from_elsewhere() {
        let page = page(&measured(2));
        for wish in WISHES {
            assert!(page.contains(&format!("<section id=\"{}\">", wish.id)), "{}", wish.id);
        }
        assert_eq!(page.matches("<section").count(), page.matches("</section>").count());
        assert!(page.contains("sha256 00ff"));
        for word in ["<script", "src=", "@import", "url(", "<link"] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn without_xen_the_page_says_that_it_was_not_measured() {
        let page = page(&measured(1));
        assert!(page.contains("(not measured)") && page.contains("\u{2013}"));
    }

    #[test]
    fn a_row_that_was_not_measured_is_an_error_not_a_hole() {
        let mut measured = measured(2);
        measured.rows.remove("versus_mask_shared");
        assert!(html(&measured, &charts::all(&measured)).is_err());
    }

    #[test]
    fn counts_of_events_are_told_apart_where_they_differ() {
        assert_eq!(compared([Some(count(2.0)), Some(count(2.0))]), "2");
        assert_eq!(
            compared([Some(count(0.0)), Some(count(0.125))]),
            "\u{b7} <small>/ 0.12</small>"
        );
        assert_eq!(compared([Some(count(1.0)), None]), "1");
    }
}
