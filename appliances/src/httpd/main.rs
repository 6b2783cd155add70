//! `httpd`: serves the page about its domain, and the files of its ramdisk.
//!
//! `port=N` on the command line chooses another port than 80; `ip=` and its like see `machine`.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;

use appliances::httpd::server::{listen, serve, Site};
use appliances::machine::{give_up, network, Domain};
use pvkernel_xen::boot::BootInfo;
use pvkernel_xen::println;
use zl_toolstack::archive::Archive;

pvkernel_xen::entry!(run);

const NAME: &str = "httpd";

fn run(boot: &'static BootInfo) -> ! {
    let files = match boot.ramdisk.map(Archive::parse) {
        None => Archive::default(),
        Some(Ok(files)) => files,
        Some(Err(error)) => give_up(NAME, format_args!("the ramdisk is unusable: {error}")),
    };
    let port = boot.args().number("port").unwrap_or(80);
    let Ok(port) = u16::try_from(port) else {
        give_up(NAME, format_args!("port={port}: a port from 1 to 65535 was expected"))
    };
    let (stack, listener) = network(NAME, boot, |stack| listen(stack, port));
    let domain: &'static Domain = Box::leak(Box::new(Domain::find(boot, stack)));
    let count = files.files().count();
    let site = Site::new(domain, files);
    if let Some(address) = stack.address() {
        println!("{NAME}: serving http://{address}:{port}/ and {count} files");
    }
    match listener.and_then(|listener| serve(stack, &listener, &site)) {
        Ok(()) => give_up(NAME, "the server ended"),
        Err(error) => give_up(NAME, error),
    }
}
