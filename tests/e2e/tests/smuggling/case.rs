//! One request of the table (or a few on one connection): what is sent, what the client may get, what the service may
//! see. In a text `/~` is the case's own path, by which the service's notes are told apart.

/// Of a request that is passed on.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: &'static str,
    /// With the case's own path in it.
    pub target: String,
    pub body: String,
    /// False: the service may see the beginning of it, and must see that it broke off.
    pub whole: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The proxy answers with one of these and closes.
    Refused(&'static [u16]),
    /// The same; but so much is sent that the answer may be lost in the reset.
    RefusedOrCut(&'static [u16]),
    /// Everything is answered by the service, and nothing more comes.
    Served,
    ServedThenClosed,
    /// So many are answered by the service, the next one is refused.
    ServedThenRefused(usize, &'static [u16]),
    /// Served or refused: both are right.
    Either(&'static [u16]),
    /// What is sent has no end: when the client ends it, no success is answered.
    Unfinished,
    /// Only what the service sees counts.
    Anything,
}

/// What a strict reader finds in the first request.
#[derive(Clone, Debug)]
pub enum Check {
    Has(&'static str, &'static str),
    Present(&'static str),
    Lacks(&'static str),
    Trailer(&'static str, &'static str),
    NoTrailer(&'static str),
}

#[derive(Clone, Debug)]
pub struct Case {
    pub id: &'static str,
    /// Each is sent after the answer to the one before.
    pub steps: Vec<Vec<u8>>,
    pub outcome: Outcome,
    pub seen: Vec<Seen>,
    pub checks: Vec<Check>,
    /// The value of `X-Ridealong-Error`.
    pub error: Option<&'static str>,
    /// Valid, but not every service knows it.
    pub service_may_refuse: bool,
    /// The client sends its FIN at once.
    pub half_closes: bool,
}

/// A case that is refused with 400, until it is told otherwise.
pub fn case(id: &'static str, text: impl AsRef<[u8]>) -> Case {
    Case {
        id,
        steps: vec![with_path(id, text.as_ref())],
        outcome: Outcome::Refused(&[400]),
        seen: Vec::new(),
        checks: Vec::new(),
        error: None,
        service_may_refuse: false,
        half_closes: false,
    }
}

/// A GET with these header lines (each with its end) beside `Host`.
pub fn get(id: &'static str, lines: &str) -> Case {
    case(id, format!("GET /~ HTTP/1.1\r\nHost: shop.test\r\n{lines}\r\n"))
}

/// A POST with these header lines and this body.
pub fn post(id: &'static str, lines: &str, body: &str) -> Case {
    case(id, format!("POST /~ HTTP/1.1\r\nHost: shop.test\r\n{lines}\r\n{body}"))
}

/// A POST with this body as it stands on the wire, in chunks.
pub fn chunked(id: &'static str, body: impl AsRef<[u8]>) -> Case {
    let head = "POST /~ HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    case(id, [head.as_bytes(), body.as_ref()].concat())
}

/// A whole request that is passed on.
pub fn seen(method: &'static str, body: &str) -> Seen {
    Seen { method, target: "/~".into(), body: body.into(), whole: true }
}

/// One of which the service sees at most the beginning.
pub fn begun(method: &'static str, body: &str) -> Seen {
    Seen { whole: false, ..seen(method, body) }
}

impl Seen {
    pub fn at(self, target: &str) -> Self {
        Self { target: target.into(), ..self }
    }
}

impl Case {
    /// Another step on the same connection.
    pub fn then(mut self, text: &str) -> Self {
        self.steps.push(with_path(self.id, text.as_bytes()));
        self
    }

    pub fn refused(self, statuses: &'static [u16]) -> Self {
        self.outcome(Outcome::Refused(statuses))
    }

    pub fn refused_or_cut(self, statuses: &'static [u16]) -> Self {
        self.outcome(Outcome::RefusedOrCut(statuses))
    }

    pub fn served(self, seen: impl IntoIterator<Item = Seen>) -> Self {
        self.outcome(Outcome::Served).sees(seen)
    }

    pub fn served_then_closed(self, seen: impl IntoIterator<Item = Seen>) -> Self {
        self.outcome(Outcome::ServedThenClosed).sees(seen)
    }

    pub fn either(self, statuses: &'static [u16], seen: impl IntoIterator<Item = Seen>) -> Self {
        self.outcome(Outcome::Either(statuses)).sees(seen)
    }

    pub fn unfinished(self, seen: impl IntoIterator<Item = Seen>) -> Self {
        self.outcome(Outcome::Unfinished).sees(seen)
    }

    pub fn outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    pub fn sees(mut self, seen: impl IntoIterator<Item = Seen>) -> Self {
        let placed = seen.into_iter().map(|seen| Seen { target: seen.target.replace('~', self.id), ..seen });
        self.seen = placed.collect();
        self
    }

    pub fn checks(self, checks: impl IntoIterator<Item = Check>) -> Self {
        Self { checks: checks.into_iter().collect(), ..self }
    }

    pub fn error(self, error: &'static str) -> Self {
        Self { error: Some(error), ..self }
    }

    pub fn service_may_refuse(self) -> Self {
        Self { service_may_refuse: true, ..self }
    }

    pub fn half_closes(self) -> Self {
        Self { half_closes: true, ..self }
    }
}

fn with_path(id: &str, text: &[u8]) -> Vec<u8> {
    let mut placed = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(2).position(|window| window == b"/~") {
        placed.extend_from_slice(&rest[..=at]);
        placed.extend_from_slice(id.as_bytes());
        rest = &rest[at + 2..];
    }
    placed.extend_from_slice(rest);
    placed
}
