//! Extended processor states: leaf 0xd.
//!
//! Used by `policy`. The sizes are computed from the table of state components, because the
//! processor's own answers depend on the hypervisor's XCR0, not on the guest's.
//!
//! Invariant: only components are shown that the hypervisor switches with the vCPU.

use super::features::XSAVEC;
use super::Leaf;
use crate::emul::cr::{XCR0_AVX, XCR0_AVX512, XCR0_SSE, XCR0_X87};

/// Components a PV guest can be offered at all.
const KNOWN: u64 = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512;
/// Number of components in the table.
const COMPONENTS: usize = 8;
/// Size of the area every format starts with: x87 and SSE state, and the header.
const LEGACY_AND_HEADER: u32 = 576;
/// Bit of a component's ecx: aligned to 64 bytes in the compact format.
const ALIGNED: u32 = 1 << 1;

/// The offered states and their layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Xstate {
    offered: u64,
    features: u32,
    /// Size, offset and flags of each component, as leaf 0xd gives them.
    components: [Leaf; COMPONENTS],
}

impl Xstate {
    /// The states that both the processor has and `switched` (a mask of components) contains.
    /// Without x87 and SSE there is nothing to offer.
    pub fn new(host: &impl Fn(u32, u32) -> Leaf, switched: u64, features: u32) -> Self {
        let [low, _, _, high] = host(0xd, 0);
        let mut offered = (u64::from(high) << 32 | u64::from(low)) & switched & KNOWN;
        if offered & (XCR0_X87 | XCR0_SSE) != XCR0_X87 | XCR0_SSE {
            return Self::default();
        }
        if offered & XCR0_AVX == 0 || offered & XCR0_AVX512 != XCR0_AVX512 {
            offered &= !XCR0_AVX512;
        }
        let component = |number: usize| match host(0xd, number as u32) {
            [size, offset, flags, _] if number >= 2 && offered >> number & 1 != 0 => {
                [size, offset, flags, 0]
            }
            _ => [0; 4],
        };
        Self { offered, features, components: core::array::from_fn(component) }
    }

    /// The offered components, which are also the bits a guest may set in XCR0.
    pub fn offered(&self) -> u64 {
        self.offered
    }

    fn enabled(&self, xcr0: u64) -> impl Iterator<Item = &Leaf> {
        let enabled = (0_u32..).zip(&self.components).filter(move |(n, _)| xcr0 >> n & 1 != 0);
        enabled.map(|(_, component)| component)
    }

    /// Bytes of the standard format for a set of components.
    fn standard_size(&self, xcr0: u64) -> u32 {
        let ends = self.enabled(xcr0).map(|[size, offset, ..]| offset.saturating_add(*size));
        ends.fold(LEGACY_AND_HEADER, u32::max)
    }

    /// Bytes of the compact format for a set of components.
    fn compact_size(&self, xcr0: u64) -> u32 {
        self.enabled(xcr0).fold(LEGACY_AND_HEADER, |end, [size, _, flags, _]| {
            let alignment = if flags & ALIGNED == 0 { 1 } else { 64 };
            end.checked_next_multiple_of(alignment).unwrap_or(end).saturating_add(*size)
        })
    }

    /// Leaf 0xd for a guest whose XCR0 is `xcr0`.
    pub fn leaf(&self, subleaf: u32, xcr0: u64) -> Leaf {
        match subleaf {
            0 if self.offered != 0 => {
                let (now, most) = (self.standard_size(xcr0), self.standard_size(self.offered));
                [self.offered as u32, now, most, (self.offered >> 32) as u32]
            }
            1 if self.features & XSAVEC != 0 => [self.features, self.compact_size(xcr0), 0, 0],
            1 => [self.features, 0, 0, 0],
            _ => self.components.get(subleaf as usize).copied().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AVX at 576, bound registers and protection keys, the three parts of AVX-512.
    fn host(leaf: u32, subleaf: u32) -> Leaf {
        match (leaf, subleaf) {
            (0xd, 0) => [0x2ff, 0, 0, 0],
            (0xd, 2) => [256, 576, 0, 0],
            (0xd, 3) => [64, 960, 0, 0],
            (0xd, 5) => [64, 1088, 0, 0],
            (0xd, 6) => [512, 1152, 2, 0],
            (0xd, 7) => [1024, 1664, 2, 0],
            (0xd, 9) => [8, 2688, 0, 0],
            _ => [0; 4],
        }
    }

    #[test]
    fn sizes_follow_the_guests_enabled_states() {
        let xstate = Xstate::new(&host, u64::MAX, 3);
        assert_eq!(xstate.offered(), 0xe7);
        assert_eq!(xstate.leaf(0, 3), [0xe7, 576, 2688, 0]);
        assert_eq!(xstate.leaf(0, 7), [0xe7, 832, 2688, 0]);
        assert_eq!(xstate.leaf(1, 7), [3, 832, 0, 0]);
        assert_eq!(xstate.leaf(1, 0xe7), [3, 832 + 64 + 512 + 1024, 0, 0]);
        assert_eq!(xstate.leaf(2, 3), [256, 576, 0, 0]);
        assert_eq!(xstate.leaf(3, 3), [0; 4], "bound registers are not offered");
        assert_eq!(xstate.leaf(9, 3), [0; 4]);
        assert_eq!(xstate.leaf(u32::MAX, 3), [0; 4]);
    }

    #[test]
    fn only_switched_states_are_offered_and_incomplete_sets_shrink() {
        assert_eq!(Xstate::new(&host, 7, 0).offered(), 7);
        assert_eq!(Xstate::new(&host, 0x67, 0).offered(), 7);
        assert_eq!(Xstate::new(&host, 0xe3, 0).offered(), 3);
        assert_eq!(Xstate::new(&host, 1, 0), Xstate::default());
        assert_eq!(Xstate::default().leaf(0, 3), [0; 4]);
        assert_eq!(Xstate::new(&host, 7, 0).leaf(0, 3), [7, 576, 832, 0]);
    }
}
