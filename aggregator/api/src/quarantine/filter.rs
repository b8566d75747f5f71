//! Which rows are meant, as SQL.

use ridealong_common::ids::EventId;
use ridealong_common::time::Timestamp;
use ridealong_edge::Failure;
use ridealong_ingest::Standing;
use ridealong_model::query::time_literal;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::cursor::Cursor;
use crate::parameter::{self, invalid};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// What `nextCursor` said
    #[param(format = "cursor")]
    cursor: Option<String>,
    reason: Option<String>,
    table: Option<String>,
    /// `open`, `corrected`, `replayed`, `discarded` or `all`; open and corrected ones when it is not said
    #[param(pattern = "^(open|corrected|replayed|discarded|all)$")]
    status: Option<String>,
    /// When it was set aside, at the earliest
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before then
    #[param(format = DateTime)]
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
        let standings = match asked.status.as_deref() {
            None => STILL_TO_DO.to_vec(),
            Some("all") => Standing::ALL.to_vec(),
            Some(name) => vec![
                Standing::from_name(name)
                    .ok_or_else(|| invalid("status must be open, corrected, replayed, discarded or all".to_owned()))?,
            ],
        };
        Ok(Self {
            after: parameter::cursor(asked.cursor.as_deref())?,
            ids: Vec::new(),
            reason: asked.reason,
            table: asked.table,
            standings,
            from: parameter::time("from", asked.from.as_deref())?,
            to: parameter::time("to", asked.to.as_deref())?,
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
            conditions.push(format!(r#""timestamp" >= {}"#, time_literal(from)));
        }
        if let Some(to) = self.to {
            conditions.push(format!(r#""timestamp" < {}"#, time_literal(to)));
        }
        if let Some(after) = &self.after {
            conditions.push(after.condition());
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
