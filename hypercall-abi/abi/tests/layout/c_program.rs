//! Makes, compiles and runs the C program.

use crate::table::Table;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const HEAD: &str = "\
#define __XEN_TOOLS__ 1
#define __XEN_INTERFACE_VERSION__ 0x00040e00
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <xen/xen.h>
#include <xen/errno.h>
#include <xen/callback.h>
#include <xen/domctl.h>
#include <xen/elfnote.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/nmi.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/arch-x86/cpuid.h>
#include <xen/io/blkif.h>
#include <xen/io/console.h>
#include <xen/io/netif.h>
#include <xen/io/ring.h>
#include <xen/io/xenbus.h>
#include <xen/io/xs_wire.h>
";

/// Compiles wherever there are a compiler and the headers, whatever the headers say.
const PROBE: &str = "\
#if !__has_include(<xen/xen.h>)
#error the headers are absent
#endif
int main(void) { return 0; }
";

/// The value of every C expression of the table; `None` without compiler or headers.
pub fn evaluate(table: &Table) -> Option<Vec<u64>> {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    if !compiles(&dir, "probe", PROBE) {
        return None;
    }
    let mut source = String::from(HEAD);
    source.push_str("int main(void) {\n");
    for row in &table.rows {
        writeln!(source, "    printf(\"%llu\\n\", (unsigned long long)({}));", row.c_expr)
            .expect("a string takes every text");
    }
    source.push_str("    return 0;\n}\n");
    assert!(compiles(&dir, "layout", &source), "the C program does not compile");
    let output = Command::new(dir.join("layout")).output().expect("the C program runs");
    assert!(output.status.success(), "the C program failed");
    let text = String::from_utf8(output.stdout).expect("digits are text");
    Some(text.lines().map(|line| line.parse().expect("a line is a number")).collect())
}

fn compiles(dir: &Path, name: &str, source: &str) -> bool {
    let file = dir.join(name).with_extension("c");
    std::fs::write(&file, source).expect("the test's directory is writable");
    let quiet = name == "probe";
    Command::new("cc")
        .args(["-w", "-o"])
        .arg(dir.join(name))
        .arg(&file)
        .stderr(if quiet { Stdio::null() } else { Stdio::inherit() })
        .status()
        .is_ok_and(|status| status.success())
}
