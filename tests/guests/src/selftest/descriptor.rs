//! `set_gdt` and `update_descriptor`.

use core::arch::asm;

use crate::harness::{address, hypercall, Report};
use crate::pages::Page;
use crate::probe::fault_of;
use hypercall_abi::{nr, Errno};
use pvkernel_xen::mmu;

/// A writable data segment of ring 3, flat.
pub const DATA3: u64 = 0x00cf_f300_0000_ffff;
/// The same for ring 0.
const DATA0: u64 = 0x00cf_9300_0000_ffff;
/// A 64-bit code segment of ring 3.
const CODE3: u64 = 0x00af_fb00_0000_ffff;
/// A task state segment, which a guest cannot have.
const TSS: u64 = 0x0000_8900_0000_0067;
/// A local descriptor table, likewise.
const LDT: u64 = 0x0000_8200_0000_0fff;
/// An interrupt gate, likewise.
const GATE: u64 = 0x0000_ee00_e033_1000;

/// Loads fs, reads through it, and drops it again.
pub extern "C" fn load_fs(selector: u64) -> u64 {
    let value: u64;
    // SAFETY: a selector that cannot be loaded faults, which the probe catches.
    unsafe {
        asm!("mov fs, {0:e}", "mov {0:e}, fs", "xor {1:e}, {1:e}", "mov fs, {1:e}",
            inout(reg) selector => value, out(reg) _, options(nostack));
    }
    value
}

/// Runs the topic.
pub fn run(t: &mut Report) {
    let page = Page::new();
    page.write(1, DATA3);
    page.write(2, DATA0);
    page.write(3, CODE3);
    let mut list = [page.mfn.get(); 16];
    let mut set = |count: u64| hypercall(nr::SET_GDT, &[address(&mut list), count]);
    t.errno("gdt-writable-page", Errno::EINVAL, set(512));
    page.seal();
    t.errno("gdt-7169-entries", Errno::EINVAL, set(7169));
    t.errno("gdt-huge", Errno::EINVAL, set(1 << 31));
    t.ret("gdt", 0, set(4));
    t.eq("gdt-page-cannot-be-written", Err(Errno::EBUSY), page.unseal());
    t.eq(
        "gdt-ring-0-becomes-ring-3",
        DATA0 | 0x6000_0000_0000,
        page.read(2) & !(1 << 40) | DATA0 & 1 << 40,
    );
    t.eq("gdt-selector", Ok(0x0b), fault_of(load_fs, 0x0b));
    t.eq("gdt-fixed-selector", Ok(0x13), fault_of(load_fs, 0x13));
    t.eq("gdt-empty-entry", Err((13, 0x20)), fault_of(load_fs, 0x23));
    t.eq("gdt-hypervisor-selector-stays", Ok(0xe02b), fault_of(load_fs, 0xe02b));
    update(t, &page);
    t.ret("gdt-none", 0, hypercall(nr::SET_GDT, &[0, 0]));
    t.eq("gdt-gone", Err((13, 0x08)), fault_of(load_fs, 0x0b));
    // The page keeps its type as a cache and loses it when something else needs the frame.
    t.eq("gdt-page-is-free", Ok(()), page.unseal());
    system_descriptors(t);
}

fn set_entry(maddr: u64, descriptor: u64) -> i64 {
    hypercall(nr::UPDATE_DESCRIPTOR, &[maddr, descriptor])
}

fn update(t: &mut Report, page: &Page) {
    t.ret("update", 0, set_entry(page.maddr(4), DATA3));
    t.eq("updated", Ok(0x23), fault_of(load_fs, 0x23));
    t.ret("update-ring-0", 0, set_entry(page.maddr(5), DATA0));
    t.eq("update-ring-0-becomes-ring-3", 3, page.read(5) >> 45 & 3);
    t.ret("update-not-present", 0, set_entry(page.maddr(5), 0x1234));
    t.eq("update-not-present-stored", 0x1234, page.read(5));
    t.eq("load-not-present", Err((11, 0x28)), {
        let _ = set_entry(page.maddr(5), DATA3 & !(1 << 47));
        fault_of(load_fs, 0x2b)
    });
    t.errno("mmu-update-on-gdt-page", Errno::EINVAL, crate::pages::update(page.maddr(7), 0));
    for (name, descriptor) in [("tss", TSS), ("ldt", LDT), ("gate", GATE)] {
        let name = alloc::format!("update-{name}");
        t.errno(&name, Errno::EINVAL, set_entry(page.maddr(6), descriptor));
    }
    t.eq("refused-stored-nothing", 0, page.read(6));
    t.errno("update-unaligned", Errno::EINVAL, set_entry(page.maddr(6) + 4, DATA3));
    t.errno("update-frame-0", Errno::EINVAL, set_entry(0, DATA3));
    t.errno("update-no-frame", Errno::EINVAL, set_entry(1 << 50, DATA3));
    let root = mmu::root().maddr();
    t.errno("update-page-table", Errno::EINVAL, set_entry(root, DATA3));
    let plain = Page::new();
    t.ret("update-plain-page", 0, set_entry(plain.maddr(1), DATA3));
    t.eq("update-plain-page-stored", DATA3, plain.read(1));
}

/// Pages with descriptors a guest must not have are refused as a whole.
fn system_descriptors(t: &mut Report) {
    for (name, descriptor) in [("tss", TSS), ("ldt", LDT), ("gate", GATE)] {
        let page = Page::new();
        page.write(511, descriptor);
        page.seal();
        let mut list = [page.mfn.get()];
        let name = alloc::format!("gdt-page-with-{name}");
        t.errno(&name, Errno::EINVAL, hypercall(nr::SET_GDT, &[address(&mut list), 1]));
    }
    let mut list = [0u64];
    t.errno("gdt-frame-0", Errno::EINVAL, hypercall(nr::SET_GDT, &[address(&mut list), 1]));
    list[0] = 1 << 40;
    t.errno("gdt-no-frame", Errno::EINVAL, hypercall(nr::SET_GDT, &[address(&mut list), 1]));
}
