//! `zl` on the host: every verb over the port, files that are sent, strangers, and lost connections.
//!
//! The program that runs the tests is `zl` as well (`xtask zl`), so the tests start themselves.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use zl_client::doorman::MOST_STRANGERS;
use zl_host::offer::Offer;

use super::files::fresh_image;
use super::{check, leaves_nothing, Verdict};
use crate::devices::{Disk, Nic};
use crate::dom0::{Counts, Dom0};
use crate::machine::Failure;
use crate::session::Session;

/// How long one `zl` may take.
const WITHIN: Duration = Duration::from_secs(30);
/// How long dom0 may take to forget a connection.
const SETTLES: Duration = Duration::from_secs(15);
/// Counts that did not move for so long stay: what the first use of something keeps.
const STILL: Duration = Duration::from_secs(3);
/// How often a program that ends is looked at.
const POLL: Duration = Duration::from_millis(5);

/// The host's side of a machine that can be reached.
struct Host {
    offer: Offer,
    port: u16,
    folder: PathBuf,
}

/// What a `zl` said.
struct Said {
    out: String,
    err: String,
    status: i32,
}

/// Boots a dom0 with a disk that can be reached from the host.
fn boot<'a>(session: &'a Session<'a>, name: &str) -> Result<(Dom0<'a>, Host), Failure> {
    let folder = session.images.transcripts.join(format!("{name}-{}", session.cpus));
    // What an earlier run left is of no use.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    let mut boot = session.images.dom0_boot(session.hypervisor, "")?;
    let port = free_port()?;
    let archive = boot.modules.get_mut(1).ok_or(Failure("no boot archive".into()))?;
    let offer = Offer::make(&folder.join("run"), &archive.file, port);
    let offer = offer.map_err(|error| failed(&folder, &error))?;
    archive.file = offer.archive().to_path_buf();
    boot.disks.push(Disk::scratch(&fresh_image(session, name)?));
    boot.nics.push(Nic::management(port));
    let dom0 = Dom0::from_machine(session.start(boot)?, session.hypervisor)?;
    Ok((dom0, Host { offer, port, folder }))
}

impl Host {
    fn command(&self, words: &[&str]) -> Result<Command, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure(error.to_string()))?;
        let mut command = Command::new(program);
        command.args(["zl", "--", "--run"]).arg(self.offer.run_file()).args(words);
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    fn start(&self, words: &[&str]) -> Result<Child, Failure> {
        self.command(words)?.spawn().map_err(|error| Failure(error.to_string()))
    }

    fn zl(&self, words: &[&str]) -> Result<Said, Failure> {
        finish(self.start(words)?, words)
    }

    /// Runs a verb that must end with this status.
    fn ends(&self, words: &[&str], status: i32) -> Result<Said, Failure> {
        let said = self.zl(words)?;
        check(said.status == status, || {
            let Said { out, err, status: ended } = &said;
            format!("`zl {}` ended with {ended}, not {status}\n{out}{err}", words.join(" "))
        })?;
        Ok(said)
    }

    fn ok(&self, words: &[&str]) -> Result<String, Failure> {
        self.ends(words, 0).map(|said| said.out)
    }

    fn write(&self, name: &str, contents: &[u8]) -> Verdict {
        let path = self.folder.join(name);
        fs::write(&path, contents).map_err(|error| failed(&path, &error))
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure(format!("{}: {error}", path.display()))
}

fn free_port() -> Result<u16, Failure> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|bound| bound.local_addr());
    port.map(|address| address.port()).map_err(|error| Failure(error.to_string()))
}

/// Waits for the end of a program, but not for ever.
fn finish(mut child: Child, words: &[&str]) -> Result<Said, Failure> {
    let limit = Instant::now() + WITHIN;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > limit {
            // It may just have ended.
            let _ = child.kill();
            let said = child.wait_with_output().map(|output| text(&output.stdout));
            return Err(Failure(format!("`zl {}` does not end: {said:?}", words.join(" "))));
        }
        thread::sleep(POLL);
    }
    let output = child.wait_with_output().map_err(|error| Failure(error.to_string()))?;
    let Output { status, stdout, stderr } = output;
    Ok(Said { out: text(&stdout), err: text(&stderr), status: status.code().unwrap_or(-1) })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Verbs that `every_verb` asks for at its end, or that have a test of their own.
