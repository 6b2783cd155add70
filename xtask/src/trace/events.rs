//! What in a trace costs more on hardware than an instruction, and how much: a model.
//!
//! Each kind of event has a weight in cycles, which is added to one cycle for every instruction.
//! The weights are of Intel's Haswell to Skylake cores. Where somebody published a measurement, the
//! table names it:
//!
//! - xperf: "x86 ring switch overhead", lastweek.io, a Xeon E5 v3: 440 cycles from a page fault to
//!   the kernel, 270 back. (Linus Torvalds gave 715 and 330 for a Haswell in 2016.)
//! - blitz: github.com/blitz/kernel_entry_benchmark: 610 cycles for an `int` and its `iret`.
//! - uops.info: 18 to 20 cycles for a locked compare-and-exchange.
//!
//! The others are estimates of the same scale. It is a model, good for saying that a path with a
//! second exception loses even where it has fewer instructions, and no claim about any machine.

use super::log::{Cause, Code, Item};

/// The kinds of events, and the columns of every report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A fault or trap through the interrupt table.
    Exception,
    /// An `int` instruction.
    SoftwareInterrupt,
    /// A device's interrupt.
    Interrupt,
    /// `syscall`.
    Syscall,
    /// `sysret`.
    Sysret,
    /// `iret`.
    Iret,
    /// A load of CR3.
    Cr3Load,
    /// A load of another control register.
    CrLoad,
    /// `invlpg`.
    Invlpg,
    /// An access to a port.
    Port,
    /// An access to a device in memory, as the local APIC.
    Device,
    /// `wrmsr`.
    Wrmsr,
    /// `rdmsr`.
    Rdmsr,
    /// An access that locks the bus or the cache line.
    Locked,
    /// A load of a segment register or a descriptor table, `swapgs`, `wrfsbase` and the like.
    Segment,
    /// `cpuid`, which serialises.
    Cpuid,
}

impl Event {
    /// Its place among [`KINDS`].
    pub fn index(self) -> usize {
        // Every event has a kind; a test sees to it.
        KINDS.iter().position(|kind| kind.event == self).unwrap_or_default()
    }
}

/// One kind: its name in reports, and its weight in cycles.
pub struct Kind {
    /// The kind.
    pub event: Event,
    /// The name of its column.
    pub name: &'static str,
    /// Cycles beyond the one of an instruction.
    pub cycles: u64,
    /// Where the weight comes from.
    pub why: &'static str,
}

const fn kind(event: Event, name: &'static str, cycles: u64, why: &'static str) -> Kind {
    Kind { event, name, cycles, why }
}

/// All kinds, in the order in which reports show them.
pub const KINDS: [Kind; 16] = [
    kind(Event::Exception, "exceptions", 440, "xperf: gate, change of ring, frame of five words"),
    kind(Event::SoftwareInterrupt, "ints", 340, "blitz, less the iret"),
    kind(Event::Interrupt, "interrupts", 500, "estimate: as an exception, after draining"),
    kind(Event::Syscall, "syscalls", 80, "estimate: microcode; no frame, no table"),
    kind(Event::Sysret, "sysrets", 70, "estimate: microcode; no frame, no segment checks"),
    kind(Event::Iret, "irets", 270, "xperf: frame of five words, segments checked"),
    kind(Event::Cr3Load, "cr3_loads", 450, "estimate: the load, and refilling the TLB after it"),
    kind(Event::CrLoad, "cr_loads", 100, "estimate: serialises"),
    kind(Event::Invlpg, "invlpgs", 150, "estimate: microcode, and one refill"),
    kind(Event::Port, "ports", 2000, "estimate: the chip set answers as slowly as the ISA bus"),
    kind(Event::Device, "devices", 250, "estimate: uncached access to the local APIC"),
    kind(Event::Wrmsr, "wrmsrs", 110, "estimate: serialises"),
    kind(Event::Rdmsr, "rdmsrs", 75, "estimate: microcode"),
    kind(Event::Locked, "locked", 18, "uops.info: no contention, first-level cache"),
    kind(Event::Segment, "segments", 20, "estimate: descriptor read and checked; swapgs likewise"),
    kind(Event::Cpuid, "cpuids", 110, "estimate: serialises"),
];

