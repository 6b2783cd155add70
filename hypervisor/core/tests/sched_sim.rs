//! The scheduler in a simulated machine: CPUs with interrupt latency and switches that take time,
//! vCPUs that compute, sleep and are paused. Runs are repeatable: all randomness is in the inputs.
//! What runs, waits and for how long is the simulation's own account, not the policy's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hv_core::sched::{CpuId, RoundRobin, SchedId, StopReason, VcpuKey, BOOST_SLICE_NS, SLICE_NS};
use hypercall_abi::{DomId, VcpuId};
use proptest::prelude::*;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// What a vCPU does, for ever.
#[derive(Clone, Copy, Debug)]
struct Work {
    /// Computes so long,
    run_ns: u64,
    /// then blocks so long; 0 is a yield.
    sleep_ns: u64,
    affinity: u64,
}

impl Work {
    const SPIN: Self = Self { run_ns: u64::MAX / 4, sleep_ns: 0, affinity: !0 };

    fn sleeper(run_ns: u64, sleep_ns: u64) -> Self {
        Self { run_ns, sleep_ns, affinity: !0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// An interrupt that another CPU sent arrives.
    Kick(usize),
    /// The slice or the work of what runs ends, if it is still the same run.
    RunEnds(usize, u64),
    SwitchDone(usize),
    Wakes(usize),
    Pauses(usize),
    Resumes(usize),
    MovesTo(usize, u64),
}

#[derive(Clone, Default)]
struct SimCpu {
    running: Option<usize>,
    /// Up to when the time of what runs is in its account.
    charged_ns: u64,
    switching: bool,
    /// What a switch takes off: its state is here until the switch is done.
    leaving: Option<usize>,
    kick_missed: bool,
    /// Number of the present run, to recognise stale ends.
    run: u64,
    resumed_ns: u64,
    slice_end_ns: u64,
}

struct SimVcpu {
    id: SchedId,
    work: Work,
    left_ns: u64,
    run_ns: u64,
    paused: bool,
    blocked: bool,
    waits_since_ns: Option<u64>,
    longest_wait_ns: u64,
    affinity: u64,
}

struct Sim {
    policy: RoundRobin,
    cpus: Vec<SimCpu>,
    vcpus: Vec<SimVcpu>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    now_ns: u64,
    sequence: u64,
    kicks_under_way: u32,
    kick_ns: u64,
    switch_ns: u64,
}

impl Sim {
    fn new(cpus: usize, works: &[Work], kick_ns: u64, switch_ns: u64) -> Self {
        let mut policy = RoundRobin::EMPTY;
        for cpu in 0..cpus {
            policy.set_online(CpuId(cpu as u32));
        }
        let mut sim = Self {
            policy,
            cpus: vec![SimCpu::default(); cpus],
            vcpus: Vec::new(),
            events: BinaryHeap::new(),
            now_ns: 0,
            sequence: 0,
            kicks_under_way: 0,
            kick_ns,
            switch_ns,
        };
        for (number, work) in works.iter().enumerate() {
            sim.add(number, *work);
        }
        for cpu in 0..cpus {
            sim.choose(cpu);
        }
        sim
    }

    fn add(&mut self, number: usize, work: Work) {
        let key = VcpuKey { dom: DomId::new(number as u16), vcpu: VcpuId::new(0) };
        let id = self.policy.add(key, work.affinity).unwrap();
        self.vcpus.push(SimVcpu {
            id,
            work,
            left_ns: work.run_ns,
            run_ns: 0,
            paused: false,
            blocked: false,
            waits_since_ns: Some(0),
            longest_wait_ns: 0,
            affinity: work.affinity,
        });
        assert_eq!(self.policy.wake(0, id), None, "a new vCPU is paused");
        let kick = self.policy.resume(0, id);
        self.kick(kick);
    }

    fn at(&mut self, delay_ns: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((self.now_ns + delay_ns, self.sequence, event)));
    }

    fn kick(&mut self, cpu: Option<CpuId>) {
        if let Some(cpu) = cpu {
            self.kicks_under_way += 1;
            self.at(self.kick_ns, Event::Kick(cpu.0 as usize));
        }
    }

    /// Lets the simulated work progress to the present.
    fn progress(&mut self, cpu: usize) {
        let state = &mut self.cpus[cpu];
        if let Some(vcpu) = state.running {
            self.vcpus[vcpu].run_ns += self.now_ns - state.charged_ns;
        }
        state.charged_ns = self.now_ns;
        if let (Some(vcpu), false) = (state.running, state.switching) {
            let vcpu = &mut self.vcpus[vcpu];
            vcpu.left_ns = vcpu.left_ns.saturating_sub(self.now_ns - state.resumed_ns);
            state.resumed_ns = self.now_ns;
        }
    }

    /// The CPU enters its scheduler.
    fn choose(&mut self, cpu: usize) {
        if self.cpus[cpu].switching {
            self.cpus[cpu].kick_missed = true;
            return;
        }
        self.progress(cpu);
        let cpu_id = CpuId(cpu as u32);
        let before = self.cpus[cpu].running;
        if let Some(vcpu) = before.filter(|vcpu| self.vcpus[*vcpu].left_ns == 0) {
            self.stop(cpu_id, vcpu);
        }
        let decision = self.policy.pick(self.now_ns, cpu_id);
        self.kick(decision.kick);
        let next = decision.next.map(|key| usize::from(key.dom.get()));
        let state = &mut self.cpus[cpu];
        state.running = next;
        state.run += 1;
        state.resumed_ns = self.now_ns;
        state.slice_end_ns = decision.slice_ns.map_or(u64::MAX, |slice| self.now_ns + slice);
        if let Some(vcpu) = next {
            assert_ne!(decision.slice_ns, Some(0), "chosen for no time at all");
            self.begins(cpu, vcpu);
        }
        if before == next {
            self.arm(cpu);
        } else {
            self.preempted(before);
            self.cpus[cpu].switching = true;
            self.cpus[cpu].leaving = before;
            self.at(self.switch_ns, Event::SwitchDone(cpu));
        }
    }

    /// The work of a vCPU is done for now.
    fn stop(&mut self, cpu: CpuId, vcpu: usize) {
        let work = self.vcpus[vcpu].work;
        self.vcpus[vcpu].left_ns = work.run_ns;
        let why = match work.sleep_ns {
            0 => StopReason::Yielded,
            sleep_ns => {
                self.vcpus[vcpu].blocked = true;
                self.at(sleep_ns, Event::Wakes(vcpu));
                StopReason::Blocked
            }
        };
        let kick = self.policy.deschedule(self.now_ns, cpu, why);
        self.kick(kick);
    }

    fn begins(&mut self, cpu: usize, vcpu: usize) {
        assert!(!self.vcpus[vcpu].paused && !self.vcpus[vcpu].blocked, "it may not run");
        for (_, other) in self.cpus.iter().enumerate().filter(|(number, _)| *number != cpu) {
            assert_ne!(other.running, Some(vcpu), "on two CPUs at once");
            assert_ne!(other.leaving, Some(vcpu), "its state is elsewhere");
        }
        assert!(self.vcpus[vcpu].affinity >> cpu & 1 == 1, "on a CPU it may not use");
        if let Some(since_ns) = self.vcpus[vcpu].waits_since_ns.take() {
            let waited_ns = self.now_ns - since_ns;
            let longest = &mut self.vcpus[vcpu].longest_wait_ns;
            *longest = waited_ns.max(*longest);
        }
    }

    /// Whether a vCPU may run and does not.
    fn waits(&self, vcpu: usize) -> bool {
        let runs = self.cpus.iter().any(|cpu| cpu.running == Some(vcpu));
        !self.vcpus[vcpu].paused && !self.vcpus[vcpu].blocked && !runs
    }

    fn preempted(&mut self, vcpu: Option<usize>) {
        if let Some(vcpu) = vcpu.filter(|vcpu| self.waits(*vcpu)) {
            self.vcpus[vcpu].waits_since_ns = Some(self.now_ns);
        }
    }

    fn arm(&mut self, cpu: usize) {
        let Some(vcpu) = self.cpus[cpu].running else { return };
        let work_end_ns = self.now_ns + self.vcpus[vcpu].left_ns;
        let end_ns = work_end_ns.min(self.cpus[cpu].slice_end_ns).max(self.now_ns);
        let run = self.cpus[cpu].run;
        self.at(end_ns - self.now_ns, Event::RunEnds(cpu, run));
    }

    fn switch_done(&mut self, cpu: usize) {
        let kick = self.policy.switched_out(CpuId(cpu as u32));
        self.kick(kick);
        let state = &mut self.cpus[cpu];
        state.switching = false;
        state.leaving = None;
        state.resumed_ns = self.now_ns;
        if std::mem::take(&mut state.kick_missed) {
            self.choose(cpu);
        } else {
            self.arm(cpu);
        }
    }

    /// A vCPU became runnable from outside.
    fn woken(&mut self, vcpu: usize, kick: Option<CpuId>) {
        self.kick(kick);
        if self.waits(vcpu) {
            self.vcpus[vcpu].waits_since_ns.get_or_insert(self.now_ns);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Kick(cpu) => {
                self.kicks_under_way -= 1;
                self.choose(cpu);
            }
            Event::RunEnds(cpu, run) if self.cpus[cpu].run == run => self.choose(cpu),
            Event::RunEnds(..) => {}
            Event::SwitchDone(cpu) => self.switch_done(cpu),
            Event::Wakes(vcpu) => {
                self.vcpus[vcpu].blocked = false;
                let kick = self.policy.wake(self.now_ns, self.vcpus[vcpu].id);
                self.woken(vcpu, kick);
            }
            Event::Pauses(vcpu) => {
                self.vcpus[vcpu].paused = true;
                let kick = self.policy.pause(self.vcpus[vcpu].id);
                self.vcpus[vcpu].waits_since_ns = None;
                self.kick(kick);
            }
            Event::Resumes(vcpu) => {
                self.vcpus[vcpu].paused = false;
                let kick = self.policy.resume(self.now_ns, self.vcpus[vcpu].id);
                self.woken(vcpu, kick);
            }
            Event::MovesTo(vcpu, affinity) => {
                let id = self.vcpus[vcpu].id;
                if let Ok(kick) = self.policy.set_affinity(self.now_ns, id, affinity) {
                    self.vcpus[vcpu].affinity = affinity;
                    self.kick(kick);
                }
            }
        }
    }

    /// No CPU idles while something waits that it may run, once all interrupts have arrived.
    fn check_no_idle_cpu_with_work(&self) {
        if self.kicks_under_way != 0 || self.cpus.iter().any(|cpu| cpu.switching) {
            return;
        }
        for (number, cpu) in self.cpus.iter().enumerate() {
            let could_run =
                |vcpu: &usize| self.waits(*vcpu) && self.vcpus[*vcpu].affinity >> number & 1 == 1;
            if cpu.running.is_none() {
                let waiting = (0..self.vcpus.len()).find(could_run);
                assert_eq!(waiting, None, "CPU {number} idles at {} ns", self.now_ns);
            }
        }
    }

    fn run_until(&mut self, end_ns: u64) {
        while let Some(Reverse((at_ns, _, event))) = self.events.pop() {
            if at_ns > end_ns {
                self.events.push(Reverse((at_ns, u64::MAX, event)));
                break;
            }
            self.now_ns = at_ns;
            self.handle(event);
            self.check_no_idle_cpu_with_work();
        }
        self.now_ns = end_ns;
    }

    fn run_time_ns(&self, vcpu: usize) -> u64 {
        let lasting_ns = |cpu: &SimCpu| match cpu.running == Some(vcpu) {
            true => self.now_ns - cpu.charged_ns,
            false => 0,
        };
        self.vcpus[vcpu].run_ns + self.cpus.iter().map(lasting_ns).sum::<u64>()
    }

    /// The longest wait of a vCPU, one that still lasts included.
    fn longest_wait_ns(&self, vcpu: usize) -> u64 {
        let vcpu = &self.vcpus[vcpu];
        let lasting_ns = vcpu.waits_since_ns.map_or(0, |since_ns| self.now_ns - since_ns);
        vcpu.longest_wait_ns.max(lasting_ns)
    }
}

fn work() -> impl Strategy<Value = Work> {
    let affinity = prop_oneof![4 => Just(!0u64), 1 => 1u64..16];
    let run_ns = prop_oneof![
        Just(Work::SPIN.run_ns),
        20 * US..500 * US,
        500 * US..15 * MS,
        // Those who block just before their time is over, to be boosted for ever.
        Just(SLICE_NS - 1),
        Just(BOOST_SLICE_NS - 1),
    ];
    let sleep_ns = prop_oneof![Just(0), Just(1), US..50 * US, MS..20 * MS];
    (run_ns, sleep_ns, affinity).prop_map(|(run_ns, sleep_ns, affinity)| Work {
        run_ns,
        sleep_ns,
        affinity: affinity | 1,
    })
}

fn disturbance() -> impl Strategy<Value = (u64, u64, usize, u64)> {
    (0..400 * MS, 0..50 * MS, 0usize..8, 1u64..16)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn runnable_work_never_waits_beside_an_idle_cpu(
        cpus in 1usize..5,
        works in proptest::collection::vec(work(), 1..10),
        disturbances in proptest::collection::vec(disturbance(), 0..12),
        kick_ns in 0..30 * US,
        switch_ns in 0..30 * US,
    ) {
        let mut sim = Sim::new(cpus, &works, kick_ns, switch_ns);
        for (start_ns, length_ns, vcpu, affinity) in disturbances {
            let vcpu = vcpu % works.len();
            sim.at(start_ns, Event::Pauses(vcpu));
            sim.at(start_ns + length_ns, Event::Resumes(vcpu));
            sim.at(start_ns + length_ns / 2, Event::MovesTo(vcpu, affinity));
        }
        sim.run_until(450 * MS);
        let total: u64 = (0..works.len()).map(|vcpu| sim.run_time_ns(vcpu)).sum();
        prop_assert!(total <= sim.now_ns * cpus as u64, "more time given than there is");
    }

    #[test]
    fn nobody_starves_whatever_the_others_do(
        cpus in 1usize..4,
        works in proptest::collection::vec(work(), 1..9),
    ) {
        let works: Vec<_> = works.iter().map(|w| Work { affinity: !0, ..*w }).collect();
        let mut sim = Sim::new(cpus, &works, 5 * US, 5 * US);
        sim.run_until(2_000 * MS);
        // A turn of each other one, twice for the share of boosted ones, and slack for latencies.
        let bound_ns = 2 * (works.len() as u64 + 1) * (SLICE_NS + BOOST_SLICE_NS);
        for vcpu in 0..works.len() {
            let waited_ns = sim.longest_wait_ns(vcpu);
            prop_assert!(waited_ns <= bound_ns, "vCPU {} waited {} ns", vcpu, waited_ns);
        }
    }

    #[test]
    fn a_sleeper_runs_at_once_however_many_spin(
        cpus in 1usize..5,
        spinners in 0usize..20,
        run_us in 10u64..1000,
        sleep_ms in 1u64..30,
    ) {
        let mut works = vec![Work::SPIN; spinners];
        works.push(Work::sleeper(run_us * US, sleep_ms * MS));
        let (kick_ns, switch_ns) = (5 * US, 5 * US);
        let mut sim = Sim::new(cpus, &works, kick_ns, switch_ns);
        // Its first turn comes in the normal order.
        sim.run_until((spinners as u64 + 2) * 2 * SLICE_NS);
        sim.vcpus[spinners].longest_wait_ns = 0;
        sim.run_until(3_000 * MS);
        let waited_ns = sim.longest_wait_ns(spinners);
        prop_assert!(waited_ns <= 2 * (kick_ns + switch_ns), "waited {} ns", waited_ns);
    }
}

#[test]
fn spinners_share_all_cpus_evenly() {
    let end_ns = 2_000 * MS;
    for cpus in 1..6 {
        for spinners in 1..12 {
            let mut sim = Sim::new(cpus, &vec![Work::SPIN; spinners], 5 * US, 5 * US);
            sim.run_until(end_ns);
            let fair_ns = end_ns * cpus.min(spinners) as u64 / spinners as u64;
            for vcpu in 0..spinners {
                let got_ns = sim.run_time_ns(vcpu);
                assert!(
                    got_ns.abs_diff(fair_ns) <= 2 * SLICE_NS,
                    "{spinners} spinners on {cpus} CPUs: {vcpu} got {got_ns} of {fair_ns} ns"
                );
            }
        }
    }
}

#[test]
fn a_spinner_keeps_half_a_cpu_beside_many_that_wake_all_the_time() {
    let mut works = vec![Work::sleeper(BOOST_SLICE_NS - 1, 1); 6];
    works.push(Work::SPIN);
    let mut sim = Sim::new(1, &works, US, US);
    sim.run_until(3_000 * MS);
    let got_ns = sim.run_time_ns(6);
    assert!(got_ns >= 3_000 * MS * 2 / 5, "the spinner got {got_ns} ns");
}

#[test]
fn alone_means_no_slice_and_company_brings_one() {
    let mut policy = RoundRobin::EMPTY;
    let cpu = CpuId(0);
    policy.set_online(cpu);
    let key = |dom| VcpuKey { dom: DomId::new(dom), vcpu: VcpuId::new(0) };
    let first = policy.add(key(1), 1).unwrap();
    let second = policy.add(key(2), 1).unwrap();
    assert_eq!(policy.resume(0, first), Some(cpu));
    let decision = policy.pick(0, cpu);
    assert_eq!((decision.next, decision.slice_ns), (Some(key(1)), None));
    assert!(policy.is_alone(cpu));
    assert_eq!(policy.wake(1, first), Some(cpu), "a running vCPU is told of its event");
    assert_eq!(policy.resume(MS, second), Some(cpu), "somebody waits: a slice must be armed");
    assert!(!policy.is_alone(cpu));
    assert_eq!(policy.pick(MS, cpu).slice_ns, Some(SLICE_NS - MS));
    assert_eq!(policy.pick(SLICE_NS, cpu).next, Some(key(2)));
}

#[test]
fn a_vcpu_can_be_removed_only_when_it_does_not_run() {
    let mut policy = RoundRobin::EMPTY;
    let cpu = CpuId(0);
    policy.set_online(cpu);
    let key = VcpuKey { dom: DomId::new(1), vcpu: VcpuId::new(0) };
    assert!(policy.add(key, 2).is_err(), "no CPU of the mask is in use");
    let id = policy.add(key, 1).unwrap();
    policy.resume(0, id);
    assert!(policy.remove(id).is_err(), "it waits for a CPU");
    policy.pick(0, cpu);
    assert_eq!(policy.pause(id), Some(cpu));
    assert!(policy.remove(id).is_err(), "it still runs");
    assert_eq!(policy.pick(5, cpu).next, None);
    assert!(policy.remove(id).is_ok());
    assert_eq!(policy.resume(6, id), None, "a removed vCPU never runs again");
    let other = policy.add(key, 1).unwrap();
    assert_ne!(other, id, "its state is not saved: the number is not free");
    assert_eq!(policy.switched_out(cpu), None);
    assert_eq!((policy.affinity(id), policy.remove(id).is_err()), (None, true));
    assert_eq!(policy.add(key, 1), Ok(id), "the number is used again");
}

#[test]
fn the_slice_can_be_chosen_but_not_made_uselessly_short() {
    for (asked_ns, expected_ns) in [(3 * MS, 3 * MS), (0, 100 * US)] {
        let mut policy = RoundRobin::EMPTY;
        policy.set_slice_ns(asked_ns);
        policy.set_online(CpuId(0));
        for dom in 1..3 {
            let key = VcpuKey { dom: DomId::new(dom), vcpu: VcpuId::new(0) };
            let id = policy.add(key, 1).unwrap();
            assert_eq!(policy.affinity(id), Some(1));
            policy.resume(0, id);
        }
        assert_eq!(policy.pick(0, CpuId(0)).slice_ns, Some(expected_ns));
    }
}

#[test]
fn a_preempted_vcpu_goes_on_before_those_that_came_later() {
    let mut policy = RoundRobin::EMPTY;
    let cpu = CpuId(0);
    policy.set_online(cpu);
    let [sleeper, first, second] =
        [1, 2, 3].map(|dom| VcpuKey { dom: DomId::new(dom), vcpu: VcpuId::new(0) });
    let [sleeper_id, ..] = [sleeper, first, second].map(|key| {
        let id = policy.add(key, 1).unwrap();
        policy.resume(0, id);
        id
    });
    assert_eq!(policy.pick(0, cpu).next, Some(sleeper));
    assert_eq!(policy.deschedule(MS, cpu, StopReason::Blocked), None);
    assert_eq!(policy.pick(MS, cpu).next, Some(first));
    policy.switched_out(cpu);
    assert_eq!(policy.wake(4 * MS, sleeper_id), Some(cpu));
    assert_eq!(policy.pick(4 * MS, cpu).next, Some(sleeper));
    policy.switched_out(cpu);
    policy.deschedule(5 * MS, cpu, StopReason::Blocked);
    let back = policy.pick(5 * MS, cpu);
    assert_eq!((back.next, back.slice_ns), (Some(first), Some(SLICE_NS - 3 * MS)));
    policy.switched_out(cpu);
    assert_eq!(policy.pick(5 * MS + SLICE_NS - 3 * MS, cpu).next, Some(second));
}
