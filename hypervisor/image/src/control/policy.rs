//! Commands about what CPUs show to domains.
//!
//! Every PV domain sees the same policy, that of `trap::cpuid`. A toolstack may read it, and may
//! "set" it to what it is; changes are refused, so that nothing is promised that is not done.

use hypercall_abi::domctl::{CpuPolicy, XenDomctl};
use hypercall_abi::errno::Errno;
use hypercall_abi::sysctl::{
    CpuFeatureset, CpuLevellingCaps, SystemCpuPolicy, XenSysctl, FEATURESET_PV, FEATURESET_PV_MAX,
    POLICY_PV_DEFAULT, POLICY_PV_MAX,
};
use hypercall_abi::xen::{XenCpuidLeaf, CPUID_NO_SUBLEAF};

use super::domctl::{CmdResult, Reply};
use crate::domain::DomainRef;
use crate::{guestmem, trap};

/// Leaves a policy is made of.
fn leaves() -> impl Iterator<Item = XenCpuidLeaf> {
    trap::cpuid::policy_leaves().map(|(leaf, subleaf, [a, b, c, d])| {
        let subleaf = subleaf.unwrap_or(CPUID_NO_SUBLEAF);
        XenCpuidLeaf { leaf, subleaf, a, b, c, d }
    })
}

/// Copies the leaves out, or says how many there are.
fn copy_leaves(buffer: u64, room: u32) -> Result<u32, Errno> {
    let count = leaves().count() as u32;
    if buffer == 0 {
        return Ok(count);
    }
    if room < count {
        return Err(Errno::ENOBUFS);
    }
    for (index, leaf) in leaves().enumerate() {
        guestmem::write_at(buffer, index as u64, &leaf)?;
    }
    Ok(count)
}

/// `get_cpu_policy` of a domain.
pub fn get(op: &mut XenDomctl) -> CmdResult {
    let mut wanted: CpuPolicy = op.payload();
    wanted.nr_leaves = copy_leaves(wanted.leaves.get(), wanted.nr_leaves)?;
    wanted.nr_msrs = 0;
    op.set_payload(&wanted);
    Ok(Reply::CopyBack)
}

/// `set_cpu_policy`: only what is so anyway.
pub fn set(dom: &DomainRef, op: &mut XenDomctl) -> CmdResult {
    if dom.created.load(core::sync::atomic::Ordering::SeqCst) {
        return Err(Errno::EEXIST);
    }
    let mut wanted: CpuPolicy = op.payload();
    let limit = leaves().count() as u32;
    if wanted.nr_leaves > limit.saturating_mul(2) {
        return Err(Errno::E2BIG);
    }
    for index in 0..wanted.nr_leaves {
        let given: XenCpuidLeaf = guestmem::read_at(wanted.leaves.get(), u64::from(index))?;
        let known = leaves().find(|own| own.leaf == given.leaf && own.subleaf == given.subleaf);
        if known.is_some_and(|own| own != given) {
            (wanted.err_leaf, wanted.err_subleaf) = (given.leaf, given.subleaf);
            wanted.err_msr = u32::MAX;
            op.set_payload(&wanted);
            return Err(Errno::EINVAL);
        }
    }
    Ok(Reply::Plain)
}

/// `get_cpu_policy` of the system.
pub fn system(op: &mut XenSysctl) -> Result<(), Errno> {
    let mut wanted: SystemCpuPolicy = op.payload();
    if wanted.index != POLICY_PV_DEFAULT && wanted.index != POLICY_PV_MAX {
        return Err(Errno::EINVAL);
    }
    wanted.nr_leaves = copy_leaves(wanted.leaves.get(), wanted.nr_leaves)?;
    wanted.nr_msrs = 0;
    op.set_payload(&wanted);
    Ok(())
}

/// `get_cpu_levelling_caps`: nothing can be masked for native `cpuid`.
pub fn levelling_caps(op: &mut XenSysctl) -> Result<(), Errno> {
    op.set_payload(&CpuLevellingCaps { caps: 0 });
    Ok(())
}

/// `get_cpu_featureset` of PV guests.
pub fn featureset(op: &mut XenSysctl) -> Result<(), Errno> {
    let mut wanted: CpuFeatureset = op.payload();
    if wanted.index != FEATURESET_PV && wanted.index != FEATURESET_PV_MAX {
        return Err(Errno::EINVAL);
    }
    let words = trap::cpuid::feature_words();
    if wanted.features.is_null() {
        wanted.nr_features = words.len() as u32;
    } else {
        let count = (wanted.nr_features as usize).min(words.len());
        for (index, word) in words.iter().take(count).enumerate() {
            guestmem::write_at(wanted.features.get(), index as u64, word)?;
        }
        wanted.nr_features = count as u32;
    }
    op.set_payload(&wanted);
    Ok(())
}
