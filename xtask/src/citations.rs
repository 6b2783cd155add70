//! Links and citations of the documents, for `tidy`.
//!
//! A relative link must lead to a file. A citation `` `path:/pattern/` `` must name a file in which
//! the pattern stands as it is written: documents cite code by its text, since line numbers move.

use std::fs;
use std::path::Path;

/// What is wrong with the links and citations of a document, one line each. `root` is the
/// checkout, from which citations count; links count from the document's own folder.
pub fn problems(root: &Path, document: &Path, text: &str) -> Vec<String> {
    let folder = document.parent().unwrap_or(root);
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let here = format!("{}:{}", shown(root, document), index + 1);
        let links = links(line).into_iter();
        let broken = links.filter(|target| !folder.join(target).exists());
        found.extend(broken.map(|target| format!("{here}: the link to {target} leads nowhere")));
        let citations = citations(line).into_iter();
        found.extend(citations.filter_map(|(path, pattern)| {
            let held = fs::read_to_string(root.join(&path)).is_ok_and(|t| t.contains(&pattern));
            (!held).then(|| format!("{here}: '{pattern}' is not in {path}"))
        }));
    }
    found
}

/// A path as seen from the checkout.
pub fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// The targets of relative links in a line, without their anchors.
fn links(line: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for part in line.split("](").skip(1) {
        let Some((target, _)) = part.split_once(')') else { continue };
        let file = target.split('#').next().unwrap_or("");
        let elsewhere = file.contains("://") || file.starts_with("mailto:");
        if !file.is_empty() && !elsewhere {
            targets.push(file.to_string());
        }
    }
    targets
}

/// The citations in a line: file and pattern.
fn citations(line: &str) -> Vec<(String, String)> {
    let quoted = line.split('`').skip(1).step_by(2);
    let citation = |text: &str| {
        let (path, rest) = text.split_once(":/")?;
        let pattern = rest.strip_suffix('/')?;
        let is_path = path.contains('.') && !path.contains(' ') && !pattern.is_empty();
        is_path.then(|| (path.to_string(), pattern.to_string()))
    };
    quoted.filter_map(citation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_relative_links_are_checked() {
        let line = "[a](x.md) [b](https://e.org/y) [c](#here) [d](z.md#there)";
        assert_eq!(links(line), ["x.md", "z.md"]);
    }

    #[test]
    fn a_citation_is_a_path_and_a_pattern_between_slashes() {
        let line = "see `src/a.rs:/fn main/` and `no/citation`";
        assert_eq!(citations(line), [("src/a.rs".to_string(), "fn main".to_string())]);
    }

    #[test]
    fn what_is_gone_is_reported_with_its_line() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = "fine: [me](src/main.rs) `src/main.rs:/fn main/`\n[gone](src/none.rs)\n\
                    ```\n[in code](none)\n```\n`src/main.rs:/no such text here/`\n";
        let found = problems(root, &root.join("A.md"), text);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("A.md:2: "), "{}", found[0]);
        assert!(found[1].starts_with("A.md:6: "), "{}", found[1]);
    }
}
