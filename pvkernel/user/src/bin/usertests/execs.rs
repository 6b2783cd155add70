//! Becoming another program: arguments, descriptors, and files that are no programs.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use pvkernel_user::abi::{open, Errno, Text, ARG_MAX};
use pvkernel_user::file::{pipe, read_whole};
use pvkernel_user::process::{exec, in_child, spawn, wait_for, Status};
use pvkernel_user::random::Random;
use pvkernel_user::{sys, File};

use crate::check::{close, ends_well, fail, holds, refused, same, start, Check};
use crate::danger;

crate::cases! {
    arguments_arrive,
    as_many_arguments_as_are_allowed,
    too_many_arguments,
    descriptors_stay_or_close,
    programs_that_are_none,
    a_program_that_is_cut_off,
    a_program_that_is_damaged,
    the_old_program_goes_on_after_a_refusal,
    a_program_may_be_removed_while_it_runs,
    many_execs,
}

/// What this program does for its own cases when it is run by them; `None` when it is not.
pub fn helper(args: &[&str]) -> Option<i32> {
    let (which, rest) = (*args.get(1)?, args.get(2..)?);
    let good = match which {
        "--args" => {
            let sum: usize = rest.iter().map(|arg| arg.len()).sum();
            let given = rest.first().and_then(|text| text.parse::<usize>().ok());
            given == Some(rest.len() * 1000 + sum % 1000)
        }
        "--fds" => rest.iter().all(|text| {
            let (fd, wanted) = text.split_at(text.len() - 1);
            let is_open = fd.parse().is_ok_and(|fd| sys::fstat(fd).is_ok());
            is_open == (wanted == "+")
        }),
        // `keeps_float` must find a clean state: control words as after a reset let it do its work.
        "--float-is-clean" => danger::keeps_float(0, 1, true),
        _ => return None,
    };
    Some(i32::from(!good))
}

/// Runs this program with arguments that say themselves how many they are.
#[track_caller]
fn run_with(args: &[String]) -> Check {
    let sum: usize = args.iter().map(String::len).sum();
    // The number itself counts, too: all numbers here have the same length.
    let number = |sum: usize| (args.len() + 1) * 1000 + sum % 1000;
    let len = number(sum).to_string().len();
    let first = number(sum + len).to_string();
    let mut all = alloc::vec!["usertests", "--args", first.as_str()];
    all.extend(args.iter().map(String::as_str));
    ends_well(spawn(&all)?)
}

fn arguments_arrive() -> Check {
    run_with(&[])?;
    run_with(&["".into(), "a b".into(), "ü".into(), "".into(), "x".repeat(5000)])
}

fn as_many_arguments_as_are_allowed() -> Check {
    let (count, bytes) = ARG_MAX;
    run_with(&alloc::vec!["x".to_string(); count - 3])?;
    run_with(&["y".repeat(bytes - 1000)])
}

fn too_many_arguments() -> Check {
    let (count, bytes) = ARG_MAX;
    let many: Vec<&str> = core::iter::repeat_n("x", count + 1).collect();
    same(exec("/bin/true", &many), Errno::E2BIG)?;
    let long = "x".repeat(bytes + 1);
    same(exec("/bin/true", &["true", &long]), Errno::E2BIG)?;
    let texts = [Text { address: 0x10, len: 4 }, Text { address: 0x40_0000, len: u64::MAX }];
    for text in texts {
        let found = sys::exec(b"/bin/true", &[text]);
        holds(matches!(found, Errno::EFAULT | Errno::E2BIG), "a bad argument is refused")?;
    }
    let path = b"/bin/true";
    let args = [path.as_ptr() as u64, 9, path.as_ptr() as u64 & !7, u64::MAX, 0, 0];
    let wanted = [Errno::E2BIG, Errno::EFAULT];
    refused(danger::call(pvkernel_user::abi::Call::Exec, args), &wanted)
}

fn descriptors_stay_or_close() -> Check {
    let stays = File::open("file", open::WRITE | open::CREATE)?;
    let closes = File::open("file", open::WRITE | open::CLOSE_ON_EXEC)?;
    // A copy is another descriptor, without that flag.
    let copy = File::of(sys::dup(closes.fd(), None)?);
    let args = [
        alloc::format!("{}+", stays.fd()),
        alloc::format!("{}-", closes.fd()),
        alloc::format!("{}+", copy.fd()),
    ];
    let [a, b, c] = args.each_ref().map(String::as_str);
    ends_well(spawn(&["usertests", "--fds", a, b, c])?)
}

