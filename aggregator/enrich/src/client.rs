//! placeholder
pub struct Client;
pub struct Clients;
