//! The picture of a bench: a bar for each row, as long as Zendo's share of Xen's instructions.
//!
//! Rows are grouped by what they ask of the hypervisor. Colours follow the reader's choice of light
//! or dark; no script, no font, nothing fetched.

use super::sheet::{Line, Sheet};

/// Groups by the beginning of the row's name, in the order of the picture.
const GROUPS: &[(&str, &[&str])] = &[
    ("Hypercalls", &["hc_", "multicall_", "loop_", "guest_"]),
    ("Page tables", &["mmu_", "uvm_", "ptwr_"]),
    ("Table pages and TLB", &["mmuext_", "pin_", "unpin_", "new_", "ctxswitch_"]),
    ("Event channels and scheduling", &["evtchn_", "schedop_", "block_"]),
    ("Timers", &["set_timer", "vcpuop_", "timer_"]),
    ("Grants and memory", &["gnt_", "mem_"]),
    ("Exceptions and emulation", &["exc_", "emul_", "insn_"]),
    ("User mode", &["user_"]),
    ("Other", &[""]),
];

const COLUMN: f64 = 590.0;
const NAME: f64 = 285.0;
const BAR: f64 = 190.0;
const ROW: f64 = 15.0;
const HEAD: f64 = 26.0;
const TOP: f64 = 64.0;
/// The longest bar shown; beyond it only the number tells.
const LONGEST: f64 = 1.0;

const STYLE: &str = "\
svg{background:#fff}text{font:11px system-ui,sans-serif;fill:#222}.h{font-weight:600;font-size:13px}\
.t{font-weight:600;font-size:16px}.m{fill:#666}.n{font-size:10px;fill:#666}\
.b{fill:#2a7f62}.w{fill:#c98a1b}.o{fill:#b3382c}.g{stroke:#999;stroke-dasharray:2 3}\
.r{fill:#eee}\
@media(prefers-color-scheme:dark){svg{background:#15181c}text{fill:#e4e4e4}.m,.n{fill:#9aa0a6}\
.b{fill:#4fb592}.w{fill:#e0a941}.o{fill:#e0695c}.g{stroke:#666}.r{fill:#23282e}}";

