//! `xen_version`: what we run on.

use hypercall_abi::version::{
    self, XenCompileInfo, XenFeatureInfo, XenPlatformParameters, CAPABILITIES_INFO_LEN,
    CHANGESET_INFO_LEN, COMMANDLINE_LEN, EXTRAVERSION_LEN,
};
use hypercall_abi::xen::DomainHandle;
use hypercall_abi::{nr, Errno};

use super::{address_of_mut, command, done, raw};

fn op<T>(cmd: u32, arg: &mut T) -> Result<u64, Errno> {
    // SAFETY: every command used here writes at most the size of its structure.
    Errno::check(unsafe { command(nr::XEN_VERSION, cmd, arg) })
}

/// Major version in the upper, minor version in the lower half.
#[must_use]
#[inline]
pub fn version() -> u32 {
    // SAFETY: the command takes no argument.
    let ret = unsafe { raw(nr::XEN_VERSION, [u64::from(version::VERSION), 0, 0, 0, 0]) };
    ret as u32
}

/// The rest of the version, as text.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn extraversion() -> Result<[u8; EXTRAVERSION_LEN], Errno> {
    let mut text = [0; EXTRAVERSION_LEN];
    op(version::EXTRAVERSION, &mut text)?;
    Ok(text)
}

/// Who compiled the hypervisor.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn compile_info() -> Result<XenCompileInfo, Errno> {
    let mut info = XenCompileInfo::default();
    op(version::COMPILE_INFO, &mut info)?;
    Ok(info)
}

/// The guest types the hypervisor can run, separated by blanks.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn capabilities() -> Result<[u8; CAPABILITIES_INFO_LEN], Errno> {
    let mut text = [0; CAPABILITIES_INFO_LEN];
    op(version::CAPABILITIES, &mut text)?;
    Ok(text)
}

/// The hypervisor's change set.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn changeset() -> Result<[u8; CHANGESET_INFO_LEN], Errno> {
    let mut text = [0; CHANGESET_INFO_LEN];
    op(version::CHANGESET, &mut text)?;
    Ok(text)
}

/// First address of the hypervisor's hole.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn platform_parameters() -> Result<XenPlatformParameters, Errno> {
    let mut parameters = XenPlatformParameters::default();
    op(version::PLATFORM_PARAMETERS, &mut parameters)?;
    Ok(parameters)
}

/// A word of feature bits.
///
/// # Errors
/// `EINVAL` for a word that does not exist.
pub fn features(submap_idx: u32) -> Result<u32, Errno> {
    let mut info = XenFeatureInfo { submap_idx, submap: 0 };
    op(version::GET_FEATURES, &mut info)?;
    Ok(info.submap)
}

/// Bytes in a page.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn pagesize() -> Result<u64, Errno> {
    // SAFETY: the command takes no argument.
    Errno::check(unsafe { raw(nr::XEN_VERSION, [u64::from(version::PAGESIZE), 0, 0, 0, 0]) })
}

/// This domain's unique identifier.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn guest_handle() -> Result<DomainHandle, Errno> {
    let mut handle = [0; 16];
    op(version::GUEST_HANDLE, &mut handle)?;
    Ok(handle)
}

/// The hypervisor's command line.
///
/// # Errors
/// None that a conforming hypervisor returns.
pub fn commandline() -> Result<[u8; COMMANDLINE_LEN], Errno> {
    let mut text = [0; COMMANDLINE_LEN];
    op(version::COMMANDLINE, &mut text)?;
    Ok(text)
}

/// The hypervisor's build identifier; returns its length.
///
/// # Errors
/// `ENODATA` when there is none, `ENOBUFS` when it does not fit, `EPERM`.
pub fn build_id(id: &mut [u8]) -> Result<usize, Errno> {
    let mut buffer = [0u32; 17];
    let room = id.len().min(64);
    buffer[0] = room as u32;
    let arg = address_of_mut(&mut buffer);
    // SAFETY: the buffer is the length word and at least as many bytes as the word says.
    let ret = unsafe { raw(nr::XEN_VERSION, [u64::from(version::BUILD_ID), arg, 0, 0, 0]) };
    let len = usize::try_from(Errno::check(ret)?).unwrap_or(0).min(room);
    for (at, to) in id[..len].iter_mut().enumerate() {
        *to = buffer[1 + at / 4].to_le_bytes()[at % 4];
    }
    Ok(len)
}

/// Forces the hypervisor to look at pending events: any call that returns does.
pub fn force_callback() {
    let _ = version();
}

/// A command of this hypercall without an argument, for those that have none.
///
/// # Errors
/// What the hypervisor answers.
pub fn without_argument(cmd: u32) -> Result<(), Errno> {
    // SAFETY: with a null pointer no command writes anything.
    done(unsafe { raw(nr::XEN_VERSION, [u64::from(cmd), 0, 0, 0, 0]) })
}
