//! `cpuid` by forced emulation, and the hypervisor's own leaves.

use core::arch::asm;

use crate::harness::Report;
use crate::probe::fault_of;
use hypercall_abi::version::XEN_4_17;

/// eax, ebx, ecx, edx of a leaf, by the forced-emulation prefix.
fn leaf(leaf: u32, subleaf: u32) -> [u32; 4] {
    let (a, b, c, d): (u32, u64, u32, u32);
    // SAFETY: the hypervisor executes the instruction behind the prefix; rbx is kept by hand, as
    // the compiler reserves it.
    unsafe {
        asm!(
            "xchg {b}, rbx",
            "ud2", ".ascii \"xen\"", "cpuid",
            "xchg {b}, rbx",
            b = inout(reg) 0u64 => b,
            inout("eax") leaf => a, inout("ecx") subleaf => c, out("edx") d,
            options(nostack)
        );
    }
    [a, b as u32, c, d]
}

/// Bits of a register that must be set or clear: name, leaf, subleaf, register, bit, set.
const BITS: &[(&str, u32, u32, usize, u32, bool)] = &[
    ("fpu", 1, 0, 3, 0, true),
    ("vme", 1, 0, 3, 1, false),
    ("pse", 1, 0, 3, 3, false),
    ("tsc", 1, 0, 3, 4, true),
    ("msr", 1, 0, 3, 5, true),
    ("pae", 1, 0, 3, 6, true),
    ("cx8", 1, 0, 3, 8, true),
    ("apic", 1, 0, 3, 9, true),
    ("pge", 1, 0, 3, 13, false),
    ("pat", 1, 0, 3, 16, true),
    ("pse36", 1, 0, 3, 17, false),
    ("sse2", 1, 0, 3, 26, true),
    ("monitor", 1, 0, 2, 3, false),
    ("vmx", 1, 0, 2, 5, false),
    ("pcid", 1, 0, 2, 17, false),
    ("x2apic", 1, 0, 2, 21, false),
    ("tsc-deadline", 1, 0, 2, 24, false),
    ("hypervisor", 1, 0, 2, 31, true),
    ("tsc-adjust", 7, 0, 1, 1, false),
    ("smep", 7, 0, 1, 7, false),
    ("invpcid", 7, 0, 1, 10, false),
    ("smap", 7, 0, 1, 20, false),
    ("umip", 7, 0, 2, 2, false),
    ("pku", 7, 0, 2, 3, false),
    ("ospke", 7, 0, 2, 4, false),
    ("syscall", 0x8000_0001, 0, 3, 11, true),
    ("nx", 0x8000_0001, 0, 3, 20, true),
    ("page1gb", 0x8000_0001, 0, 3, 26, false),
    ("long-mode", 0x8000_0001, 0, 3, 29, true),
    ("lahf", 0x8000_0001, 0, 2, 0, true),
    ("svm", 0x8000_0001, 0, 2, 2, false),
    ("skinit", 0x8000_0001, 0, 2, 12, false),
];

extern "C" fn prefix_then_nop(_: u64) -> u64 {
    // SAFETY: an exception that the probe catches.
    unsafe { asm!("ud2", ".ascii \"xen\"", "nop") };
    0
}

/// Runs the topic.
pub fn run(t: &mut Report) {
    let [max, b, c, d] = leaf(0x4000_0000, 0);
    t.eq("signature", [0x566e_6558, 0x6558_4d4d, 0x4d4d_566e], [b, c, d]);
    t.eq("max-leaf", 0x4000_0005, max);
    t.eq("version-leaf", [XEN_4_17, 0, 0, 0], leaf(0x4000_0001, 0));
    let [pages, msr, features, _] = leaf(0x4000_0002, 0);
    t.eq("hypercall-page-leaf", (1, 0x4000_0000, 1), (pages, msr, features));
    let [flags, mode, _, incarnation] = leaf(0x4000_0003, 0);
    t.check("time-leaf", flags & !7 == 0 && mode == 0);
    // The toolstack's creation of a domain counts as the first; dom0 has none.
    t.eq("time-leaf-incarnation", u32::from(!t.is_dom0), incarnation);
    let [host_khz, b, c, d] = leaf(0x4000_0003, 2);
    t.check("time-leaf-host-khz", host_khz > 100_000);
    t.eq("time-leaf-host-rest", [0; 3], [b, c, d]);
    t.eq("hvm-leaf", [0; 4], leaf(0x4000_0004, 0));
    let [_, width, _, _] = leaf(0x4000_0005, 0);
    // The width that this machine's memory needs, not the processor's.
    let last = pvkernel_xen::hypercall::memory::maximum_ram_page().unwrap_or(0);
    t.eq("pv-leaf-machine-width", 12 + last.next_power_of_two().ilog2(), width & 0xff);
    t.eq("beyond-max-leaf", [0; 4], leaf(0x4000_0006, 0));
    t.check("leaf-0", leaf(0, 0)[0] >= 7);
    t.check("extended-max", leaf(0x8000_0000, 0)[0] >= 0x8000_0008);
    for (name, number, subleaf, register, bit, set) in BITS {
        let is_set = leaf(*number, *subleaf)[*register] & 1 << bit != 0;
        t.eq(name, *set, is_set);
    }
    t.eq("beyond-basic-leaf", [0; 4], leaf(0x3fff_ffff, 0));
    t.eq("beyond-extended-leaf", [0; 4], leaf(0x9000_0000, 0));
    t.eq("prefix-with-other-instruction", Err((6, 0)), fault_of(prefix_then_nop, 0));
    let calling_cpu = leaf(1, 0)[1] >> 24;
    t.eq("initial-apic-id", 0, calling_cpu);
}
