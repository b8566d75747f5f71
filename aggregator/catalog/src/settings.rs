//! What a tenant may set. Written to disk as JSON: a field that is missing there has its default.

use ridealong_model::location::Location;
use ridealong_model::segment::{CONDITION_BYTES_MAX, SEGMENTS_MAX};
use serde::{Deserialize, Serialize};

use crate::retention::{self, Retentions};

const SEGMENT_NAME_BYTES_MAX: usize = 64;

/// All that one tenant has set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TenantSettings {
    pub corrections: Corrections,
    pub segments: Vec<Segment>,
    /// Below which the tenant's tables lie, when not beside those of the others: see [`Location`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// A table that is not in it keeps its rows for ever.
    #[serde(skip_serializing_if = "Retentions::is_empty")]
    pub retention: Retentions,
}

/// What may be changed in an event before it is stored. Each off until it is switched on; each change is logged in the
/// event's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Corrections {
    /// Times of a sender whose clock is off are moved by how far it is off.
    pub clock_skew: bool,
    /// Numbers that came as text, and texts that came as numbers, become what the field holds.
    pub numbers_as_text: bool,
    /// Texts that are too long are cut.
    pub oversize_text: bool,
    /// Countries become upper case; categories, environments, device types lower case.
    pub casing: bool,
}

/// A named group of users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub name: String,
    /// A condition over the columns of `users`, as SQL.
    #[serde(rename = "when")]
    pub condition: String,
}

impl TenantSettings {
    /// The first fault there is; conditions are checked by who evaluates them.
    pub fn fault(&self) -> Option<String> {
        if let Some(location) = &self.location
            && let Err(fault) = Location::parse(location)
        {
            return Some(format!("location {location:?} {fault}"));
        }
        if self.segments.len() > SEGMENTS_MAX {
            return Some(format!("{} segments, at most {SEGMENTS_MAX} are kept", self.segments.len()));
        }
        let repeated = |(at, segment): (usize, &Segment)| {
            let twice = self.segments[..at].iter().any(|other| other.name == segment.name);
            if twice { Some(format!("segment {:?} stands twice", segment.name)) } else { segment.fault() }
        };
        self.segments.iter().enumerate().find_map(repeated).or_else(|| retention::fault(&self.retention))
    }
}

impl Segment {
    fn fault(&self) -> Option<String> {
        let plain = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'_' || letter == b'-';
        let Self { name, condition } = self;
        if name.is_empty() || name.len() > SEGMENT_NAME_BYTES_MAX || !name.bytes().all(plain) {
            let shown: String = name.chars().take(80).collect();
            return Some(format!(
                "{shown:?} is no name of a segment: 1 to {SEGMENT_NAME_BYTES_MAX} of letters, digits, - and _"
            ));
        }
        let condition = condition.trim();
        if condition.is_empty() || condition.len() > CONDITION_BYTES_MAX {
            return Some(format!("segment {name:?}: when must have 1 to {CONDITION_BYTES_MAX} bytes"));
        }
        None
    }
}
