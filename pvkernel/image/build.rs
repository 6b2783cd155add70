//! Links the image for the hypervisor at the addresses of a pvkernel image.

fn main() {
    let script = std::env::var("DEP_PVKERNEL_XEN_LINKER_SCRIPT").unwrap_or_default();
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo:rustc-link-arg-bins=-T{script}");
    }
    println!("cargo:rerun-if-changed={script}");
}
