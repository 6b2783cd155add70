//! Files by number instead of by path: what a kernel's tree of mounted file systems is made of.
//!
//! Who uses this keeps count of who uses a number: `remove_in` and `rename_in` only take names away, and a
//! file without names stays until `reap_file`.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use rsext4::{
    DirectoryCursor, DirectoryEntryType, Ext4Error, FileName, FilePermissions, InodeNumber,
    RenameOptions, UnlinkOutcome,
};

use crate::error::{what, What};
use crate::files::{stat, FileId, Files, Kind, Stat, AS_ROOT};

/// How far a folder has been read; the numbers mean something to this file only.
pub type Place = [u64; 2];

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name, which may be any bytes.
    pub name: Vec<u8>,
    /// Which file.
    pub file: FileId,
    /// What it is.
    pub kind: Kind,
    /// Where reading goes on behind it; `None` at the end.
    pub next: Option<Place>,
}

fn failed(error: Ext4Error) -> What {
    what(error.kind())
}

impl FileId {
    /// Its number on the disk.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0.raw().into()
    }

    /// The file with a number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        let number = u32::try_from(number).ok().filter(|number| *number > 0)?;
        InodeNumber::new(number).ok().map(Self)
    }
}

fn to_place(cursor: DirectoryCursor) -> Option<Place> {
    match cursor {
        DirectoryCursor::Start => Some([0, 0]),
        DirectoryCursor::Linear { offset } => Some([1, offset]),
        DirectoryCursor::HTree { major, minor, collision } => {
            Some([2 | u64::from(collision) << 32, u64::from(major) << 32 | u64::from(minor)])
        }
        DirectoryCursor::End => None,
    }
}

fn to_cursor(place: Place) -> DirectoryCursor {
    let [first, second] = place;
    match first as u32 {
        1 => DirectoryCursor::Linear { offset: second },
        2 => DirectoryCursor::HTree {
            major: (second >> 32) as u32,
            minor: second as u32,
            collision: (first >> 32) as u32,
        },
        _ => DirectoryCursor::Start,
    }
}

impl Files {
    /// The uppermost folder.
    #[must_use]
    pub fn root(&self) -> FileId {
        FileId(self.fs.root_inode())
    }

    /// About a file.
    ///
    /// # Errors
    /// It does not exist any more, or the disk failed.
    pub fn about(&mut self, file: FileId) -> Result<Stat, What> {
        self.fs.inode(file.0).map(|info| stat(&info)).map_err(failed)
    }

    /// Finds a name; `..` is the parent.
    ///
    /// # Errors
    /// It is not there.
    pub fn find_in(&mut self, folder: FileId, name: &[u8]) -> Result<Stat, What> {
        let name = FileName::new(name).map_err(failed)?;
        let found = self.fs.lookup_child(folder.0, name).map_err(failed)?;
        found.map(|info| stat(&info)).ok_or(What::Missing)
    }

    /// Makes an empty file.
    ///
    /// # Errors
    /// The name is taken, or there is no room.
    pub fn create_in(&mut self, folder: FileId, name: &[u8]) -> Result<FileId, What> {
        self.check_spare("").map_err(|error| error.what)?;
        let name = FileName::new(name).map_err(failed)?;
        let permissions = FilePermissions::new(0o644).map_err(failed)?;
        let made = self.fs.create_regular_file(AS_ROOT, folder.0, name, permissions);
        made.map(|info| FileId(info.number)).map_err(failed)
    }

