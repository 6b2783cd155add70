//! Where things are: the checkout, and what is made under its target folder.

use std::env;
use std::path::{Path, PathBuf};

use crate::Result;

/// The triple of everything that runs without an operating system.
pub const BARE_TARGET: &str = "x86_64-unknown-none";

/// The folders of one checkout.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The checkout.
    pub root: PathBuf,
    /// `target`, or where CARGO_TARGET_DIR points.
    pub target: PathBuf,
}

impl Paths {
    /// Finds the checkout this xtask belongs to.
    pub fn find() -> Result<Paths> {
        let root = match env::var_os("CARGO_MANIFEST_DIR") {
            Some(xtask) => Path::new(&xtask).parent().map(Path::to_path_buf),
            None => env::current_dir().ok().and_then(|dir| above(&dir)),
        };
        let root = root.ok_or("the checkout was not found: run `cargo xtask` inside it")?;
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => root.join(dir),
            None => root.join("target"),
        };
        Ok(Paths { root, target })
    }

    /// Cargo's folder for bare builds: apart from the host's, so that neither evicts the other.
    pub fn bare_target(&self) -> PathBuf {
        self.target.join("bare")
    }

    /// Where cargo leaves a bare program.
    pub fn bare_program(&self, name: &str) -> PathBuf {
        self.bare_target().join(BARE_TARGET).join("release").join(name)
    }

    /// What `build` hands out: the images and the archives.
    pub fn images(&self) -> PathBuf {
        self.target.join("zendo")
    }

    /// Where runs tell `zl` how to reach them.
    pub fn runs(&self) -> PathBuf {
        self.images().join("run")
    }

    /// Xen's package and what came out of it.
    pub fn xen(&self) -> PathBuf {
        self.target.join("xen")
    }

    /// Transcripts of system tests.
    pub fn transcripts(&self) -> PathBuf {
        self.target.join("system")
    }
}

/// The nearest folder at or above `dir` that holds an `xtask` crate.
fn above(dir: &Path) -> Option<PathBuf> {
    let holds = |dir: &&Path| dir.join("xtask/Cargo.toml").is_file();
    dir.ancestors().find(holds).map(Path::to_path_buf)
}
