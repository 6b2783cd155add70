//! The addresses of the guest's marks.

use std::path::Path;

use object::{Object, ObjectSymbol};

use crate::Result;

/// Where samples begin and end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    /// `bench_mark_start`.
    pub start: u64,
    /// Every symbol whose name begins with `bench_mark_stop`.
    pub stops: Vec<u64>,
}

impl Marks {
    /// Finds them in the guest's file.
    pub fn of(guest: &Path) -> Result<Marks> {
        let failed = |error: String| format!("{}: {error}", guest.display());
        let bytes = std::fs::read(guest).map_err(|error| failed(error.to_string()))?;
        let file = object::File::parse(&*bytes).map_err(|error| failed(error.to_string()))?;
        let named = |symbol: object::Symbol<'_, '_>| {
            Some((symbol.name().ok()?.to_string(), symbol.address()))
        };
        let symbols: Vec<(String, u64)> = file.symbols().filter_map(named).collect();
        let start = symbols.iter().find(|(name, _)| name == "bench_mark_start");
        let stops = symbols.iter().filter(|(name, _)| name.starts_with("bench_mark_stop"));
        let stops: Vec<u64> = stops.map(|(_, address)| *address).collect();
        match start {
            Some((_, start)) if !stops.is_empty() => Ok(Marks { start: *start, stops }),
            _ => Err(failed("has no bench_mark_start and bench_mark_stop".into())),
        }
    }
}
