//! Browser, operating system and device of a user agent, by the rules of uap-core (`data/regexes.yaml`, see the NOTICE
//! beside it).
//!
//! The rules are read and their prefilter is built when first asked; a rule's expression is compiled when the prefilter
//! first lets a text through to it. So an aggregator pays for the hundred or so rules that its traffic meets, not for all
//! 1,270.

mod needed;
mod rules;
mod set;
pub mod yaml;

use std::sync::OnceLock;

use self::rules::{Kind, Rules};
use self::set::RuleSet;

/// What uap-core answers where no rule fits.
pub const OTHER: &str = "Other";

/// A longer text is cut here: no real user agent comes near it, and matching takes time in proportion.
pub const USER_AGENT_BYTES_MAX: usize = 2 << 10;

const REGEXES: &str = include_str!("../data/regexes.yaml");

/// Family and version of a browser or an operating system; None where the user agent does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Product {
    pub family: String,
    pub major: Option<String>,
    pub minor: Option<String>,
    pub patch: Option<String>,
    pub patch_minor: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    pub family: String,
    pub brand: Option<String>,
    pub model: Option<String>,
}

/// The rules, ready when they are first asked.
#[derive(Default)]
pub struct UserAgents {
    sets: OnceLock<Sets>,
}

struct Sets {
    browsers: RuleSet,
    systems: RuleSet,
    devices: RuleSet,
}

impl UserAgents {
    pub fn browser(&self, user_agent: &str) -> Product {
        product(self.sets().browsers.answer(bounded(user_agent)))
    }

    pub fn system(&self, user_agent: &str) -> Product {
        product(self.sets().systems.answer(bounded(user_agent)))
    }

    pub fn device(&self, user_agent: &str) -> Device {
        let [family, brand, model, ..] = self.sets().devices.answer(bounded(user_agent)).unwrap_or_default();
        Device { family: family.unwrap_or_else(|| OTHER.to_owned()), brand, model }
    }

    /// How many expressions are compiled by now.
    pub fn compiled(&self) -> usize {
        self.sets.get().map_or(0, |sets| sets.browsers.compiled() + sets.systems.compiled() + sets.devices.compiled())
    }

    fn sets(&self) -> &Sets {
        self.sets.get_or_init(|| {
            let rules = Rules::read(REGEXES).expect("the file is part of the program and a test reads it");
            Sets {
                browsers: RuleSet::new(Kind::Browser, rules.browsers),
                systems: RuleSet::new(Kind::System, rules.systems),
                devices: RuleSet::new(Kind::Device, rules.devices),
            }
        })
    }
}

fn product(answer: Option<set::Answer>) -> Product {
    let [family, major, minor, patch, patch_minor] = answer.unwrap_or_default();
    Product { family: family.unwrap_or_else(|| OTHER.to_owned()), major, minor, patch, patch_minor }
}

/// The text's beginning, cut between characters.
fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(USER_AGENT_BYTES_MAX)]
}

#[cfg(test)]
mod tests;
