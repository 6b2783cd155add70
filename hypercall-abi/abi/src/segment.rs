//! Segment bases: the numbers of `set_segment_base`.

use crate::macros::consts;

consts! { u32:
    /// Base of fs.
    SEGBASE_FS = 0;
    /// Base of gs in user mode.
    SEGBASE_GS_USER = 1;
    /// Base of gs in kernel mode.
    SEGBASE_GS_KERNEL = 2;
    /// Selector of gs in user mode.
    SEGBASE_GS_USER_SEL = 3;
}
