//! Who may do what with a node.
//!
//! As in Xen: the owner of a node and the control domain may do everything; a domain with its own
//! entry may do what that says; everybody else what the first entry says. A domain that has a target
//! (a device model and its guest) has the rights of both.

use alloc::sync::Arc;
use alloc::vec::Vec;
use hypercall_abi::{DomId, Errno};
use pv_xenbus::{Perm, Rights};

/// Somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// The domain.
    pub domain: DomId,
    /// The domain it acts for.
    pub target: Option<DomId>,
    /// The control domain: no permission and no quota holds it.
    pub is_privileged: bool,
}

impl Who {
    /// The control domain.
    pub const CONTROL: Self = Self { domain: DomId::DOM0, target: None, is_privileged: true };

    fn is(&self, domain: DomId) -> bool {
        self.domain == domain || self.target == Some(domain)
    }
}

/// What an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To see value, children and permissions.
    Read,
    /// To change the value, to make children, to remove.
    Write,
    /// To change the permissions.
    Own,
}

/// The permissions of a node: never empty, cheap to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Perms(Arc<[Perm]>);

impl Perms {
    /// Permissions from a list.
    ///
    /// # Errors
    /// `EINVAL` for an empty list.
    pub fn new(list: Vec<Perm>) -> Result<Self, Errno> {
        match list.is_empty() {
            true => Err(Errno::EINVAL),
            false => Ok(Self(list.into())),
        }
    }

    /// Only the control domain.
    #[must_use]
    pub fn control_only() -> Self {
        Self(Arc::new([Perm { domain: DomId::DOM0, rights: Rights::None }]))
    }

    /// The entries; the first is the owner's.
    #[must_use]
    pub fn list(&self) -> &[Perm] {
        &self.0
    }

    /// The owner.
    #[must_use]
    pub fn owner(&self) -> DomId {
        self.0.first().map_or(DomId::DOM0, |first| first.domain)
    }

    /// Whether somebody may do something.
    #[must_use]
    pub fn allow(&self, who: &Who, need: Need) -> bool {
        if who.is_privileged || who.is(self.owner()) {
            return true;
        }
        let own = self.0.iter().skip(1).find(|perm| who.is(perm.domain));
        let rights = own.or(self.0.first()).map_or(Rights::None, |perm| perm.rights);
        match need {
            Need::Read => rights.can_read(),
            Need::Write => rights.can_write(),
            Need::Own => false,
        }
    }

    /// What a node that `who` makes below this one gets: the same, but a domain owns what it made.
    #[must_use]
    pub fn inherited_by(&self, who: &Who) -> Self {
        if who.is_privileged || self.owner() == who.domain {
            return self.clone();
        }
        let mut list = self.0.to_vec();
        if let Some(first) = list.first_mut() {
            first.domain = who.domain;
        }
        Self(list.into())
    }

    /// The same without entries of a domain that is gone; `None` if there are none. Its ownership
    /// is not an entry.
    #[must_use]
    pub fn without(&self, domain: DomId) -> Option<Self> {
        let is_named = self.0.iter().skip(1).any(|perm| perm.domain == domain);
        if !is_named {
            return None;
        }
        let keep =
            |(index, perm): (usize, &Perm)| (index == 0 || perm.domain != domain).then_some(*perm);
        Some(Self(self.0.iter().enumerate().filter_map(keep).collect::<Vec<_>>().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pv_xenbus::wire::perms_of;

    fn perms(text: &[u8]) -> Perms {
        Perms::new(perms_of(text).unwrap()).unwrap()
    }

    fn domain(number: u16) -> Who {
        Who { domain: DomId::new(number), target: None, is_privileged: false }
    }

    #[test]
    fn owner_named_and_everybody_else() {
        let perms = perms(b"r1\0n2\0w3\0b4\0");
        let allowed =
            |who: Who| [Need::Read, Need::Write, Need::Own].map(|need| perms.allow(&who, need));
        assert_eq!(allowed(domain(1)), [true; 3]);
        assert_eq!(allowed(domain(2)), [false; 3]);
        assert_eq!(allowed(domain(3)), [false, true, false]);
        assert_eq!(allowed(domain(4)), [true, true, false]);
        assert_eq!(allowed(domain(5)), [true, false, false]);
        assert_eq!(allowed(Who::CONTROL), [true; 3]);
        let acts_for = Who { target: Some(DomId::new(1)), ..domain(2) };
        assert_eq!(allowed(acts_for), [true; 3]);
    }

    #[test]
    fn who_makes_a_node_owns_it() {
        let above = perms(b"b1\0r2\0");
        assert_eq!(above.inherited_by(&domain(7)), perms(b"b7\0r2\0"));
        assert_eq!(above.inherited_by(&domain(1)), above);
        assert_eq!(above.inherited_by(&Who::CONTROL), above);
    }

    #[test]
    fn the_entries_of_the_gone_go() {
        assert_eq!(perms(b"n1\0r2\0b1\0").without(DomId::new(1)), Some(perms(b"n1\0r2\0")));
        assert_eq!(perms(b"n1\0r2\0").without(DomId::new(1)), None);
        assert_eq!(Perms::new(Vec::new()), Err(Errno::EINVAL));
    }
}
