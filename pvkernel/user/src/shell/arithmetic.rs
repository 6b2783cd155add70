//! Expressions, `$((...))`: whole numbers of 64 bits, which wrap.

use alloc::format;
use alloc::string::{String, ToString};

use super::lex::is_in_name;
use super::{Expanded, Variables};

/// Brackets and signs inside each other.
const MAX_DEPTH: usize = 32;

/// From what binds least to what binds most. Of those that begin alike the longer comes first.
const OPERATORS: &[&[&str]] =
    &[&["||"], &["&&"], &["==", "!="], &["<=", ">=", "<", ">"], &["+", "-"], &["*", "/", "%"]];

struct Reader<'a> {
    rest: &'a str,
    variables: &'a Variables,
    depth: usize,
}

/// What an expression comes to. A name is its variable, which counts 0 when it is empty.
///
/// # Errors
/// The one line that says why it is none.
pub(super) fn value(text: &str, variables: &Variables) -> Expanded<i64> {
    let mut reader = Reader { rest: text, variables, depth: 0 };
    let value = reader.level(0).and_then(|value| match reader.rest.trim_start() {
        "" => Ok(value),
        rest => Err(format!("`{}` was not expected", first(rest))),
    });
    value.map_err(|why| format!("$(({})): {why}", first_line(text)))
}

fn first(text: &str) -> String {
    text.chars().next().map_or_else(|| "the end".to_string(), |first| first.to_string())
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

fn number(text: &str) -> Expanded<i64> {
    match text.trim() {
        "" => Ok(0),
        text => text.parse().map_err(|_| format!("`{text}` is no number")),
    }
}

impl<'a> Reader<'a> {
    /// Operators of a level, from left to right.
    fn level(&mut self, level: usize) -> Expanded<i64> {
        let Some(operators) = OPERATORS.get(level) else { return self.operand() };
        let mut left = self.level(level + 1)?;
        loop {
            let rest = self.rest.trim_start();
            let Some(operator) = operators.iter().find(|sign| rest.starts_with(**sign)) else {
                return Ok(left);
            };
            self.rest = rest.get(operator.len()..).unwrap_or_default();
            let right = self.level(level + 1)?;
            left = apply(left, operator, right)?;
        }
    }

    fn operand(&mut self) -> Expanded<i64> {
        let rest = self.rest.trim_start();
        let mut chars = rest.chars();
        let sign = chars.next();
        if !matches!(sign, Some('-' | '+' | '!' | '(')) {
            return self.leaf(rest);
        }
        if self.depth == MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} brackets and signs inside each other"));
        }
        self.rest = chars.as_str();
        self.depth += 1;
        let value = match sign {
            Some('-') => self.operand()?.wrapping_neg(),
            Some('!') => i64::from(self.operand()? == 0),
            Some('(') => self.bracket()?,
            _ => self.operand()?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn bracket(&mut self) -> Expanded<i64> {
        let value = self.level(0)?;
        match self.rest.trim_start().strip_prefix(')') {
            Some(rest) => {
                self.rest = rest;
                Ok(value)
            }
            None => Err("`)` was expected".to_string()),
        }
    }

    /// A number or a name.
    fn leaf(&mut self, rest: &'a str) -> Expanded<i64> {
        let (leaf, behind) = rest.split_at(rest.find(|s| !is_in_name(s)).unwrap_or(rest.len()));
        self.rest = behind;
        match leaf.chars().next() {
            None => Err(format!("a number was expected before `{}`", first(rest))),
            Some('0'..='9') => number(leaf),
            Some(_) => number(&self.variables.get(leaf)),
        }
    }
}

fn apply(left: i64, operator: &str, right: i64) -> Expanded<i64> {
    Ok(match operator {
        "||" => i64::from(left != 0 || right != 0),
        "&&" => i64::from(left != 0 && right != 0),
        "==" => i64::from(left == right),
        "!=" => i64::from(left != right),
        "<=" => i64::from(left <= right),
        ">=" => i64::from(left >= right),
        "<" => i64::from(left < right),
        ">" => i64::from(left > right),
        "+" => left.wrapping_add(right),
        "-" => left.wrapping_sub(right),
        "*" => left.wrapping_mul(right),
        _ if right == 0 => return Err("a division by zero".to_string()),
        "/" => left.wrapping_div(right),
        _ => left.wrapping_rem(right),
    })
}
