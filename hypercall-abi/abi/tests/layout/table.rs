//! Rows of the comparison and the macros that make them.

use std::collections::BTreeSet;

/// One value both sides must agree on.
pub struct Row {
    /// What is compared, for messages.
    pub name: String,
    /// The C expression.
    pub c_expr: String,
    /// The value here, negative numbers wrapped as C converts them.
    pub value: u64,
}

/// All rows and the Rust names they cover, as `module::NAME`.
#[derive(Default)]
pub struct Table {
    pub rows: Vec<Row>,
    pub covered: BTreeSet<String>,
}

impl Table {
    pub fn push(&mut self, name: String, c_expr: String, value: u64) {
        self.rows.push(Row { name, c_expr, value });
    }

    /// Notes that a Rust path is compared; the last two parts identify it.
    pub fn cover(&mut self, path: &str) {
        let parts: Vec<&str> = path.split("::").map(str::trim).collect();
        let from = parts.len().saturating_sub(2);
        self.covered.insert(parts[from..].join("::"));
    }
}

/// The name of a field as C spells it, when the table says nothing else.
pub fn c_field(rust: &str, c: Option<&str>) -> String {
    c.unwrap_or_else(|| rust.trim_start_matches("r#")).to_string()
}

/// Size of the field a closure selects.
pub fn field_size<T, F>(_select: impl Fn(&T) -> &F) -> usize {
    std::mem::size_of::<F>()
}

/// `module::Struct = "C type" { field, field = "c_name", ... };`
macro_rules! structs {
    ($table:ident; $(
        $module:ident :: $ty:ident = $c:literal { $($field:ident $(= $cf:literal)?),* $(,)? };
    )*) => {$(
        {
            type Rust = $module::$ty;
            let name = stringify!($module::$ty).replace(' ', "");
            $table.cover(&name);
            $table.push(name.clone(), format!("sizeof({})", $c), size_of::<Rust>() as u64);
            $(
                let c_name: Option<&str> = [$($cf,)? ""].first().copied().filter(|s| !s.is_empty());
                let c_name = $crate::table::c_field(stringify!($field), c_name);
                let field = format!("{name}.{}", stringify!($field));
                $table.push(
                    field.clone(),
                    format!("offsetof({}, {c_name})", $c),
                    std::mem::offset_of!(Rust, $field) as u64,
                );
                $table.push(
                    format!("size of {field}"),
                    format!("sizeof((({} *)0)->{c_name})", $c),
                    $crate::table::field_size(|value: &Rust| &value.$field) as u64,
                );
            )*
        }
    )*};
}

/// `"PREFIX", upper|lower: path::{NAME, ...};` for names that follow a rule.
macro_rules! numbers {
    ($table:ident; $($prefix:literal, $case:ident: $module:ident :: { $($name:ident),* $(,)? };)*) => {$($(
        {
            let path = concat!(stringify!($module), "::", stringify!($name));
            $table.cover(path);
            let c_name = format!("{}{}", $prefix, $crate::table::$case(stringify!($name)));
            $table.push(path.to_string(), c_name, $module::$name as i128 as u64);
        }
    )*)*};
}

/// `path::NAME = "C expression";` for all others.
macro_rules! named {
    ($table:ident; $($module:ident :: $name:ident $(. $call:ident ())? = $c:literal;)*) => {$(
        {
            let path = concat!(stringify!($module), "::", stringify!($name));
            $table.cover(path);
            $table.push(path.to_string(), $c.to_string(), $module::$name$(.$call())? as i128 as u64);
        }
    )*};
}

pub(crate) use {named, numbers, structs};

/// C names in capitals, as here.
pub fn upper(name: &str) -> String {
    name.to_string()
}

/// C names in small letters.
pub fn lower(name: &str) -> String {
    name.to_lowercase()
}

/// C names in small letters, where the first word here is part of the prefix there.
pub fn lower_tail(name: &str) -> String {
    upper_tail(name).to_lowercase()
}

/// C names in capitals, where the first word here is part of the prefix there.
pub fn upper_tail(name: &str) -> String {
    name.split_once('_').map_or(name, |(_, tail)| tail).to_string()
}
