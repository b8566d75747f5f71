//! The pass without its last stage, for measuring what each stage costs (`examples/pass.rs`). Stores nothing.

use bytes::Bytes;
use ridealong_common::event::Defaults;
use ridealong_common::time::Timestamp;
use ridealong_model::tenant::TenantId;
use serde_json::Value;

use crate::correct::correct;
use crate::decode::decode;
use crate::door::Ingest;
use crate::events::{Read, Reading, prepare};
use crate::refusal::Refusal;
use crate::validate::validate;

impl Ingest {
    /// A frame; `done` is told after each stage which one it was. The number of its rows.
    pub fn rehearse_frame(
        &self,
        tenant: &TenantId,
        bytes: &Bytes,
        mut done: impl FnMut(&'static str),
    ) -> Result<u64, Refusal> {
        let (corrections, now) = (self.catalog.corrections(tenant), Timestamp::now());
        let decoded = decode(bytes)?;
        done("decode");
        let validated = validate(decoded, now);
        done("validate");
        let corrected = correct(validated, corrections, now);
        done("correct");
        let enriched = self.enricher.enrich_frame(corrected);
        done("enrich");
        Ok(enriched.rows())
    }

    /// JSON events, parsed already; the number of those that are sound.
    pub fn rehearse_events(
        &self,
        tenant: &TenantId,
        values: &[Value],
        mut done: impl FnMut(&'static str),
    ) -> Result<usize, Refusal> {
        let (corrections, now) = (self.catalog.corrections(tenant), Timestamp::now());
        let reading = Reading { defaults: &Defaults::default(), corrections, now };
        let read: Vec<_> = values.iter().map(|value| reading.read(value)).collect();
        done("validate and correct");
        let sound = read.iter().filter(|read| matches!(read, Read::Sound(_))).count();
        prepare(&self.enricher, tenant, read, now)?;
        done("encode and enrich");
        Ok(sound)
    }
}
