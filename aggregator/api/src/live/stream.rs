//! `GET /live/stream`: server-sent events (WHATWG HTML, section 9.2). Each message is one `data:` line; those of events
//! carry their id, so that a browser's `EventSource` goes on by itself after it lost the connection (`Last-Event-ID`).

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::stream;
use ridealong_edge::Failure;
use ridealong_edge::parameters::Parameters;
use ridealong_stream::{EventMark, Said, Viewer};
use tokio::time::timeout;
use utoipa::IntoParams;

use super::shapes::StreamMessage;
use super::{ALIVE_EVERY, LiveParameters, subscribe};
use crate::description::problems::{Fails, LiveMetrics, Looking, Parameter};
use crate::parameter::invalid;
use crate::services::Services;

/// After a lost connection, ms.
const BEGIN: &[u8] = b"retry: 1000\n\n";
const ALIVE: &[u8] = b":\n\n";
const LAST_EVENT_ID: &str = "last-event-id";

/// What an event source says when it comes back.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "described; read from the headers")]
pub(crate) struct LastEvent {
    /// The `id` of the last event seen: those after it come first
    #[param(rename = "Last-Event-ID", value_type = String, required = false)]
    last_event_id: Option<String>,
}

/// Live numbers and events, as server-sent events
///
/// The same messages as `/live` pushes, each in one `data:` line; those of events with their `id:`, after which `Last-Event-ID`
/// goes on. The answer has no end.
#[utoipa::path(get, path = "/live/stream", operation_id = "liveStream", tag = "live",
    params(LiveParameters, LastEvent),
    responses(
        (status = 200, body = StreamMessage, content_type = "text/event-stream", description = "Messages, without end"),
        Fails<(Parameter, LiveMetrics, Looking)>
    ))]
pub(crate) async fn stream(
    State(services): State<Services>,
    headers: HeaderMap,
    Parameters(parameters): Parameters<LiveParameters>,
) -> Result<Response, Failure> {
    let last = last_event(&headers)?;
    let viewer = subscribe(&services, &headers, parameters, last)?;
    let parts = stream::unfold(Some((viewer, true)), |state| async move {
        let (mut viewer, is_first) = state?;
        if is_first {
            return Some((Ok(Bytes::from_static(BEGIN)), Some((viewer, false))));
        }
        let part = next(&mut viewer).await?;
        Some((Ok::<_, std::convert::Infallible>(part), Some((viewer, false))))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would hold the answer back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(parts)).into_response())
}

fn last_event(headers: &HeaderMap) -> Result<Option<EventMark>, Failure> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let mark = value.to_str().ok().and_then(|text| text.parse().ok());
    mark.map(Some).ok_or_else(|| invalid(format!("Last-Event-ID: {}", ridealong_stream::NoMark)))
}

/// None when it is over.
async fn next(viewer: &mut Viewer) -> Option<Bytes> {
    let Ok(said) = timeout(ALIVE_EVERY, viewer.next()).await else { return Some(Bytes::from_static(ALIVE)) };
    let mut part = BytesMut::new();
    match said {
        Said::Over => return None,
        Said::Numbers(json) | Said::Missed(json) => push(&mut part, &json),
        Said::Events(events) => {
            for event in events {
                part.extend_from_slice(format!("id: {}\n", event.id).as_bytes());
                push(&mut part, &event.json);
            }
        }
    }
    Some(part.freeze())
}

fn push(part: &mut BytesMut, json: &[u8]) {
    for piece in [b"data: ", json, b"\n\n"] {
        part.extend_from_slice(piece);
    }
}
