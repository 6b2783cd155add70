//! I/O ports of guests: who may use them, and what the hypervisor plays itself.
//!
//! First the guest's own rules decide (I/O privilege level, or its permission bitmap), then the
//! rights of its domain. What a domain has no right to reads as all ones and swallows writes.

use core::sync::atomic::{AtomicU32, Ordering};
use hv_core::emul::io::{bitmap_allows, classify, has_privilege, PortAccess};
use hv_core::emul::io::{PCI_ADDRESS, PCI_DATA, PCI_DATA_END, RTC_DATA, RTC_INDEX};
use hv_core::emul::privop::PortString;
use hv_core::emul::regs::{RegPart, Segment, RAX};
use hv_core::trap::flags::DF;
use hv_core::trap::pagefault;
use hv_machine::cpu::{inb, inl, inw, outb, outl, outw};
use hv_machine::sync::Mutex;
use hv_machine::GuestRegs;
use hypercall_abi::vm_assist;

use super::privop::{require, Detour, Emulated, View};
use crate::current::Here;
use crate::hypercall::ensure;
use crate::{guestmem, upcall};

/// The index last written to the clock's address register, by the domain that wrote it.
static CLOCK_INDEX: AtomicU32 = AtomicU32::new(0);
/// Held over an access to PCI configuration space, whose two registers belong together.
static PCI: Mutex<u32> = Mutex::new(0);

/// Whether the guest's I/O privilege level lets it touch ports and the interrupt flag.
pub fn iopl_allows(here: &Here) -> bool {
    let iopl = here.vcpu().state.lock().iopl;
    let architectural = here.dom().assisted(vm_assist::TYPE_ARCHITECTURAL_IOPL);
    has_privilege(upcall::mode(), iopl, architectural)
}

fn guest_allows(here: &Here, port: u16, width: u8) -> bool {
    if iopl_allows(here) {
        return true;
    }
    let (bitmap, ports) = here.vcpu().state.lock().iobitmap;
    let byte = |index: u16| guestmem::read_kernel_byte(here, bitmap.wrapping_add(index.into()));
    bitmap != 0 && bitmap_allows(port, width, ports, byte)
}

fn access(here: &Here, port: u16, width: u8) -> PortAccess {
    let rights = here.dom().rights.lock();
    classify(port, width, |port| rights.ports.contains(u64::from(port)))
}

fn read_direct(port: u16, width: u8) -> u32 {
    match width {
        1 => u32::from(inb(port)),
        2 => u32::from(inw(port)),
        _ => inl(port),
    }
}

fn write_direct(port: u16, width: u8, value: u32) {
    match width {
        1 => outb(port, value as u8),
        2 => outw(port, value as u16),
        _ => outl(port, value),
    }
}

fn read_port(here: &Here, port: u16, width: u8) -> u32 {
    here.vcpu().state.lock().debug.access_port(port, width);
    match access(here, port, width) {
        PortAccess::Direct => read_direct(port, width),
        PortAccess::Virtual => read_virtual(here, port, width),
        PortAccess::Bytes(allowed) => (0..width).fold(0, |value, byte| {
            let ok = allowed >> byte & 1 != 0;
            let part = if ok { inb(port + u16::from(byte)) } else { 0xff };
            value | u32::from(part) << (8 * byte)
        }),
    }
}

fn write_port(here: &Here, port: u16, width: u8, value: u32) {
    here.vcpu().state.lock().debug.access_port(port, width);
    match access(here, port, width) {
        PortAccess::Direct => write_direct(port, width, value),
        PortAccess::Virtual => write_virtual(here, port, width, value),
        PortAccess::Bytes(allowed) => {
            for byte in (0..width).filter(|byte| allowed >> byte & 1 != 0) {
                outb(port + u16::from(byte), (value >> (8 * byte)) as u8);
            }
        }
    }
}

/// All ones in as many bytes as an access has.
fn nothing(width: u8) -> u32 {
    u32::MAX >> (32 - 8 * u32::from(width.clamp(1, 4)))
}

