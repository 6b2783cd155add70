//! `demo`: the whole story without typing, each step checked on the real serial line.

use std::io::Write;
use std::time::{Duration, Instant};

use system_tests::cases::appliances;
use system_tests::devices::{Forward, Nic, WEB_IP};
use system_tests::dom0::{Dom0, DomainRow, PROMPT};
use system_tests::machine::Failure;
use system_tests::qemu::Hypervisor;
use system_tests::session::{Images, Session};

use crate::args::Args;
use crate::build::Programs;
use crate::paths::Paths;
use crate::{test, Result};

/// CPUs of the machine, unless told otherwise.
pub const CPUS: u32 = 2;

/// The verb.
pub fn run(args: &mut Args) -> Result<()> {
    let cpus = args.number("--smp", CPUS, 1, 64)?;
    let programs = Programs::take(args);
    args.finish()?;
    let images = test::prepare(&Paths::find()?, &[Hypervisor::Zendo], programs)?;
    tell_on(&images, cpus)
}

/// Tells the story on one machine; the last line says that all of it was seen.
pub fn tell_on(images: &Images, cpus: u32) -> Result<()> {
    let session = Session::new(images, Hypervisor::Zendo, cpus, "demo");
    let started = Instant::now();
    let told = tell(&session);
    let Err(failure) = told else {
        println!("\n{:.1} s in all", started.elapsed().as_secs_f64());
        println!("demo: ok");
        return Ok(());
    };
    for transcript in session.transcripts() {
        eprintln!("transcript: {}", transcript.display());
    }
    Err(format!("demo: {failure}"))
}

/// The story.
fn tell(session: &Session<'_>) -> std::result::Result<(), Failure> {
    step("booting Zendo with its dom0");
    let port = appliances::free_port()?;
    let mut boot = session.images.dom0_boot(session.hypervisor, "")?;
    boot.nics =
        vec![Nic::uplink(vec![Forward { host_port: port, guest_ip: WEB_IP, guest_port: 80 }])];
    let watched = session.start(boot)?;
    println!("{}", watched.line());
    let mut dom0 = Dom0::from_machine(watched, session.hypervisor)?;
    show_boot(&mut dom0);
    println!("(the prompt came {:.2} s after QEMU was started)", dom0.boot_took.as_secs_f64());

    step("creating three domains");
    type_and_show(&mut dom0, "zl create ticker.cfg")?;
    type_and_show(&mut dom0, "zl create spinner.cfg")?;
    type_and_show(&mut dom0, "zl create ticker.cfg name=second")?;

    step("all of them run");
    type_and_show(&mut dom0, "zl list")?;
    listed(&mut dom0, &["Domain-0", "ticker", "spinner", "second"])?;
    dom0.console("ticker", &["tick 1", "tick 2"], 30)?;
    println!("the console of ticker shows its ticks, beside a domain that never yields");

    step("killing one changes nothing for the others");
    type_and_show(&mut dom0, "zl destroy spinner")?;
    listed(&mut dom0, &["Domain-0", "ticker", "second"])?;
    dom0.ticks_on("second", 30)?;
    println!("second ticks on");

    step("destroying the rest");
    type_and_show(&mut dom0, "zl destroy ticker")?;
    type_and_show(&mut dom0, "zl destroy second")?;
    type_and_show(&mut dom0, "zl list")?;
    listed(&mut dom0, &["Domain-0"])?;

    step("a guest serves a page to this machine");
    type_and_show(&mut dom0, "zl create httpd.cfg")?;
    let page = appliances::ask(port, "GET / HTTP/1.0\r\n\r\n")?;
    show_page(port, &page)?;
    type_and_show(&mut dom0, "zl network-list httpd")?;
    type_and_show(&mut dom0, "zl destroy httpd")?;

    step("a guest keeps what it is told on its disk, and another finds it there");
    for words in ["write=7 flush", "verify=7"] {
        let create = format!(
            "zl create blktest.cfg name=disk 'disk=[\"ram:demo:8M,xvda,w\"]' 'extra=\"{words}\"'"
        );
        type_and_show(&mut dom0, &create)?;
        dom0.until_gone("disk", 60)?;
        let answer = dom0.ok("zl logs disk")?;
        answer.lines.iter().for_each(|line| println!("{line}"));
        if !answer.lines.iter().any(|line| line.contains("blktest SUCCESS")) {
            return Err(Failure(format!("the guest with '{words}' failed")));
        }
    }

    step("powering off");
    dom0.poweroff()
}

/// The head of the page and its title, as the host got them.
fn show_page(port: u16, page: &str) -> std::result::Result<(), Failure> {
    let status = page.lines().next().unwrap_or_default();
    let title = page.split("<title>").nth(1).and_then(|rest| rest.split('<').next());
    let (Some(title), true) = (title, status.contains("200 OK")) else {
        return Err(Failure(format!("the guest answered {status:?} at port {port}")));
    };
    println!("http://127.0.0.1:{port}/ answered {status}, {} bytes, \"{title}\"", page.len());
    Ok(())
}

fn step(text: &str) {
    println!("\n== {text}");
    // The person watches: a line that is only written later is no line.
    let _ = std::io::stdout().flush();
}

/// What was printed up to the first prompt.
fn show_boot(dom0: &mut Dom0<'_>) {
    let seen = system_tests::screen::visible_lines(&dom0.machine().transcript());
    let prompt = PROMPT.trim_end();
    seen.iter()
        .filter(|line| !line.is_empty() && *line != prompt)
        .for_each(|line| println!("{line}"));
}

fn type_and_show(dom0: &mut Dom0<'_>, command: &str) -> std::result::Result<(), Failure> {
    println!("dom0# {command}");
    let answer = dom0.ok(command)?;
    answer.lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// Fails unless exactly these domains are listed, each in a state in which it lives.
fn listed(dom0: &mut Dom0<'_>, names: &[&str]) -> std::result::Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let rows = dom0.domains()?;
        let same = rows.iter().map(|row| row.name.as_str()).eq(names.iter().copied());
        if same && rows.iter().all(lives) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure(format!("listed are {rows:?}, wanted are {names:?}")));
        }
    }
}

/// Neither shut down, nor crashed, nor dying.
fn lives(row: &DomainRow) -> bool {
    !row.state.chars().skip(3).any(|letter| letter.is_ascii_alphabetic())
}
