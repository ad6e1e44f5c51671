//! A network of IP addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// IPv4 or IPv6 prefix in CIDR notation (RFC 4632, RFC 4291 §2.3), or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpNet);

impl Network {
    /// Whether `address` lies in it. An IPv4 address that came in through an IPv6 socket is an IPv4 address.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// Neither an address nor a prefix.
    #[error("not a network: expected an address or a prefix, as in 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")]
    Unreadable,
    /// Bits are set behind the prefix: one of the two is a mistake.
    #[error("{0} is an address within {1}: write {1} for the network, or the address alone")]
    HostBits(String, String),
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let text = text.trim();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(IpNet::from(address.to_canonical())));
        }
        let network: IpNet = text.parse().map_err(|_invalid| InvalidNetwork::Unreadable)?;
        let whole = network.trunc();
        if whole != network {
            return Err(InvalidNetwork::HostBits(text.to_owned(), whole.to_string()));
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            write!(f, "{}", self.0.addr())
        } else {
            write!(f, "{}", self.0)
        }
    }
}

impl PartialSchema for Network {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .description(Some("An IPv4 or IPv6 prefix in CIDR notation, or one address."))
            .examples(["192.0.2.0/24", "2001:db8::/32", "192.0.2.7"])
            .build()
            .into()
    }
}

impl ToSchema for Network {}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidNetwork, Network};

    #[test]
    fn a_prefix_holds_its_addresses_and_a_senseless_one_is_refused() {
        let network = |text: &str| text.parse::<Network>();
        let lies_in = |address: &str, text: &str| network(text).unwrap().contains(address.parse().unwrap());
        assert!(lies_in("192.0.2.7", "192.0.2.0/24") && !lies_in("192.0.3.7", "192.0.2.0/24"));
        assert!(lies_in("::ffff:192.0.2.7", "192.0.2.7"), "through an IPv6 socket");
        assert!(lies_in("2001:db8::1", "2001:db8::/32") && !lies_in("192.0.2.7", "::/0"));
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7");
        assert_eq!(network("::/0").unwrap().to_string(), "::/0");
        assert!(matches!(network("192.0.2.7/24"), Err(InvalidNetwork::HostBits(..))));
        for text in ["", "x", "192.0.2.0/33", "192.0.2", "192.0.2.0/", "2001:db8::/129"] {
            assert_eq!(network(text), Err(InvalidNetwork::Unreadable), "{text}");
        }
    }
}
