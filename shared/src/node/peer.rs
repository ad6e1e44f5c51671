//! Who is at the other end of a connection (security L4).

use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv6Addr};

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpRequest, web};

use super::{Error, Node};
use crate::wire::network::Network;

/// Longer names of clients are cut.
const MAX_AGENT: usize = 200;

/// Who asks, as far as the connection tells, and the proxies that the operator trusts.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// IP address.
    pub address: Option<IpAddr>,
    /// What the client calls itself.
    pub agent: Option<String>,
}

impl Peer {
    /// Who sent `request`.
    pub fn of(request: &HttpRequest) -> Self {
        let proxies = request.app_data::<web::Data<Node>>().map_or(&[][..], |node| &node.proxies);
        let connected = request.peer_addr().map(|address| address.ip());
        let agent = request.headers().get("user-agent").and_then(|value| value.to_str().ok());
        Self {
            address: connected.map(|address| client_address(address, request.headers(), proxies)),
            agent: agent.map(|text| text.chars().take(MAX_AGENT).collect()),
        }
    }

    /// What is taken for one place: an IPv4 address, or the /64 of an IPv6 address, since a single host has all of it.
    pub fn source(&self) -> String {
        match self.address {
            Some(IpAddr::V6(address)) => {
                let prefix = u128::from(address) & !u128::from(u64::MAX);
                format!("{}/64", Ipv6Addr::from(prefix))
            }
            Some(address) => address.to_string(),
            None => String::new(),
        }
    }
}

impl FromRequest for Peer {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

/// The rightmost address that is none of `proxies`: each of them has appended whom it was talking to, and what stands
/// further left anybody can have written.
fn client_address(connected: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let mut address = connected.to_canonical();
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
    let mut hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
    while proxies.iter().any(|proxy| proxy.contains(address)) {
        let Some(hop) = hops.next().and_then(address_of) else { break };
        address = hop;
    }
    address
}

/// Some proxies write the port, too.
fn address_of(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let address: IpAddr = hop
        .parse()
        .ok()
        .or_else(|| hop.parse().ok().map(|socket: std::net::SocketAddr| socket.ip()))
        .or_else(|| hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok())?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{Peer, client_address};
    use crate::wire::network::Network;

    fn seen(connected: &str, forwarded: &[&'static str], proxies: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static(line));
        }
        let proxies: Vec<Network> = proxies.iter().map(|text| text.parse().unwrap()).collect();
        client_address(connected.parse().unwrap(), &headers, &proxies).to_string()
    }

    #[test]
    fn a_header_is_believed_only_as_far_as_trusted_proxies_wrote_it() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        for (connected, forwarded, proxies, expected) in [
            ("192.0.2.1", &["198.51.100.9"][..], &[][..], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.9"], &trusted, "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.9"], &trusted, "198.51.100.9"),
            ("::ffff:10.0.0.1", &["198.51.100.9"], &trusted, "198.51.100.9"),
            ("10.0.0.1", &["1.2.3.4, 198.51.100.9, 10.0.0.2"], &trusted, "198.51.100.9"),
            ("10.0.0.1", &["1.2.3.4", "198.51.100.9"], &trusted, "198.51.100.9"),
            ("10.0.0.1", &["10.0.0.3,10.0.0.2"], &trusted, "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.9:4711"], &trusted, "198.51.100.9"),
            ("fd00::1", &["[2001:db8::7]:4711"], &trusted, "2001:db8::7"),
            ("fd00::1", &["[2001:db8::7]"], &trusted, "2001:db8::7"),
            ("10.0.0.1", &["198.51.100.9, unknown"], &trusted, "10.0.0.1"),
            ("10.0.0.1", &[], &trusted, "10.0.0.1"),
        ] {
            assert_eq!(seen(connected, forwarded, proxies), expected, "{connected} {forwarded:?}");
        }
    }

    #[test]
    fn one_host_cannot_pass_for_many() {
        let source = |text: &str| Peer { address: Some(text.parse().unwrap()), agent: None }.source();
        assert_eq!(source("2001:db8:1:2::7"), source("2001:db8:1:2:ffff::1"));
        assert_ne!(source("2001:db8:1:2::7"), source("2001:db8:1:3::7"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }
}
