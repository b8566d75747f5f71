//! Whose data it is.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// Longest name of a tenant; it becomes a folder and stands in every log record.
pub const TENANT_BYTES_MAX: usize = 64;

/// A tenant's name: 1 to 64 of `a-z 0-9 - _`, beginning with a letter or digit, so that it is a folder name anywhere.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no tenant: 1 to {TENANT_BYTES_MAX} of a-z, 0-9, - and _, beginning with a letter or digit")]
pub struct TenantError(String);

impl TenantId {
    /// Who calls while no key exists.
    pub fn default_tenant() -> Self {
        Self(Arc::from("default"))
    }

    pub fn parse(name: &str) -> Result<Self, TenantError> {
        let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        let valid = name.len() <= TENANT_BYTES_MAX
            && name.bytes().next().is_some_and(plain)
            && name.bytes().all(|letter| plain(letter) || letter == b'-' || letter == b'_');
        if valid { Ok(Self(Arc::from(name))) } else { Err(TenantError(name.chars().take(80).collect())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_as_a_folder() {
        for name in ["default", "a", "team-7", "0x_y"] {
            assert_eq!(TenantId::parse(name).map(|tenant| tenant.to_string()), Ok(name.to_owned()));
        }
        let long = "a".repeat(65);
        for name in ["", ".", "..", "a/b", "A", "-a", "_a", "a.b", "ä", long.as_str()] {
            assert!(TenantId::parse(name).is_err(), "{name}");
        }
    }
}
