//! QEMU's log, line by line: what was executed, and what each instruction is.
//!
//! With `singlestep` on every translated block is one instruction, so that each `Trace` line is one
//! step. Three things make a step not count: a block that was looked up but stopped before it ran,
//! an access to a device that is tried again with the clock adjusted, and (left to the reader) an
//! instruction that faults and is started again. `in_asm` prints each instruction when it is
//! translated, before it runs for the first time.
//!
//! Programs of a kernel overlap: two of them have different instructions at one address. The text that was
//! printed last before a block ran for the first time is that block's, which QEMU names by its own address
//! of it.

use std::collections::HashMap;

/// What one line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A block is run: QEMU's address of it, and the guest's.
    Step(u64, u64),
    /// The step before it did not run: it will be tried again.
    Undone,
    /// The step before it reached a device, and will be tried again.
    Device,
    /// The interrupt that is announced next comes from a device.
    Hardware,
    /// Control goes through the interrupt table.
    Vector {
        /// Its number.
        number: u8,
        /// An `int` instruction asked for it.
        software: bool,
    },
    /// The instruction at an address, as text.
    Code(u64, String),
    /// Nothing that matters here.
    Other,
}

/// Where the text of an instruction begins behind its address and colon: there are eight bytes between.
const TEXT_COLUMN: usize = 27;

/// Reads one line of the log.
pub fn parse(line: &[u8]) -> Line {
    match line.first() {
        Some(b'T') => step(line).map_or(Line::Other, |(block, at)| Line::Step(block, at)),
        Some(b'0') => code(line).unwrap_or(Line::Other),
        Some(b'S') if line.starts_with(b"Stopped execution of TB chain before") => Line::Undone,
        Some(b'S') if line.starts_with(b"Servicing hardware INT") => Line::Hardware,
        Some(b'c') if line.starts_with(b"cpu_io_recompile: rewound") => Line::Device,
        Some(b' ') => vector(line).unwrap_or(Line::Other),
        _ => Line::Other,
    }
}

/// `Trace 0: 0x7f9f.. [0000000000000000/ffff82d0401032c0/08c0ca90/ff020201]`
fn step(line: &[u8]) -> Option<(u64, u64)> {
    line.strip_prefix(b"Trace ")?;
    let block = line.split(|byte| *byte == b' ').nth(2)?.strip_prefix(b"0x")?;
    let mut fields = line.split(|byte| *byte == b'/');
    Some((hex(block)?, hex(fields.nth(1)?)?))
}

/// `     0: v=0e e=0007 i=0 cpl=3 IP=e033:ffffffff8000bcf7 ...`
fn vector(line: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split_whitespace();
    words.next()?.strip_suffix(':')?;
    let number = u8::from_str_radix(words.next()?.strip_prefix("v=")?, 16).ok()?;
    let software = words.nth(1)? == "i=1";
    Some(Line::Vector { number, software })
}

/// `0xffff82d04010d34a:  ec                       inb      %dx, %al`; the bytes after the eighth
/// come in a line of their own, without text.
fn code(line: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(line).ok()?;
    let (address, rest) = text.strip_prefix("0x")?.split_once(':')?;
    let words = rest.get(TEXT_COLUMN..)?.split_whitespace().collect::<Vec<_>>().join(" ");
    let address = hex(address.as_bytes())?;
    (!words.is_empty()).then_some(Line::Code(address, words))
}

fn hex(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// One thing that happened between two marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// The instruction at this place was run, or at least begun.
    Step(u64),
    /// The step before this one reached a device in memory.
    Device,
    /// Control went through the interrupt table.
    Vector {
        /// Its number.
        number: u8,
        /// Why.
        cause: Cause,
    },
}

/// Why control went through the interrupt table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The instruction before it faulted or trapped.
    Exception,
    /// The instruction before it was an `int`.
    Software,
    /// A device.
    Hardware,
}

/// The text of each instruction that was translated, by its place: the address, and for another instruction
/// of a program at the same address that address with a number in [`COPY`].
pub type Code = HashMap<u64, String>;

/// Bits that addresses of programs do not have.
const COPY: std::ops::Range<u32> = 48..60;
/// The first address that is no program's.
const PROGRAMS_END: u64 = 1 << (COPY.start - 1);

