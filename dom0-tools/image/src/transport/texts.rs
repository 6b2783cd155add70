//! What the hypervisor says about itself: the texts of `xen_version`.

use alloc::string::String;
use pvkernel_xen::hypercall::version as call;
use zl_toolstack::client::VersionInfo;

/// All texts; one the hypervisor refuses stays empty.
pub fn version() -> VersionInfo {
    let number = call::version();
    let compile = call::compile_info().unwrap_or_default();
    VersionInfo {
        major: number >> 16,
        minor: number & 0xffff,
        extra: text(call::extraversion()),
        capabilities: text(call::capabilities()),
        changeset: text(call::changeset()),
        command_line: text(call::commandline()),
        compiler: text(Ok::<_, ()>(compile.compiler)),
        compiled_by: text(Ok::<_, ()>(compile.compile_by)),
        compile_domain: text(Ok::<_, ()>(compile.compile_domain)),
        compile_date: text(Ok::<_, ()>(compile.compile_date)),
        page_size: call::pagesize().unwrap_or(0),
        virt_start: call::platform_parameters().map_or(0, |parameters| parameters.virt_start),
    }
}

/// The bytes before the first NUL.
fn text<const N: usize, E>(bytes: Result<[u8; N], E>) -> String {
    match bytes {
        Ok(bytes) => {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(N);
            String::from_utf8_lossy(bytes.get(..end).unwrap_or(&bytes)).into_owned()
        }
        Err(_) => String::new(),
    }
}