    /// Makes an empty folder.
    ///
    /// # Errors
    /// The name is taken, or there is no room.
    pub fn make_folder_in(&mut self, folder: FileId, name: &[u8]) -> Result<FileId, What> {
        self.check_spare("").map_err(|error| error.what)?;
        let name = FileName::new(name).map_err(failed)?;
        let permissions = FilePermissions::new(0o755).map_err(failed)?;
        let made = self.fs.create_directory(AS_ROOT, folder.0, name, permissions);
        made.map(|info| FileId(info.number)).map_err(failed)
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// The name is taken, or there is no room.
    pub fn link_in(&mut self, file: FileId, folder: FileId, name: &[u8]) -> Result<(), What> {
        self.check_spare("").map_err(|error| error.what)?;
        let name = FileName::new(name).map_err(failed)?;
        self.fs.hard_link(file.0, folder.0, name).map(drop).map_err(failed)
    }

    /// Takes the name of a file or of an empty folder away; returns the file if that was its last.
    ///
    /// # Errors
    /// It is not there, not empty, or in use as a disk.
    pub fn remove_in(&mut self, folder: FileId, name: &[u8]) -> Result<Option<FileId>, What> {
        let found = self.find_in(folder, name)?;
        self.check_free(found.id).map_err(|error| error.what)?;
        let name = FileName::new(name).map_err(failed)?;
        let removed = match found.kind {
            Kind::Folder => self.fs.remove_empty_directory(folder.0, name),
            _ => self.fs.unlink(folder.0, name),
        };
        removed.map(nameless).map_err(failed)
    }

    /// Moves a file or folder over whatever has the name; returns what has no name any more.
    ///
    /// # Errors
    /// What is there cannot be replaced, or there is no room.
    pub fn rename_in(
        &mut self,
        from: (FileId, &[u8]),
        to: (FileId, &[u8]),
    ) -> Result<Option<FileId>, What> {
        self.check_spare("").map_err(|error| error.what)?;
        let moved = self.find_in(from.0, from.1)?;
        let target = match self.find_in(to.0, to.1) {
            Err(What::Missing) => None,
            other => Some(other?),
        };
        for stat in [Some(moved), target].into_iter().flatten() {
            self.check_free(stat.id).map_err(|error| error.what)?;
        }
        // A folder into itself is refused first, as in Linux; rsext4 looks first at what has the name.
        if target.is_some() && moved.kind == Kind::Folder && self.is_within(to.0, moved.id)? {
            return Err(What::BadPath);
        }
        match target.map(|target| target.kind) {
            Some(Kind::Folder) if moved.kind != Kind::Folder => return Err(What::IsFolder),
            Some(Kind::File | Kind::Other) if moved.kind == Kind::Folder => {
                return Err(What::NotFolder);
            }
            _ => {}
        }
        let old_name = FileName::new(from.1).map_err(failed)?;
        let new_name = FileName::new(to.1).map_err(failed)?;
        let options = RenameOptions::REPLACE;
        let renamed = self.fs.rename(from.0 .0, old_name, to.0 .0, new_name, options);
        renamed.map(|outcome| outcome.replaced.and_then(nameless)).map_err(failed)
    }

    /// Whether a folder is another one or lies in it.
    fn is_within(&mut self, folder: FileId, other: FileId) -> Result<bool, What> {
        let mut seen = BTreeSet::new();
        let mut here = folder;
        while here != other {
            if here == self.root() {
                return Ok(false);
            }
            if !seen.insert(here.number()) {
                return Err(What::Corrupt);
            }
            here = self.find_in(here, b"..")?.id;
        }
        Ok(true)
    }

    /// Frees a file without names that nobody uses any more.
    ///
    /// # Errors
    /// The disk failed.
    pub fn reap_file(&mut self, file: FileId) -> Result<(), What> {
        self.fs.reap_unlinked_inode(file.0).map_err(failed)
    }

    /// Reads up to `most` entries of a folder, without `.` and `..`; none at the end.
    ///
    /// # Errors
    /// It is no folder, or the disk failed.
    pub fn list_in(
        &mut self,
        folder: FileId,
        from: Option<Place>,
        most: usize,
    ) -> Result<Vec<Named>, What> {
        let mut cursor = from.map_or(DirectoryCursor::Start, to_cursor);
        loop {
            let batch = self.fs.read_directory(folder.0, cursor, most).map_err(failed)?;
            let Some(last) = batch.last() else { return Ok(Vec::new()) };
            let is_last = last.next_cursor == DirectoryCursor::End;
            cursor = last.next_cursor;
            let is_real = |name: &[u8]| name != b"." && name != b"..";
            let named = batch.into_iter().filter(|entry| is_real(&entry.name));
            let named: Vec<Named> = named
                .map(|entry| Named {
                    name: entry.name,
                    file: FileId(entry.inode),
                    kind: kind_of(entry.file_type),
                    next: to_place(entry.next_cursor),
                })
                .collect();
            if !named.is_empty() || is_last {
                return Ok(named);
            }
        }
    }
}

fn nameless(outcome: UnlinkOutcome) -> Option<FileId> {
    outcome.requires_reap().then_some(FileId(outcome.inode))
}

pub(crate) const fn kind_of(file_type: DirectoryEntryType) -> Kind {
    match file_type {
        DirectoryEntryType::RegularFile => Kind::File,
        DirectoryEntryType::Directory => Kind::Folder,
        _ => Kind::Other,
    }
}
