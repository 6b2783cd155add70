//! Links each image at the addresses of its backend.

fn main() {
    let images = [
        ("shell", "DEP_PVKERNEL_XEN_LINKER_SCRIPT"),
        ("shell-native", "DEP_PVKERNEL_NATIVE_LINKER_SCRIPT"),
    ];
    for (image, variable) in images {
        let script = std::env::var(variable).unwrap_or_default();
        if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
            println!("cargo:rustc-link-arg-bin={image}=-T{script}");
        }
        println!("cargo:rerun-if-changed={script}");
    }
}