/// The addresses that the interface of Xen keeps for the hypervisor (`HYPERVISOR_VIRT_START` and
/// `_END`); guests are anywhere else.
pub const HYPERVISOR: std::ops::Range<u64> = 0xffff_8000_0000_0000..0xffff_8800_0000_0000;

/// How often each kind of event happened, and the number of instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions, those that faulted among them.
    pub instructions: u64,
    /// Those of them that are the guest's own.
    pub guest: u64,
    /// Events in the order of [`KINDS`].
    pub events: [u64; KINDS.len()],
}

impl Counts {
    /// Counts what happened in one sample.
    pub fn of(items: &[Item], code: &Code) -> Counts {
        let mut counts = Counts::default();
        look(items, code, |seen| match seen {
            Seen::Begun(at) => {
                counts.instructions += 1;
                counts.guest += u64::from(!HYPERVISOR.contains(&at));
            }
            Seen::Done(event, _) => counts.events[event.index()] += 1,
            Seen::Vector(_, cause) => counts.events[vector(cause).index()] += 1,
        });
        counts
    }

    /// The sum of two.
    pub fn plus(mut self, other: &Counts) -> Counts {
        self.instructions += other.instructions;
        self.guest += other.guest;
        for (mine, theirs) in self.events.iter_mut().zip(other.events) {
            *mine += theirs;
        }
        self
    }

    /// Modelled cycles: one for each instruction, and the weight of each event.
    pub fn cycles(&self) -> u64 {
        let weighted = self.events.iter().zip(&KINDS).map(|(count, kind)| count * kind.cycles);
        self.instructions + weighted.sum::<u64>()
    }
}

/// What is seen in a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// An instruction began, at this address.
    Begun(u64),
    /// One that is an event came to its end, at this address.
    Done(Event, u64),
    /// Control went through the interrupt table, by this vector.
    Vector(u8, Cause),
}

/// Shows what happened in a sample. What faults counts as an instruction that was begun, but not as the
/// event it would have been.
pub fn look(items: &[Item], code: &Code, mut show: impl FnMut(Seen)) {
    let mut previous = None;
    let mut begun: Option<Seen> = None;
    for item in items {
        match item {
            Item::Step(at) => {
                begun.take().into_iter().for_each(&mut show);
                show(Seen::Begun(*at));
                let text = code.get(at).map_or("", String::as_str);
                // One repeated string instruction is a step each time around.
                let again = previous == Some(*at) && text.starts_with("rep");
                let event = classify(text).filter(|_| !again);
                begun = event.map(|event| Seen::Done(event, *at));
                previous = Some(*at);
            }
            Item::Device => show(Seen::Done(Event::Device, previous.unwrap_or_default())),
            Item::Vector { number, cause } => {
                let is_fault = *cause == Cause::Exception;
                begun.take().filter(|_| !is_fault).into_iter().for_each(&mut show);
                show(Seen::Vector(*number, *cause));
            }
        }
    }
    begun.into_iter().for_each(&mut show);
}

fn vector(cause: Cause) -> Event {
    match cause {
        Cause::Exception => Event::Exception,
        Cause::Software => Event::SoftwareInterrupt,
        Cause::Hardware => Event::Interrupt,
    }
}

