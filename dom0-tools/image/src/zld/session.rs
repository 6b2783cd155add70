//! One connection of `zl` on the host: requests in, replies out.
//!
//! The thread of the connection reads all the time, so that ^C and the loss of the connection are
//! noticed while a verb runs; the verb runs in a thread of its own. There is one request at a time: a
//! second one before the end of the first ends the connection.

use super::remote::Remote;
use super::uploads::Upload;
use super::{download, gate, DOORMAN};
use crate::files;
use crate::screen::Screen;
use crate::shell::Names;
use crate::steps;
use crate::terminal::Key;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use pvkernel_core::net::TcpStream;
use pvkernel_xen::{thread, time};
use zl_cli::complete::verb_candidates;
use zl_cli::{Command, Shell, Step};
use zl_client::auth::Nonce;
use zl_client::frame::decode;
use zl_client::handshake::Server;
use zl_client::message::{Bytes, Reply, Request, Room, Speaker};
use zl_client::Token;
use zl_toolstack::ToolError;

/// Bytes read at a time.
const READ: usize = 64 << 10;
/// How long the last words of a machine may take to be sent.
const LAST_WORDS_NS: u64 = 1_000_000_000;

/// The other end does not keep to the protocol.
struct Nonsense;

/// Serves a connection until its end.
pub fn serve(link: TcpStream, token: Token, nonce: Nonce) {
    let mut server = Server::new(token, nonce);
    let is_known = gate::pass(&link, &mut server);
    if is_known {
        DOORMAN.lock().know();
        let remote = Arc::new(Remote::new(link));
        Session::new(Arc::clone(&remote)).serve(&mut server);
        remote.lose();
    }
    DOORMAN.lock().leave(is_known);
}

struct Session {
    remote: Arc<Remote>,
    upload: Option<Upload>,
    runs: Arc<AtomicBool>,
}

impl Session {
    fn new(remote: Arc<Remote>) -> Self {
        Self { remote, upload: None, runs: Arc::default() }
    }

    /// Takes requests until the other end is gone or makes no sense.
    fn serve(&mut self, server: &mut Server) {
        let mut bytes = alloc::vec![0; READ];
        loop {
            let Ok(count @ 1..) = self.remote.link().read(&mut bytes, None) else { return };
            let mut rest = bytes.get(..count).unwrap_or(&[]);
            while !rest.is_empty() {
                let taken = server.push(rest);
                rest = rest.get(taken..).unwrap_or(&[]);
                if self.serve_frames(server).is_err() {
                    return;
                }
            }
        }
    }

    fn serve_frames(&mut self, server: &mut Server) -> Result<(), Nonsense> {
        let mut out = Vec::new();
        while let Some(payload) = server.take(&mut out).map_err(|_| Nonsense)? {
            let request = decode(payload).map_err(|_| Nonsense)?;
            self.answer(&request)?;
        }
        Ok(())
    }

    fn answer(&mut self, request: &Request<'_>) -> Result<(), Nonsense> {
        match request {
            Request::Typed(Bytes(bytes)) => self.remote.typed(bytes.iter().copied().map(Key::Byte)),
            Request::Interrupt => self.remote.interrupt(),
            Request::Leave => self.remote.typed(core::iter::once(Key::Leave)),
            Request::Resize(size) => self.remote.resize(Some(*size)),
            _ if self.runs.load(Ordering::Acquire) => return Err(Nonsense),
            Request::Run { speaker, words, terminal } => {
                self.remote.begin(*terminal);
                self.run(*speaker, words);
            }
            Request::Put { name, len, room } => self.begin_upload(name, *len, *room),
            Request::Chunk(Bytes(bytes)) => self.add_upload(bytes),
            Request::PutEnd { sum } => self.finish_upload(*sum)?,
            Request::PutAbort => {
                self.upload = None;
                self.fail(&ToolError::failed("the file was not sent to its end"));
            }
            Request::Get { name } => {
                if let Err(error) = download::send(&self.remote, name) {
                    self.fail(&error);
                }
            }
            Request::Has { name } => self.remote.say(&Reply::Found(download::len_of(name))),
            Request::Complete { words } => {
                let found = verb_candidates(words, &Names);
                let found = found.iter().map(String::as_str).collect();
                self.remote.say(&Reply::Candidates(found));
            }
        }
        Ok(())
    }

