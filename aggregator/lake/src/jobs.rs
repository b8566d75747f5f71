//! What keeps the tables in order, on a thread of its own that gives way to all others. A job reads tables as a query
//! does, prepares files, and has the flusher commit them; so it never holds up rows that come in.

use async_trait::async_trait;
use ridealong_model::jobs::{Job, JobFailure, Outcome, Worker};
use tokio::runtime::{Builder, Runtime};

use crate::lake::Lake;
use crate::mutations::rewrite;
use crate::{archive, compact, retain, vacuum};

/// How much less than others the thread is given, as `nice` counts.
const NICENESS: i32 = 10;

/// The thread for jobs.
pub(crate) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(2)
        .thread_name("lake-jobs")
        .on_thread_start(give_way)
        .enable_all()
        .build()
}

/// On Linux a thread has a priority of its own. One that cannot be lowered is no reason not to work.
fn give_way() {
    #[allow(unsafe_code, reason = "no safe wrapper; takes numbers only")]
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS);
    }
}

#[async_trait]
impl Worker for Lake {
    async fn run(&self, job: Job) -> Result<Outcome, JobFailure> {
        let (shared, alone) = (self.shared.clone(), self.one_job.clone());
        let run = async move {
            // Held by the work itself: who asked for it may go before it ends.
            let _alone = alone.lock_owned().await;
            match job {
                Job::Compact => compact::run(&shared).await,
                Job::Rewrite => rewrite(&shared).await,
                Job::Archive => archive::run(shared).await,
                Job::Retain => retain::run(shared).await,
                Job::Vacuum => vacuum::run(shared).await,
            }
        };
        self.worker.spawn(run).await.unwrap_or_else(|error| Err(JobFailure(format!("the job ended early: {error}"))))
    }
}
