//! Writes everything a kernel finds in its memory.
//!
//! Step 5 of `build`: kernel, ramdisk, P2M, start page and page tables. All of it is a list of
//! pieces, each with an address and bytes; neighbouring pieces share a mapping, so that a small
//! domain needs one batch of mappings and each byte is written once.
//!
//! Invariant: every mapping made here is gone when the step returns.

use super::steps::BuildingDomain;
use super::Request;
use crate::client::{ForeignMemory, Hypervisor};
use crate::error::ToolError;
use alloc::format;
use alloc::vec::Vec;
use hypercall_abi::start_info::{Sif, StartInfo};
use hypercall_abi::{Mfn, Pfn, PAGE_SIZE};
use pv_builder::{Console, FileCopy, KernelInfo, Plan, Region, StartInfoValues};
use zerocopy::IntoBytes;

const PAGE: u64 = PAGE_SIZE as u64;
/// Frames mapped at once: a bound for the window of addresses they need.
const WINDOW_FRAMES: u64 = 1024;

/// Bytes for an address of the domain; what `len` has beyond `bytes` becomes zero.
struct Piece<'a> {
    paddr: u64,
    bytes: &'a [u8],
    len: u64,
}

impl<'a> Piece<'a> {
    fn whole_pages(region: Region, bytes: &'a [u8]) -> Self {
        Self { paddr: region.first.paddr(), bytes, len: region.pages * PAGE }
    }

    fn end(&self) -> u64 {
        self.paddr + self.len
    }

    fn first_frame(&self) -> u64 {
        self.paddr / PAGE
    }

    fn end_frame(&self) -> u64 {
        self.end().div_ceil(PAGE)
    }
}

