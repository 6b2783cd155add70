//! Jobs: chains nobody waits for.

use alloc::string::String;
use alloc::vec::Vec;

use pvkernel_user::println;
use pvkernel_user::process::{poll, wait_for, Status};

struct Job {
    number: u32,
    pid: u32,
    text: String,
}

/// The shell's jobs.
#[derive(Default)]
pub struct Jobs {
    all: Vec<Job>,
    /// Somebody at a console wants to know when they begin and end.
    pub are_told: bool,
}

impl Jobs {
    /// Adds one and says so.
    pub fn add(&mut self, pid: u32, text: String) {
        let number = self.all.last().map_or(1, |job| job.number + 1);
        if self.are_told {
            println!("[{number}] {pid}");
        }
        self.all.push(Job { number, pid, text });
    }

    /// A forked shell has none of them: they are not its children.
    pub fn forget(&mut self) {
        self.all.clear();
        self.are_told = false;
    }

    /// Says which have ended, and forgets them.
    pub fn tell_ended(&mut self) {
        let are_told = self.are_told;
        self.all.retain(|job| match poll(job.pid) {
            Ok(None) => true,
            Ok(Some(status)) => {
                if are_told {
                    job.tell(status);
                }
                false
            }
            Err(_) => false,
        });
    }

    /// Says which there are.
    pub fn list(&mut self) {
        self.tell_ended();
        for job in &self.all {
            println!("[{}] {} running   {}", job.number, job.pid, job.text);
        }
    }

    /// Waits for all, or for the one with this number of a process: the last one's status, `None` if there
    /// is no such job.
    pub fn wait(&mut self, pid: Option<u32>) -> Option<Status> {
        let mut last = pid.is_none().then_some(Status(0));
        self.all.retain(|job| {
            if pid.is_some_and(|pid| pid != job.pid) {
                return true;
            }
            last = wait_for(job.pid).ok().or(last);
            false
        });
        last
    }
}

impl Job {
    fn tell(&self, status: Status) {
        match status.is_success() {
            true => println!("[{}] {} done      {}", self.number, self.pid, self.text),
            false => println!("[{}] {} {status}  {}", self.number, self.pid, self.text),
        }
    }
}
