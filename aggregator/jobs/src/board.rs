//! How each job stands, and which is next. Knows nothing of tasks and of the file.

use std::collections::BTreeMap;
use std::time::Duration;

use ridealong_model::jobs::{Job, JobFailure, JobState, JobStatus, LastRun, Outcome};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::kept::Counts;

/// After a start there is other work: the first run of a job comes after so long, and then so much again by chance.
const FIRST_RUN_AFTER: Duration = Duration::from_secs(30);
const FIRST_RUN_WITHIN: Duration = Duration::from_secs(60);

/// How often each job runs; one that is not in it, only when somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Schedule(pub BTreeMap<Job, Duration>);

/// Told how a run went.
pub(crate) type Waiter = oneshot::Sender<LastRun>;

#[derive(Debug)]
pub(crate) struct Board {
    jobs: BTreeMap<Job, Standing>,
    /// Of the next who asks.
    turn: u64,
}

#[derive(Debug, Default)]
struct Standing {
    every: Option<Duration>,
    due: Option<Instant>,
    /// Somebody has asked since the last run began, and in which turn.
    asked: Option<u64>,
    waiters: Vec<Waiter>,
    running: Option<Running>,
    counts: Counts,
}

#[derive(Debug)]
struct Running {
    since_us: i64,
    /// Those who asked before it began.
    waiters: Vec<Waiter>,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Run(Job),
    At(Instant),
    WhenAsked,
}

impl Board {
    pub fn new(schedule: &Schedule, mut counts: BTreeMap<Job, Counts>, now: Instant) -> Self {
        let standing = |job| {
            let every = schedule.0.get(&job).copied();
            let first = |every: Duration| {
                let within = every.min(FIRST_RUN_WITHIN);
                now + every.min(FIRST_RUN_AFTER) + within.mul_f64(fastrand::f64())
            };
            let counts = counts.remove(&job).unwrap_or_default();
            (job, Standing { every, due: every.map(first), counts, ..Standing::default() })
        };
        Self { jobs: Job::ALL.map(standing).into(), turn: 0 }
    }

    /// Those who ask come first, in their order, then what is due for the longest time.
    pub fn next(&self, now: Instant) -> Next {
        let asked = self.jobs.iter().filter_map(|(job, of)| Some((of.asked?, *job)));
        if let Some((_, job)) = asked.min() {
            return Next::Run(job);
        }
        match self.jobs.iter().filter_map(|(job, of)| Some((of.due?, *job))).min() {
            Some((due, job)) if due <= now => Next::Run(job),
            Some((due, _)) => Next::At(due),
            None => Next::WhenAsked,
        }
    }

    /// A run that begins after this call. Who asks while one is waited for already, waits for the same.
    pub fn ask(&mut self, job: Job, waiter: Waiter) {
        let turn = self.turn;
        self.turn += 1;
        let of = self.standing(job);
        of.asked.get_or_insert(turn);
        of.waiters.retain(|waiter| !waiter.is_closed());
        of.waiters.push(waiter);
    }

    /// How many wait for a job.
    pub fn waiting(&self) -> usize {
        self.jobs.values().flat_map(|of| &of.waiters).filter(|waiter| !waiter.is_closed()).count()
    }

    pub fn begin(&mut self, job: Job, now: Instant, now_us: i64) {
        let of = self.standing(job);
        let waiters = std::mem::take(&mut of.waiters);
        of.asked = None;
        of.due = of.every.map(|every| now + every);
        of.running = Some(Running { since_us: now_us, waiters });
    }

    /// The run that began has ended. Who has waited for it.
    pub fn end(&mut self, job: Job, now_us: i64, result: Result<Outcome, JobFailure>) -> (LastRun, Vec<Waiter>) {
        let of = self.standing(job);
        let Some(Running { since_us, waiters }) = of.running.take() else { unreachable!("it has begun") };
        // A clock that was put back does not make a run end before it began.
        let run = LastRun { started_us: since_us, finished_us: now_us.max(since_us), result };
        of.counts.add(&run);
        (run, waiters)
    }

    pub fn counts(&self) -> BTreeMap<Job, Counts> {
        self.jobs.iter().map(|(job, of)| (*job, of.counts.clone())).collect()
    }

    pub fn statuses(&self, now: Instant, now_us: i64) -> Vec<JobStatus> {
        let status = |(job, of): (&Job, &Standing)| {
            let is_waiting = of.asked.is_some() || of.due.is_some_and(|due| due <= now);
            let state = match &of.running {
                Some(running) => JobState::Running { since_us: running.since_us },
                None if is_waiting => JobState::Waiting,
                None => JobState::Idle,
            };
            let Counts { runs, failures, duration_ms, last } = of.counts.clone();
            let next_us = of.due.map(|due| now_us + due.saturating_duration_since(now).as_micros() as i64);
            JobStatus { job: *job, state, every: of.every, runs, failures, duration_ms, last, next_us }
        };
        self.jobs.iter().map(status).collect()
    }

    fn standing(&mut self, job: Job) -> &mut Standing {
        self.jobs.entry(job).or_default()
    }
}

#[cfg(test)]
mod tests;
