//! Memory: copies on write, zeros on demand, a heap that grows and shrinks, a stack that grows.

use pvkernel_user::abi::Seek;
use pvkernel_user::file::pipe;
use pvkernel_user::process::Status;
use pvkernel_user::{sys, Errno, File};

use crate::check::{end_of, ends_well, holds, in_fork, refused, same, start, Check};
use crate::danger::{peek, poke, shrink, stack_pointer};

crate::cases! {
    copies_on_write_are_apart,
    copies_of_copies_are_apart,
    the_kernel_writes_to_copies_too,
    new_memory_is_zero,
    the_kernel_fills_new_memory,
    a_smaller_heap_is_gone,
    impossible_heaps_are_refused,
    the_stack_grows,
    a_stack_without_end_ends_the_process,
}

const PAGE: u64 = 4096;
const PAGE_FAULT: i32 = pvkernel_user::abi::STATUS_FAULT + 14;

/// Each page has a mark of its own.
fn mark(start: u64, pages: u64, value: impl Fn(u64) -> u8) {
    (0..pages).for_each(|page| poke(start + page * PAGE + page % PAGE, value(page)));
}

#[track_caller]
fn has(start: u64, pages: u64, value: impl Fn(u64) -> u8) -> Check {
    let wrong = (0..pages).find(|page| peek(start + page * PAGE + page % PAGE) != value(*page));
    same(wrong, None)
}

fn copies_on_write_are_apart() -> Check {
    const PAGES: u64 = 600;
    let area = sys::grow(PAGES * PAGE)?;
    mark(area, PAGES, |page| page as u8);
    let (wait, go) = pipe()?;
    let child = start(|| {
        has(area, PAGES, |page| page as u8)?;
        (0..PAGES).step_by(3).for_each(|page| poke(area + page * PAGE + page % PAGE, 0xc1));
        // The parent has written its own by now.
        wait.read(&mut [0])?;
        has(area, PAGES, |page| if page % 3 == 0 { 0xc1 } else { page as u8 })
    })?;
    (0..PAGES).step_by(2).for_each(|page| poke(area + page * PAGE + page % PAGE, 0xa7));
    go.write_all(b"x")?;
    ends_well(child)?;
    has(area, PAGES, |page| if page % 2 == 0 { 0xa7 } else { page as u8 })
}

fn copies_of_copies_are_apart() -> Check {
    const PAGES: u64 = 40;
    let area = sys::grow(PAGES * PAGE)?;
    mark(area, PAGES, |page| page as u8);
    in_fork(|| {
        poke(area, 100);
        in_fork(|| {
            same(peek(area), 100)?;
            poke(area, 101);
            poke(area + PAGE + 1, 101);
            in_fork(|| {
                same((peek(area), peek(area + PAGE + 1)), (101, 101))?;
                mark(area, PAGES, |_| 9);
                has(area, PAGES, |_| 9)
            })?;
            same((peek(area), peek(area + PAGE + 1)), (101, 101))
        })?;
        same((peek(area), peek(area + PAGE + 1)), (100, 1))
    })?;
    has(area, PAGES, |page| page as u8)
}

fn the_kernel_writes_to_copies_too() -> Check {
    let mut buffer = alloc::vec![1u8; 3 * 4096];
    let file = File::create("file")?;
    file.write_all(&alloc::vec![2u8; 3 * 4096])?;
    let child = start(|| {
        file.seek(0, Seek::Start)?;
        same(file.read_full(&mut buffer)?, 3 * 4096)?;
        holds(buffer.iter().all(|byte| *byte == 2), "the child has what it read")
    })?;
    ends_well(child)?;
    holds(buffer.iter().all(|byte| *byte == 1), "the parent has what it had")
}

fn new_memory_is_zero() -> Check {
    const PAGES: u64 = 64;
    for _ in 0..3 {
        let area = sys::grow(PAGES * PAGE)?;
        let dirty = (0..PAGES * PAGE).step_by(8).find(|at| peek(area + at) != 0);
        same(dirty, None)?;
        (0..PAGES * PAGE).step_by(512).for_each(|at| poke(area + at, 0xff));
        shrink(PAGES * PAGE)?;
    }
    Ok(())
}

fn the_kernel_fills_new_memory() -> Check {
    let file = File::create("file")?;
    file.write_all(&alloc::vec![5u8; 20_000])?;
    file.seek(0, Seek::Start)?;
    let area = sys::grow(32_768)?;
    // Nobody touched it before; the middle of it is not on a page's border.
    let args = [u64::from(file.fd()), area + 100, 20_000, 0, 0, 0];
    same(crate::danger::call(pvkernel_user::abi::Call::Read, args), Ok(20_000))?;
    let edges = [area + 99, area + 100, area + 20_099, area + 20_100].map(peek);
    same(edges, [0, 5, 5, 0])
}

fn a_smaller_heap_is_gone() -> Check {
    let area = sys::grow(16 * PAGE)?;
    poke(area + 15 * PAGE, 1);
    let end = sys::grow(0)?;
    let at = end.next_multiple_of(PAGE) - PAGE;
    in_fork(|| same(peek(at), peek(at)))?;
    let ended = end_of(|| {
        let _ = shrink(8 * PAGE);
        poke(at, 1);
    })?;
    same(ended, Status(PAGE_FAULT))?;
    same(peek(area + 15 * PAGE), 1)?;
    let beyond = end.next_multiple_of(PAGE);
    same(end_of(|| poke(beyond, 1))?, Status(PAGE_FAULT))
}

fn impossible_heaps_are_refused() -> Check {
    let end = sys::grow(0)?;
    let wanted = [Errno::ENOMEM, Errno::EINVAL];
    for change in
        [1u64 << 40, 1 << 46, 1 << 62, i64::MAX as u64, i64::MIN as u64, (-(1i64 << 40)) as u64]
    {
        let args = [change, 0, 0, 0, 0, 0];
        refused(crate::danger::call(pvkernel_user::abi::Call::Sbrk, args), &wanted)?;
        same(sys::grow(0)?, end)?;
    }
    // All but the beginning of the heap: no program has one that begins below 0x400000.
    let args = [(end - 0x1000).wrapping_neg(), 0, 0, 0, 0, 0];
    refused(crate::danger::call(pvkernel_user::abi::Call::Sbrk, args), &wanted)?;
    same(sys::grow(0)?, end)
}

/// Uses this much of the stack.
fn deep(levels: u32) -> u64 {
    let mut room = [0u8; 1000];
    core::hint::black_box(&mut room);
    if levels == 0 {
        return stack_pointer();
    }
    let lowest = deep(levels - 1);
    core::hint::black_box(&room);
    lowest
}

fn the_stack_grows() -> Check {
    in_fork(|| {
        let used = stack_pointer() - deep(6000);
        holds(used > 6_000_000, "6 MB are used")
    })
}

fn a_stack_without_end_ends_the_process() -> Check {
    let ended = end_of(|| {
        core::hint::black_box(deep(u32::MAX));
    })?;
    same(ended, Status(PAGE_FAULT))
}
