use std::time::Duration;

use ridealong_model::jobs::JobState;
use ridealong_wal::disk::RealDisk;

use super::*;

/// Does as it is told, and remembers what it ran.
#[derive(Default)]
struct Scripted {
    ran: Mutex<Vec<Job>>,
    /// While it is closed, no run ends.
    gate: Option<tokio::sync::Semaphore>,
}

#[async_trait::async_trait]
impl Worker for Scripted {
    async fn run(&self, job: Job) -> Result<Outcome, JobFailure> {
        self.ran.lock().push(job);
        if let Some(gate) = &self.gate {
            gate.acquire().await.expect("open").forget();
        }
        match job {
            Job::Compact => Ok(Outcome { rows: 7, ..Outcome::default() }),
            Job::Vacuum => panic!("it was told to"),
            _ => Err(JobFailure("it was told to".into())),
        }
    }
}

struct Sandbox {
    folder: tempfile::TempDir,
    worker: Arc<Scripted>,
}

impl Sandbox {
    fn new(gate: bool) -> Self {
        let gate = gate.then(|| tokio::sync::Semaphore::new(0));
        let worker = Arc::new(Scripted { gate, ..Scripted::default() });
        Self { folder: tempfile::tempdir().expect("a folder"), worker }
    }

    fn jobs(&self, schedule: &[(Job, u64)]) -> Jobs {
        let schedule = Schedule(schedule.iter().map(|(job, every)| (*job, Duration::from_secs(*every))).collect());
        let disk = Arc::new(RealDisk::new(self.folder.path()).expect("a disk"));
        Jobs::open(self.worker.clone(), &schedule, disk)
    }

    fn ran(&self, job: Job) -> usize {
        self.worker.ran.lock().iter().filter(|ran| **ran == job).count()
    }
}

#[tokio::test]
async fn what_is_asked_for_runs_and_its_result_lasts() {
    let sandbox = Sandbox::new(false);
    let jobs = sandbox.jobs(&[]);
    let running = tokio::spawn(jobs.clone().run());
    for job in [Job::Compact, Job::Retain, Job::Vacuum, Job::Compact] {
        let run = jobs.ask(job).expect("taken").await.expect("answered");
        assert_eq!(run.result.is_ok(), job == Job::Compact, "{job}: {run:?}");
        assert_eq!(jobs.status(job).and_then(|status| status.last), Some(run));
    }
    running.abort();
    let counts = |jobs: &Jobs| jobs.jobs().iter().map(|it| (it.runs, it.failures, it.last.clone())).collect::<Vec<_>>();
    let before = counts(&jobs);
    assert_eq!(before.iter().map(|it| (it.0, it.1)).collect::<Vec<_>>(), [(2, 0), (0, 0), (0, 0), (1, 1), (1, 1)]);
    assert_eq!(counts(&sandbox.jobs(&[])), before, "after a restart");
}

#[tokio::test]
async fn one_runs_at_a_time_and_who_asks_gets_a_run_that_began_later() {
    let sandbox = Sandbox::new(true);
    let gate = sandbox.worker.gate.as_ref().expect("a gate");
    let jobs = sandbox.jobs(&[]);
    let running = tokio::spawn(jobs.clone().run());
    let first = jobs.ask(Job::Compact).expect("taken");
    while sandbox.ran(Job::Compact) == 0 {
        tokio::task::yield_now().await;
    }
    let state = |job| jobs.status(job).expect("known").state;
    assert!(matches!(state(Job::Compact), JobState::Running { .. }));
    // Both come after the one that runs, and share the next.
    let again = [jobs.ask(Job::Compact).expect("taken"), jobs.ask(Job::Compact).expect("taken")];
    let other = jobs.ask(Job::Retain).expect("taken");
    assert_eq!(state(Job::Retain), JobState::Waiting);
    gate.add_permits(3);
    let first = first.await.expect("answered");
    let mut shared = Vec::new();
    for answer in again {
        shared.push(answer.await.expect("answered"));
    }
    assert!(shared[0] == shared[1] && shared[0].started_us >= first.finished_us, "{first:?} {shared:?}");
    other.await.expect("answered");
    assert_eq!(*sandbox.worker.ran.lock(), [Job::Compact, Job::Compact, Job::Retain]);
    assert_eq!(state(Job::Compact), JobState::Idle);
    running.abort();
}

#[tokio::test]
async fn who_waits_is_bounded_and_who_has_gone_does_not_count() {
    let sandbox = Sandbox::new(false);
    let jobs = sandbox.jobs(&[]);
    let mut answers: Vec<_> = (0..WAITERS_MAX).map(|_| jobs.ask(Job::Compact).expect("taken")).collect();
    assert!(jobs.ask(Job::Compact).is_err());
    answers.truncate(1);
    jobs.ask(Job::Compact).expect("there is room again");
}
