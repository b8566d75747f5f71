//! What of a request may leave the host, and in which form. Pure: the same settings and the same request give the same
//! answer. Whoever makes rows asks here for every text that a client wrote.
//!
//! - **Query:** only the parameters that are named; none is by default.
//! - **Headers:** only those that are named; `user-agent` by default, and never one that carries credentials.
//! - **Path:** segments that patterns name, and always those that look like an e-mail address or a JSON Web Token.
//! - **Client address:** without its last part by default; also off, hashed with a salt of this host, or whole.
//!
//! Bodies are never read.

mod address;
mod header;
mod path;
mod salt;

use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use ridealong_common::limits::REQUEST_TEXT_BYTES_MAX;
use serde_json::{Map, Value};

use crate::exchange::Capture;
use crate::pattern::Pattern;

pub use address::ClientAddress;
pub use header::HeaderName;
pub use salt::{Salt, SaltError};

/// The header that has a column of its own.
const USER_AGENT: &str = "user-agent";
const REFERER: &str = "referer";
/// Of all other headers together; what is longer is not kept.
const HEADERS_BYTES_MAX: usize = 8 << 10;

/// As an operator sets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivacySettings {
    /// Names of query parameters.
    pub record_query: Vec<String>,
    pub record_headers: Vec<HeaderName>,
    pub redact: Vec<Pattern>,
    pub client_address: ClientAddress,
}

impl PrivacySettings {
    /// What the proxy is to take from each request. Header names are kept for as long as the program runs: call it once.
    pub fn capture(&self) -> Capture {
        let headers = self.record_headers.iter().map(|name| &*Box::leak(name.as_str().to_owned().into_boxed_str()));
        Capture { query: !self.record_query.is_empty(), headers: headers.collect() }
    }
}

/// The settings at work.
#[derive(Debug)]
pub struct Privacy {
    settings: PrivacySettings,
    /// For hashed addresses.
    salt: Salt,
}

/// What a row keeps of the captured headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptHeaders {
    pub user_agent: Option<String>,
    /// The others: a JSON object.
    pub others: Option<String>,
}

impl Privacy {
    /// `salt` matters only where addresses are hashed.
    pub fn new(settings: PrivacySettings, salt: Salt) -> Self {
        Self { settings, salt }
    }

    /// The path as it may be stored.
    pub fn path(&self, path: String) -> String {
        cut(path::redacted(path, &self.settings.redact))
    }

    /// The parameters that may be kept, as they were sent; none when there are none.
    pub fn query(&self, query: &str) -> Option<String> {
        let kept = query.split('&').filter(|pair| self.keeps_parameter(pair.split('=').next().unwrap_or(pair)));
        let kept: Vec<&str> = kept.collect();
        (!kept.is_empty()).then(|| cut(kept.join("&")))
    }

    /// A client's address in the form that may be stored.
    pub fn client_address(&self, client: IpAddr) -> Option<String> {
        self.settings.client_address.shown(client, &self.salt)
    }

    /// The part of a client's address that decides about what [`Self::client_address`] answers.
    pub fn client_key(&self, client: IpAddr) -> IpAddr {
        self.settings.client_address.key(client)
    }

    /// Only what is named, whatever was captured.
    pub fn headers(&self, captured: Vec<(&'static str, String)>) -> KeptHeaders {
        let mut kept = KeptHeaders::default();
        if captured.is_empty() {
            return kept;
        }
        let mut others = Map::new();
        for (name, value) in captured {
            if !self.settings.record_headers.iter().any(|allowed| allowed.as_str() == name) {
                continue;
            }
            match name {
                USER_AGENT => kept.user_agent = Some(cut(value)),
                REFERER => drop(others.insert(name.to_owned(), Value::String(cut(header::without_query(&value))))),
                _ => drop(others.insert(name.to_owned(), Value::String(cut(value)))),
            }
        }
        kept.others = (!others.is_empty()).then(|| Value::Object(others).to_string());
        // Cut, it would be no JSON.
        kept.others.take_if(|text| text.len() > HEADERS_BYTES_MAX);
        kept
    }

    fn keeps_parameter(&self, name: &str) -> bool {
        let same = |allowed: &String| {
            allowed == name || (name.contains('%') && percent_decode_str(name).eq(allowed.as_bytes().iter().copied()))
        };
        self.settings.record_query.iter().any(same)
    }
}

/// A text short enough for a row, cut between two characters.
pub fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(REQUEST_TEXT_BYTES_MAX));
    text
}

#[cfg(test)]
mod tests;
