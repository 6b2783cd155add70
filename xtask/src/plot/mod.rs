//! Plots as SVG files, for reports: dots on a logarithmic scale, and lines over the size of a batch.
//!
//! A plot is a string that can stand alone as a file or inside of a page. It brings its own colours
//! for light and dark, which a page may override by the same variables; nothing is loaded from
//! elsewhere, and the same input gives the same bytes.

pub mod dots;
pub mod lines;
mod scale;

use std::fmt::Write;

/// Colours by what they stand for, and the fonts. Every plot has the same rules, so that several of
/// them in one page do not disturb each other.
const STYLE: &str = "\
.zp{--bg:#ffffff;--ink:#1d2329;--soft:#5d6772;--grid:#e4e7eb;--trap:#c2410c;--call:#1d4ed8;\
--batch:#7e22ce;--multi:#0e7490;--memory:#15803d;--native:#6b7280;\
font-family:ui-sans-serif,system-ui,'Segoe UI','Helvetica Neue',Arial,sans-serif;font-size:12px}\
@media(prefers-color-scheme:dark){.zp{--bg:#14181d;--ink:#e6e9ed;--soft:#9aa4af;--grid:#2b323a;\
--trap:#fb923c;--call:#7aa7ff;--batch:#c595f9;--multi:#4cc9dd;--memory:#5fce85;--native:#a3acb8}}\
.zp text{fill:var(--ink)}.zp .soft{fill:var(--soft)}.zp .title{font-weight:600;font-size:13px}\
.zp .grid{stroke:var(--grid);stroke-width:1}.zp .axis{stroke:var(--soft);stroke-width:1}\
.zp .trap{--c:var(--trap)}.zp .call{--c:var(--call)}.zp .batch{--c:var(--batch)}\
.zp .multi{--c:var(--multi)}.zp .memory{--c:var(--memory)}.zp .native{--c:var(--native)}\
.zp .full{fill:var(--c);stroke:var(--c);stroke-width:1.6}\
.zp .hollow{fill:var(--bg);stroke:var(--c);stroke-width:1.6}\
.zp .span{stroke:var(--c);stroke-width:2;opacity:.4}\
.zp .line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}\
.zp .flat{stroke-width:1.2}.zp .second{stroke-dasharray:5 3;stroke-width:1.4}.zp .name{fill:var(--c);font-weight:600}";

/// A picture under construction.
struct Svg {
    text: String,
}

impl Svg {
    /// Begins a picture whose description is read out where it cannot be seen.
    fn new(width: f64, height: f64, description: &str) -> Svg {
        let description = escape(description);
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"zp\" \
             viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
             aria-label=\"{description}\">\n<style>{STYLE}</style>\n\
             <rect width=\"{width}\" height=\"{height}\" rx=\"6\" style=\"fill:var(--bg)\"/>\n"
        );
        Svg { text }
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let (x1, y1, x2, y2) = (short(from.0), short(from.1), short(to.0), short(to.1));
        self.add(&format!(
            "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
        ));
    }

    fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut steps = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let step = if index == 0 { 'M' } else { 'L' };
            // Writing to a string cannot fail.
            let _ = write!(steps, "{step}{} {}", short(*x), short(*y));
        }
        self.add(&format!("<path class=\"{class}\" d=\"{steps}\"/>"));
    }

    /// A dot whose value appears under the pointer.
    fn dot(&mut self, class: &str, at: (f64, f64), radius: f64, tip: &str) {
        let (x, y, tip) = (short(at.0), short(at.1), escape(tip));
        self.add(&format!(
            "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"><title>{tip}</title></circle>"
        ));
    }

    /// Text; `anchor` is `start`, `middle` or `end`.
    fn text(&mut self, class: &str, anchor: &str, at: (f64, f64), text: &str) {
        let (x, y, text) = (short(at.0), short(at.1), escape(text));
        self.add(&format!(
            "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{y}\">{text}</text>"
        ));
    }

    fn add(&mut self, element: &str) {
        self.text.push_str(element);
        self.text.push('\n');
    }

    fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

/// Text as it may stand in a document or between quotes.
pub fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}

/// A number as people read it: with a decimal place below 100, with separators above 999.
pub fn number(value: f64) -> String {
    if value < 99.95 {
        return format!("{value:.1}").trim_end_matches(".0").to_string();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A coordinate, to a tenth of a pixel.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.trim_end_matches(".0").to_string()
}

/// About how wide a text is; which font it gets is not known, so rather too much.
fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * 7.2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_readable() {
        assert_eq!(number(0.0), "0");
        assert_eq!(number(6.6), "6.6");
        assert_eq!(number(99.94), "99.9");
        assert_eq!(number(99.96), "100");
        assert_eq!(number(831.4), "831");
        assert_eq!(number(17_267.0), "17,267");
        assert_eq!(number(1_234_567.0), "1,234,567");
    }

    #[test]
    fn what_comes_from_outside_cannot_break_the_document() {
        let mut svg = Svg::new(10.0, 10.0, "a<b \"c\"");
        svg.text("soft", "start", (1.0, 2.0), "<script>&");
        let text = svg.finish();
        assert!(text.contains("&lt;script&gt;&amp;") && !text.contains("<script>"), "{text}");
        assert!(text.contains("a&lt;b &quot;c&quot;"), "{text}");
    }
}