/// Draws the rows that were measured on both.
pub fn draw(sheet: &Sheet) -> String {
    let groups = groups(sheet);
    let heights: Vec<f64> = groups.iter().map(|(_, lines)| height(lines.len())).collect();
    let split = balance(&heights);
    let tallest = heights[..split].iter().sum::<f64>().max(heights[split..].iter().sum());
    let (width, height) = (COLUMN * 2.0, TOP + tallest + 12.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\"><title>Zendo's instructions as a share \
         of Xen's</title><style>{STYLE}</style>\n{}",
        heading(sheet)
    );
    for (column, range) in [(0.0, 0..split), (COLUMN, split..groups.len())] {
        let mut y = TOP;
        for (index, group) in groups.iter().enumerate() {
            if range.contains(&index) {
                svg.push_str(&draw_group(group, column, y));
                y += heights[index];
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn heading(sheet: &Sheet) -> String {
    let mean = sheet.mean(Line::ratio);
    let mean = mean.map_or(String::new(), |(mean, rows)| {
        format!("geometric mean of {rows} rows: {mean:.2}; ")
    });
    format!(
        "<text class=\"t\" x=\"12\" y=\"24\">Instructions per operation: Zendo as a share of Xen \
         4.17</text>\n<text class=\"m\" x=\"12\" y=\"42\">{mean}the lines are half of Xen and \
         Xen; beside each bar Zendo's number and Xen's</text>\n"
    )
}

type Group<'a> = (&'static str, Vec<&'a Line>);

fn groups(sheet: &Sheet) -> Vec<Group<'_>> {
    let place = |line: &Line| {
        let begins = |prefixes: &[&str]| prefixes.iter().any(|p| line.name.starts_with(p));
        GROUPS.iter().position(|(_, prefixes)| begins(prefixes))
    };
    let both: Vec<&Line> = sheet.compared().filter(|line| line.ratio().is_some()).collect();
    let group = |(index, (title, _)): (usize, &(&'static str, _))| {
        let own = both.iter().filter(|line| place(line) == Some(index));
        (*title, own.copied().collect::<Vec<_>>())
    };
    let all = GROUPS.iter().enumerate().map(group);
    all.filter(|(_, lines)| !lines.is_empty()).collect()
}

fn height(rows: usize) -> f64 {
    HEAD + rows as f64 * ROW + 10.0
}

/// After which group the second column begins, so that both are about as long.
fn balance(heights: &[f64]) -> usize {
    let total: f64 = heights.iter().sum();
    let longer = |split: &usize| {
        let first: f64 = heights[..*split].iter().sum();
        first.max(total - first) as u64
    };
    (0..=heights.len()).rev().min_by_key(longer).unwrap_or(0)
}

fn draw_group((title, lines): &Group<'_>, x: f64, y: f64) -> String {
    let (bars, bottom) = (x + NAME, y + HEAD + lines.len() as f64 * ROW);
    let mut svg =
        format!("<text class=\"h\" x=\"{}\" y=\"{}\">{title}</text>\n", x + 12.0, y + 16.0);
    for (index, line) in lines.iter().enumerate() {
        svg.push_str(&draw_row(line, x, y + HEAD + index as f64 * ROW));
    }
    for share in [0.5, 1.0] {
        let at = bars + BAR * share / LONGEST;
        svg.push_str(&format!(
            "<line class=\"g\" x1=\"{at}\" x2=\"{at}\" y1=\"{}\" y2=\"{bottom}\"/>\n",
            y + HEAD - 3.0
        ));
    }
    svg
}

fn draw_row(line: &Line, x: f64, y: f64) -> String {
    let ratio = line.ratio().unwrap_or(0.0);
    let class = match ratio {
        _ if ratio > 1.0 => "o",
        _ if ratio > 0.5 => "w",
        _ => "b",
    };
    let cost = |cell: &Option<super::sheet::Cell>| {
        cell.as_ref().map_or(String::new(), |cell| format!("{:.0}", cell.instructions))
    };
    let (bar, base) = (BAR * ratio.min(LONGEST) / LONGEST, y + 10.5);
    format!(
        "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
         <rect class=\"r\" x=\"{}\" y=\"{}\" width=\"{BAR}\" height=\"10\"/>\
         <rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{bar:.1}\" height=\"10\"/>\
         <text class=\"n\" x=\"{}\" y=\"{base}\">{ratio:.2}&#160;&#160;{}/{}</text>\n",
        x + NAME - 8.0,
        line.name,
        x + NAME,
        y + 2.0,
        x + NAME,
        y + 2.0,
        x + NAME + BAR + 8.0,
        cost(&line.zendo),
        cost(&line.xen),
    )
}

#[cfg(test)]
mod tests {
    use super::super::sheet::tests::sample;
    use super::*;

    #[test]
    fn each_row_measured_on_both_has_a_bar_of_its_ratio() {
        let svg = draw(&sample());
        assert_eq!(svg.matches("class=\"r\"").count(), 2, "gnt_c is on one only");
        assert!(svg.contains("class=\"b\" x=\"285\" y=\"92\" width=\"95.0\""), "{svg}");
        assert!(svg.contains("class=\"o\""), "hc_b is above Xen");
        assert!(svg.contains("0.50&#160;&#160;100/200"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }

    #[test]
    fn an_empty_sheet_makes_a_picture_without_bars() {
        let svg = draw(&Sheet::default());
        assert!(svg.ends_with("</svg>\n") && !svg.contains("<rect"));
    }

    #[test]
    fn every_row_has_a_group() {
        assert_eq!(GROUPS.last().map(|group| group.1), Some(&[""][..]));
    }

    #[test]
    fn columns_are_about_as_long() {
        assert_eq!(balance(&[10.0, 10.0, 20.0]), 2);
        assert_eq!(balance(&[30.0, 1.0]), 1);
        assert_eq!(balance(&[]), 0);
    }
}
