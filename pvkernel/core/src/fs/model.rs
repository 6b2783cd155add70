//! A slow tree of files that is obviously right, and histories that are compared with it.

use alloc::collections::BTreeMap;
use pvkernel_abi::{open, Errno};
use std::format;
use std::string::String;
use std::vec::Vec;

use super::exercise::{Op, Outcome, KEPT};

#[derive(Clone)]
enum Body {
    File(Vec<u8>),
    Folder(BTreeMap<String, usize>),
}

/// Nothing is ever freed; what has no name any more is only reached by who keeps it.
pub(super) struct Model {
    nodes: Vec<Body>,
    folder: usize,
    /// The file and the position.
    kept: [Option<(usize, usize)>; KEPT],
}

struct Spot<'p> {
    folder: usize,
    name: &'p str,
    slash: bool,
}

impl Model {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::from([Body::Folder(BTreeMap::new())]), folder: 0, kept: [None; KEPT] }
    }

    fn entries(&self, node: usize) -> Result<&BTreeMap<String, usize>, Errno> {
        match &self.nodes[node] {
            Body::Folder(entries) => Ok(entries),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn entries_mut(&mut self, node: usize) -> &mut BTreeMap<String, usize> {
        match &mut self.nodes[node] {
            Body::Folder(entries) => entries,
            Body::File(_) => panic!("no folder"),
        }
    }

    fn is_folder(&self, node: usize) -> bool {
        matches!(self.nodes[node], Body::Folder(_))
    }

    fn file(&mut self, node: usize) -> &mut Vec<u8> {
        match &mut self.nodes[node] {
            Body::File(bytes) => bytes,
            Body::Folder(_) => panic!("no file"),
        }
    }

    /// Who names a folder.
    fn parent(&self, node: usize) -> Option<(usize, &str)> {
        self.nodes.iter().enumerate().find_map(|(at, body)| match body {
            Body::Folder(entries) => {
                entries.iter().find(|(_, child)| **child == node).map(|(name, _)| (at, &name[..]))
            }
            Body::File(_) => None,
        })
    }

    fn is_gone(&self, node: usize) -> bool {
        node != 0 && self.parent(node).is_none()
    }

    fn step(&self, node: usize, name: &str) -> Result<usize, Errno> {
        let entries = self.entries(node)?;
        match name {
            "." => Ok(node),
            ".." if node == 0 => Ok(0),
            ".." => self.parent(node).map(|found| found.0).ok_or(Errno::ENOENT),
            _ => entries.get(name).copied().ok_or(Errno::ENOENT),
        }
    }

    fn follow(&self, path: &str) -> Result<usize, Errno> {
        let start = if path.starts_with('/') { 0 } else { self.folder };
        let mut names = path.split('/').filter(|name| !name.is_empty());
        names.try_fold(start, |node, name| self.step(node, name))
    }

    fn walk(&self, path: &str) -> Result<usize, Errno> {
        let node = self.follow(path)?;
        match path.ends_with('/') && !self.is_folder(node) {
            true => Err(Errno::ENOTDIR),
            false => Ok(node),
        }
    }

    fn spot<'p>(&self, path: &'p str) -> Result<Spot<'p>, Errno> {
        let trimmed = path.trim_end_matches('/');
        let (before, name) = match trimmed.rfind('/') {
            Some(slash) => (&trimmed[..=slash], &trimmed[slash + 1..]),
            None if trimmed.is_empty() => ("/", ""),
            None => ("", trimmed),
        };
        let folder = self.follow(before)?;
        self.entries(folder)?;
        Ok(Spot { folder, name, slash: path.len() > trimmed.len() })
    }

    fn add(&mut self, spot: &Spot<'_>, body: Body) -> Result<usize, Errno> {
        if self.entries(spot.folder)?.contains_key(spot.name) {
            return Err(Errno::EEXIST);
        }
        if self.is_gone(spot.folder) {
            return Err(Errno::ENOENT);
        }
        self.nodes.push(body);
        let node = self.nodes.len() - 1;
        self.entries_mut(spot.folder).insert(spot.name.into(), node);
        Ok(node)
    }

    fn open(&mut self, path: &str, flags: u64) -> Result<usize, Errno> {
        let node = match flags & open::CREATE {
            0 => self.walk(path)?,
            _ => {
                let spot = self.spot(path)?;
                if matches!(spot.name, "" | "." | "..") || spot.slash {
                    self.walk(path)?;
                    return Err(Errno::EISDIR);
                }
                match self.step(spot.folder, spot.name) {
                    Ok(_) if flags & open::EXCLUSIVE != 0 => return Err(Errno::EEXIST),
                    Ok(node) => node,
                    Err(_) => self.add(&spot, Body::File(Vec::new()))?,
                }
            }
        };
        if flags & open::DIRECTORY != 0 {
            self.entries(node)?;
        }
        if flags & open::WRITE != 0 && self.is_folder(node) {
            return Err(Errno::EISDIR);
        }
        if flags & open::TRUNCATE != 0 {
            self.file(node).clear();
        }
        Ok(node)
    }

    fn put(&mut self, node: usize, at: usize, len: usize, fill: u8) -> Outcome {
        let bytes = self.file(node);
        if len > 0 {
            bytes.resize(bytes.len().max(at + len), 0);
            bytes[at..at + len].fill(fill);
        }
        Ok(format!("{len} bytes").into_bytes())
    }

    fn get(&mut self, node: usize, at: usize, len: usize) -> Outcome {
        if len == 0 {
            return Ok(Vec::new());
        }
        if self.is_folder(node) {
            return Err(Errno::EISDIR);
        }
        let rest = self.file(node).get(at..).unwrap_or_default();
        Ok(rest[..rest.len().min(len)].to_vec())
    }

    fn removable(&self, spot: &Spot<'_>, slash: bool) -> Result<(), Errno> {
        match spot.name {
            "" => return Err(Errno::EBUSY),
            "." | ".." => return Err(Errno::EINVAL),
            _ => {}
        }
        if slash && !self.is_folder(self.step(spot.folder, spot.name)?) {
            return Err(Errno::ENOTDIR);
        }
        Ok(())
    }

    fn empty(&self, node: usize) -> Result<(), Errno> {
        match &self.nodes[node] {
            Body::Folder(entries) if !entries.is_empty() => Err(Errno::ENOTEMPTY),
            _ => Ok(()),
        }
    }

    fn unlink(&mut self, path: &str) -> Result<(), Errno> {
        let spot = self.spot(path)?;
        self.removable(&spot, spot.slash)?;
        let node = self.step(spot.folder, spot.name)?;
        self.empty(node)?;
        self.entries_mut(spot.folder).remove(spot.name);
        Ok(())
    }

    fn link(&mut self, old: &str, new: &str) -> Result<(), Errno> {
        let node = self.walk(old)?;
        if self.is_folder(node) {
            return Err(Errno::EPERM);
        }
        let spot = self.spot(new)?;
        if matches!(spot.name, "" | "." | "..") {
            return Err(Errno::EEXIST);
        }
        if spot.slash || self.is_gone(spot.folder) {
            return Err(Errno::ENOENT);
        }
        if self.entries(spot.folder)?.contains_key(spot.name) {
            return Err(Errno::EEXIST);
        }
        self.entries_mut(spot.folder).insert(spot.name.into(), node);
        Ok(())
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<(), Errno> {
        let (old, new) = (self.spot(old)?, self.spot(new)?);
        self.removable(&old, old.slash)?;
        self.removable(&Spot { slash: false, ..new }, false)?;
        self.removable(&old, new.slash)?;
        let node = self.step(old.folder, old.name)?;
        if self.is_gone(new.folder) {
            return Err(Errno::ENOENT);
        }
        let target = self.entries(new.folder)?.get(new.name).copied();
        if target == Some(node) {
            return Ok(());
        }
        let mut above = Some(new.folder);
        while let Some(here) = above {
            if here == node {
                return Err(Errno::EINVAL);
            }
            above = self.parent(here).map(|found| found.0);
        }
        if let Some(target) = target {
            match (self.is_folder(node), self.is_folder(target)) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                _ => self.empty(target)?,
            }
        }
        self.entries_mut(old.folder).remove(old.name);
        self.entries_mut(new.folder).insert(new.name.into(), node);
        Ok(())
    }

    fn getcwd(&self) -> Outcome {
        let (mut path, mut node) = (String::new(), self.folder);
        while node != 0 {
            let (parent, name) = self.parent(node).ok_or(Errno::ENOENT)?;
            path = format!("/{name}{path}");
            node = parent;
        }
        Ok(if path.is_empty() { b"/".to_vec() } else { path.into_bytes() })
    }

    fn list(&self, node: usize) -> Outcome {
        let kind = |child: usize| if self.is_folder(child) { 2 } else { 1 };
        let entries = self.entries(node)?.iter();
        let lines: Vec<_> =
            entries.map(|(name, child)| format!("{name} {}\n", kind(*child))).collect();
        Ok(lines.concat().into_bytes())
    }

    fn links(&self, node: usize) -> usize {
        let all = self.nodes.iter().filter_map(|body| match body {
            Body::Folder(entries) => Some(entries.values()),
            Body::File(_) => None,
        });
        match &self.nodes[node] {
            Body::Folder(_) if self.is_gone(node) => 0,
            Body::Folder(entries) => {
                2 + entries.values().filter(|node| self.is_folder(**node)).count()
            }
            Body::File(_) => all.flatten().filter(|child| **child == node).count(),
        }
    }

    fn stat(&self, path: &str) -> Outcome {
        let node = self.walk(path)?;
        let (kind, size) = match &self.nodes[node] {
            Body::File(bytes) => (1, bytes.len()),
            Body::Folder(_) => (2, 0),
        };
        Ok(format!("{kind} {size} {}", self.links(node)).into_bytes())
    }

    /// Does a step.
    pub(super) fn apply(&mut self, op: &Op) -> Outcome {
        let nothing = |()| Vec::new();
        let kept = |model: &Self, slot: usize| model.kept[slot].ok_or(Errno::EBADF);
        match op {
            Op::Open { path, flags } => self.open(path, *flags).map(|_| Vec::new()),
            Op::Write { path, at, len, fill } => {
                let node = self.open(path, open::WRITE)?;
                self.put(node, *at as usize, *len, *fill)
            }
            Op::Append { path, len, fill } => {
                let node = self.open(path, open::WRITE)?;
                let end = self.file(node).len();
                self.put(node, end, *len, *fill)
            }
            Op::Truncate { path, size } => {
                let node = self.open(path, open::WRITE)?;
                self.file(node).resize(*size as usize, 0);
                Ok(Vec::new())
            }
            Op::Read { path, at, len } => {
                let node = self.open(path, open::READ)?;
                if self.is_folder(node) && *at > 0 {
                    return Err(Errno::EINVAL);
                }
                self.get(node, *at as usize, *len)
            }
            Op::Mkdir { path } => {
                let spot = self.spot(path)?;
                match spot.name {
                    "" | "." | ".." => Err(Errno::EEXIST),
                    _ => self.add(&spot, Body::Folder(BTreeMap::new())).map(|_| Vec::new()),
                }
            }
            Op::Unlink { path } => self.unlink(path).map(nothing),
            Op::Link { old, new } => self.link(old, new).map(nothing),
            Op::Rename { old, new } => self.rename(old, new).map(nothing),
            Op::Chdir { path } => {
                let node = self.walk(path)?;
                self.entries(node)?;
                self.folder = node;
                Ok(Vec::new())
            }
            Op::Getcwd => self.getcwd(),
            Op::List { path } => {
                let node = self.open(path, open::READ | open::DIRECTORY)?;
                self.list(node)
            }
            Op::Stat { path } => self.stat(path),
            Op::Keep { slot, path } => {
                let node = self.open(path, open::WRITE)?;
                self.kept[*slot] = Some((node, 0));
                Ok(Vec::new())
            }
            Op::KeptWrite { slot, len, fill } => {
                let (node, at) = kept(self, *slot)?;
                self.kept[*slot] = Some((node, at + len));
                self.put(node, at, *len, *fill)
            }
            Op::KeptRead { slot } => {
                let (node, _) = kept(self, *slot)?;
                let outcome = self.get(node, 0, 20_000)?;
                self.kept[*slot] = Some((node, outcome.len()));
                Ok(outcome)
            }
            Op::KeptClose { slot } => {
                kept(self, *slot)?;
                self.kept[*slot] = None;
                Ok(Vec::new())
            }
        }
    }
}