const ELSEWHERE: &[&str] = &["console", "logs", "reboot", "shutdown", "destroy"];

/// Fails when `zl help` lists a verb that no test asks for.
fn none_is_forgotten(host: &Host, asked: &[&str]) -> Verdict {
    let help = host.ok(&["help"])?;
    let verbs = help.lines().filter_map(|line| line.strip_prefix("  "));
    let verbs = verbs.filter_map(|line| line.split_whitespace().next());
    let missing: Vec<&str> =
        verbs.filter(|verb| !asked.contains(verb) && !ELSEWHERE.contains(verb)).collect();
    check(missing.is_empty(), || format!("verbs nobody tried: {missing:?}"))
}

/// Every verb once, as people and as scripts ask for it. Those that are not here have tests below.
pub fn every_verb(session: &Session<'_>) -> Verdict {
    let (dom0, host) = boot(session, "host-verbs")?;
    let steps: &[(&[&str], &str)] = &[
        (&["create", "-p", "ticker.cfg"], "Parsing config from ticker.cfg"),
        (&["list"], "ticker"),
        (&["unpause", "ticker"], ""),
        (&["domid", "ticker"], "1"),
        (&["domname", "1"], "ticker"),
        (&["uptime"], "ticker"),
        (&["vcpu-list"], "ticker"),
        (&["info"], "xen_version"),
        (&["debug", "counts"], "heap_bytes="),
        (&["pause", "ticker"], ""),
        (&["unpause", "ticker"], ""),
        (&["rename", "ticker", "clock"], ""),
        (&["dom0", "ls"], "ticker.cfg"),
        (&["cp", "dom0:ticker.cfg", "back.cfg"], ""),
        (&["cp", "back.cfg", "dom0:/configs/"], ""),
        (&["dom0", "ls", "/configs"], "back.cfg"),
        (&["xenstore-write", "/tool/host", "said"], ""),
        (&["xenstore-read", "/tool/host"], "said"),
        (&["xenstore-list", "/tool"], "host"),
        (&["xenstore-ls", "/tool"], "host = \"said\""),
        (&["xenstore-exists", "/tool/host"], ""),
        (&["xenstore-chmod", "/tool/host", "n0"], ""),
        (&["xenstore-rm", "/tool/host"], ""),
        (&["xenstore-watch", "-n", "1", "/tool"], "/tool"),
        (&["block-list", "clock"], "Vdev"),
        (&["network-list", "clock"], "Idx"),
        (&["create", "blktest.cfg", "name=plug", "extra=\"watch\""], ""),
        (&["block-attach", "plug", "ram:plug:8M,xvdb,w"], ""),
        (&["block-list", "plug"], "51728"),
        (&["block-detach", "plug", "xvdb"], ""),
        (&["destroy", "plug"], ""),
        (&["create", "httpd.cfg"], ""),
        (&["network-attach", "httpd", "mac=00:16:3e:00:00:77"], ""),
        (&["network-list", "httpd"], "00:16:3e:00:00:77"),
        (&["network-detach", "httpd", "1"], ""),
        (&["destroy", "httpd"], ""),
        (&["top", "-b", "-i", "1"], "clock"),
        (&["help", "create"], "usage: zl create"),
        (&["completion", "bash"], "complete -F _zl zl"),
        (&["dmesg"], ""),
    ];
    for (words, part) in steps {
        let out = host.ok(words)?;
        check(out.contains(part), || format!("`zl {}` printed {out}", words.join(" ")))?;
    }
    none_is_forgotten(&host, &steps.iter().map(|(words, _)| words[0]).collect::<Vec<_>>())?;
    json_of_each(&host)?;
    host.ok(&["reboot", "clock"])?;
    host.ok(&["shutdown", "-a", "-w"])?;
    host.ok(&["create", "ticker.cfg"])?;
    host.ok(&["destroy", "ticker"])?;
    statuses(&host)?;
    dom0.poweroff()
}

