//! Tells dependent crates where the linker script is: they see `DEP_PVKERNEL_NATIVE_LINKER_SCRIPT`.
//! The probe in this crate is linked with it, too.

use std::path::PathBuf;

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let script = root.join("link.ld");
    println!("cargo:linker_script={}", script.display());
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo:rustc-link-arg-bins=-T{}", script.display());
    }
    println!("cargo:rerun-if-changed=link.ld");
    println!("cargo:rerun-if-changed=build.rs");
}
