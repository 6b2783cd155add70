//! Where the linker put the parts of this program, each with rights of its own.

/// Where the parts of the image begin, and where it ends.
pub(crate) struct Image {
    pub(crate) start: u64,
    pub(crate) text: u64,
    pub(crate) rodata: u64,
    pub(crate) data: u64,
    pub(crate) end: u64,
    /// A page that is never mapped, below the boot stack.
    pub(crate) guard: u64,
}

#[cfg(target_os = "none")]
mod symbols {
    // SAFETY: defined in entry.S and link.ld, with these types.
    unsafe extern "C" {
        pub static boot_stack_guard: u8;
        pub static image_start: u8;
        pub static image_text: u8;
        pub static image_rodata: u8;
        pub static image_data: u8;
        pub static image_end: u8;
    }
}

/// On a host nothing is ever started; the names only have to exist.
#[cfg(not(target_os = "none"))]
mod symbols {
    #![allow(non_upper_case_globals)]
    pub static boot_stack_guard: u8 = 0;
    pub static image_start: u8 = 0;
    pub static image_text: u8 = 0;
    pub static image_rodata: u8 = 0;
    pub static image_data: u8 = 0;
    pub static image_end: u8 = 0;
}

/// This program.
pub(crate) fn image() -> Image {
    Image {
        start: &raw const symbols::image_start as u64,
        text: &raw const symbols::image_text as u64,
        rodata: &raw const symbols::image_rodata as u64,
        data: &raw const symbols::image_data as u64,
        end: &raw const symbols::image_end as u64,
        guard: &raw const symbols::boot_stack_guard as u64,
    }
}
