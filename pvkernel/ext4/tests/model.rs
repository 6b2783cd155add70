//! The same history on ext4 and on a ramfs gives the same answers, and leaves a clean disk.

mod common;

use common::{assert_clean, disk, kernel, ram_table, tree};
use proptest::prelude::*;
use pvkernel_core::fs::exercise::{Op, Player};
use pvkernel_core::fs::FileTable;

const MIB: u64 = 24;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn ext4_answers_like_a_ramfs(
        numbers in prop::collection::vec(any::<(u8, u32, u32, u16)>(), 0..150),
    ) {
        let kernel = kernel();
        let disk = disk(kernel, MIB);
        let vfs = tree(kernel, &disk);
        let mut ext4 = Player::new(FileTable::new(vfs));
        let mut model = Player::new(ram_table(kernel));
        model.table().mkdir(b"/lost+found").unwrap();
        for (at, n) in numbers.iter().enumerate() {
            let op = Op::from_numbers(n.0, n.1, n.2, n.3);
            prop_assert_eq!(ext4.apply(&op), model.apply(&op), "step {}: {:?}", at, op);
        }
        let free = vfs.statfs(0).unwrap().free;
        drop(ext4);
        vfs.sync().unwrap();
        prop_assert!(vfs.statfs(0).unwrap().free >= free);
        assert_clean(&disk, MIB);
    }
}