fn read_virtual(here: &Here, port: u16, width: u8) -> u32 {
    let trusted = here.dom().privileged;
    match port {
        RTC_INDEX => CLOCK_INDEX.load(Ordering::Relaxed) & 0xff,
        RTC_DATA if trusted => {
            outb(RTC_INDEX, CLOCK_INDEX.load(Ordering::Relaxed) as u8 & 0x7f);
            u32::from(inb(RTC_DATA))
        }
        PCI_ADDRESS if trusted => *PCI.lock(),
        PCI_DATA..=PCI_DATA_END if trusted => {
            let address = PCI.lock();
            outl(PCI_ADDRESS, *address);
            read_direct(port, width)
        }
        _ => nothing(width),
    }
}

fn write_virtual(here: &Here, port: u16, width: u8, value: u32) {
    if !here.dom().privileged {
        return;
    }
    match port {
        RTC_INDEX => CLOCK_INDEX.store(value & 0x7f, Ordering::Relaxed),
        PCI_ADDRESS => *PCI.lock() = value,
        PCI_DATA..=PCI_DATA_END => {
            let address = PCI.lock();
            outl(PCI_ADDRESS, *address);
            write_direct(port, width, value);
        }
        _ => {}
    }
}

/// `IN`.
pub fn input(here: &Here, regs: &mut GuestRegs, port: u16, width: u8) -> Emulated {
    require(guest_allows(here, port, width))?;
    let value = u64::from(read_port(here, port, width));
    (_, regs.rax) = RegPart::low(RAX, width).merged(&View(regs), value);
    Ok(())
}

/// `OUT`.
pub fn output(here: &Here, regs: &GuestRegs, port: u16, width: u8) -> Emulated {
    require(guest_allows(here, port, width))?;
    write_port(here, port, width, regs.rax as u32 & nothing(width));
    Ok(())
}

/// `INS`, one element.
pub fn input_string(here: &Here, regs: &mut GuestRegs, string: PortString) -> Emulated {
    if !has_element(here, regs, &string)? {
        return Ok(());
    }
    let at = address(regs.rdi, &string);
    let value = read_port(here, string.port, string.width).to_le_bytes();
    let bytes = value.get(..usize::from(string.width)).unwrap_or_default();
    if guestmem::write_bytes(at, bytes).is_err() {
        return fault(here, regs, at, pagefault::WRITE);
    }
    regs.rdi = moved(regs.rdi, regs.rflags, &string);
    step(regs, &string)
}

/// `OUTS`, one element.
pub fn output_string(here: &Here, regs: &mut GuestRegs, string: PortString) -> Emulated {
    if !has_element(here, regs, &string)? {
        return Ok(());
    }
    let base = Segment::base_of(string.segment, &View(regs));
    let at = base.wrapping_add(address(regs.rsi, &string));
    let Ok(value) = guestmem::read_number(at, string.width.into()) else {
        return fault(here, regs, at, 0);
    };
    write_port(here, string.port, string.width, value as u32);
    regs.rsi = moved(regs.rsi, regs.rflags, &string);
    step(regs, &string)
}

/// Whether there is something to do, if it is allowed.
fn has_element(here: &Here, regs: &GuestRegs, string: &PortString) -> Emulated<bool> {
    require(guest_allows(here, string.port, string.width))?;
    Ok(!string.is_repeated || address(regs.rcx, string) != 0)
}

fn fault(here: &Here, regs: &mut GuestRegs, va: u64, code: u32) -> Emulated {
    super::fault::deliver(here, regs, va, code);
    Err(Detour::Stay)
}

/// A register as an address or a count of the instruction's size.
fn address(register: u64, string: &PortString) -> u64 {
    register & if string.is_32_bit { 0xffff_ffff } else { u64::MAX }
}

fn moved(register: u64, rflags: u64, string: &PortString) -> u64 {
    let width = u64::from(string.width);
    let step = if rflags & DF == 0 { width } else { width.wrapping_neg() };
    address(register.wrapping_add(step), string)
}

/// Counts an element; the instruction is executed again while there are more.
fn step(regs: &mut GuestRegs, string: &PortString) -> Emulated {
    if string.is_repeated {
        regs.rcx = address(regs.rcx.wrapping_sub(1), string);
        ensure(regs.rcx == 0, Detour::Again)?;
    }
    Ok(())
}
