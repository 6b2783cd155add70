//! From paths to files.

use alloc::vec::Vec;
use pvkernel_abi::{Errno, FileKind, NAME_MAX, PATH_MAX};

use super::filesystem::Cursor;
use super::node::Node;
use super::vfs::Vfs;

/// Where the last name of a path stands, or would stand.
pub(super) struct Place<'p> {
    /// The directory.
    pub(super) folder: Node,
    /// The name; empty for the root, and it may be `.` or `..`.
    pub(super) name: &'p [u8],
    /// The path ended with a slash, so that only a directory will do.
    pub(super) wants_folder: bool,
}

impl Place<'_> {
    /// Whether the last name is one that can come and go.
    pub(super) fn is_named(&self) -> bool {
        !matches!(self.name, b"" | b"." | b"..")
    }
}

fn check_path(path: &[u8]) -> Result<(), Errno> {
    match path {
        [] => Err(Errno::ENOENT),
        path if path.len() > PATH_MAX => Err(Errno::ENAMETOOLONG),
        path if path.contains(&0) => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

fn check_name(name: &[u8]) -> Result<(), Errno> {
    match name.len() <= NAME_MAX {
        true => Ok(()),
        false => Err(Errno::ENAMETOOLONG),
    }
}

impl Vfs {
    /// The uppermost directory.
    #[must_use]
    pub fn root(&self) -> Node {
        Node::root(&self.root)
    }

    /// The file at a path; `from` is where paths without a slash begin.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ENAMETOOLONG`, `EINVAL` for a NUL, and what the file system says.
    pub fn walk(&self, from: &Node, path: &[u8]) -> Result<Node, Errno> {
        check_path(path)?;
        let node = self.follow(from, path)?;
        match path.ends_with(b"/") && !node.is_directory() {
            true => Err(Errno::ENOTDIR),
            false => Ok(node),
        }
    }

    /// The directory a path's last name stands in.
    pub(super) fn place<'p>(&self, from: &Node, path: &'p [u8]) -> Result<Place<'p>, Errno> {
        check_path(path)?;
        let len = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let (trimmed, wants_folder) = (&path[..len], len < path.len());
        let start = trimmed.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (before, name) = trimmed.split_at(start);
        check_name(name)?;
        // Of "/" nothing is left, but it begins at the root.
        let before = if len == 0 { path } else { before };
        let folder = self.follow(from, before)?;
        match folder.is_directory() {
            true => Ok(Place { folder, name, wants_folder }),
            false => Err(Errno::ENOTDIR),
        }
    }

    fn follow(&self, from: &Node, path: &[u8]) -> Result<Node, Errno> {
        let mut node = if path.starts_with(b"/") { self.root() } else { from.clone() };
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            node = self.step(node, name)?;
        }
        Ok(node)
    }

    /// One name further.
    pub(super) fn step(&self, node: Node, name: &[u8]) -> Result<Node, Errno> {
        if !node.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        check_name(name)?;
        match name {
            b"" | b"." => Ok(node),
            b".." => self.parent(node),
            _ => {
                let found = node.fs().lookup(node.inode, name)?;
                Ok(self.enter(Node::of(node.mount.clone(), found)))
            }
        }
    }

    fn parent(&self, mut node: Node) -> Result<Node, Errno> {
        while node.is_root() {
            let over = node.mount.over.as_ref().map(|over| over.node.clone());
            match over {
                Some(over) => node = over,
                None => return Ok(node),
            }
        }
        let found = node.fs().lookup(node.inode, b"..")?;
        Ok(self.enter(Node::of(node.mount.clone(), found)))
    }

    /// The path of a directory, found by going up: it is right whatever was renamed.
    ///
    /// # Errors
    /// `ENOENT` when it was removed, `ENAMETOOLONG`.
    pub(super) fn path_of(&self, node: &Node) -> Result<Vec<u8>, Errno> {
        // The names from the last to the first, each behind a slash.
        let mut names: Vec<Vec<u8>> = Vec::new();
        let (mut node, mut len) = (node.clone(), 0);
        loop {
            while node.is_root() && node.mount.over.is_some() {
                let over = node.mount.over.as_ref().map(|over| over.node.clone());
                let Some(over) = over else { break };
                node = over;
            }
            if node.is_root() {
                break;
            }
            let found = node.fs().lookup(node.inode, b"..")?;
            let parent = Node::of(node.mount.clone(), found);
            let name = name_in(&parent, node.inode)?;
            len += name.len() + 1;
            if len > PATH_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            names.push(name);
            node = parent;
        }
        let mut path = Vec::with_capacity(len + 1);
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Ok(path)
    }
}

/// The name of a directory in its parent.
fn name_in(parent: &Node, inode: u64) -> Result<Vec<u8>, Errno> {
    let mut entry = [super::dir_entry(0, FileKind::Other, b""); 4];
    let mut cursor = Cursor::Start;
    loop {
        let count = parent.fs().read_dir(parent.inode, &mut cursor, &mut entry)?;
        let found = entry.iter().take(count).find(|entry| entry.inode == inode);
        if let Some(entry) = found {
            let name = entry.name.get(..entry.name_len as usize).unwrap_or_default();
            return Ok(name.to_vec());
        }
        if count == 0 {
            return Err(Errno::ENOENT);
        }
    }
}
