//! `GET /live`: a WebSocket. Each message is one text frame; nothing is expected from the viewer but answers to pings.
//!
//! Close codes: 1001 the program stops, 1009 the viewer sent too much at once.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use futures::SinkExt;
use ridealong_edge::Failure;
use ridealong_edge::parameters::Parameters;
use ridealong_stream::{Said, Viewer};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{ALIVE_EVERY, LiveParameters, subscribe};
use crate::description::problems::{Fails, LiveMetrics, Looking, Parameter, Socket};
use crate::services::Services;

/// Of one message of a viewer.
const RECEIVED_BYTES_MAX: usize = 4 << 10;
/// For reading: viewers say little, and there may be thousands.
const READ_BUFFER_BYTES: usize = 1 << 10;
/// Frames are written in pieces of about this.
const WRITE_BUFFER_BYTES: usize = 8 << 10;
/// A viewer that takes nothing for so long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// A viewer that has not answered two pings is gone.
const SILENCE_MAX: Duration = Duration::from_secs(2 * ALIVE_EVERY.as_secs() + 1);
/// For the last words.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Live numbers and events, over a WebSocket
///
/// Each text message is one JSON object with a `type`: `metrics` (as `/realtime`, each interval), `event` (`id` and `event`, as it
/// is stored; with `events=true`) or `missed` (`count` events that were too fast for this viewer; null when nobody knows).
/// Every event acknowledged after the 101 is pushed, once it is durable. Close codes: 1001 the program stops, 1009 too much was
/// sent to it.
#[utoipa::path(get, path = "/live", operation_id = "live", tag = "live", params(LiveParameters),
    responses((status = 101, description = "WebSocket"), Fails<(Parameter, LiveMetrics, Looking, Socket)>))]
pub(crate) async fn live(
    State(services): State<Services>,
    headers: HeaderMap,
    Parameters(parameters): Parameters<LiveParameters>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let upgrade = upgrade.map_err(|rejection| {
        let detail = format!("{rejection}; /live speaks WebSocket, /live/stream says the same over plain HTTP");
        Failure::new(400, "not-a-websocket", "Not a WebSocket", detail)
    })?;
    let viewer = subscribe(&services, &headers, parameters, None)?;
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_frame_size(RECEIVED_BYTES_MAX)
        .max_message_size(RECEIVED_BYTES_MAX);
    Ok(upgrade.on_upgrade(|socket| serve(socket, viewer)))
}

/// Why a socket is left.
enum Left {
    /// The viewer said good-bye.
    Closed,
    /// Nothing is heard of the viewer, or its connection broke.
    Lost,
    /// With this code and reason.
    By(u16, &'static str),
}

async fn serve(mut socket: WebSocket, mut viewer: Viewer) {
    match watch(&mut socket, &mut viewer).await {
        Left::Lost => {}
        // Reading once more sends the answer to the close.
        Left::Closed => drop(timeout(CLOSE_TIMEOUT, socket.recv()).await),
        Left::By(code, reason) => {
            let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
            // It may be gone by now.
            let _ = timeout(CLOSE_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
        }
    }
}

async fn watch(socket: &mut WebSocket, viewer: &mut Viewer) -> Left {
    let mut ping = interval(ALIVE_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping.reset();
    let mut heard = Instant::now();
    loop {
        let said = tokio::select! {
            // What was received first: a viewer that is slow to take is not one that is silent.
            biased;
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_))) | None => return Left::Closed,
                Some(Ok(_)) => {
                    heard = Instant::now();
                    continue;
                }
                Some(Err(error)) => return broken(&error),
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE_MAX || !send(socket, [Message::Ping(Bytes::new())]).await {
                    return Left::Lost;
                }
                continue;
            }
            said = viewer.next() => said,
        };
        // A viewer may be slow to take what was said, but the program stops all the same.
        let is_told = tokio::select! {
            is_told = tell(socket, said) => is_told,
            () = viewer.dismissal() => return stopping(),
        };
        match is_told {
            Some(true) => {}
            Some(false) => return Left::Lost,
            None => return stopping(),
        }
    }
}

fn stopping() -> Left {
    Left::By(close_code::AWAY, "the aggregator stops")
}

/// Whether the viewer has taken it; None when nothing more is said.
async fn tell(socket: &mut WebSocket, said: Said) -> Option<bool> {
    match said {
        Said::Over => None,
        Said::Numbers(json) | Said::Missed(json) => Some(send(socket, [text(json)]).await),
        Said::Events(events) => Some(send(socket, events.into_iter().map(|event| text(event.json.clone()))).await),
    }
}

/// All of them, or not in time.
async fn send(socket: &mut WebSocket, messages: impl IntoIterator<Item = Message>) -> bool {
    for message in messages {
        match timeout(SEND_TIMEOUT, socket.feed(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return false,
        }
    }
    matches!(timeout(SEND_TIMEOUT, socket.flush()).await, Ok(Ok(())))
}

fn text(json: Bytes) -> Message {
    // What is said is always UTF-8.
    Message::Text(Utf8Bytes::try_from(json).unwrap_or_default())
}

fn broken(error: &axum::Error) -> Left {
    if error.to_string().contains("too long") {
        return Left::By(close_code::SIZE, "messages of viewers may have 4 KiB");
    }
    Left::Lost
}
