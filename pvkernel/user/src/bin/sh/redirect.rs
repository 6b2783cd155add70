//! Descriptors that become something else: files, other descriptors, texts of here-documents.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use pvkernel_user::abi::open;
use pvkernel_user::file::{pipe, File};
use pvkernel_user::shell::{single, Document, Expanded, Redirection, Target};
use pvkernel_user::{sys, Errno, Result};

use crate::run::Shell;

/// Makes an open file this descriptor, and no other.
pub fn become_fd(file: File, fd: u32) -> Result<()> {
    if file.fd() == fd {
        let _ = file.into_fd();
        return Ok(());
    }
    sys::dup(file.fd(), Some(fd)).map(|_| ())
}

/// Does what a redirection says, for this process.
pub fn redirect(shell: &mut Shell, redirection: &Redirection) -> Expanded<()> {
    let (word, flags) = match &redirection.to {
        Target::Same(fd) => {
            let done = sys::dup(*fd, Some(redirection.fd));
            return done.map(|_| ()).map_err(|why| line(&format!("descriptor {fd}"), why));
        }
        Target::Here(document) => return here(shell, document, redirection.fd),
        Target::Read(word) => (word, open::READ),
        Target::Write(word) => (word, open::WRITE | open::CREATE | open::TRUNCATE),
        Target::Append(word) => (word, open::WRITE | open::CREATE | open::APPEND),
    };
    let path = single(word, shell)?;
    let file = File::open(&path, flags).map_err(|why| line(&path, why))?;
    become_fd(file, redirection.fd).map_err(|why| line(&path, why))
}

/// A pipe holds as much as a word may have, so nobody need read while this is written.
fn here(shell: &mut Shell, document: &Document, fd: u32) -> Expanded<()> {
    let text = match document.get() {
        Some(word) => single(word, shell)?,
        None => String::new(),
    };
    let written = pipe().and_then(|(read, write)| {
        write.write_all(text.as_bytes())?;
        drop(write);
        become_fd(read, fd)
    });
    written.map_err(|why| line("<<", why))
}

fn line(what: &str, why: Errno) -> String {
    format!("{what}: {}", why.text())
}

/// Descriptors of the shell as they were before redirections.
pub struct Saved(Vec<(u32, Option<File>)>);

impl Saved {
    /// Does what redirections say, until `restore`. When one fails all is as it was.
    pub fn redirect(shell: &mut Shell, redirections: &[Redirection]) -> Expanded<Self> {
        let mut saved = Self(Vec::new());
        for redirection in redirections {
            let before = sys::dup(redirection.fd, None).ok().map(File::of);
            shell.kept.extend(before.as_ref().map(File::fd));
            saved.0.push((redirection.fd, before));
            if let Err(why) = redirect(shell, redirection) {
                saved.restore(shell);
                return Err(why);
            }
        }
        Ok(saved)
    }

    /// Makes them what they were.
    pub fn restore(mut self, shell: &mut Shell) {
        while let Some((fd, before)) = self.0.pop() {
            // There is nothing else to do when it fails.
            let _ = match &before {
                Some(file) => sys::dup(file.fd(), Some(fd)).map(|_| ()),
                None => sys::close(fd),
            };
            shell.kept.retain(|kept| before.as_ref().is_none_or(|file| file.fd() != *kept));
        }
    }
}
