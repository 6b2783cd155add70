//! Hypercalls that do nothing, or little: what the way in and out costs.

use core::arch::asm;

use hypercall_abi::callback::{self, CallbackRegister};
use hypercall_abi::physdev::{self, PhysdevSetIopl};
use hypercall_abi::regs::{TrapInfo, FLAT_KERNEL_CS};
use hypercall_abi::vcpu::{self, VcpuRunstateInfo};
use hypercall_abi::{console, memory, nr, segment, version};
use pvkernel_xen::trap;
use test_guests::call::{address, command, hypercall};
use test_guests::pages::Page;

use crate::meter::{Meter, Row};

const HYPERCALL: &str = "hypercall";
/// Writable data segments of ring 3 that differ in their base.
const SEGMENTS: [u64; 2] = [0x00cf_f300_0000_ffff, 0x00cf_f300_1000_ffff];
/// What goes to the serial line, one call per line.
const LINE: &[u8; 64] = b"bench: a line of 64 bytes, the last of which ends it: ---------\n";

/// Runs the topic.
pub fn run(m: &mut Meter) {
    queries(m);
    processor(m);
    descriptors(m);
    registrations(m);
    iret(m);
    console(m);
}

/// A row of calls each of which answers `expected`; the state counts those that do.
fn answers(m: &mut Meter, name: &'static str, expected: i64, mut call: impl FnMut() -> i64) {
    m.cost(
        Row::new(name, HYPERCALL),
        0,
        |right| *right += u64::from(call() == expected),
        |right, made| *right == made,
    );
}

fn queries(m: &mut Meter) {
    m.cost(
        Row::new("hc_xen_version", HYPERCALL),
        0,
        |version| *version = hypercall(nr::XEN_VERSION, &[0, 0]),
        |version, _| *version >> 16 == 4,
    );
    m.cost(
        Row::new("hc_enosys_47", HYPERCALL),
        0,
        |refused| *refused += u64::from(hypercall(47, &[]) < 0),
        |refused, made| *refused == made,
    );
    m.cost(
        Row::new("hc_extraversion_copy16", HYPERCALL),
        [0u8; version::EXTRAVERSION_LEN],
        |text| {
            command(nr::XEN_VERSION, version::EXTRAVERSION, text);
        },
        |text, _| text[0] == b'.',
    );
    m.cost(
        Row::new("hc_get_features_copy8", HYPERCALL),
        version::XenFeatureInfo::default(),
        |info| {
            command(nr::XEN_VERSION, version::GET_FEATURES, info);
        },
        |info, _| info.submap != 0,
    );
    m.cost(
        Row::new("hc_get_debugreg", HYPERCALL),
        0,
        |value| *value = hypercall(nr::GET_DEBUGREG, &[7]),
        |value, _| *value == 0x400,
    );
    answers(m, "hc_vcpu_is_up", 1, || hypercall(nr::VCPU_OP, &[u64::from(vcpu::IS_UP), 0, 0]));
    m.cost(
        Row::new("hc_get_runstate_info", HYPERCALL),
        VcpuRunstateInfo::default(),
        |info| {
            let command = u64::from(vcpu::GET_RUNSTATE_INFO);
            hypercall(nr::VCPU_OP, &[command, 0, address(info)]);
        },
        |info, _| info.state_entry_time_ns != 0,
    );
    m.cost(
        Row::new("hc_memory_max_ram_page", HYPERCALL),
        0,
        |pages| *pages = hypercall(nr::MEMORY_OP, &[u64::from(memory::MAXIMUM_RAM_PAGE)]),
        |pages, _| *pages > 0,
    );
}

