//! Processes on the fake machine: programs of a few instructions, and what is left when they have ended.

use std::boxed::Box;
use std::vec::Vec;

use pvkernel_abi::{open, Call, Errno};

use crate::elf::tests::program as elf;
use crate::kernel::Kernel;
use crate::os::{start, Os, PowerEnd, Setup};
use crate::platform::hosted::user::{Op, INSTRUCTION};
use crate::platform::hosted::Hosted;
use crate::platform::Mmu;
use crate::proc;

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x40_4000;
const SPARE: u64 = DATA + 64;
const PATH: u64 = DATA + 128;

fn no_power(_: PowerEnd) -> ! {
    panic!("the machine is switched off")
}

fn system() -> (&'static Hosted, &'static Os) {
    let (machine, platform) = Hosted::leak();
    let kernel: &'static Kernel = Box::leak(Box::new(Kernel::new(platform, "main")));
    let (disks, archive, make) = (Vec::new(), None, None);
    let setup = Setup {
        archive,
        disks,
        make,
        wait_input: None,
        power: no_power,
        #[cfg(feature = "net")]
        network: None,
    };
    (machine, start(kernel, setup).unwrap())
}

/// Address of instruction `index`.
const fn at(index: u64) -> u64 {
    CODE + index * INSTRUCTION
}

const fn call(call: Call, a: u64, b: u64) -> Op {
    Op::Call(call as u64, a, b)
}

fn program(ops: &[Op]) -> Vec<u8> {
    let code: Vec<u8> = ops.iter().flat_map(|op| op.bytes()).collect();
    let mut data = std::vec![0; 128];
    data.extend(b"/next");
    elf(CODE, &[(5, CODE, &code, code.len() as u64), (6, DATA, &data, 3 * 4096)])
}

fn install(os: &'static Os, path: &[u8], file: &[u8]) {
    let flags = open::WRITE | open::CREATE;
    let open = os.vfs.open(&os.vfs.root(), path, flags).unwrap();
    assert_eq!(open.write(file, &|| false), Ok(file.len()));
}

/// Runs a program as the first process: its status, when everything came back.
fn run(machine: &'static Hosted, os: &'static Os, ops: &[Op]) -> i32 {
    install(os, b"/first", &program(ops));
    let free = machine.free_frames();
    proc::start_first(os, b"/first", &[b"first"]).unwrap();
    let status = os.wait_first();
    assert_eq!(os.processes.len(), 0, "nobody is left");
    assert_eq!(os.pool.used(), 0, "no frame is left");
    assert_eq!(machine.free_frames(), free);
    assert_eq!(machine.fpus(), 0);
    assert_eq!(os.vfs.open_files(), 0);
    status
}

#[test]
fn parent_and_child_have_their_own_memory() {
    let (machine, os) = system();
    let status = run(
        machine,
        os,
        &[
            Op::Store(DATA, 1),
            call(Call::Fork, 0, 0),
            Op::JumpIfZero(at(8)),
            call(Call::Wait, u64::MAX, SPARE),
            Op::Expect(SPARE, 42),
            Op::Expect(DATA, 1),
            call(Call::Exit, 5, 0),
            Op::Bad,
            Op::Expect(DATA, 1),
            Op::Store(DATA, 9),
            Op::Expect(DATA, 9),
            call(Call::Exit, 42, 0),
        ],
    );
    assert_eq!(status, 5);
}

#[test]
fn a_fault_ends_one_process_and_kill_another() {
    let (machine, os) = system();
    let status = run(
        machine,
        os,
        &[
            call(Call::Fork, 0, 0),
            Op::JumpIfZero(at(13)),
            call(Call::Wait, u64::MAX, SPARE),
            // 0x10e: a page fault.
            Op::Expect(SPARE, 0x0e),
            Op::Expect(SPARE + 1, 1),
            call(Call::Fork, 0, 0),
            Op::JumpIfZero(at(14)),
            Op::CallWithAnswer(Call::Kill as u64),
            call(Call::Wait, u64::MAX, SPARE),
            Op::Expect(SPARE + 1, 2),
            call(Call::Wait, u64::MAX, SPARE),
            Op::ExpectAnswer(Errno::ECHILD.answer()),
            call(Call::Exit, 0, 0),
            Op::Store(16, 1),
            Op::Spin,
        ],
    );
    assert_eq!(status, 0);
}

#[test]
fn a_fork_bomb_ends_in_refusals() {
    let (machine, os) = system();
    let ops = [
        Op::Store(DATA, 1),
        call(Call::Fork, 0, 0),
        Op::JumpIfZero(at(0)),
        call(Call::Wait, u64::MAX, 0),
        call(Call::Exit, 3, 0),
    ];
    assert_eq!(run(machine, os, &ops), 3);
}

#[test]
fn orphans_are_waited_for_by_the_first_process() {
    let (machine, os) = system();
    let status = run(
        machine,
        os,
        &[
            call(Call::Fork, 0, 0),
            Op::JumpIfZero(at(6)),
            call(Call::Wait, u64::MAX, SPARE),
            call(Call::Wait, u64::MAX, SPARE),
            Op::Expect(SPARE, 7),
            call(Call::Exit, 0, 0),
            // The child ends at once, the grandchild later.
            call(Call::Fork, 0, 0),
            Op::JumpIfZero(at(9)),
            call(Call::Exit, 6, 0),
            call(Call::SleepNs, 1_000_000, 0),
            call(Call::Getppid, 0, 0),
            Op::ExpectAnswer(1),
            call(Call::Exit, 7, 0),
        ],
    );
    assert_eq!(status, 0);
}

#[test]
fn another_program_replaces_this_one_or_is_refused() {
    let (machine, os) = system();
    install(os, b"/next", &program(&[Op::Expect(DATA, 0), call(Call::Exit, 11, 0)]));
    let becomes = [Op::Store(DATA, 1), call(Call::Exec, PATH, 5), Op::Bad];
    assert_eq!(run(machine, os, &becomes), 11);
    let (machine, os) = system();
    install(os, b"/next", b"\x7fELF and no more, so it cannot be run");
    let goes_on = [
        Op::Store(DATA, 1),
        call(Call::Exec, PATH, 5),
        Op::ExpectAnswer(Errno::ENOEXEC.answer()),
        Op::Expect(DATA, 1),
        call(Call::Exec, 8, 5),
        Op::ExpectAnswer(Errno::EFAULT.answer()),
        call(Call::Exec, PATH, 5000),
        Op::ExpectAnswer(Errno::ENAMETOOLONG.answer()),
        call(Call::Exit, 12, 0),
    ];
    assert_eq!(run(machine, os, &goes_on), 12);
}