/// The event an instruction is, from its text in AT&T's notation.
fn classify(text: &str) -> Option<Event> {
    let (name, operands) = text.split_once(' ').unwrap_or((text, ""));
    let target = operands.rsplit(", ").next().unwrap_or_default();
    match name {
        "lock" => Some(Event::Locked),
        "rep" | "repne" | "repe" => classify(operands),
        "syscall" | "syscallq" => Some(Event::Syscall),
        "sysret" | "sysretq" | "sysretl" => Some(Event::Sysret),
        "iret" | "iretq" | "iretl" => Some(Event::Iret),
        "invlpg" | "invpcid" => Some(Event::Invlpg),
        "wrmsr" => Some(Event::Wrmsr),
        "rdmsr" => Some(Event::Rdmsr),
        "cpuid" => Some(Event::Cpuid),
        "inb" | "inw" | "inl" | "outb" | "outw" | "outl" => Some(Event::Port),
        "insb" | "insw" | "insl" | "outsb" | "outsw" | "outsl" => Some(Event::Port),
        "swapgs" | "lgdt" | "lgdtq" | "lidt" | "lidtq" | "lldt" | "lldtw" | "ltr" | "ltrw"
        | "wrfsbase" | "wrgsbase" | "wrfsbaseq" | "wrgsbaseq" => Some(Event::Segment),
        "clts" | "lmsw" => Some(Event::CrLoad),
        _ if name.starts_with("xchg") && operands.contains('(') => Some(Event::Locked),
        _ if name.starts_with("mov") => match target {
            "%cr3" => Some(Event::Cr3Load),
            "%cr0" | "%cr2" | "%cr4" | "%cr8" => Some(Event::CrLoad),
            "%ds" | "%es" | "%fs" | "%gs" | "%ss" => Some(Event::Segment),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_event_has_one_weight() {
        for (index, kind) in KINDS.iter().enumerate() {
            assert_eq!(kind.event.index(), index, "{} is there twice", kind.name);
            assert!(!kind.why.is_empty() && kind.cycles > 0);
        }
        assert_eq!(KINDS.len(), Event::Cpuid as usize + 1, "the last event's number");
    }

    #[test]
    fn instructions_are_told_apart_by_their_text() {
        assert_eq!(classify("movq %rax, %cr3"), Some(Event::Cr3Load));
        assert_eq!(classify("movq %cr3, %rax"), None);
        assert_eq!(classify("movq %rax, %cr4"), Some(Event::CrLoad));
        assert_eq!(classify("movl %eax, %ds"), Some(Event::Segment));
        assert_eq!(classify("lock cmpxchgq %rcx, (%rdx)"), Some(Event::Locked));
        assert_eq!(classify("xchgq %rax, (%rdx)"), Some(Event::Locked));
        assert_eq!(classify("xchgq %rax, %rbx"), None);
        assert_eq!(classify("outb %al, %dx"), Some(Event::Port));
        assert_eq!(classify("invlpg (%rdi)"), Some(Event::Invlpg));
        assert_eq!(classify("iretq"), Some(Event::Iret));
        assert_eq!(classify("nop"), None);
    }

    #[test]
    fn a_repeated_instruction_is_many_steps_and_one_event() {
        let code: Code = [(1, "rep outsb (%rsi), %dx".into()), (2, "wrmsr".into())].into();
        let items = [Item::Step(1), Item::Step(1), Item::Step(2), Item::Step(2)];
        let counts = Counts::of(&items, &code);
        assert_eq!(counts.instructions, 4);
        assert_eq!(
            (counts.events[Event::Port.index()], counts.events[Event::Wrmsr.index()]),
            (1, 2)
        );
        assert_eq!(counts.cycles(), 4 + 2000 + 2 * 110);
    }

    #[test]
    fn the_guests_instructions_are_those_outside_the_hypervisors_addresses() {
        let addresses = [0x40_0000, 0xffff_82d0_4010_32c0, 0xffff_ffff_8000_02c7];
        let counts = Counts::of(&addresses.map(Item::Step), &Code::new());
        assert_eq!((counts.instructions, counts.guest), (3, 2));
    }

    #[test]
    fn an_instruction_that_faults_is_not_the_event_it_would_have_been() {
        let code: Code = [(1, "movq %rax, %cr3".into()), (2, "iretq".into())].into();
        let fault = Item::Vector { number: 13, cause: Cause::Exception };
        let counts = Counts::of(&[Item::Step(1), fault, Item::Step(2), Item::Step(1)], &code);
        let of = |event: Event| counts.events[event.index()];
        assert_eq!((of(Event::Exception), of(Event::Iret), of(Event::Cr3Load)), (1, 1, 1));
        let device = Item::Vector { number: 0xf0, cause: Cause::Hardware };
        let counts = Counts::of(&[Item::Step(1), device, Item::Step(2)], &code);
        assert_eq!(counts.events[Event::Cr3Load.index()], 1, "it ran before the interrupt");
    }
}
