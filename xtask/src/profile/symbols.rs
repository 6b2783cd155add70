//! Names for addresses: functions, and what was inlined into them.
//!
//! From the symbol table and the line tables of our own images. Xen's image has neither: there a
//! function is where a call went to.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use addr2line::Context;
use gimli::{EndianRcSlice, RunTimeEndian, SectionId};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

use crate::Result;

type Slice = EndianRcSlice<RunTimeEndian>;

/// One image's names.
struct Image {
    /// Name and end of what starts at an address.
    symbols: BTreeMap<u64, (String, u64)>,
    lines: Context<Slice>,
}

/// The names of everything that runs.
#[derive(Default)]
pub struct Symbols {
    images: Vec<Image>,
    /// Answers given already.
    known: HashMap<u64, Vec<String>>,
}

impl Symbols {
    /// Reads the names of an image.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        let image = Image::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        self.images.push(image);
        Ok(())
    }

    /// The function at an address, and what is inlined there, outermost first; nothing if no image
    /// has a name for it.
    pub fn frames(&mut self, address: u64) -> &[String] {
        let images = &self.images;
        self.known.entry(address).or_insert_with(|| {
            images
                .iter()
                .map(|image| image.frames(address))
                .find(|f| !f.is_empty())
                .unwrap_or_default()
        })
    }
}

impl Image {
    fn read(path: &Path) -> std::result::Result<Image, Box<dyn std::error::Error>> {
        let bytes = std::fs::read(path)?;
        let file = object::File::parse(&*bytes)?;
        let section = |id: SectionId| -> std::result::Result<Slice, object::Error> {
            let found = file.section_by_name(id.name());
            let data = found.map_or(Ok(Cow::Borrowed(&[][..])), |one| one.uncompressed_data())?;
            Ok(Slice::new(data.into(), RunTimeEndian::Little))
        };
        let lines = Context::from_dwarf(gimli::Dwarf::load(section)?)?;
        Ok(Image { symbols: symbols(&file), lines })
    }

    fn frames(&self, address: u64) -> Vec<String> {
        let Some((name, _)) = self.symbol(address) else { return Vec::new() };
        let mut frames = self.inlined(address);
        // The outermost is the function itself, which the symbol table names as well, and better
        // where it is assembly.
        frames.pop();
        frames.push(name.clone());
        frames.reverse();
        frames
    }

    /// The symbol that holds an address.
    fn symbol(&self, address: u64) -> Option<&(String, u64)> {
        let (_, found) = self.symbols.range(..=address).next_back()?;
        (address < found.1).then_some(found)
    }

    /// The frames at an address, innermost first.
    fn inlined(&self, address: u64) -> Vec<String> {
        let mut names = Vec::new();
        let Ok(mut frames) = self.lines.find_frames(address).skip_all_loads() else { return names };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.and_then(|function| {
                let raw = function.raw_name().ok()?;
                Some(readable(&raw))
            });
            let file = frame.location.and_then(|location| location.file);
            let file = file.map_or("", short_path);
            names.push(format!("{} ({file})", name.unwrap_or_else(|| "?".into())));
        }
        names
    }
}

/// The symbols of code, each with its end. One of assembly has no size: it reaches to the next, at
/// most to the end of its section.
fn symbols(file: &object::File<'_>) -> BTreeMap<u64, (String, u64)> {
    let mut symbols = BTreeMap::new();
    let mut unsized_ends = Vec::new();
    for symbol in file.symbols() {
        let named = symbol.name().ok().filter(|name| !name.is_empty() && !name.starts_with(".L"));
        let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
        let (Some(name), Some(section)) = (named, section) else { continue };
        if section.kind() != SectionKind::Text {
            continue;
        }
        let (at, size) = (symbol.address(), symbol.size());
        let end = if size > 0 { at + size } else { section.address() + section.size() };
        // Of two names for one place that which knows its size is the function's.
        if size > 0 || !symbols.contains_key(&at) {
            symbols.insert(at, (readable(name), end));
        }
        if size == 0 {
            unsized_ends.push(at);
        }
    }
    for at in unsized_ends {
        let next = symbols.range(at + 1..).next().map(|(next, _)| *next);
        if let (Some(next), Some(entry)) = (next, symbols.get_mut(&at)) {
            entry.1 = entry.1.min(next);
        }
    }
    symbols
}

/// The file, with its folder if the name alone says nothing.
fn short_path(path: &str) -> &str {
    let words = if path.ends_with("/mod.rs") || path.ends_with("/lib.rs") { 2 } else { 1 };
    let start = path.rmatch_indices('/').nth(words - 1).map_or(0, |(at, _)| at + 1);
    &path[start..]
}

/// A demangled name without its hash and without generic arguments.
fn readable(mangled: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(mangled));
    // `<T as Trait>::method` begins with what would be taken for arguments.
    match name.starts_with('<') {
        true => name,
        false => without_arguments(&name),
    }
}

/// `get<fn(&mut Call) -> i64>` as `get`.
fn without_arguments(name: &str) -> String {
    let (mut short, mut depth, mut last) = (String::new(), 0u32, ' ');
    for c in name.chars() {
        match c {
            '<' => depth += 1,
            '>' if last != '-' => depth = depth.saturating_sub(1),
            _ if depth == 0 => short.push(c),
            _ => {}
        }
        last = c;
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_without_hash_and_arguments() {
        let name = "_ZN10hypervisor9hypercall5entry17h0123456789abcdefE";
        assert_eq!(readable(name), "hypervisor::hypercall::entry");
        assert_eq!(readable("get<fn(&mut Call) -> Result<i64, End>, usize>"), "get");
        assert_eq!(readable("hv_syscall64"), "hv_syscall64");
    }

    #[test]
    fn a_file_is_named_so_that_it_can_be_found() {
        assert_eq!(short_path("/core/src/cell/once.rs"), "once.rs");
        assert_eq!(short_path("image/src/hypercall/mod.rs"), "hypercall/mod.rs");
        assert_eq!(short_path("mod.rs"), "mod.rs");
    }

    #[test]
    fn this_program_knows_its_own_functions() {
        let mut symbols = Symbols::default();
        let program = std::env::current_exe().expect("a path");
        symbols.add(&program).expect("an ELF file");
        let known =
            symbols.images[0].symbols.values().any(|(name, _)| name.ends_with("::readable"));
        assert!(known, "{} symbols", symbols.images[0].symbols.len());
        assert!(symbols.frames(1).is_empty(), "no function is at address 1");
    }
}
