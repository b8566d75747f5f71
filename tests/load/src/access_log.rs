//! Reading an access log in the combined format of Apache and nginx.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// One request of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub method: String,
    /// Without the query, as the agent stores it.
    pub path: String,
    pub protocol: &'static str,
    pub status: u16,
    pub response_bytes: u64,
    pub client: Option<IpAddr>,
    pub user_agent: Option<String>,
}

/// All requests of a log; lines that are none are left out.
pub fn read(file: &Path) -> Result<Vec<Line>> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<Line> = text.lines().filter_map(Line::parse).collect();
    ensure!(!lines.is_empty(), "{} holds no request in the combined format", file.display());
    Ok(lines)
}

impl Line {
    /// `ADDRESS … "GET /path?query HTTP/1.1" 200 1234 "REFERRER" "USER AGENT"`
    fn parse(line: &str) -> Option<Self> {
        let mut quoted = line.splitn(3, '"');
        let (before, request, rest) = (quoted.next()?, quoted.next()?, quoted.next()?);
        let mut words = request.split(' ');
        let (method, target, protocol) = (words.next()?, words.next()?, words.next()?);
        let mut numbers = rest.split_whitespace();
        Some(Self {
            method: method.to_owned(),
            path: target.split('?').next()?.to_owned(),
            protocol: if protocol == "HTTP/1.0" { "HTTP/1.0" } else { "HTTP/1.1" },
            status: numbers.next()?.parse().ok()?,
            // A dash where there was no body.
            response_bytes: numbers.next()?.parse().unwrap_or(0),
            client: before.split(' ').next()?.parse().ok(),
            user_agent: rest.split('"').nth(3).filter(|text| *text != "-").map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_combined_format_is_read() {
        let line = r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a/b.png?x=1 HTTP/1.0" 304 - "-" "Mozilla/5.0""#;
        let expected = Line {
            method: "GET".into(),
            path: "/a/b.png".into(),
            protocol: "HTTP/1.0",
            status: 304,
            response_bytes: 0,
            client: Some([1, 2, 3, 4].into()),
            user_agent: Some("Mozilla/5.0".into()),
        };
        assert_eq!(Line::parse(line), Some(expected));
        assert_eq!(Line::parse("no request"), None);
    }
}