impl<H: Hypervisor> BuildingDomain<'_, H> {
    /// Writes all pieces and clears the two ring pages.
    pub(super) fn write_image(
        &mut self,
        request: &Request<'_>,
        kernel: &KernelInfo,
        plan: &Plan,
    ) -> Result<(), ToolError> {
        self.clear_rings(plan)?;
        let start_info = self.start_info(plan)?;
        let tables = self.page_tables(plan);
        let kernel_tables = tables.get(..page_bytes(plan.tables)).unwrap_or(&tables);
        let p2m_tables = tables.get(page_bytes(plan.tables)..).unwrap_or(&[]);
        let mut pieces = kernel_pieces(request.kernel, kernel)?;
        if let (Some(region), Some(bytes)) = (plan.ramdisk, request.ramdisk) {
            pieces.push(Piece::whole_pages(region, bytes));
        }
        pieces.push(Piece::whole_pages(plan.p2m, self.p2m.as_bytes()));
        pieces.push(Piece::whole_pages(plan.start_info, start_info.as_bytes()));
        pieces.push(Piece::whole_pages(plan.tables, kernel_tables));
        pieces.push(Piece::whole_pages(plan.p2m_tables, p2m_tables));
        pieces.retain(|piece| piece.len != 0);
        pieces.sort_by_key(|piece| piece.paddr);
        self.write_pieces(&pieces)
    }

    fn clear_rings(&self, plan: &Plan) -> Result<(), ToolError> {
        let mut frames = Vec::new();
        for region in [plan.xenstore, plan.console].into_iter().flatten() {
            frames.push(self.frame(region.first)?);
        }
        self.hypervisor().clear_pages(self.domain(), &frames).map_err(|errno| {
            let argument = format_args!("foreigndom={}, the two ring pages", self.domain());
            let advice = "see 'zl dmesg' for what the hypervisor refused";
            ToolError::hypercall("MMUEXT_CLEAR_PAGE", argument, errno, advice)
        })
    }

    fn start_info(&self, plan: &Plan) -> Result<StartInfo, ToolError> {
        let store = self.store_channel(plan)?;
        let console = self.console_channel(plan)?;
        Ok(plan.start_info(&StartInfoValues {
            shared_info_maddr: self.shared_info_frame()?.maddr(),
            flags: Sif::empty(),
            store_mfn: store.frame,
            store_port: store.port,
            console: Console::Ring { mfn: console.frame, port: console.port },
        }))
    }

    /// All page tables, one behind the other in the order of their frames.
    fn page_tables(&self, plan: &Plan) -> Vec<u8> {
        let tables = page_bytes(plan.tables) + page_bytes(plan.p2m_tables);
        let mut bytes = Vec::with_capacity(tables);
        let mfn_of = |pfn: Pfn| {
            let index = usize::try_from(pfn.get()).unwrap_or(usize::MAX);
            // The plan only names frames below `nr_pages`, all of which were populated.
            self.p2m.get(index).copied().unwrap_or(Mfn::INVALID)
        };
        plan.table_images(mfn_of, |image| bytes.extend_from_slice(image.entries.as_bytes()));
        bytes
    }

    fn write_pieces(&self, pieces: &[Piece<'_>]) -> Result<(), ToolError> {
        let mut rest = pieces;
        while let Some(first) = rest.first() {
            let run = connected(rest);
            let (now, later) = rest.split_at(run);
            let end = now.iter().map(Piece::end_frame).max().unwrap_or(0);
            self.write_run(now, first.first_frame(), end)?;
            rest = later;
        }
        Ok(())
    }

    /// Writes pieces that cover the frames `start..end` without large gaps.
    fn write_run(&self, pieces: &[Piece<'_>], start: u64, end: u64) -> Result<(), ToolError> {
        let mut first = start;
        while first < end {
            let after = (first + WINDOW_FRAMES).min(end);
            let frames = self.frames(first, after)?;
            let window = self.map("the image", frames)?;
            for piece in pieces {
                write_part(&window, piece, first * PAGE, after * PAGE);
            }
            first = after;
        }
        Ok(())
    }

    fn frames(&self, first: u64, after: u64) -> Result<&[Mfn], ToolError> {
        let range = usize::try_from(first).ok().zip(usize::try_from(after).ok());
        let frames = range.and_then(|(first, after)| self.p2m.get(first..after));
        frames.ok_or_else(|| {
            ToolError::failed(format!(
                "the image needs frames {first} to {after} of {}; raise memory =",
                self.p2m.len()
            ))
        })
    }
}

/// How many of the sorted pieces lie so close together that one run of mappings serves them.
fn connected(pieces: &[Piece<'_>]) -> usize {
    const LARGEST_GAP_FRAMES: u64 = 8;
    let mut end = 0;
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 && piece.first_frame() > end + LARGEST_GAP_FRAMES {
            return index;
        }
        end = end.max(piece.end_frame());
    }
    pieces.len()
}

/// Writes the part of a piece that lies in a window of addresses.
fn write_part<M: ForeignMemory>(window: &M, piece: &Piece<'_>, start: u64, end: u64) {
    let from = piece.paddr.max(start);
    let to = piece.end().min(end);
    if from >= to {
        return;
    }
    // The window has at most WINDOW_FRAMES frames, so these differences are small.
    let (offset, len) = ((from - start) as usize, (to - from) as usize);
    let skip = usize::try_from(from - piece.paddr).unwrap_or(usize::MAX);
    let bytes = piece.bytes.get(skip..).unwrap_or(&[]);
    let bytes = bytes.get(..len).unwrap_or(bytes);
    window.write(offset, bytes);
    if bytes.len() < len {
        window.zero(offset + bytes.len(), len - bytes.len());
    }
}

fn page_bytes(region: Region) -> usize {
    usize::try_from(region.pages * PAGE).unwrap_or(usize::MAX)
}

/// Segments and symbol table of the kernel.
fn kernel_pieces<'a>(file: &'a [u8], kernel: &'a KernelInfo) -> Result<Vec<Piece<'a>>, ToolError> {
    let mut pieces = Vec::new();
    for segment in &kernel.segments {
        pieces.push(file_piece(file, segment)?);
    }
    if let Some(table) = &kernel.symbol_table {
        let (paddr, len) = (table.paddr, table.head.len() as u64);
        pieces.push(Piece { paddr, bytes: &table.head, len });
        pieces.push(file_piece(file, &table.symbols)?);
        pieces.push(file_piece(file, &table.strings)?);
    }
    Ok(pieces)
}

fn file_piece<'a>(file: &'a [u8], copy: &FileCopy) -> Result<Piece<'a>, ToolError> {
    let start = usize::try_from(copy.file_offset).ok();
    let len = usize::try_from(copy.file_len).ok();
    let bytes = start.zip(len).and_then(|(start, len)| file.get(start..start.checked_add(len)?));
    let bytes = bytes.ok_or_else(|| {
        let at = copy.paddr;
        ToolError::failed(format!("the part of the kernel for address {at:#x} is not in its file"))
    })?;
    Ok(Piece { paddr: copy.paddr, bytes, len: copy.mem_len })
}
