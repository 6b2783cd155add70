//! What `zl-files` says, as programs hear it.

use pvkernel_abi::Errno;
use zl_files::What;

pub(crate) const fn errno(what: What) -> Errno {
    match what {
        What::Missing => Errno::ENOENT,
        What::Exists => Errno::EEXIST,
        What::IsFolder => Errno::EISDIR,
        What::NotFolder => Errno::ENOTDIR,
        What::NotEmpty => Errno::ENOTEMPTY,
        What::BadPath | What::NotFormatted | What::TooSmall => Errno::EINVAL,
        What::Full => Errno::ENOSPC,
        What::TooLarge => Errno::EFBIG,
        What::ReadOnly => Errno::EROFS,
        What::Corrupt | What::Io => Errno::EIO,
        What::Unsupported => Errno::ENODEV,
        What::NoMemory => Errno::ENOMEM,
        What::InUse => Errno::EBUSY,
    }
}
