//! Names of headers that may be kept.

use std::fmt;

use http::HeaderName as AnyName;
use ridealong_common::settings::FromSetting;

/// They carry credentials, whatever a service does with them.
const CREDENTIALS: [&str; 8] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-amz-security-token",
    "x-csrf-token",
];
/// They name the client, which `client-address` decides about.
const ADDRESSES: [&str; 5] = ["forwarded", "x-forwarded-for", "x-real-ip", "true-client-ip", "cf-connecting-ip"];

/// A header's name in lower case, which none of those is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderName(String);

impl HeaderName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromSetting for HeaderName {
    fn from_setting(text: &str) -> Result<Self, String> {
        let name = AnyName::try_from(text).map_err(|_| "is no name of a header".to_owned())?;
        let name = name.as_str();
        if CREDENTIALS.contains(&name) {
            return Err("is never recorded: it carries credentials".into());
        }
        if ADDRESSES.contains(&name) {
            return Err("is never recorded as it is: client-address keeps the client's address".into());
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A URL without its query, its fragment, and whatever name and password it holds.
pub(super) fn without_query(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or(url);
    let Some((scheme, rest)) = bare.split_once("://") else { return bare.to_owned() };
    let host = rest.find('/').unwrap_or(rest.len());
    let user = rest[..host].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[user..])
}
