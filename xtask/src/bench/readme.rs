//! The numbers in README.md, as the command that made them wrote them.
//!
//! The text between two comments is replaced; the picture and all rows go to `docs/`.

use std::fs;

use system_tests::qemu::Hypervisor;

use super::budgets::{Budget, BUDGETS};
use super::chart;
use super::files::{self, Origin};
use super::sheet::{Line, Sheet};
use crate::paths::Paths;
use crate::{book, Result};

const BEGIN: &str = "<!-- bench: written by `cargo xtask bench --readme` -->\n";
const END: &str = "<!-- end of bench -->";

/// Writes them.
pub fn update(paths: &Paths, sheet: &Sheet, origin: &Origin) -> Result<()> {
    let readme = paths.root.join("README.md");
    let text = fs::read_to_string(&readme).map_err(|error| format!("README.md: {error}"))?;
    let docs = paths.root.join("docs");
    let files = [
        (readme, replaced(&text, [BEGIN, END], &block(sheet, origin))?),
        (docs.join("bench.svg"), chart::draw(sheet)),
        (docs.join("bench.csv"), files::csv(sheet)),
    ];
    for (path, text) in files {
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    book::update(&paths.root)?;
    println!("README.md, docs/bench.svg, docs/bench.csv and the book are of today");
    Ok(())
}

/// `text` with what stands between two comments exchanged.
pub fn replaced(text: &str, [begin, end]: [&str; 2], block: &str) -> Result<String> {
    let missing = || format!("README.md has no '{}' with '{end}' after it", begin.trim());
    let (before, rest) = text.split_once(begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(end).ok_or_else(missing)?;
    Ok(format!("{before}{begin}{block}{end}{after}"))
}

fn block(sheet: &Sheet, origin: &Origin) -> String {
    let mut text = String::from(
        "| operation, instructions with the guest's half | Xen 4.17 | Zendo | budget |\n\
         | --- | --- | --- | --- |\n",
    );
    for budget in BUDGETS {
        let both = [Hypervisor::Xen, Hypervisor::Zendo].map(|which| budget.cost(sheet, which));
        let [xen, zendo] = both.map(|cost| cost.map_or("-".into(), |cost| format!("{cost:.0}")));
        let over = both[1].is_some_and(|cost| !budget.holds(cost));
        let mark = if over { ", missed" } else { "" };
        text.push_str(&format!(
            "| {} | {xen} | {zendo} | {:.0}{mark} |\n",
            operation(budget),
            budget.at_most
        ));
    }
    let mean = |ratio: fn(&Line) -> Option<f64>| {
        sheet.mean(ratio).map(|(mean, rows)| (format!("{mean:.2}"), rows))
    };
    if let Some((instructions, rows)) = mean(Line::ratio) {
        text.push_str(&format!(
            "\nGeometric mean of all {rows} rows: {instructions} of Xen's instructions"
        ));
        let time = mean(Line::time_ratio);
        text.push_str(
            &time.map_or(String::new(), |(time, _)| format!(", {time} of its time under TCG")),
        );
    }
    let xen = origin.xen.as_deref().unwrap_or("not measured");
    let hash = &origin.guest_sha256;
    text.push_str(&format!(".\nXen is {xen}; the guest's sha256 begins with `{hash:.16}`.\n"));
    text
}

/// The operation with its names marked as such.
fn operation(budget: &Budget) -> String {
    let code = |word: &str| word.contains('_') || word.starts_with('#');
    let words = budget.operation.split(' ').map(|word| {
        let (bare, comma) = word.strip_suffix(',').map_or((word, ""), |bare| (bare, ","));
        match code(bare) {
            true => format!("`{bare}`{comma}"),
            false => word.to_string(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::sheet::tests::sample;
    use super::*;

    #[test]
    fn only_what_is_between_the_comments_changes() {
        let text = format!("before\n{BEGIN}old\n{END}\nafter\n");
        let marks = [BEGIN, END];
        let new = replaced(&text, marks, "new\n").expect("both comments");
        assert_eq!(new, format!("before\n{BEGIN}new\n{END}\nafter\n"));
        assert!(replaced("no comments", marks, "new").is_err());
        assert!(replaced(&format!("{END} {BEGIN}"), marks, "new").is_err());
    }

    #[test]
    fn the_table_has_a_line_for_each_budget_and_says_what_was_not_measured() {
        let origin = Origin { guest_sha256: "0123456789abcdef0123".into(), xen: None };
        let text = block(&sample(), &origin);
        assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 2 + BUDGETS.len());
        assert!(text.contains("| null hypercall | - | - | 110 |"), "{text}");
        assert!(text.contains("| `mmu_update`, one PTE, other frame |"), "{text}");
        assert!(text.contains("all 2 rows: 1.00 of Xen's instructions, 1.00"), "{text}");
        assert!(text.contains("`0123456789abcdef`"), "{text}");
    }
}
