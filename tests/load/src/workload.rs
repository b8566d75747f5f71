//! Request rows as agents make them: from the lines of a real log over and over, or from lines made up with about the
//! cardinalities of a real web site. Times, durations and ids are ours: a log has no durations.

use ridealong_agent::privacy::{Privacy, PrivacySettings, Salt};
use ridealong_agent::route::Routes;
use ridealong_common::ids::EventId;
use ridealong_common::rows::RequestRow;
use ridealong_common::time::Timestamp;

use crate::access_log::Line;

/// Distinct paths and lines of a made-up log: those of a real day of a small site.
const PATHS: usize = 1_400;
const LINES: usize = 10_000;
/// Between two requests of one agent on average, where nobody says otherwise: 2,000 a second.
pub const GAP_US: f64 = 500.0;

/// A log whose paths are as unequally popular as real ones.
pub fn made_up(seed: u64) -> Vec<Line> {
    let mut random = fastrand::Rng::with_seed(seed);
    let line = |random: &mut fastrand::Rng| {
        // The cube prefers low numbers: the 20 most popular of 1,400 paths get a quarter of the requests.
        let path = (random.f64().powi(3) * PATHS as f64) as usize;
        let status = match random.u32(0..1_000) {
            0 => 500,
            1..22 => 404,
            22..38 => 301,
            38..82 => 304,
            _ => 200,
        };
        Line {
            method: match random.u32(0..200) {
                0 => "POST",
                1 => "HEAD",
                _ => "GET",
            }
            .to_owned(),
            path: match path % 3 {
                0 => format!("/articles/{path}/comments"),
                1 => format!("/images/section-{}/picture-{path}.png", path % 40),
                _ => format!("/blog/tags/tag-{path}"),
            },
            protocol: if random.u32(0..14) == 0 { "HTTP/1.0" } else { "HTTP/1.1" },
            status,
            response_bytes: if status == 200 { random.u64(200..60_000) } else { 0 },
            client: None,
            user_agent: None,
        }
    };
    (0..LINES).map(|_| line(&mut random)).collect()
}

/// The rows of one agent, without end.
pub struct Workload<'a> {
    lines: &'a [Line],
    routes: Routes,
    random: fastrand::Rng,
    at: usize,
    time_us: i64,
    gap_us: f64,
    id_high: u64,
    id_low: u64,
    /// With all that an agent records by default, and lines drawn one by one.
    whole: bool,
    privacy: Privacy,
}

impl<'a> Workload<'a> {
    pub fn new(lines: &'a [Line], seed: u64, start: Timestamp, gap_us: f64, whole: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            at: random.usize(0..lines.len()),
            id_high: 0x7000 | random.u64(0..0x1000),
            id_low: 0b10 << 62 | random.u64(0..1 << 30) << 32,
            lines,
            routes: Routes::default(),
            random,
            time_us: start.micros(),
            gap_us,
            whole,
            privacy: Privacy::new(PrivacySettings::default(), Salt::draw()),
        }
    }

    pub fn row(&mut self) -> RequestRow {
        let line = &self.lines[self.at];
        self.at = if self.whole { self.random.usize(0..self.lines.len()) } else { (self.at + 1) % self.lines.len() };
        self.time_us += (-self.gap_us * self.random.f64().max(1e-9).ln()) as i64;
        // As the agent's: milliseconds, bits of the thread, a counter.
        let id =
            u128::from((self.time_us / 1_000) as u64) << 80 | u128::from(self.id_high) << 64 | u128::from(self.id_low);
        self.id_low += 1;
        // Most answers within 2 ms, a long tail.
        let ttfb_us = (400.0 * (self.random.f64() * 1.5).exp() / self.random.f64().max(1e-3).sqrt()) as u64;
        let row = RequestRow {
            event_id: EventId::from_u128(id),
            timestamp: Timestamp(self.time_us),
            method: line.method.clone().into(),
            route: self.routes.route(&line.path, line.status != 404),
            path: line.path.clone(),
            status: Some(line.status),
            protocol: line.protocol,
            duration_us: ttfb_us + line.response_bytes / 100 + self.random.u64(0..50),
            ttfb_us: Some(ttfb_us),
            request_bytes: 0,
            response_bytes: line.response_bytes,
            sample_weight: 1.0,
            ..RequestRow::default()
        };
        if self.whole { self.completed(row, line) } else { row }
    }

    /// With what a log does not tell, or `batches` leaves out.
    fn completed(&mut self, row: RequestRow, line: &Line) -> RequestRow {
        let request_complete_us = 8 + self.random.u64(0..30);
        let upstream_connected_us = request_complete_us + 5 + self.random.u64(0..20);
        let ttfb_us = row.ttfb_us.map(|ttfb| ttfb + upstream_connected_us);
        let duration_us = row.duration_us + upstream_connected_us;
        RequestRow {
            duration_us,
            ttfb_us,
            request_complete_us: Some(request_complete_us),
            upstream_connected_us: Some(upstream_connected_us),
            response_complete_us: ttfb_us.map(|ttfb| (duration_us - self.random.u64(3..20)).max(ttfb)),
            client_address: line.client.and_then(|client| self.privacy.client_address(client)).map(Into::into),
            user_agent: line.user_agent.clone(),
            ..row
        }
    }
}