fn processor(m: &mut Meter) {
    let switch = |set| hypercall(nr::FPU_TASKSWITCH, &[set]);
    answers(m, "hc_fpu_taskswitch_clear", 0, || switch(0));
    m.cost(
        Row::new("hc_fpu_taskswitch_set_clear_pair", "pair"),
        0,
        |right| *right += u64::from(switch(1) | switch(0) == 0),
        |right, made| *right == made,
    );
    let base = |which: u32| hypercall(nr::SET_SEGMENT_BASE, &[u64::from(which), 0x10_0000]);
    answers(m, "hc_set_segment_base_fs", 0, || base(segment::SEGBASE_FS));
    answers(m, "hc_set_segment_base_gs_user", 0, || base(segment::SEGBASE_GS_USER));
    for which in [segment::SEGBASE_FS, segment::SEGBASE_GS_USER] {
        hypercall(nr::SET_SEGMENT_BASE, &[u64::from(which), 0]);
    }
    answers(m, "hc_stack_switch", 0, || hypercall(nr::STACK_SWITCH, &[0xe02b, 0x10_0000]));
}

fn descriptors(m: &mut Meter) {
    let page = Page::new();
    page.seal();
    let mut list = [page.mfn.get()];
    let list = address(&mut list);
    let set = || hypercall(nr::SET_GDT, &[list, 15]);
    answers(m, "hc_set_gdt_1frame", 0, set);
    set();
    m.cost(
        Row::new("hc_update_descriptor", HYPERCALL),
        0,
        |calls| {
            let descriptor = SEGMENTS[*calls as usize % 2];
            hypercall(nr::UPDATE_DESCRIPTOR, &[page.maddr(5), descriptor]);
            *calls += 1;
        },
        |calls, _| page.read(5) & !(1 << 40) == SEGMENTS[(*calls as usize + 1) % 2] & !(1 << 40),
    );
    hypercall(nr::SET_GDT, &[0, 0]);
}

fn registrations(m: &mut Meter) {
    let entry = trap::syscall_entry();
    let mut table = [TrapInfo::new(0x81, 0, FLAT_KERNEL_CS, entry), TrapInfo::default()];
    let table = address(&mut table);
    answers(m, "hc_set_trap_table_1", 0, || hypercall(nr::SET_TRAP_TABLE, &[table]));
    let mut callback = CallbackRegister {
        kind: callback::kind::EVENT,
        flags: callback::MASK_EVENTS,
        address: entry,
        ..Default::default()
    };
    answers(m, "hc_callback_register", 0, || {
        command(nr::CALLBACK_OP, callback::REGISTER, &mut callback)
    });
    hypercall(nr::SET_TRAP_TABLE, &[0]);
    trap::install();
    let mut level = PhysdevSetIopl { iopl: 1 };
    answers(m, "hc_physdev_set_iopl", 0, || command(nr::PHYSDEV_OP, physdev::SET_IOPL, &mut level));
    level.iopl = 0;
    command(nr::PHYSDEV_OP, physdev::SET_IOPL, &mut level);
}

/// The `iret` hypercall from the kernel to the kernel.
fn iret(m: &mut Meter) {
    m.cost(
        Row::new("hc_iret_kernel_to_kernel", "iret"),
        0u64,
        |returns| {
            // SAFETY: returns to the next line with the stack as it was; changes what is named.
            unsafe {
                asm!(
                    "mov rax, rsp",
                    "push 0xe02b",
                    "push rax",
                    "push 2",
                    "push 0xe030",
                    "lea rax, [rip + 2f]",
                    "push rax",
                    "push 0",
                    "sub rsp, 24",
                    "mov eax, 23",
                    "syscall",
                    "ud2",
                    "2:",
                    "inc {}",
                    inout(reg) *returns, out("rax") _, out("rcx") _, out("r11") _,
                );
            }
        },
        |returns, made| *returns == made,
    );
}

/// Lines on the console of the hypervisor, which an ordinary domain may not write to.
fn console(m: &mut Meter) {
    let row = Row::new("hc_console_write_64B", HYPERCALL).rounds(10);
    if !m.wants(&[row]) {
        return;
    }
    let text = LINE.as_ptr() as u64;
    let write = || hypercall(nr::CONSOLE_IO, &[u64::from(console::CONSOLEIO_WRITE), 64, text]);
    if write() != 0 {
        return m.absent(row, "the console is the control domain's");
    }
    m.cost(row, 0, |written| *written += u64::from(write() == 0), |written, made| *written == made);
}