/// What looks at things answers in JSON, and so does a failure.
fn json_of_each(host: &Host) -> Verdict {
    for words in [
        &["list"][..],
        &["info"],
        &["uptime"],
        &["vcpu-list"],
        &["dmesg"],
        &["debug", "counts"],
        &["domid", "clock"],
        &["logs", "clock"],
        &["pause", "clock"],
        &["unpause", "clock"],
        &["help"],
        &["destroy", "nobody"],
        &["destroy"],
    ] {
        let words = [words, &["-o", "json"]].concat();
        let said = host.zl(&words)?;
        let read: Result<serde_json::Value, _> = serde_json::from_str(&said.out);
        let is_versioned = read.is_ok_and(|value| value.get("v").is_some_and(|v| v == 1));
        check(is_versioned, || format!("`zl {}` printed {}", words.join(" "), said.out))?;
    }
    Ok(())
}

/// Each failure has its status and one line.
fn statuses(host: &Host) -> Verdict {
    for (words, status) in [
        (&["create", "nothere.cfg"][..], 1),
        (&["frobnicate"], 2),
        (&["list", "--nonsense"], 2),
        (&["destroy", "nobody"], 3),
        (&["destroy", "0"], 5),
        (&["dom0", "frobnicate"], 2),
        (&["cp", "dom0:/none", "x"], 1),
        (&["cp", "nothere", "dom0:/none"], 1),
        (&["--run", "nothere.json", "list"], 6),
    ] {
        let said = host.ends(words, status)?;
        let complaints = said.err.lines().filter(|line| !line.starts_with("Parsing ")).count();
        check(complaints == 1, || format!("`zl {}` complained: {}", words.join(" "), said.err))?;
    }
    Ok(())
}

/// A configuration and a kernel that lie on the host become a domain; a disk goes to dom0's disk.
pub fn create_from_the_host(session: &Session<'_>) -> Verdict {
    let (mut dom0, host) = boot(session, "host-create")?;
    let kernel = session.images.guests.join("ticker");
    let kernel = fs::read(&kernel).map_err(|error| failed(&kernel, &error))?;
    host.write("mykernel", &kernel)?;
    host.write("sent.cfg", b"name='sent'\nkernel='mykernel'\nmemory=16\n")?;
    let said = host.ends(&["create", "sent.cfg"], 0)?;
    let lines: Vec<&str> =
        said.err.lines().filter(|line| line.starts_with("sending mykernel: ")).collect();
    let last = format!("sending mykernel: {0}/{0} 100%", kernel.len());
    let is_progress = lines.last() == Some(&last.as_str()) && (2..=21).contains(&lines.len());
    check(is_progress, || format!("the progress was: {}", said.err))?;
    dom0.ticks_on("sent", 20)?;
    // Made of files that only it has, it can be started again all the same.
    let first = host.ok(&["domid", "sent"])?;
    host.ok(&["reboot", "sent"])?;
    let is_new = |lines: &[String]| lines.first().is_some_and(|id| id.trim() != first.trim());
    dom0.until("zl list -q; zl domid sent", 20, |lines| is_new(lines.get(2..).unwrap_or(&[])))?;
    dom0.ticks_on("sent", 20)?;
    host.ok(&["destroy", "sent"])?;
    files_come_and_go(&mut dom0, &host)?;
    refused_creates_leave_nothing(&mut dom0, &host)?;
    dom0.poweroff()
}

/// What is sent to dom0's disk comes back as it was.
fn files_come_and_go(dom0: &mut Dom0<'_>, host: &Host) -> Verdict {
    let contents: Vec<u8> = (0..3_000_001_u32).map(|at| (at * 7 / 3) as u8).collect();
    host.write("big", &contents)?;
    host.ok(&["cp", "big", "dom0:/images/deep/big"])?;
    host.ok(&["cp", "dom0:/images/deep/big", "again"])?;
    let path = host.folder.join("again");
    let again = fs::read(&path).map_err(|error| failed(&path, &error))?;
    check(again == contents, || format!("{} bytes came back, not the same", again.len()))?;
    let listed = dom0.ok("ls /images/deep")?.lines.join(" ");
    check(listed.contains("big") && !listed.contains("part"), || format!("listed: {listed}"))?;
    dom0.ok("rm -r /images/deep").map(|_| ())
}

