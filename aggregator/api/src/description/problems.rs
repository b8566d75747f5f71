//! The errors, by stable type: what each part of a handler's work can end in. A handler names the parts that it does,
//! `Fails<(Body, Sql)>`, and each status of its description then lists the types that it can carry.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use ridealong_common::problem::{MEDIA_TYPE, TYPE_PREFIX};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// Status, end of the type, when it happens.
pub(crate) type Fault = (u16, &'static str, &'static str);

/// A part of the work of handlers.
pub(crate) trait Part {
    fn faults() -> Vec<Fault>;
}

/// The errors of these parts, and those that any request can meet.
pub(crate) struct Fails<P>(PhantomData<P>);

/// An error (RFC 9457)
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "describes what ridealong_common::problem writes, which knows nothing of descriptions")]
pub(crate) struct ProblemShape {
    /// Stable: what to decide by
    #[schema(example = "urn:ridealong:problem:invalid-parameter")]
    r#type: String,
    title: String,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What, where, and how to mend it
    detail: String,
}

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident { $($status:literal $id:literal $meaning:literal)* })*) => {
        $($(#[$doc])* pub(crate) struct $name;
        impl Part for $name {
            fn faults() -> Vec<Fault> {
                vec![$(($status, $id, $meaning)),*]
            }
        })*

        /// Every fault there is.
        #[cfg(test)]
        pub(crate) fn all() -> Vec<Fault> {
            let mut all = Vec::new();
            $(all.extend($name::faults());)*
            all
        }
    };
}

parts! {
    /// Nothing that could fail by itself.
    Nothing {}
    /// Any request, whatever it asks for.
    Any {
        403 "host-not-loopback" "`Host` does not name this machine, and no API key exists"
        408 "request-timeout" "the request took longer than any may"
        500 "panicked" "a fault of the program; it is in its log"
    }
    /// Parameters in the URL.
    Parameter {
        400 "invalid-parameter" "a parameter is unknown, twice there, or has a value that it cannot have"
    }
    /// A body is read.
    Body {
        400 "body-broke-off" "the body ended before it was complete"
        413 "body-too-large" "the body is larger than is taken"
        503 "busy" "too much is worked on at this moment"
    }
    /// A body is read as JSON.
    JsonBody {
        400 "body-broke-off" "the body ended before it was complete"
        400 "invalid-json" "the body is not the JSON expected here"
        413 "body-too-large" "the body is larger than is taken"
        503 "busy" "too much is worked on at this moment"
    }
    /// Rows are written to the log.
    Log {
        503 "busy" "too much is worked on at this moment"
        503 "not-durable" "the log could not be written; nothing was stored"
    }
    /// An agent's batch.
    Batch {
        400 "invalid-batch" "the bytes are no batch; sending them again does not help"
        413 "batch-too-large" "send it in parts"
    }
    /// One event as JSON.
    OneEvent {
        400 "invalid-event" "the JSON is no event: no object, or without `eventType`"
    }
    /// Events as JSON.
    ManyEvents {
        400 "too-many-events" "more events than one batch may have"
    }
    /// A read of tables whose statement is ours.
    Tables {
        400 "query-too-large" "the answer needs more memory than one may use"
        408 "query-timeout" "it did not finish in time"
        500 "query-failed" "a fault of the program; it is in its log"
        503 "behind" "rows acknowledged before are not readable yet"
        503 "busy" "as much runs as may run at once"
        503 "store-unreachable" "the store of the tables cannot be read now"
    }
    /// A statement of the caller's.
    Sql {
        400 "invalid-query" "the statement or a parameter of it is not valid"
        400 "not-a-read" "only reads are allowed"
        400 "query-too-large" "it needs more memory than one may use"
        408 "query-timeout" "it did not finish in time"
        500 "query-failed" "a fault of the program; it is in its log"
        503 "behind" "rows acknowledged before are not readable yet"
        503 "busy" "as many queries run as may run at once"
        503 "store-unreachable" "the store of the tables cannot be read now"
    }
    /// Metrics over time.
    Metrics {
        400 "invalid-metrics" "a name, a filter, the range or the granularity is not valid; the detail names the key"
        400 "too-many-groups" "the answer would have more groups than one may"
        408 "query-timeout" "it did not finish in time"
        500 "query-failed" "a fault of the program; it is in its log"
        503 "behind" "rows acknowledged before are not readable yet"
        503 "busy" "as much runs as may run at once"
        503 "store-unreachable" "the store of the tables cannot be read now"
    }
    /// One event that is named by its id.
    StoredEvent {
        404 "no-such-event" "no event of this id is stored"
    }
    /// A merge patch.
    Patch {
        400 "invalid-change" "the event would not be one with this change"
    }
    /// Rows that are stored are changed.
    Mutation {
        400 "invalid-mutation" "table, condition, values or their combination are not valid"
        500 "mutation-failed" "a fault of the program; nothing was changed"
        503 "behind" "the newest rows are not readable yet"
        503 "busy" "too many changes are being made, or wait to be written into files"
    }
    /// One event that was set aside.
    SetAside {
        404 "not-in-quarantine" "no event of this id was set aside"
    }
    /// What was set aside is changed.
    SetAsideChange {
        400 "invalid-change" "neither a payload nor a status, or both"
        409 "already-replayed" "it was let in: it is stored, and changed there"
        409 "changed-meanwhile" "another change came first; read it again"
    }
    /// What was set aside is let in.
    Replay {
        400 "nothing-to-replay" "it is not said which: `ids`, `reason`, `table` or `all`"
        400 "invalid-parameter" "an id is none, or there are too many"
    }
    /// A job by its name.
    NamedJob {
        404 "no-such-job" "there is no job of this name"
        503 "no-jobs" "jobs are not run here"
    }
    /// A job is run.
    JobRun {
        503 "busy" "too many wait for it"
        503 "stopping" "the program is being stopped"
    }
    /// Settings are kept.
    Settings {
        503 "not-kept" "the settings could not be made durable; nothing was changed"
        503 "stopping" "the program is being stopped"
    }
    /// Live numbers by name.
    LiveMetrics {
        400 "no-such-metric" "a metric is named that there is not"
    }
    /// Somebody looks on.
    Looking {
        403 "foreign-origin" "a page of another host asks (`Origin`)"
        503 "too-many-filters" "viewers listen by as many different filters as may be"
        503 "too-many-viewers" "as many look on as may (`viewers-max`)"
    }
    /// A WebSocket is opened.
    Socket {
        400 "not-a-websocket" "the request does not ask for a WebSocket"
    }
    /// Any setting.
    Setting {
        400 "invalid-setting" "a key is unknown or has a value that it cannot have"
    }
    /// Rules of retention.
    Retention {
        400 "invalid-retention" "a table, a rule or a duration is not valid"
    }
    /// Everything is committed to the tables.
    Flush {
        503 "flush-failed" "the tables could not be written; the rows are safe in the log"
    }
    /// The books are read.
    BooksRead {
        503 "no-books" "the program is being stopped"
    }
}

