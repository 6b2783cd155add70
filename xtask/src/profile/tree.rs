//! A call tree from a sequence of instructions.
//!
//! Calls and returns are followed; a jump into another function (a tail call) changes the function
//! at its level. The ways into and out of the hypervisor (`syscall`, `sysret`, `iret`, a vector) leave
//! whatever was on the stack: it is not what is returned to. Functions that were inlined are levels
//! of their own.

use std::collections::HashMap;

use crate::trace::log::{Code, Item};

/// One function in its place in the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Instructions of its own.
    pub own: u64,
    /// The functions it calls, in the order in which they were called first.
    pub calls: Vec<(String, Node)>,
}

impl Node {
    /// Its own instructions and those of everything it calls.
    pub fn total(&self) -> u64 {
        self.own + self.calls.iter().map(|(_, node)| node.total()).sum::<u64>()
    }

    /// Where a chain of functions ends that only call the next one and have nothing of their own:
    /// the name of the last and its node, or this one.
    pub fn sole(&self) -> (Option<&str>, &Node) {
        match &self.calls[..] {
            [(name, only)] if self.own == 0 => {
                let (last, end) = only.sole();
                (Some(last.unwrap_or(name)), end)
            }
            _ => (None, self),
        }
    }

    /// Adds another tree to this one.
    pub fn add(&mut self, other: &Node) {
        self.own += other.own;
        for (name, node) in &other.calls {
            self.below(name).add(node);
        }
    }

    fn charge(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else {
            self.own += 1;
            return;
        };
        self.below(first).charge(rest);
    }

    fn below(&mut self, name: &str) -> &mut Node {
        let at = self.calls.iter().position(|(other, _)| other == name).unwrap_or_else(|| {
            self.calls.push((name.to_string(), Node::default()));
            self.calls.len() - 1
        });
        &mut self.calls[at].1
    }

    /// Instructions of each function wherever it is called: its own, and all of them. A function
    /// below itself counts once.
    pub fn flat(&self) -> HashMap<String, (u64, u64)> {
        let mut flat = HashMap::new();
        self.flatten(&mut Vec::new(), &mut flat);
        flat
    }

    fn flatten<'a>(&'a self, above: &mut Vec<&'a str>, flat: &mut HashMap<String, (u64, u64)>) {
        for (name, node) in &self.calls {
            let entry = flat.entry(name.clone()).or_default();
            entry.0 += node.own;
            if !above.contains(&name.as_str()) {
                entry.1 += node.total();
            }
            above.push(name);
            node.flatten(above, flat);
            above.pop();
        }
    }
}

/// Where control is: for each call that has not returned, the frames at its call.
#[derive(Default)]
struct Stack {
    levels: Vec<Vec<String>>,
    /// The function a call went to, for code without names.
    entry: Option<u64>,
    entries: Vec<Option<u64>>,
}

/// What an instruction does to the stack of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Call,
    Return,
    /// Into or out of the hypervisor.
    Cross,
}

/// Builds the tree of one sample. `frames` names an address: the function and what is inlined there,
/// outermost first, or nothing.
pub fn build(items: &[Item], code: &Code, frames: &mut impl FnMut(u64) -> Vec<String>) -> Node {
    let mut root = Node::default();
    let mut stack = Stack::default();
    let mut flow = Flow::Cross;
    let mut before: Vec<String> = Vec::new();
    for item in items {
        let Item::Step(at) = item else {
            if matches!(item, Item::Vector { .. }) {
                flow = Flow::Cross;
            }
            continue;
        };
        stack.follow(flow, *at, &before);
        let mut here = frames(*at);
        if here.is_empty() {
            here = vec![stack.unnamed(*at)];
        }
        let path: Vec<String> = stack.levels.iter().flatten().chain(&here).cloned().collect();
        root.charge(&path);
        flow = code.get(at).map_or(Flow::On, |text| flow_of(text));
        before = here;
    }
    root
}

impl Stack {
    /// Comes to `at` from an instruction in the frames `before`.
    fn follow(&mut self, flow: Flow, at: u64, before: &[String]) {
        match flow {
            Flow::On => {}
            Flow::Call => {
                self.levels.push(before.to_vec());
                self.entries.push(self.entry.replace(at));
            }
            Flow::Return => {
                self.levels.pop();
                self.entry = self.entries.pop().flatten();
            }
            Flow::Cross => {
                *self = Stack::default();
                self.entry = Some(at);
            }
        }
    }