/// Waits until dom0 has noticed that connections ended: the counts are those from before, or stay. What
/// never comes back is found by the caller.
fn settled(dom0: &mut Dom0<'_>, before: &Counts) -> Verdict {
    let limit = Instant::now() + SETTLES;
    let (mut last, mut since) = (dom0.counts()?, Instant::now());
    while last != *before && Instant::now() < limit && since.elapsed() < STILL {
        thread::sleep(Duration::from_millis(100));
        let now = dom0.counts()?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(())
}

/// Neither in memory nor on the disk.
fn refused_creates_leave_nothing(dom0: &mut Dom0<'_>, host: &Host) -> Verdict {
    host.write("noelf", &[b'x'; 300_000])?;
    host.write("sent.img", &[7; 1 << 20])?;
    host.write("bad.cfg", b"name='bad'\nkernel='noelf'\nmemory=16\n")?;
    leaves_nothing(dom0, "a create that is refused", |dom0| {
        let before = dom0.counts()?;
        let said = host.ends(&["create", "bad.cfg"], 1)?;
        let is_named = said.err.contains("bad.cfg: noelf: not an ELF file");
        check(is_named && said.err.contains("sending "), || said.err.clone())?;
        settled(dom0, &before)
    })?;
    // The journal of the disk remembers in memory what changed, so counts would differ here.
    let said = host.ends(&["create", "bad.cfg", "disk=['file:sent.img,xvda,w']"], 1)?;
    check(said.err.contains("sending sent.img: "), || said.err.clone())?;
    let listed = dom0.ok("ls /images")?.lines.join(" ");
    check(!listed.contains("sent.img"), || format!("a refused create left {listed}"))
}

/// A console over the port: what was printed before, what is typed, and no byte lost at the end.
pub fn consoles(session: &Session<'_>) -> Verdict {
    let (mut dom0, host) = boot(session, "host-consoles")?;
    host.ok(&["create", "ticker.cfg"])?;
    dom0.ticks_on("ticker", 20)?;
    let leave = |key: &[u8], words: &[&str]| {
        let mut child = host.command(words)?.stdin(Stdio::piped()).spawn();
        if let Ok(child) = &mut child {
            let typed = child.stdin.take().map(|mut stdin| stdin.write_all(key));
            check(matches!(typed, Some(Ok(()))), || "the keys could not be typed".into())?;
        }
        finish(child.map_err(|error| Failure(error.to_string()))?, words)
    };
    for (key, words) in [
        (&b"abc\x1d"[..], &["console", "ticker"][..]),
        (b"\x1dabc\x01", &["console", "-e", "^A", "ticker"]),
    ] {
        let said = leave(key, words)?;
        let is_whole = said.status == 0 && said.out.contains("tick 1");
        check(is_whole, || format!("`zl {}`: {}{}", words.join(" "), said.out, said.err))?;
    }
    let said = host.ends(&["logs", "-n", "1", "ticker"], 0)?;
    check(said.out.lines().count() == 1, || format!("the last line is {}", said.out))?;
    host.ok(&["destroy", "ticker"])?;
    for _ in 0..10 {
        let said = host.ends(&["create", "-c", "hello.cfg"], 0)?;
        let is_whole = said.out.contains("hello from ") && said.err.contains("[the domain ");
        check(is_whole, || format!("the last words were lost: {}{}", said.out, said.err))?;
        dom0.until_gone("hello", 15)?;
    }
    dom0.poweroff()
}

/// Whoever does not know the token gets nothing, and the port is there for this host only.
pub fn strangers(session: &Session<'_>) -> Verdict {
    let (mut dom0, host) = boot(session, "host-strangers")?;
    let wrong = fs::read_to_string(host.offer.run_file());
    let wrong = wrong.map_err(|error| failed(host.offer.run_file(), &error))?;
    // Another last digit.
    let digit = wrong.find("\",\"pid").map(|end| end - 1).ok_or(Failure(wrong.clone()))?;
    let (before, after) = (wrong.get(..digit).unwrap_or(""), wrong.get(digit + 1..).unwrap_or(""));
    let other = if wrong.get(digit..=digit) == Some("0") { '1' } else { '0' };
    host.write("wrong.json", format!("{before}{other}{after}").as_bytes())?;
    leaves_nothing(&mut dom0, "strangers", |dom0| {
        let before = dom0.counts()?;
        let said = host.ends(&["--run", "wrong.json", "list"], 6)?;
        let is_clear = said.err.lines().count() == 1 && said.err.contains("accept the token");
        check(is_clear && said.out.is_empty(), || format!("{}{}", said.out, said.err))?;
        gets_nothing(host.port, b"")?;
        gets_nothing(host.port, b"GET / HTTP/1.0\r\n\r\n")?;
        gets_nothing(host.port, &[0xff; 4096])?;
        settled(dom0, &before)
    })?;
    listens_on_loopback_only(host.port)?;
    host.ok(&["list"])?;
    idle_strangers_make_room(session, &host)?;
    dom0.poweroff()
}

/// Strangers that take all places and say nothing keep the owner of the token waiting for a moment only.
fn idle_strangers_make_room(session: &Session<'_>, host: &Host) -> Verdict {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, host.port));
    let come = |_| {
        let stream = TcpStream::connect(address).map_err(|error| Failure(error.to_string()));
        // QEMU accepts at once; dom0 takes two at a time from its queue.
        thread::sleep(Duration::from_millis(200));
        stream
    };
    let idle = (0..MOST_STRANGERS).map(come).collect::<Result<Vec<_>, _>>()?;
    let started = Instant::now();
    host.ok(&["list"])?;
    let took = started.elapsed();
    drop(idle);
    session.note(format!("beside idle strangers after {:.1} s", took.as_secs_f64()));
    check(took < Duration::from_secs(4), || format!("idle strangers held it up for {took:?}"))
}

/// What one says who does not know the protocol is answered by at most a refusal, and the end.
fn gets_nothing(port: u16, said: &[u8]) -> Verdict {
    let failed = |error: std::io::Error| Failure(format!("a stranger at {port}: {error}"));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(WITHIN)).map_err(failed)?;
    // The other end may be faster in ending it.
    let _ = stream.write_all(said);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let is_end = error.kind() == ErrorKind::ConnectionReset;
        check(is_end, || format!("a stranger is kept waiting: {error}"))?;
    }
    // A length, the word for refusal, and its reason.
    check(answer.len() <= 8, || format!("a stranger got {answer:?}"))
}