fn programs_that_are_none() -> Check {
    File::create("empty")?;
    File::create("text")?.write_all(b"echo this is a script\n")?;
    File::create("zeros")?.write_all(&[0; 5000])?;
    File::create("magic")?.write_all(b"\x7fELF")?;
    sys::mkdir(b"folder")?;
    for name in ["./empty", "./text", "./zeros", "./magic"] {
        same((name, exec(name, &[name])), (name, Errno::ENOEXEC))?;
    }
    same(exec("./missing", &["x"]), Errno::ENOENT)?;
    same(exec("./text/x", &["x"]), Errno::ENOTDIR)?;
    let found = exec("./folder", &["x"]);
    holds(matches!(found, Errno::EISDIR | Errno::ENOEXEC), "a directory is no program")?;
    let found = exec("/dev/zero", &["x"]);
    holds(matches!(found, Errno::ENOEXEC | Errno::EINVAL | Errno::EFBIG), "nor is a device")
}

fn program() -> Result<Vec<u8>, Errno> {
    read_whole("/bin/true", 1 << 20)
}

/// Runs a file that may be a program. The kernel lives, and so does this process.
fn try_file(bytes: &[u8]) -> Result<Status, Errno> {
    File::create("try")?.write_all(bytes)?;
    let pid = in_child(|| match exec("./try", &["try"]) {
        Errno::ENOEXEC | Errno::ENOMEM => 126,
        _ => 99,
    })?;
    // A damaged program may do nothing for ever.
    for _ in 0..200 {
        if let Some(status) = pvkernel_user::process::poll(pid)? {
            return Ok(status);
        }
        sys::sleep_ns(100_000)?;
    }
    sys::kill(pid)?;
    wait_for(pid)
}

fn a_program_that_is_cut_off() -> Check {
    let whole = program()?;
    same(try_file(&whole)?, Status(0))?;
    // Headers, then the end of each part, then somewhere.
    for len in (0..232).step_by(8).chain((232..whole.len()).step_by(1500)) {
        same((len, try_file(&whole[..len])?), (len, Status(126)))?;
    }
    same(try_file(&whole[..whole.len() - 1])?, Status(126))
}

/// Each field of the headers gets nasty values.
fn a_program_that_is_damaged() -> Check {
    let whole = program()?;
    let mut random = Random::new(5);
    let nasty = [
        0u64,
        1,
        0xfff,
        0x1000,
        1 << 31,
        u64::MAX,
        1 << 47,
        1 << 63,
        0xffff_8000_0000_0000,
        0x7fff_ffff_f000,
    ];
    for at in (0..232).step_by(4) {
        for _ in 0..3 {
            let mut damaged = whole.clone();
            let value = random.of(&nasty).unwrap_or(0).to_le_bytes();
            let len = if random.below(2) == 0 { 4 } else { 8 };
            damaged[at..at + len].copy_from_slice(&value[..len]);
            let ended = try_file(&damaged)?;
            // It was refused, it ran, it faulted, or it was killed for running for ever.
            let is_end = matches!(ended.0, 0 | 126) || ended.fault().is_some() || ended.is_killed();
            let odd = damaged != whole && ended.0 != 99;
            if !is_end && !odd {
                return Err(fail(alloc::format!("field at {at}: {ended}")));
            }
        }
    }
    Ok(())
}

fn the_old_program_goes_on_after_a_refusal() -> Check {
    let marks = alloc::vec![3u8; 10_000];
    let whole = program()?;
    let mut damaged = whole.clone();
    // The second part is where the kernel is: the first part can be loaded, all of it cannot.
    damaged[64 + 56 + 16..64 + 56 + 24].copy_from_slice(&0xffff_ffff_8000_0000u64.to_le_bytes());
    File::create("bad")?.write_all(&damaged)?;
    let child = start(|| {
        same(exec("./bad", &["bad"]), Errno::ENOEXEC)?;
        holds(marks.iter().all(|byte| *byte == 3), "its memory is as it was")
    })?;
    ends_well(child)
}

fn a_program_may_be_removed_while_it_runs() -> Check {
    let (read, write) = pipe()?;
    File::create("cat")?.write_all(&read_whole("/bin/cat", 1 << 20)?)?;
    let (result, output) = pipe()?;
    let pid = in_child(|| {
        close(&write);
        close(&result);
        let moved = sys::dup(read.fd(), Some(0)).and(sys::dup(output.fd(), Some(1)));
        close(&read);
        close(&output);
        if moved.is_ok() {
            exec("./cat", &["cat"]);
        }
        1
    })?;
    drop((read, output));
    // What comes back says that the program runs.
    let mut first = [0];
    write.write_all(b"-")?;
    result.read_full(&mut first)?;
    same(first, *b"-")?;
    sys::unlink(b"cat")?;
    write.write_all(b"through a program that has no name")?;
    drop(write);
    let mut found = [0; 100];
    let len = result.read_full(&mut found)?;
    same(&found[..len], b"through a program that has no name")?;
    ends_well(pid)
}

fn many_execs() -> Check {
    for _ in 0..60 {
        ends_well(spawn(&["true"])?)?;
    }
    let pid = spawn(&["false"])?;
    same(wait_for(pid)?, Status(1))
}
