//! `system.jobs`: what keeps the tables in order, one row a job: how it stands and how its last run went.

use std::sync::{Arc, LazyLock};

use ridealong_engine::datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use ridealong_engine::datafusion::common::Result;
use ridealong_model::jobs::{JobStatus, JobsSource, LastRun, Outcome};

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    Arc::new(Schema::new(vec![
        Field::new("job", DataType::Utf8, false),
        Field::new("state", DataType::Utf8, false),
        Field::new("runs", DataType::Int64, false),
        Field::new("failures", DataType::Int64, false),
        Field::new("last_started", time.clone(), true),
        Field::new("last_finished", time.clone(), true),
        Field::new("last_duration_ms", DataType::Int64, true),
        Field::new("last_result", DataType::Utf8, true),
        Field::new("last_error", DataType::Utf8, true),
        Field::new("tables", DataType::Int64, true),
        Field::new("files_removed", DataType::Int64, true),
        Field::new("files_added", DataType::Int64, true),
        Field::new("rows", DataType::Int64, true),
        Field::new("bytes", DataType::Int64, true),
        Field::new("next_run", time, true),
    ]))
});

pub(super) fn schema() -> SchemaRef {
    SCHEMA.clone()
}

pub(super) fn rows(source: &dyn JobsSource) -> Result<RecordBatch> {
    let jobs = source.jobs();
    let counts = |of: fn(&JobStatus) -> Option<u64>| {
        let counts = jobs.iter().map(|job| of(job).map(|count| i64::try_from(count).unwrap_or(i64::MAX)));
        Arc::new(counts.collect::<Int64Array>()) as ArrayRef
    };
    let times = |of: fn(&JobStatus) -> Option<i64>| {
        Arc::new(jobs.iter().map(of).collect::<TimestampMicrosecondArray>()) as ArrayRef
    };
    let texts = |of: fn(&JobStatus) -> Option<String>| Arc::new(jobs.iter().map(of).collect::<StringArray>()) as _;
    let columns = vec![
        texts(|job| Some(job.job.name().to_owned())),
        texts(|job| Some(job.state.name().to_owned())),
        counts(|job| Some(job.runs)),
        counts(|job| Some(job.failures)),
        times(|job| Some(job.last.as_ref()?.started_us)),
        times(|job| Some(job.last.as_ref()?.finished_us)),
        counts(|job| job.last.as_ref().map(LastRun::duration_ms)),
        texts(|job| Some(done(job)?.to_string())),
        texts(|job| Some(job.last.as_ref()?.result.as_ref().err()?.to_string())),
        counts(|job| Some(done(job)?.tables)),
        counts(|job| Some(done(job)?.files_removed)),
        counts(|job| Some(done(job)?.files_added)),
        counts(|job| Some(done(job)?.rows)),
        counts(|job| Some(done(job)?.bytes)),
        times(|job| job.next_us),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// What the last run has done; None when it failed, or there was none.
fn done(job: &JobStatus) -> Option<&Outcome> {
    job.last.as_ref()?.result.as_ref().ok()
}
