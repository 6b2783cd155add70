//! Descriptions of disks.

use super::*;
use proptest::prelude::*;

fn disk(spec: &str) -> DiskConfig {
    DiskConfig::parse(spec).unwrap_or_else(|(what, advice)| panic!("{spec}: {what}; {advice}"))
}

fn file_disk(path: &str, vdev: &str, read_only: bool) -> DiskConfig {
    DiskConfig {
        vdev: Vdev::parse(vdev).unwrap(),
        target: Backing::File(path.into()),
        read_only,
        discard: true,
    }
}

#[test]
fn every_form_of_xl_means_the_same_disk() {
    let expected = file_disk("/images/a.img", "xvda", false);
    for spec in [
        "file:/images/a.img,xvda,w",
        "file:/images/a.img,xvda",
        "/images/a.img,raw,xvda,rw",
        "/images/a.img,,xvda",
        "raw:/images/a.img,xvda,w",
        "target=/images/a.img,format=raw,vdev=xvda,access=rw",
        "format=raw, vdev=xvda, access=rw, target=/images/a.img",
        "vdev=xvda,target=file:/images/a.img",
        "/images/a.img,vdev=xvda",
        "/images/a.img,format=raw,xvda,w",
    ] {
        assert_eq!(disk(spec), expected, "{spec}");
    }
    assert_eq!(disk("a.img,,xvdb1,r,no-discard").target.params(), "/images/a.img");
    assert!(disk("file:/a,xvdb,ro").read_only);
    assert!(!disk("file:/a,xvdb,ro,no-discard").discard);
}

#[test]
fn devices_and_memory_are_other_kinds_of_target() {
    let device = disk("phy:vdb,xvdb,r");
    assert_eq!((device.target.kind(), device.target.params().as_str()), ("phy", "vdb"));
    assert_eq!(disk("phy:/dev/vdb,xvdb,r"), device);
    assert_eq!(disk("/dev/vdb,raw,xvdb,r"), device);
    let memory = disk("ram:64M,xvda,w");
    assert_eq!((memory.target.kind(), memory.target.params().as_str()), ("ram", "67108864"));
    assert_eq!(disk("ram:scratch:8K,xvda").target.params(), "scratch:8192");
    assert_eq!(disk("target=ram:1G,vdev=xvda").target.params(), "1073741824");
}

#[test]
fn every_bad_description_says_what_and_what_to_try() {
    for (spec, expected) in [
        ("", "the target is empty"),
        ("file:/a", "the name of the disk in the domain is missing in 'file:/a'"),
        ("vdev=xvda", "the target is missing"),
        ("file:,xvda,w", "the target is empty"),
        ("file:/a,hda,w", "'hda' is an emulated disk"),
        ("file:/a,xvda,q", "access 'q' is neither"),
        ("file:/a,xvda,w,more", "'more' is one word too many"),
        ("tap:/a,xvda,w", "'tap:' needs a backend"),
        ("tap:qcow2:/a,xvda,w", "'tap:' needs a backend"),
        ("qcow2:/a,xvda,w", "format 'qcow2' is not read here, only raw"),
        ("/a,vhd,xvda,w", "format 'vhd' is not read here"),
        ("/a,,xvda,w,format=qcow2", "format 'qcow2'"),
        ("nfs:/a,xvda,w", "'nfs:' is no kind of disk"),
        ("ram:64,xvda,w", "'64' is no size"),
        ("ram:5K,xvda,w", "'5K' is no size"),
        ("ram:,xvda,w", "'' is no size"),
        ("ram:99999999999G,xvda,w", "'99999999999G' is no size"),
        ("ram:a/b:4K,xvda,w", "'a/b' is no name of a RAM disk"),
        ("file:/a,xvda,w,vdev=xvdb", "vdev is given twice"),
        ("file:/a,xvda,target=/b", "target is given twice"),
        ("file:/a,xvda,cdrom", "cdrom: PV guests"),
        ("file:/a,xvda,w,devtype=cdrom", "cdrom: PV guests"),
        ("file:/a,xvda,w,colour=red", "unknown word 'colour'"),
        ("file:/a,xvda,w,script=block-x", "the script 'block-x'"),
        ("file:/a,xvda,w,backend=net", "'net' is no backend domain"),
        ("file:/a\u{1},xvda,w", "the target '/a\\u{1}' holds a control character"),
    ] {
        let (what, advice) = DiskConfig::parse(spec).expect_err(spec);
        assert!(what.starts_with(expected), "{spec}\n  gave     {what}\n  expected {expected}");
        assert!(!advice.is_empty() && !what.contains('\n'), "{spec}");
    }
}

proptest! {
    #[test]
    fn what_is_read_in_order_is_read_by_name(
        path in "/[a-z0-9/._-]{1,40}", disk_letter in "[a-z]", partition in 0u32..20, read_only: bool,
    ) {
        let number = if partition == 0 { String::new() } else { partition.to_string() };
        let vdev = format!("xvd{disk_letter}{number}");
        let access = if read_only { "r" } else { "w" };
        let in_order = disk(&format!("file:{path},{vdev},{access}"));
        prop_assert_eq!(&in_order, &file_disk(&path, &vdev, read_only));
        let named = disk(&format!("access={access},vdev={vdev},format=raw,target=file:{path}"));
        prop_assert_eq!(in_order, named);
    }

    #[test]
    fn no_text_panics_or_breaks_the_line(spec in "[a-z0-9:=,/.\n\u{0} -]{0,60}") {
        if let Err((what, _)) = DiskConfig::parse(&spec) {
            prop_assert!(!what.contains('\n'));
        }
    }

    #[test]
    fn no_unicode_panics(spec in any::<String>()) {
        let _ = DiskConfig::parse(&spec);
    }
}
