//! What of a user agent stands in a row, remembered for the user agents that come again.
//!
//! | `device_type` | when |
//! |---|---|
//! | `bot` | uap-core's device is `Spider` |
//! | `tv` | a television's system (`tvOS`, `Roku`, `Chromecast …`, `Web0S` …) or device (`HbbTV`, `AppleTV` …), or `TV` in the text |
//! | `console` | PlayStation, Xbox, Nintendo |
//! | `wearable` | watchOS, an Apple Watch |
//! | `tablet` | an iPad, `Tablet` in the text, Kindle, PlayBook; Android without `Mobile` |
//! | `mobile` | another system or device of telephones, or `Mobile` in the text |
//! | `desktop` | Windows, macOS, Linux and its distributions, Chrome OS, the BSDs |
//! | null | none of these: libraries, command lines, nonsense |
//!
//! `platform` is the family of the operating system, `browser` that of the browser; both null where uap-core says `Other`.

mod kind;
mod memory;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::user_agent::{OTHER, UserAgents};

use self::kind::device_type;
use self::memory::Memory;

/// What is remembered of user agents, texts and answers.
const MEMORY_BYTES_MAX: usize = 8 << 20;

/// What a user agent tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    pub device_type: Option<&'static str>,
    pub platform: Option<Arc<str>>,
    pub browser: Option<Arc<str>>,
    pub is_bot: bool,
}

/// Answers for user agents.
pub struct Clients {
    /// One at a time: each rule keeps scratch memory for every thread that matches at once.
    agents: Mutex<UserAgents>,
    memory: Memory,
}

impl Default for Clients {
    fn default() -> Self {
        Self { agents: Mutex::default(), memory: Memory::new(MEMORY_BYTES_MAX) }
    }
}

impl Clients {
    pub fn client(&self, user_agent: &str) -> Arc<Client> {
        self.memory.get_or(user_agent, || self.found(user_agent))
    }

    /// Reads the rules, so that the first sender does not wait for it; takes about 80 ms.
    pub fn prepare(&self) {
        self.found("");
    }

    fn found(&self, user_agent: &str) -> Client {
        let agents = self.agents.lock();
        let (browser, system) = (agents.browser(user_agent).family, agents.system(user_agent).family);
        let device = agents.device(user_agent);
        let device_type = device_type(user_agent, &system, &device);
        let known = |family: String| (family != OTHER).then(|| Arc::from(family));
        Client { is_bot: device_type == Some(kind::BOT), device_type, platform: known(system), browser: known(browser) }
    }
}

#[cfg(test)]
mod tests;