    /// A name for code that has none: where its function begins.
    fn unnamed(&self, at: u64) -> String {
        format!("{:#x}", self.entry.unwrap_or(at))
    }
}

fn flow_of(text: &str) -> Flow {
    let name = text.split(' ').next().unwrap_or_default();
    match name {
        "call" | "callq" | "lcall" | "lcallq" => Flow::Call,
        "ret" | "retq" => Flow::Return,
        // `repz ret`, `bnd call` and their like.
        "rep" | "repe" | "repz" | "bnd" | "notrack" if text.contains("ret") => Flow::Return,
        "bnd" | "notrack" if text.contains("call") => Flow::Call,
        "syscall" | "sysret" | "sysretq" | "iretq" | "lretq" => Flow::Cross,
        _ => Flow::On,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(at: u64) -> Vec<String> {
        let frames: &[&str] = match at {
            0..=9 => &["guest"],
            10..=19 => &["entry"],
            20..=24 => &["dispatch"],
            25..=29 => &["dispatch", "check"],
            30..=39 => &["copy"],
            _ => &[],
        };
        frames.iter().map(|name| name.to_string()).collect()
    }

    fn tree(steps: &[(u64, &str)]) -> Node {
        let items: Vec<Item> = steps.iter().map(|(at, _)| Item::Step(*at)).collect();
        let code = steps.iter().map(|(at, text)| (*at, text.to_string())).collect();
        build(&items, &code, &mut |at| names(at))
    }

    fn below<'a>(node: &'a Node, path: &[&str]) -> &'a Node {
        path.iter().fold(node, |node, name| {
            let found = node.calls.iter().find(|(other, _)| other == name);
            &found.unwrap_or_else(|| panic!("no {name} in {node:?}")).1
        })
    }

    #[test]
    fn calls_returns_and_inlined_functions_make_the_tree() {
        let root = tree(&[
            (1, "syscall"),
            (10, "swapgs"),
            (11, "callq 0x14"),
            (20, "nop"),
            (25, "callq 0x1e"),
            (30, "retq"),
            (26, "nop"),
            (21, "retq"),
            (12, "sysretq"),
            (2, "nop"),
        ]);
        assert_eq!(below(&root, &["guest"]).own, 2);
        assert_eq!(below(&root, &["entry"]).own, 3);
        assert_eq!(below(&root, &["entry"]).total(), 8);
        assert_eq!(below(&root, &["entry", "dispatch"]).own, 2);
        assert_eq!(below(&root, &["entry", "dispatch", "check"]).own, 2);
        assert_eq!(below(&root, &["entry", "dispatch", "check", "copy"]).own, 1);
        assert_eq!(root.total(), 10);
        assert_eq!(root.flat()["check"], (2, 3));
    }

    #[test]
    fn a_jump_into_another_function_takes_the_place_of_the_caller() {
        let root = tree(&[(10, "callq 0x14"), (20, "jmp 0x1e"), (30, "retq"), (11, "nop")]);
        assert_eq!(below(&root, &["entry"]).own, 2);
        assert_eq!(below(&root, &["entry", "copy"]).own, 1);
    }

    #[test]
    fn without_names_a_function_is_where_a_call_went() {
        let root = tree(&[(40, "callq 0x32"), (50, "nop"), (51, "retq"), (41, "nop")]);
        assert_eq!(below(&root, &["0x28"]).own, 2);
        assert_eq!(below(&root, &["0x28", "0x32"]).own, 2);
    }

    #[test]
    fn an_exception_begins_anew_and_is_no_call() {
        let items = [Item::Step(1), exception(), Item::Step(10), Item::Step(11), Item::Step(2)];
        let code = [(1, "ud2"), (10, "nop"), (11, "iretq")].map(|(a, t)| (a, t.to_string()));
        let root = build(&items, &code.into(), &mut |at| names(at));
        assert_eq!((below(&root, &["guest"]).own, below(&root, &["entry"]).own), (2, 2));
    }

    fn exception() -> Item {
        Item::Vector { number: 6, cause: crate::trace::log::Cause::Exception }
    }
}
