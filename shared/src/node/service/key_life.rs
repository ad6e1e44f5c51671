//! How long an api-key lives and where it may be used from (security K10, K11).

use std::net::IpAddr;

use chrono::Duration;

use crate::node::Error;
use crate::store::api_key::{ApiKeyRow, FoundKey, Standing};
use crate::wire::Timestamp;
use crate::wire::api_key::{Format, MAX_EXPIRES_IN_DAYS, MAX_NETWORKS, MintRequest};
use crate::wire::auth::KeyLife;
use crate::wire::network::Network;
use crate::wire::patch::Patch;

/// What may be said of a key when it is minted. What is not said is as it was for the company's key before.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Days from the mint; none: for ever.
    pub expires_in_days: Patch<u32>,
    /// Where it may be used from; none: anywhere.
    pub networks: Patch<Vec<Network>>,
    /// How it is written.
    pub format: Patch<Format>,
}

impl From<MintRequest> for Terms {
    fn from(body: MintRequest) -> Self {
        Self { expires_in_days: body.expires_in_days, networks: body.networks, format: body.format }
    }
}

/// The same for one key.
pub(super) struct Settled {
    pub expires_at: Option<Timestamp>,
    /// As the database has them.
    pub networks: String,
    pub format: Format,
}

impl Terms {
    /// Whether anything is said.
    pub fn are_given(&self) -> bool {
        self.expires_in_days.is_some() || self.networks.is_some() || self.format.is_some()
    }

    /// # Errors
    /// [`Error::BadRequest`].
    pub(super) fn check(&self) -> Result<(), Error> {
        let days = self.expires_in_days.value();
        if days.is_some_and(|days| !(1..=MAX_EXPIRES_IN_DAYS).contains(days)) {
            return Err(Error::BadRequest(format!(
                "expires_in_days must be 1 to {MAX_EXPIRES_IN_DAYS}, or null for a key that does not expire"
            )));
        }
        if self.networks.value().is_some_and(|networks| networks.len() > MAX_NETWORKS) {
            return Err(Error::BadRequest(format!("networks must be at most {MAX_NETWORKS}")));
        }
        Ok(())
    }

    pub(super) fn settle(&self, before: Option<&ApiKeyRow>, now: Timestamp) -> Settled {
        let life_before = before.and_then(|key| Some(key.expires_at?.get() - key.created_at.get()));
        let life = match &self.expires_in_days {
            Patch::Absent => life_before,
            Patch::Null => None,
            Patch::Value(days) => Some(Duration::days(i64::from(*days))),
        };
        let networks = match &self.networks {
            Patch::Absent => before.map(|key| key.networks.clone()).unwrap_or_default(),
            Patch::Null => String::new(),
            Patch::Value(networks) => written(networks),
        };
        let format = match &self.format {
            Patch::Absent => before.map_or(Format::Hex, format_of),
            Patch::Null => Format::Hex,
            Patch::Value(format) => *format,
        };
        Settled { expires_at: life.map(|life| now.plus(life)), networks, format }
    }
}

/// Whether a key is good now.
pub(in crate::node) fn accepts(key: &Standing, now: Timestamp) -> bool {
    let is_before = |end: Option<Timestamp>| end.is_none_or(|end| now < end);
    matches!(key.state.as_str(), "active" | "overlap")
        && is_before(key.valid_until)
        && is_before(key.expires_at)
}

/// Whether a key may be used from there. `address` is asked only for one that may not be used from anywhere, and nobody is
/// admitted where it is not known.
pub(in crate::node) fn admits(key: &Standing, address: impl FnOnce() -> Option<IpAddr>) -> bool {
    key.networks.is_empty()
        || address()
            .is_some_and(|address| networks_of(&key.networks).iter().any(|network| network.contains(address)))
}

/// Whether a key lets its machine in from `address` now, but for the secret.
pub(super) fn lets_in(found: &FoundKey, address: Option<IpAddr>, now: Timestamp) -> bool {
    let standing = &found.key.standing;
    accepts(standing, now) && admits(standing, || address) && found.user.active && found.company_active
}

/// Whether a key has lived four fifths of its life: time to replace it.
pub(super) fn is_ending(key: &Standing, created_at: Timestamp, now: Timestamp) -> bool {
    let life = KeyLife { created_at: Some(created_at), expires_at: key.expires_at };
    accepts(key, now) && life.is_ending(now)
}

pub(super) fn format_of(key: &ApiKeyRow) -> Format {
    if key.scan_id.is_some() { Format::Token } else { Format::Hex }
}

/// One that cannot be read admits nobody.
pub(super) fn networks_of(networks: &str) -> Vec<Network> {
    networks.split(' ').filter_map(|network| network.parse().ok()).collect()
}

fn written(networks: &[Network]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::accepts;
    use crate::store::api_key::Standing;
    use crate::wire::Timestamp;

    #[test]
    fn a_key_is_over_from_the_very_moment_of_its_end_on() {
        let end = Timestamp::parse("2026-11-23T12:00:00Z").unwrap();
        let key = |valid_until: Option<Timestamp>, expires_at: Option<Timestamp>| Standing {
            generation: 1,
            state: "overlap".to_owned(),
            valid_until,
            expires_at,
            networks: String::new(),
        };
        let just_before = end.plus(-Duration::microseconds(1));
        for ending in [key(Some(end), None), key(None, Some(end))] {
            assert!(accepts(&ending, just_before), "{ending:?}");
            assert!(!accepts(&ending, end), "{ending:?}");
        }
        assert!(accepts(&key(None, None), end));
    }
}
