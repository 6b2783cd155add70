//! Compares every structure and constant of the crate with the headers of `libxen-dev`.
//!
//! The tables in `structs` and `numbers` pair each Rust name with its C name. From them a C program
//! is made that prints what the compiler thinks, and its output is compared line by line.
//! `coverage` makes sure that nothing in the sources is missing from the tables.

mod c_program;
mod coverage;
mod numbers;
mod structs;
mod table;

use table::Table;

fn all_rows() -> Table {
    let mut table = Table::default();
    structs::fill(&mut table);
    numbers::fill(&mut table);
    table
}

#[test]
fn layout_and_constants_equal_those_of_the_c_headers() {
    let table = all_rows();
    let Some(values) = c_program::evaluate(&table) else {
        println!("skipped: libxen-dev headers or cc not found");
        return;
    };
    assert_eq!(values.len(), table.rows.len(), "the C program printed another number of lines");
    let wrong: Vec<String> = table
        .rows
        .iter()
        .zip(&values)
        .filter(|(row, c_value)| row.value != **c_value)
        .map(|(row, c_value)| {
            format!("{}: {} here, {} = {c_value} in C", row.name, row.value, row.c_expr)
        })
        .collect();
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_structure_and_constant_of_the_sources_is_in_a_table() {
    let missing = coverage::missing(&all_rows());
    assert!(missing.is_empty(), "not compared with C: {}", missing.join(", "));
}
