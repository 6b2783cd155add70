//! What a client of the key-value store sees.

use super::*;
use crate::kv::log::{Disk, DiskError, Kv, MIN_SECTORS};
use crate::kv::server::{listen, serve};
use pvkernel_core::sleep_lock::SleepLock;
use std::format;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

/// A disk in memory that everybody shares.
#[derive(Clone)]
struct Memory(Arc<std::sync::Mutex<Vec<u8>>>);

impl Disk for Memory {
    fn sectors(&self) -> u64 {
        MIN_SECTORS
    }

    fn read(&mut self, sector: u64, to: &mut [u8]) -> Result<(), DiskError> {
        let bytes = self.0.lock().expect("no panic");
        to.copy_from_slice(&bytes[sector as usize * 512..][..to.len()]);
        Ok(())
    }

    fn write(&mut self, sector: u64, from: &[u8]) -> Result<(), DiskError> {
        let mut bytes = self.0.lock().expect("no panic");
        bytes[sector as usize * 512..][..from.len()].copy_from_slice(from);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
}

fn served(disk: &Memory) -> &'static Stack {
    let (server, client) = stacks();
    let kv = Kv::open(disk.clone(), 5, 1 << 20).expect("usable");
    let kv = Arc::new(SleepLock::new(kv));
    let listener = listen(server, 7000).expect("listens");
    let body = move || serve(server, &listener, &kv).expect("serves");
    server.kernel().spawn("kv", body).expect("memory");
    client
}

#[test]
fn values_outlive_the_server() {
    let disk = Memory(Arc::new(std::sync::Mutex::new(vec![0; MIN_SECTORS as usize * 512])));
    let client = served(&disk);
    let script = "SET a 1\r\nset b two words\nGET a\nGET c\nDEL c\nKEYS\nKEYS b\nCOUNT\nGET\nwhat\nQUIT\nGET a\n";
    let stream = connect(client, 7000).expect("connected");
    assert_eq!(
        ask(&stream, script),
        "OK\nOK\nVALUE 1\nNONE\nNONE\nKEY a\nKEY b\nEND 2\nKEY b\nEND 1\nCOUNT 2\n\
         ERROR a key was expected; see HELP\nERROR no such command; see HELP\nBYE\n"
    );
    let client = served(&disk);
    let stream = connect(client, 7000).expect("connected");
    assert_eq!(ask(&stream, "GET b\nDEL a\nCOUNT\n"), "VALUE two words\nOK\nCOUNT 1\n");
}

#[test]
fn clients_work_side_by_side_and_long_lines_end() {
    let disk = Memory(Arc::new(std::sync::Mutex::new(vec![0; MIN_SECTORS as usize * 512])));
    let client = served(&disk);
    let streams: Vec<TcpStream> =
        (0..8).map(|_| connect(client, 7000).expect("connected")).collect();
    for (at, stream) in streams.iter().enumerate() {
        stream.write_all(format!("SET k{at} {at}\n").as_bytes(), None).expect("written");
    }
    for (at, stream) in streams.iter().enumerate().rev() {
        assert_eq!(ask(stream, &format!("GET k{at}\n")), format!("OK\nVALUE {at}\n"));
    }
    let long = "a".repeat(70_000);
    let stream = connect(client, 7000).expect("connected");
    assert_eq!(ask(&stream, &long), "ERROR the line is too long\n");
}