macro_rules! together {
    ($($part:ident)+) => {
        impl<$($part: Part),+> Part for ($($part,)+) {
            fn faults() -> Vec<Fault> {
                let mut faults = Vec::new();
                $(faults.extend($part::faults());)+
                faults
            }
        }
    };
}

together!(A B);
together!(A B C);
together!(A B C D);

impl<P: Part> IntoResponses for Fails<P> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut by_status: BTreeMap<u16, Vec<(&str, &str)>> = BTreeMap::new();
        for (status, id, meaning) in P::faults().into_iter().chain(Any::faults()) {
            let of_status = by_status.entry(status).or_default();
            if of_status.iter().all(|(known, _)| *known != id) {
                of_status.push((id, meaning));
            }
        }
        by_status.into_iter().map(|(status, faults)| (status.to_string(), described(status, &faults).into())).collect()
    }
}

/// The types stand in the schema, so that an answer with another one contradicts the description.
fn described(status: u16, faults: &[(&str, &str)]) -> Response {
    let types = faults.iter().map(|(id, _)| format!("{TYPE_PREFIX}{id}"));
    let only = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(types));
    let schema =
        AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(ObjectBuilder::new().property("type", only));
    let lines = faults.iter().map(|(id, meaning)| format!("- `{id}`: {meaning}"));
    let response = ResponseBuilder::new()
        .description(lines.collect::<Vec<_>>().join("\n"))
        .content(MEDIA_TYPE, ContentBuilder::new().schema(Some(Schema::AllOf(schema.build()))).build());
    match status {
        503 => response.header("Retry-After", retry_after()).build(),
        _ => response.build(),
    }
}

fn retry_after() -> utoipa::openapi::header::Header {
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    HeaderBuilder::new().description(Some("Seconds after which to try again")).schema(Some(seconds)).build()
}
