//! One request of an HTTP/1 client, ready to be sent: its head as the service gets it, its body's length, and its record.

use std::rc::Rc;
use std::time::Instant;

use http::Method;

use super::request_head::{self, Told};
use crate::exchange::Exchange;
use crate::proxy::connection::Connection;
use crate::proxy::fault::Fault;
use crate::proxy::open::OpenExchange;
use crate::proxy::stamps::put_event_id;
use ridealong_http1::{Body, Field, RequestHead, RequestTarget, Version};

pub(in crate::proxy) struct Request {
    pub(in crate::proxy) open: OpenExchange,
    pub(in crate::proxy) version: Version,
    pub(in crate::proxy) method: Method,
    /// As the service gets it; empty if it may not have it.
    pub(in crate::proxy) head: Vec<u8>,
    pub(in crate::proxy) body: Body,
    pub(in crate::proxy) keeps_alive: bool,
    /// Whether it asks to switch protocols, and may.
    pub(in crate::proxy) upgrades: bool,
    /// Whether the client waits for a 100 before it sends its body.
    pub(in crate::proxy) awaits_continue: bool,
    /// Why it is not passed on.
    pub(in crate::proxy) refused: Option<Fault>,
    /// When its head was there.
    pub(in crate::proxy) head_read: Instant,
}

impl Request {
    /// Opens the exchange of a head.
    pub(in crate::proxy) fn open(
        connection: &Connection,
        head: RequestHead<'_>,
        first_byte: Instant,
        now: Instant,
    ) -> Self {
        let worker = &connection.worker;
        let host = request_head::host(&head);
        let mut exchange = exchange(connection, &head, first_byte);
        exchange.host = host.ok().flatten().map(str::to_owned);
        let upgrade = request_head::upgrade(&head);
        let refused = refusal(connection, &head, host.err());
        let mut bytes = Vec::new();
        if refused.is_none() {
            bytes = worker.take_buffer();
            let told = Told {
                peer: &connection.peer,
                host: exchange.host.as_deref().unwrap_or(&worker.authority),
                request_id: &|out| put_request_id(&exchange, out),
                upgrade: upgrade.as_deref(),
            };
            request_head::forward(&head, &told, &mut bytes);
        }
        let mut open = OpenExchange::new(Rc::clone(worker), first_byte, exchange);
        if head.body.is_done() {
            let elapsed_us = open.elapsed_us(now);
            open.get_mut().request_complete_us = Some(elapsed_us);
        }
        Self {
            open,
            version: head.version,
            method: head.method,
            head: bytes,
            body: head.body,
            keeps_alive: head.keeps_alive,
            upgrades: upgrade.is_some(),
            awaits_continue: head.fields.has(Field::Expect),
            refused,
            head_read: now,
        }
    }

    pub(in crate::proxy) fn is_repeatable(&self) -> bool {
        is_repeatable(&self.method)
    }
}

/// Whether sending a request again cannot do more than sending it once did.
pub(in crate::proxy) fn is_repeatable(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// What the client knows the request by: its own id, or ours.
pub(in crate::proxy) fn put_request_id(exchange: &Exchange, out: &mut Vec<u8>) {
    match &exchange.request_id {
        Some(id) => out.extend_from_slice(id.as_bytes()),
        None => put_event_id(out, exchange.event_id),
    }
}

pub(in crate::proxy) fn refusal(connection: &Connection, head: &RequestHead<'_>, host: Option<Fault>) -> Option<Fault> {
    let worker = &connection.worker;
    if head.method == Method::CONNECT && !worker.options.allow_connect {
        return Some(Fault::ConnectUnsupported);
    }
    host.or_else(|| worker.is_overloaded().then_some(Fault::Overloaded))
}

pub(in crate::proxy) fn exchange(
    connection: &Connection,
    head: &RequestHead<'_>,
    first_byte: Instant,
) -> Box<Exchange> {
    let worker = &connection.worker;
    let started_at_us = worker.wall_clock_us(first_byte);
    let (path, query) = split_target(head.target);
    let capture = &worker.options.capture;
    let flag = |field: Field| match head.fields.only(field) {
        Some(b"1") => Some(true),
        Some(b"0") => Some(false),
        _ => None,
    };
    let event_id = worker.event_ids.make(started_at_us);
    Box::new(Exchange {
        query: query.filter(|_| capture.query).map(str::to_owned),
        client: Some(client(connection, head)),
        request_id: request_head::callers_request_id(head.fields.only(Field::XRequestId)).map(str::to_owned),
        trace_id: request_head::trace_id(head.fields.only(Field::TraceParent)).map(str::to_owned),
        do_not_track: flag(Field::DoNotTrack),
        global_privacy_control: flag(Field::SecGpc),
        headers: captured(&capture.headers, head),
        ..Exchange::begun(event_id, started_at_us, head.method.clone(), path.to_owned(), head.version.text())
    })
}

fn split_target(target: RequestTarget<'_>) -> (&str, Option<&str>) {
    let path = match target {
        RequestTarget::Path(path) | RequestTarget::Absolute { path, .. } => path,
        RequestTarget::Authority(authority) => return (authority, None),
    };
    match path.split_once('?') {
        Some(("", query)) => ("/", Some(query)),
        Some((path, query)) => (path, Some(query)),
        None if path.is_empty() => ("/", None),
        None => (path, None),
    }
}

fn client(connection: &Connection, head: &RequestHead<'_>) -> std::net::IpAddr {
    let peer = &connection.peer;
    if !peer.is_trusted || !head.fields.has(Field::XForwardedFor) {
        return peer.address;
    }
    let before = request_head::forwarded_for(head.fields.values(Field::XForwardedFor));
    request_head::client(before.into_iter(), peer, &connection.worker.options.trusted)
}

fn captured(names: &[&'static str], head: &RequestHead<'_>) -> Vec<(&'static str, String)> {
    let value = |name: &str| {
        let lines = head.fields.iter().filter(|(_, line, _)| line.eq_ignore_ascii_case(name));
        let values: Vec<_> = lines.map(|(_, _, value)| String::from_utf8_lossy(value)).collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    names.iter().filter_map(|name| Some((*name, value(name)?))).collect()
}