/// Puts the lines of a log together: the items between each pair of marks.
pub struct Reader {
    start: u64,
    stops: Vec<u64>,
    /// What is between the marks, pair by pair.
    pub samples: Vec<Vec<Item>>,
    /// All instructions seen.
    pub code: Code,
    /// The place of each block that has run, by QEMU's address.
    blocks: HashMap<u64, u64>,
    /// The place whose text came last.
    translated: Option<(u64, u64)>,
    open: Option<Vec<Item>>,
    hardware: bool,
}

impl Reader {
    /// A reader for marks at these addresses.
    pub fn new(start: u64, stops: Vec<u64>) -> Reader {
        let (samples, code, blocks) = Default::default();
        let (translated, open) = Default::default();
        Reader { start, stops, samples, code, blocks, translated, open, hardware: false }
    }

    /// Takes the next line.
    pub fn line(&mut self, line: &[u8]) {
        match parse(line) {
            Line::Step(block, at) => {
                let place = self.place(block, at);
                self.step(place);
            }
            Line::Undone => self.undo(),
            Line::Device => {
                self.undo();
                self.push(Item::Device);
            }
            Line::Hardware => self.hardware = true,
            Line::Vector { number, software } => self.vector(number, software),
            Line::Code(at, text) => self.translated = Some((at, self.keep(at, text))),
            Line::Other => {}
        }
    }

    /// Keeps an instruction's text: its place. A kernel changes its code for good, programs take turns.
    fn keep(&mut self, at: u64, text: String) -> u64 {
        let copies = if at < PROGRAMS_END { 1 << (COPY.end - COPY.start) } else { 1 };
        let place = |copy: u64| at | copy << COPY.start;
        let is_its = |place: &u64| self.code.get(place).is_none_or(|known| *known == text);
        let place = (0..copies).map(place).find(is_its).unwrap_or(at);
        self.code.insert(place, text);
        place
    }

    /// Where a block is. QEMU's address may have been another block's, which is gone.
    fn place(&mut self, block: u64, at: u64) -> u64 {
        match self.translated.take() {
            Some((of, place)) if of == at => {
                self.blocks.insert(block, place);
                place
            }
            _ => self.blocks.get(&block).copied().unwrap_or(at),
        }
    }

    fn step(&mut self, at: u64) {
        if at == self.start {
            self.open = Some(Vec::new());
        } else if self.stops.contains(&at) {
            self.samples.extend(self.open.take());
        } else {
            self.push(Item::Step(at));
        }
    }

    fn push(&mut self, item: Item) {
        if let Some(items) = &mut self.open {
            items.push(item);
        }
    }

    /// A mark that is undone comes again at once, and then means the same.
    fn undo(&mut self) {
        let Some(items) = &mut self.open else { return };
        if let Some(Item::Step(_)) = items.last() {
            items.pop();
        }
    }

