//! Size classes of the heap, as arithmetic.
//!
//! Used by `heap`; separate so that it runs under the host's tests. A slab page is one 4 KiB page:
//! a header of 64 bytes, then objects of one size.

/// Bytes of a slab page.
pub const SLAB_SIZE: usize = 4096;
/// Bytes of a slab page's header.
pub const HEADER_SIZE: usize = 64;
/// Sizes of objects. Each is a multiple of 16; those a layout with a larger alignment can use are
/// multiples of it.
pub const CLASSES: [usize; 16] =
    [16, 32, 48, 64, 96, 128, 192, 256, 320, 448, 576, 672, 800, 1008, 1344, 2016];

/// Where an allocation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A slab of class number `0`.
    Class(usize),
    /// A block of `2^0` pages.
    Pages(u32),
}

/// Where an allocation of `size` bytes aligned to `align`, a power of two, comes from.
pub fn source(size: usize, align: usize) -> Source {
    if align <= HEADER_SIZE {
        let fits = |class: &usize| *class >= size && (align <= 16 || class.is_multiple_of(align));
        if let Some(class) = CLASSES.iter().position(fits) {
            return Source::Class(class);
        }
    }
    let pages = size.max(align).div_ceil(SLAB_SIZE);
    Source::Pages(pages.next_power_of_two().trailing_zeros())
}

/// Objects in a slab of a class.
pub const fn capacity(class: usize) -> usize {
    (SLAB_SIZE - HEADER_SIZE) / CLASSES[class]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_object_fits_and_is_aligned(size in 1_usize..20_000, align_log in 0_u32..14) {
            let align = 1 << align_log;
            match source(size, align) {
                Source::Class(class) => {
                    prop_assert!(CLASSES[class] >= size);
                    for object in 0..capacity(class) {
                        let offset = HEADER_SIZE + object * CLASSES[class];
                        prop_assert_eq!(offset % align, 0);
                        prop_assert!(offset + CLASSES[class] <= SLAB_SIZE);
                    }
                }
                Source::Pages(order) => {
                    prop_assert!(SLAB_SIZE << order >= size);
                    prop_assert!(SLAB_SIZE << order >= align);
                }
            }
        }
    }

    #[test]
    fn a_page_is_a_page() {
        assert_eq!(source(4096, 4096), Source::Pages(0));
        assert_eq!(source(4097, 8), Source::Pages(1));
    }
}
