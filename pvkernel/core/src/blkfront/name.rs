//! What the disk with a number is called.

use alloc::format;
use alloc::string::String;

/// Major number of the disks whose name begins with `xvd`.
const XVD: u64 = 202;
/// Bit of the numbers beyond the sixteenth disk.
const EXTENDED: u64 = 1 << 28;

/// The name behind `virtual-device`: `xvda`, `xvdb3`, `xvdq`; `vbd-N` for numbers of other systems.
#[must_use]
pub fn disk_name(number: u64) -> String {
    let (disk, partition) = if number >> 28 == 1 {
        ((number & !EXTENDED) >> 8, number & 0xff)
    } else if number >> 8 == XVD {
        ((number & 0xff) >> 4, number & 0xf)
    } else {
        return format!("vbd-{number}");
    };
    let letters = letters(disk);
    match partition {
        0 => format!("xvd{letters}"),
        _ => format!("xvd{letters}{partition}"),
    }
}

/// a to z, then aa and so on.
fn letters(disk: u64) -> String {
    let last = char::from(b'a' + (disk % 26) as u8);
    match disk / 26 {
        0 => String::from(last),
        more => format!("{}{last}", letters(more - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::disk_name;

    #[test]
    fn numbers_have_the_names_xen_gives_them() {
        let cases = [
            (51712, "xvda"),
            (51713, "xvda1"),
            (51728, "xvdb"),
            (51967, "xvdp15"),
            ((1 << 28) | (16 << 8), "xvdq"),
            ((1 << 28) | (26 << 8) | 3, "xvdaa3"),
            (768, "vbd-768"),
        ];
        for (number, name) in cases {
            assert_eq!(disk_name(number), name);
        }
        assert!(disk_name(u64::MAX).starts_with("vbd-"));
    }
}
