//! Commands about what CPUs show to domains.
//!
//! Every PV domain sees the same policy, that of `trap::cpuid`. A toolstack may read it, and may
//! "set" it to what it is; changes are refused, so that nothing is promised that is not done.

use core::sync::atomic::Ordering;
use hypercall_abi::domctl::CpuPolicy;
use hypercall_abi::sysctl::{
    CpuFeatureset, CpuLevellingCaps, SystemCpuPolicy, FEATURESET_PV, FEATURESET_PV_MAX,
    POLICY_PV_DEFAULT, POLICY_PV_MAX,
};
use hypercall_abi::xen::XenCpuidLeaf;
use hypercall_abi::{Errno, GuestVa};

use super::copy_out_or_count;
use crate::domain::Domain;
use crate::guestmem;
use crate::hypercall::ensure;
use crate::trap::cpuid::{feature_words, policy_leaves as leaves};

/// Copies the leaves out, or says how many there are.
fn copy_leaves(buffer: GuestVa, room: u32) -> Result<u32, Errno> {
    match leaves().count() as u32 {
        count if buffer.is_null() => Ok(count),
        count if room < count => Err(Errno::ENOBUFS),
        _ => guestmem::write_array(buffer.get(), leaves()),
    }
}

/// `get_cpu_policy` of a domain.
pub fn get(mut wanted: CpuPolicy) -> Result<CpuPolicy, Errno> {
    wanted.nr_leaves = copy_leaves(wanted.leaves, wanted.nr_leaves)?;
    wanted.nr_msrs = 0;
    Ok(wanted)
}

/// `set_cpu_policy`: only what is so anyway.
pub fn set(dom: &Domain, wanted: CpuPolicy) -> Result<(), Errno> {
    ensure(!dom.created.load(Ordering::SeqCst), Errno::EEXIST)?;
    ensure(wanted.nr_leaves as usize <= leaves().count() * 2, Errno::E2BIG)?;
    for index in 0..wanted.nr_leaves {
        let given: XenCpuidLeaf = guestmem::read_at(wanted.leaves.get(), u64::from(index))?;
        let known = leaves().find(|own| own.leaf == given.leaf && own.subleaf == given.subleaf);
        ensure(known.is_none_or(|own| own == given), Errno::EINVAL)?;
    }
    Ok(())
}

/// `get_cpu_policy` of the system.
pub fn system(mut wanted: SystemCpuPolicy) -> Result<SystemCpuPolicy, Errno> {
    ensure([POLICY_PV_DEFAULT, POLICY_PV_MAX].contains(&wanted.index), Errno::EINVAL)?;
    wanted.nr_leaves = copy_leaves(wanted.leaves, wanted.nr_leaves)?;
    wanted.nr_msrs = 0;
    Ok(wanted)
}

/// `get_cpu_levelling_caps`: nothing can be masked for native `cpuid`.
pub fn levelling_caps(_: CpuLevellingCaps) -> Result<CpuLevellingCaps, Errno> {
    Ok(CpuLevellingCaps { caps: 0 })
}

/// `get_cpu_featureset` of PV guests.
pub fn featureset(mut wanted: CpuFeatureset) -> Result<CpuFeatureset, Errno> {
    ensure([FEATURESET_PV, FEATURESET_PV_MAX].contains(&wanted.index), Errno::EINVAL)?;
    let words = feature_words().into_iter();
    wanted.nr_features = copy_out_or_count(wanted.features, wanted.nr_features, words)?;
    Ok(wanted)
}