    fn fail(&self, error: &ToolError) {
        let (status, text) = (error.status.number(), error.text.as_str());
        self.remote.say(&Reply::Failed { status, text });
    }

    /// Carries words out in a thread of their own.
    fn run(&self, speaker: Speaker, words: &[&str]) {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let (remote, runs) = (Arc::clone(&self.remote), Arc::clone(&self.runs));
        runs.store(true, Ordering::Release);
        let spawned = thread::spawn("zl-verb", move || {
            let status = carry_out(&remote, speaker, &words);
            // The other end sends its next request only after this.
            runs.store(false, Ordering::Release);
            remote.say(&Reply::Exit { status });
        });
        if spawned.is_err() {
            self.runs.store(false, Ordering::Release);
            let text = "dom0 has no memory for another verb; end one, or boot with dom0_mem=";
            self.fail(&ToolError::failed(text));
        }
    }

    fn begin_upload(&mut self, name: &str, len: u64, room: Room) {
        self.upload = None;
        let is_full = self.remote.uploads.lock().is_full();
        let begun = match is_full {
            false => Upload::begin(name, len, room),
            true => Err(ToolError::failed("dom0 takes no more files of one zl; name fewer")),
        };
        match begun {
            Ok(upload) => {
                self.remote.say(&Reply::Window { up_to: upload.up_to() });
                self.upload = Some(upload);
            }
            Err(error) => self.fail(&error),
        }
    }

    /// A file that failed is forgotten; what was already under way of it is passed over.
    fn add_upload(&mut self, bytes: &[u8]) {
        let added = self.upload.as_mut().map(|upload| upload.add(bytes));
        match added {
            Some(Ok(Some(up_to))) => self.remote.say(&Reply::Window { up_to }),
            Some(Err(error)) => {
                self.upload = None;
                self.fail(&error);
            }
            Some(Ok(None)) | None => {}
        }
    }

    fn finish_upload(&mut self, sum: u32) -> Result<(), Nonsense> {
        let upload = self.upload.take().ok_or(Nonsense)?;
        match upload.finish(sum) {
            Ok(stored) => {
                self.remote.uploads.lock().keep(stored);
                self.remote.say(&Reply::Stored);
            }
            Err(error) => self.fail(&error),
        }
        Ok(())
    }
}

/// Carries words out on a person's terminal; the answer is the status.
fn carry_out(remote: &Remote, speaker: Speaker, words: &[String]) -> u8 {
    let mut shell = Shell::default();
    let step = match speaker {
        Speaker::Zl => Command::parse(words).map_or_else(Step::Complain, Step::Zl),
        Speaker::Shell => shell.step_of(words),
    };
    if let Step::PowerOff | Step::Reboot = step {
        remote.say(&Reply::Exit { status: 0 });
        // Whether the last words arrive or not, the machine ends.
        let _ = remote.link().drain(Some(time::now_ns() + LAST_WORDS_NS));
        steps::end_machine(step, &Screen);
    }
    let creates = matches!(step, Step::Zl(_)) && words.first().is_some_and(|word| word == "create");
    steps::carry_out(&mut shell, remote, step);
    if creates && shell.status() != 0 {
        remove_sent(remote);
    }
    shell.status()
}

/// Removes disks that were sent for a domain that then could not be created.
fn remove_sent(remote: &Remote) {
    let sent = remote.uploads.lock().take_on_disk();
    for path in sent {
        // One that is gone already is as wanted.
        let _ = files::with(|files| files.remove(&path));
    }
}
