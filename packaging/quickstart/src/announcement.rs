//! The one line that each program prints when it is ready, and the addresses in it.
//!
//! `ridealong-aggregator listening on http://ADDR`, `ridealong-agent listening on http://ADDR, own API on http://ADDR`.

use std::net::SocketAddr;

/// Every `http://ADDR` of the line, in order.
pub fn addresses(line: &str) -> Vec<SocketAddr> {
    let urls = line.split("http://").skip(1);
    let ends = |letter: char| letter == ',' || letter.is_whitespace();
    urls.filter_map(|rest| rest.split(ends).next()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
