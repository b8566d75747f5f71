//! Which rows are meant, as SQL.

use ridealong_common::ids::EventId;
use ridealong_common::time::Timestamp;
use ridealong_edge::Failure;
use ridealong_ingest::Standing;
use serde::Deserialize;

use super::cursor::Cursor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub limit: Option<usize>,
    cursor: Option<String>,
    reason: Option<String>,
    table: Option<String>,
    /// Open and corrected ones when it is not said; or all.
    status: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub after: Option<Cursor>,
    ids: Vec<String>,
    reason: Option<String>,
    table: Option<String>,
    standings: Vec<Standing>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

const STILL_TO_DO: [Standing; 2] = [Standing::Open, Standing::Corrected];

impl Filter {
    pub fn checked(asked: Asked) -> Result<Self, Failure> {
        let time = |name: &str, text: Option<String>| match text {
            None => Ok(None),
            Some(text) => Timestamp::parse(&text)
                .map(Some)
                .ok_or_else(|| invalid(format!("{name} must be RFC 3339, for example 2026-11-20T08:15:30Z"))),
        };
        let standings = match asked.status.as_deref() {
            None => STILL_TO_DO.to_vec(),
            Some("all") => Standing::ALL.to_vec(),
            Some(name) => vec![
                Standing::from_name(name)
                    .ok_or_else(|| invalid("status must be open, corrected, replayed, discarded or all".to_owned()))?,
            ],
        };
        let cursor = asked.cursor.as_deref().map(|text| {
            Cursor::parse(text).ok_or_else(|| invalid("cursor is none that was given out here".to_owned()))
        });
        Ok(Self {
            after: cursor.transpose()?,
            ids: Vec::new(),
            reason: asked.reason,
            table: asked.table,
            standings,
            from: time("from", asked.from)?,
            to: time("to", asked.to)?,
        })
    }

    pub fn one(event_id: &str) -> Result<Self, Failure> {
        Ok(Self { ids: vec![id(event_id)?], standings: Standing::ALL.to_vec(), ..Self::default() })
    }

    pub fn to_replay(ids: Vec<String>, reason: Option<String>, table: Option<String>) -> Result<Self, Failure> {
        let ids = ids.iter().map(|text| id(text)).collect::<Result<_, _>>()?;
        Ok(Self { ids, reason, table, standings: STILL_TO_DO.to_vec(), ..Self::default() })
    }

    /// The condition, and the texts of its parameters. Only checked ids, times and our own words stand in it as they are.
    pub fn conditions(&self) -> (String, Vec<String>) {
        let (mut conditions, mut params) = (Vec::new(), Vec::new());
        let words = self.standings.iter().map(|standing| format!("'{}'", standing.name()));
        conditions.push(format!("status IN ({})", words.collect::<Vec<_>>().join(", ")));
        if !self.ids.is_empty() {
            let ids = self.ids.iter().map(|id| format!("'{id}'"));
            conditions.push(format!("event_id IN ({})", ids.collect::<Vec<_>>().join(", ")));
        }
        for (column, value) in [("reason", &self.reason), ("source_table", &self.table)] {
            if let Some(value) = value {
                params.push(value.clone());
                conditions.push(format!("{column} = ${}", params.len()));
            }
        }
        if let Some(from) = self.from {
            conditions.push(format!(r#""timestamp" >= {}"#, literal(from)));
        }
        if let Some(to) = self.to {
            conditions.push(format!(r#""timestamp" < {}"#, literal(to)));
        }
        if let Some(after) = &self.after {
            params.push(after.event_id.clone());
            let (time, id) = (literal(after.timestamp), params.len());
            conditions.push(format!(r#"("timestamp" < {time} OR ("timestamp" = {time} AND event_id < ${id}))"#));
        }
        (conditions.join(" AND "), params)
    }
}

fn id(text: &str) -> Result<String, Failure> {
    if text.is_empty() || text.len() > 1_024 {
        return Err(invalid("an event id must have 1 to 1024 bytes".to_owned()));
    }
    // As at the doors: what is no UUID is the UUIDv5 of it.
    Ok(EventId::from_caller(text).to_string())
}

fn literal(time: Timestamp) -> String {
    format!("TIMESTAMP '{}'", time.to_string().trim_end_matches('Z'))
}

pub(super) fn invalid(detail: String) -> Failure {
    Failure::new(400, "invalid-parameter", "Parameter is not valid", detail)
}