/// Looks at what the kernel says about listening sockets.
fn listens_on_loopback_only(port: u16) -> Verdict {
    const LISTENS: &str = "0A";
    const LOOPBACK: &str = "0100007F";
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(text) = fs::read_to_string(table) else { continue };
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, state, ..] = words.as_slice() else { continue };
            let Some((address, its_port)) = local.split_once(':') else { continue };
            if *state == LISTENS && u16::from_str_radix(its_port, 16) == Ok(port) {
                found.push(address.to_string());
            }
        }
    }
    check(found == [LOOPBACK], || format!("port {port} is open at {found:?}"))
}

/// Starts a `zl` and kills it, sooner and later.
fn cut(host: &Host, words: &[&str]) -> Verdict {
    for after_ms in [5, 30, 100] {
        let mut child = host.start(words)?;
        thread::sleep(Duration::from_millis(after_ms));
        // It may have ended by itself, which is as good.
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok(())
}

/// A `zl` that dies in the middle of something leaves no trace in dom0.
pub fn lost_connections(session: &Session<'_>) -> Verdict {
    let (mut dom0, host) = boot(session, "host-lost")?;
    host.write("big", &[9; 8 << 20])?;
    host.ok(&["create", "ticker.cfg"])?;
    dom0.ticks_on("ticker", 20)?;
    leaves_nothing(&mut dom0, "lost connections", |dom0| {
        let before = dom0.counts()?;
        for words in [
            &["console", "ticker"][..],
            &["logs", "-f", "ticker"],
            &["dom0", "sleep", "1000"],
            &["create", "-n", "ticker.cfg"],
        ] {
            cut(&host, words)?;
        }
        settled(dom0, &before)
    })?;
    cut(&host, &["cp", "big", "dom0:/images/big"])?;
    dom0.until("ls /images", 15, |lines| !lines.iter().any(|line| line.contains(".part")))?;
    let listed = dom0.ok("ls /images")?.lines.join(" ");
    check(!listed.contains("part"), || format!("a file that stopped coming left {listed}"))?;
    dom0.ticks_on("ticker", 20)?;
    dom0.ok("zl destroy ticker")?;
    dom0.poweroff()
}
