//! What a user agent and an address tell about their sender. Knows no events, no log, no tenants.
//!
//! [`user_agent`] has the rules of uap-core and their answers; [`client`] makes of these the few words that stand in a row,
//! and remembers them; [`place`] reads a file of addresses.

pub mod client;
pub mod place;
pub mod user_agent;

pub use client::{Client, Clients};
pub use place::{Place, Places, PlacesError};
