//! Files that lie ready for the next verb, besides those of the boot archive.
//!
//! Reading a disk or the network takes time, and nobody may wait while holding the toolstack. So
//! whoever runs a verb finds out which files it wants (`wanted`, `Toolstack::wanted_for_restart`), reads
//! them, and stages them under their names; afterwards they are dropped again. Archive files need no
//! staging.
//!
//! A name is a path when it begins with `/`; the archive has names only.

use crate::config::read_config;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The contents of a staged file.
pub type Contents = Arc<Vec<u8>>;

/// Files by the names a configuration uses.
#[derive(Clone, Debug, Default)]
pub struct Staged {
    files: BTreeMap<String, Contents>,
    /// Those that nobody could read again.
    only_copies: BTreeMap<String, Contents>,
}

impl Staged {
    /// Adds a file; one of that name is replaced.
    pub fn add(&mut self, name: &str, contents: Contents) {
        self.files.insert(String::from(name), contents);
    }

    /// Adds a file that nobody could read again, as one that came over the network. A domain that is
    /// made of it keeps it, so that it can be started again. It comes before any other of that name.
    pub fn add_only_copy(&mut self, name: &str, contents: Contents) {
        self.only_copies.insert(String::from(name), contents);
    }

    /// A file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Contents> {
        self.only_copies.get(name).or_else(|| self.files.get(name))
    }

    /// Those of the named files that nobody could read again.
    pub(crate) fn only_copies<'n>(
        &self,
        names: impl Iterator<Item = &'n String>,
    ) -> Vec<(String, Contents)> {
        let found =
            names.filter_map(|name| Some((name.clone(), self.only_copies.get(name)?.clone())));
        found.collect()
    }
}

/// Whether a name is a path on a disk, not a file of the archive.
#[must_use]
pub fn is_path(name: &str) -> bool {
    name.starts_with('/')
}

/// A name in a configuration as a path, when it is relative and the configuration itself lies on a
/// disk: in the folder of the configuration.
#[must_use]
pub fn beside(config: &str, name: &str) -> Option<String> {
    let (folder, _) = config.rsplit_once('/').filter(|_| is_path(config) && !is_path(name))?;
    Some(format!("{folder}/{name}"))
}

/// Stages a configuration and the files it names, as far as `read` finds them. What is not found is
/// not there when the verb wants it, which then says so.
pub fn stage_for_create(
    config: &str,
    overrides: &[String],
    archived: Option<&[u8]>,
    mut read: impl FnMut(&str) -> Option<Vec<u8>>,
) -> Staged {
    let mut staged = Staged::default();
    let text = match archived {
        Some(text) => Some(text.to_vec()),
        None => read(config),
    };
    let Some(text) = text else { return staged };
    let names = read_config(config, &text, overrides).map(|read| read.config);
    if archived.is_none() {
        staged.add(config, Arc::new(text));
    }
    // A configuration that is wrong gets its message from the verb.
    let Ok(found) = names else { return staged };
    for name in [Some(found.kernel), found.ramdisk].into_iter().flatten() {
        let path = beside(config, &name).unwrap_or(name);
        if let Some(contents) = is_path(&path).then(|| read(&path)).flatten() {
            staged.add(&path, Arc::new(contents));
        }
    }
    staged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(path: &str) -> Option<Vec<u8>> {
        match path {
            "/configs/a.cfg" => Some(b"name='a'\nkernel='k'\nramdisk='/r'".to_vec()),
            "/configs/k" => Some(b"kernel".to_vec()),
            "/r" => Some(b"ramdisk".to_vec()),
            _ => None,
        }
    }

    #[test]
    fn a_configuration_on_the_disk_brings_what_lies_beside_it() {
        let staged = stage_for_create("/configs/a.cfg", &[], None, disk);
        assert_eq!(staged.get("/configs/k").map(|c| c.as_slice()), Some(&b"kernel"[..]));
        assert_eq!(staged.get("/r").map(|c| c.as_slice()), Some(&b"ramdisk"[..]));
        assert!(staged.get("/configs/a.cfg").is_some());
        assert!(staged.get("k").is_none());
    }

    #[test]
    fn a_configuration_of_the_archive_brings_paths_only() {
        let text = b"name='a'\nkernel='k'\nramdisk='/r'";
        let staged = stage_for_create("a.cfg", &[], Some(text), disk);
        assert!(staged.get("/r").is_some());
        assert!(staged.get("k").is_none() && staged.get("a.cfg").is_none());
    }

    #[test]
    fn only_copies_come_first_and_are_told_apart() {
        let mut staged = stage_for_create("/configs/a.cfg", &[], None, disk);
        staged.add_only_copy("/r", Arc::new(b"sent".to_vec()));
        assert_eq!(staged.get("/r").map(|c| c.as_slice()), Some(&b"sent"[..]));
        let names = ["/r", "/configs/k"].map(String::from);
        let copies = staged.only_copies(names.iter());
        assert_eq!(copies.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["/r"]);
    }

    #[test]
    fn overrides_count_and_mistakes_are_left_to_the_verb() {
        let overrides = [String::from("kernel='/r'")];
        let staged = stage_for_create("/configs/a.cfg", &overrides, None, disk);
        assert!(staged.get("/r").is_some() && staged.get("/configs/k").is_none());
        let staged = stage_for_create("/none.cfg", &[], None, disk);
        assert!(staged.get("/none.cfg").is_none());
    }
}
