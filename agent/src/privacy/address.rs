//! How a client's address is stored.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ridealong_common::settings::FromSetting;

use super::salt::Salt;

/// Bytes of a hash that are kept: enough that two clients hardly ever share one, and half of what they would take whole.
const HASH_BYTES: usize = 8;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAddress {
    Off,
    /// The network only: /24 of IPv4, /48 of IPv6. Tells regions and abuse, hardly ever a person.
    #[default]
    Truncated,
    /// Tells clients apart on this host only.
    Hashed,
    Full,
}

impl FromSetting for ClientAddress {
    fn from_setting(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "truncated" => Ok(Self::Truncated),
            "hashed" => Ok(Self::Hashed),
            "full" => Ok(Self::Full),
            _ => Err("must be off, truncated, hashed or full".into()),
        }
    }
}

impl ClientAddress {
    pub(super) fn shown(self, client: IpAddr, salt: &Salt) -> Option<String> {
        let client = self.key(client);
        match self {
            Self::Off => None,
            Self::Truncated | Self::Full => Some(client.to_string()),
            Self::Hashed => Some(hashed(client, salt)),
        }
    }

    /// What of the address is looked at. An IPv4 client of a socket for both families is one of IPv4.
    pub(super) fn key(self, client: IpAddr) -> IpAddr {
        match (self, client.to_canonical()) {
            (Self::Off, _) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            (Self::Truncated, IpAddr::V4(address)) => IpAddr::V4((address.to_bits() & (u32::MAX << 8)).into()),
            (Self::Truncated, IpAddr::V6(address)) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80)))
            }
            (_, whole) => whole,
        }
    }
}

fn hashed(client: IpAddr, salt: &Salt) -> String {
    let hash = match client {
        IpAddr::V4(address) => salt.hash(&address.octets()),
        IpAddr::V6(address) => salt.hash(&address.octets()),
    };
    hash[..HASH_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
}
