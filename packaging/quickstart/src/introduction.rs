//! What is said once, before the table: where everything is and what to try.

use std::path::Path;

use url::Url;

use crate::stack::Addresses;

pub struct Introduction<'a> {
    pub addresses: Addresses,
    pub service: &'a str,
    pub upstream: &'a Url,
    pub is_demo: bool,
    /// Whether something listens there already.
    pub is_upstream_there: bool,
    pub folder: &'a Path,
    pub is_kept: bool,
    /// Runs until somebody stops it.
    pub is_live: bool,
}

impl Introduction<'_> {
    pub fn lines(&self) -> Vec<String> {
        let Addresses { aggregator, proxy, agent_api } = self.addresses;
        let upstream = self.upstream.as_str().trim_end_matches('/');
        let what = if self.is_demo { "the demo service" } else { "your service" };
        let fate = if self.is_kept { "kept" } else { "removed at the end; --keep keeps it" };
        let path = if self.is_demo { "/products/7" } else { "/" };
        let mut lines = vec![
            String::new(),
            format!("  service     {}, {what} at {upstream}", self.service),
            format!("  proxy       http://{proxy}  the same service, timed by the agent"),
            format!("  aggregator  http://{aggregator}  where it all goes; answers SQL"),
            format!("  agent API   http://{agent_api}  takes events from the service beside it"),
            format!("  data, logs  {} ({fate})", self.folder.display()),
            String::new(),
            format!("  curl -i http://{proxy}{path}"),
            format!(
                "  curl -s http://{aggregator}/api/analytics/query \
                 -d '{{\"sql\":\"SELECT * FROM requests LIMIT 3\"}}'"
            ),
            String::new(),
        ];
        if !self.is_upstream_there {
            let note = format!("  Nothing listens at {upstream} yet: the proxy answers 502 until something does.");
            lines.extend([note, String::new()]);
        }
        if self.is_live {
            lines.extend(["  Ctrl-C stops everything.".to_owned(), String::new()]);
        }
        lines
    }
}
