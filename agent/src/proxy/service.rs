//! One request, from its head to the head of its response. The bodies run on without this.

use std::rc::Rc;
use std::time::Instant;

use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};

use super::body::{RequestBody, ResponseBody};
use super::connection::Connection;
use super::fault::Fault;
use super::request_head;
use super::response_head::{self, Told};
use super::upstream::{self, Lease};
use super::worker::elapsed_us;
use crate::exchange::Exchange;

/// The client has left: there is nobody to answer.
#[derive(Debug, thiserror::Error)]
#[error("the client left")]
pub(super) struct ClientLeft;

/// Answers a request, through the service if it can. Cancelling it gives the request up.
pub(super) async fn answer(
    connection: Rc<Connection>,
    number: u64,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, ClientLeft> {
    let (mut head, body) = request.into_parts();
    let request_id = name(&connection, number, &head);
    let is_http_10 = head.version == Version::HTTP_10;
    let host = match request_head::check_target(&mut head) {
        Ok(host) => host,
        Err(fault) => return fail(connection, number, fault, request_id),
    };
    connection.with_exchange(number, |exchange, _| {
        exchange.host = host.as_ref().and_then(|host| host.to_str().ok()).map(str::to_owned);
    });
    let host = host.as_ref().unwrap_or(&connection.worker.upstream.authority);
    request_head::forward(&mut head, &connection.peer_ip, host, &request_id);
    let body = RequestBody::new(body, Rc::clone(&connection), number);
    match upstream::send(&connection, number, Request::from_parts(head, body)).await {
        // hyper would end the request's connection here, and there is no tunnel to go on with.
        Ok((response, _)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            fail(connection, number, Fault::UpstreamInvalid, request_id)
        }
        Ok((response, lease)) => Ok(pass_on(connection, number, response, lease, request_id, is_http_10)),
        Err(fault) => fail(connection, number, fault, request_id),
    }
}

/// Chooses the request's id, and notes what names the request elsewhere.
fn name(connection: &Connection, number: u64, head: &http::request::Parts) -> HeaderValue {
    let own_id = request_head::callers_request_id(&head.headers);
    let event_id = connection.with_exchange(number, |exchange, _| {
        exchange.request_id = own_id.and_then(|id| id.to_str().ok()).map(str::to_owned);
        exchange.trace_id = request_head::trace_id(&head.headers).map(str::to_owned);
        exchange.event_id
    });
    match (own_id, event_id) {
        (Some(own_id), _) => own_id.clone(),
        (None, Some(event_id)) => connection.worker.stamps.event_id(event_id),
        (None, None) => unreachable!("the exchange lasts at least until its response"),
    }
}

fn pass_on(
    connection: Rc<Connection>,
    number: u64,
    response: Response<Incoming>,
    lease: Lease,
    request_id: HeaderValue,
    is_http_10: bool,
) -> Response<ResponseBody> {
    let (mut head, incoming) = response.into_parts();
    let ttfb_us = head_is_here(&connection, number, |exchange| exchange.status = Some(head.status.as_u16()));
    response_head::forward(&mut head, Told { request_id, ttfb_us, stamps: &connection.worker.stamps });
    if is_http_10 && incoming.size_hint().exact().is_none() {
        // Its end is the connection's end, so a failure has to look different.
        connection.reset_unless_complete();
    }
    Response::from_parts(head, ResponseBody::from_service(incoming, lease, connection, number))
}

fn fail(
    connection: Rc<Connection>,
    number: u64,
    fault: Fault,
    request_id: HeaderValue,
) -> Result<Response<ResponseBody>, ClientLeft> {
    // The request's body knows better why the service's connection broke.
    connection.fail(number, fault);
    let noted = connection.with_exchange(number, |exchange, _| exchange.error).flatten();
    let fault = match noted {
        Some(id) if id == Fault::ClientDisconnect.id() => return Err(ClientLeft),
        Some(id) if id == Fault::RequestBody.id() => Fault::RequestBody,
        _ => fault,
    };
    let ttfb_us = head_is_here(&connection, number, |exchange| exchange.status = Some(fault.status().as_u16()));
    let (mut head, ()) = Response::new(()).into_parts();
    response_head::fail(&mut head, fault, Told { request_id, ttfb_us, stamps: &connection.worker.stamps });
    Ok(Response::from_parts(head, ResponseBody::from_proxy(fault.text(), connection, number)))
}

/// Takes the time of the response's head.
fn head_is_here(connection: &Connection, number: u64, note: impl FnOnce(&mut Exchange)) -> u64 {
    let now = Instant::now();
    let elapsed = connection.with_exchange(number, |exchange, first_byte| {
        let ttfb_us = elapsed_us(first_byte, now);
        exchange.ttfb_us = Some(ttfb_us);
        note(exchange);
        ttfb_us
    });
    elapsed.unwrap_or(0)
}