    fn vector(&mut self, number: u8, software: bool) {
        let cause = match (std::mem::take(&mut self.hardware), software) {
            (true, _) => Cause::Hardware,
            (false, true) => Cause::Software,
            (false, false) => Cause::Exception,
        };
        self.push(Item::Vector { number, cause });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: &[u8] =
        b"Trace 0: 0x7f9fd43dcf40 [0000000000000000/ffff82d0401032c0/08c0ca90/ff020201] ";

    #[test]
    fn a_step_is_the_second_number_between_the_brackets() {
        assert_eq!(parse(STEP), Line::Step(0x7f9f_d43d_cf40, 0xffff_82d0_4010_32c0));
        assert_eq!(parse(b"Trace 0: 0x7f9f"), Line::Other);
    }

    #[test]
    fn an_instruction_has_an_address_and_a_text() {
        let line = b"0xffff82d0401032c2:  c7 44 24 04 f0 00 00 00  movl     $0xf0, 4(%rsp)";
        let text = "movl $0xf0, 4(%rsp)".to_string();
        assert_eq!(parse(line), Line::Code(0xffff_82d0_4010_32c2, text));
        let line = b"0xffff82d04010d34a:  ec                       inb      %dx, %al";
        assert_eq!(parse(line), Line::Code(0xffff_82d0_4010_d34a, "inb %dx, %al".into()));
        assert_eq!(parse(b"0xffff82d04030257a:  00 00"), Line::Other, "only further bytes");
    }

    #[test]
    fn vectors_say_their_number_and_whether_they_were_asked_for() {
        let line = b"     0: v=0e e=0007 i=0 cpl=3 IP=e033:ffffffff8000bcf7 pc=ffffffff8000bcf7";
        assert_eq!(parse(line), Line::Vector { number: 14, software: false });
        let line = b"    12: v=80 e=0000 i=1 cpl=3 IP=e033:ffffffff8000bcf7 pc=ffffffff8000bcf7";
        assert_eq!(parse(line), Line::Vector { number: 0x80, software: true });
        assert_eq!(parse(b"RAX=0000000000000000 RBX=ffffffff8003a900"), Line::Other);
    }

    fn read(lines: &[&str]) -> Reader {
        let mut reader = Reader::new(0x10, vec![0x20, 0x30]);
        lines.iter().for_each(|line| reader.line(line.as_bytes()));
        reader
    }

    fn at(address: u64) -> String {
        block(address, address)
    }

    fn block(block: u64, address: u64) -> String {
        format!("Trace 0: 0x{block:x} [0000000000000000/{address:016x}/08c0ca90/ff020201] ")
    }

    fn text(address: u64, text: &str) -> String {
        format!("0x{address:08x}:  {:25}{text}", "90")
    }

    #[test]
    fn programs_that_overlap_are_told_apart_by_their_blocks() {
        let (first, second) = (text(0x40, "syscall"), text(0x40, "nop"));
        let (one, other) = (block(0x7a, 0x40), block(0x7b, 0x40));
        let lines = [&at(0x10), &first, &one, &second, &other, &one, &other, &first, &other];
        let reader = read(&[&lines.map(String::as_str)[..], &[&at(0x20)]].concat());
        let texts: Vec<&str> = reader.samples[0]
            .iter()
            .map(|item| match item {
                Item::Step(place) => reader.code[place].as_str(),
                _ => "no step",
            })
            .collect();
        // The last block was thrown away, and its memory used for the first program's.
        assert_eq!(texts, ["syscall", "nop", "syscall", "nop", "syscall"]);
    }

    #[test]
    fn a_kernels_code_has_one_text_at_an_address() {
        let kernel = 0xffff_ffff_8000_0000;
        let lines = [text(kernel, "ud2"), text(kernel, "nop")];
        let reader = read(&lines.each_ref().map(String::as_str));
        assert_eq!(reader.code, Code::from([(kernel, "nop".to_string())]));
    }

    #[test]
    fn a_sample_is_what_is_between_a_start_and_the_next_stop() {
        let steps: Vec<String> = [1, 0x10, 2, 3, 0x20, 4, 0x10, 5, 0x30].map(at).into();
        let reader = read(&steps.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(reader.samples, [vec![Item::Step(2), Item::Step(3)], vec![Item::Step(5)]]);
    }

    #[test]
    fn a_step_that_did_not_run_does_not_count() {
        let stopped = "Stopped execution of TB chain before 0x7f48a08f1d80 [ffffffff8000c09d] ";
        let device = "cpu_io_recompile: rewound execution of TB to ffff82d040302572";
        let lines = [&at(0x10), &at(2), stopped, &at(2), &at(3), device, &at(3), &at(0x20)];
        let items = [Item::Step(2), Item::Device, Item::Step(3)];
        assert_eq!(read(&lines).samples, [items.to_vec()]);
    }

    #[test]
    fn an_interrupt_of_a_device_is_told_from_an_exception() {
        let (hardware, vector) = ("Servicing hardware INT=0xf1", "     0: v=f1 e=0000 i=0 cpl=0");
        let lines = [&at(0x10), hardware, vector, vector, &at(0x20)];
        let item = |cause| Item::Vector { number: 0xf1, cause };
        let wanted = [item(Cause::Hardware), item(Cause::Exception)];
        assert_eq!(read(&lines).samples, [wanted.to_vec()]);
    }
}
