//! The features a kernel supports and requires.
//!
//! Called by `KernelInfo::parse`. Names become the bits of `XENFEAT_*`. A domU kernel that requires
//! `dom0` is refused later, by the plan, because only the plan knows the kind of domain.
//!
//! Invariant: a required feature is also a supported one.

use crate::error::KernelError;
use hypercall_abi::version::xenfeat;

const NAMES: [(&str, u32); 7] = [
    ("writable_page_tables", xenfeat::WRITABLE_PAGE_TABLES),
    ("writable_descriptor_tables", xenfeat::WRITABLE_DESCRIPTOR_TABLES),
    ("auto_translated_physmap", xenfeat::AUTO_TRANSLATED_PHYSMAP),
    ("supervisor_mode_kernel", xenfeat::SUPERVISOR_MODE_KERNEL),
    ("pae_pgdir_above_4gb", xenfeat::PAE_PGDIR_ABOVE_4GB),
    ("hvm_callback_vector", xenfeat::HVM_CALLBACK_VECTOR),
    ("dom0", xenfeat::DOM0),
];

/// Required features that make a kernel impossible to run as a PV64 guest.
const REFUSED: [(&str, u32); 2] = [
    ("auto_translated_physmap", xenfeat::AUTO_TRANSLATED_PHYSMAP),
    ("supervisor_mode_kernel", xenfeat::SUPERVISOR_MODE_KERNEL),
];

/// Bitmaps of feature numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// What the kernel can run with.
    pub supported: u64,
    /// What the kernel cannot run without.
    pub required: u64,
    /// Whether the kernel gave its supported features as a bitmap, which is then complete.
    pub supported_is_complete: bool,
}

impl Features {
    /// Combines the note FEATURES (names) with SUPPORTED_FEATURES (a bitmap).
    ///
    /// # Errors
    /// A required feature that is unknown, or that PV64 guests never have.
    pub fn parse(names: Option<&str>, bitmap: Option<u64>) -> Result<Self, KernelError> {
        let mut features = Self {
            supported: bitmap.unwrap_or(0),
            required: 0,
            supported_is_complete: bitmap.is_some(),
        };
        for word in names.unwrap_or("").split('|').filter(|word| !word.is_empty()) {
            features.take(word)?;
        }
        match REFUSED.iter().find(|(_, bit)| features.requires(*bit)) {
            Some((name, _)) => Err(KernelError::RefusedFeature { name }),
            None => Ok(features),
        }
    }

    fn take(&mut self, word: &str) -> Result<(), KernelError> {
        let (name, is_required) = match word.strip_prefix('!') {
            Some(name) => (name, true),
            None => (word, false),
        };
        match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, bit)) => {
                self.supported |= 1 << bit;
                self.required |= u64::from(is_required) << bit;
                Ok(())
            }
            None if is_required => Err(KernelError::UnknownRequiredFeature { name: name.into() }),
            None => Ok(()),
        }
    }

    /// Whether the kernel cannot run without a feature.
    #[must_use]
    pub fn requires(&self, bit: u32) -> bool {
        self.required >> bit & 1 != 0
    }

    /// Whether the kernel can run as the control domain: it says so, or gives no complete list.
    #[must_use]
    pub fn allows_dom0(&self) -> bool {
        !self.supported_is_complete || self.supported >> xenfeat::DOM0 & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_requires_writable_page_tables_and_is_accepted() {
        let names = "!writable_page_tables|pae_pgdir_above_4gb";
        let features = Features::parse(Some(names), Some(1 << xenfeat::DOM0)).unwrap();
        assert!(features.requires(xenfeat::WRITABLE_PAGE_TABLES));
        assert!(!features.requires(xenfeat::PAE_PGDIR_ABOVE_4GB));
        assert_eq!(features.supported, 1 | 1 << xenfeat::PAE_PGDIR_ABOVE_4GB | 1 << xenfeat::DOM0);
        assert!(features.allows_dom0());
    }

    #[test]
    fn impossible_and_unknown_requirements_are_refused_but_unknown_wishes_are_not() {
        for name in ["supervisor_mode_kernel", "auto_translated_physmap"] {
            let parsed = Features::parse(Some(&alloc::format!("!{name}")), None);
            assert_eq!(parsed, Err(KernelError::RefusedFeature { name }));
            assert!(Features::parse(Some(name), None).is_ok());
        }
        assert!(Features::parse(Some("teleport"), None).is_ok());
        let error = KernelError::UnknownRequiredFeature { name: "teleport".into() };
        assert_eq!(Features::parse(Some("!teleport"), None), Err(error));
    }

    #[test]
    fn only_a_complete_list_without_dom0_forbids_dom0() {
        assert!(Features::parse(None, None).unwrap().allows_dom0());
        assert!(!Features::parse(None, Some(0)).unwrap().allows_dom0());
    }
}
