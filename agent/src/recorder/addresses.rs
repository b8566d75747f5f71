//! Clients' addresses in the form in which they are stored, made once for many exchanges of one client.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::privacy::Privacy;

/// Clients remembered by a thread; then it begins anew.
const CLIENTS_MAX: usize = 1_024;

#[derive(Default)]
pub(super) struct Addresses {
    known: RefCell<HashMap<IpAddr, Option<Arc<str>>, RandomState>>,
}

impl Addresses {
    pub fn shown(&self, client: IpAddr, privacy: &Privacy) -> Option<Arc<str>> {
        let mut known = self.known.borrow_mut();
        let key = privacy.client_key(client);
        if !known.contains_key(&key) && known.len() >= CLIENTS_MAX {
            known.clear();
        }
        known.entry(key).or_insert_with(|| privacy.client_address(client).map(Arc::from)).clone()
    }
}
