//! Settings: flag, then environment, then `config.toml` in the data folder, then default. Unknown keys are refused.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::data_dir::{Misconfigured, require_private};
use crate::crypto::Secret;
use crate::node::service::retention::Retention;
use crate::node::{Lives, Policies};
use crate::wire::network::Network;

/// The settings file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfigFile {
    /// Where the data lives; by default `sandpiper.db` in the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Address and port to serve on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// PEM certificate chain: serve TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// PEM key of that certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Serve plain HTTP off loopback, behind a proxy that ends TLS.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure_http: bool,
    /// Proxies in front of this server, as networks or addresses: whom they name in X-Forwarded-For is who asks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<Network>,
    /// On a secondary: talk to primaries that are not on this machine by plain HTTP (the Go reference has no TLS).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_http_primaries: bool,
    /// On a secondary: replace an api-key that is older than so many days, 1 to 3650, at the next sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate_every_days: Option<u32>,
    /// On a secondary: primaries that its schedules sync at the same time, 1 to 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_jobs: Option<u32>,
    /// On a secondary: a program with its arguments, run after a sync that changed something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hook_command: Vec<String>,
    /// On a secondary: seconds that this program may take, 1 to 3600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_command_seconds: Option<u32>,
    /// On a secondary: where a sync that changed something is reported to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_url: Option<String>,
    /// What such reports are signed with.
    #[serde(skip_serializing)]
    pub hook_secret: Option<Secret>,
    /// A file that holds it instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_secret_file: Option<PathBuf>,
    /// bcrypt cost of people's passwords, 10 to 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_cost: Option<u32>,
    /// Least zxcvbn score of a new password, 0 to 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_min_score: Option<u8>,
    /// Life of a person's login, from 15 minutes to 90 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_minutes: Option<u32>,
    /// Life of a person's login without a request, from 5 minutes to 90 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_idle_minutes: Option<u32>,
    /// How many of the newest versions of a slice are kept, 1 to 100000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_versions: Option<u32>,
    /// For how many hours versions are kept beyond that, 0 to 8760; 1,000 versions at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_hours: Option<u32>,
}

/// Holds the secret of hooks instead of the settings.
pub const HOOK_SECRET_VARIABLE: &str = "SANDPIPER_HOOK_SECRET";
/// Shorter ones can be guessed.
const HOOK_SECRET_CHARACTERS: usize = 16;

/// In minutes.
const DAYS_90: u32 = 90 * 24 * 60;

impl ConfigFile {
    /// Reads and checks the text of the file.
    ///
    /// # Errors
    /// A sentence that names line and key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| {
            // The error's own text quotes the line, which may hold a password.
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            format!("line {}: {}", before.matches('\n').count() + 1, error.message().replace('\n', " "))
        })?;
        if config.keep_versions.is_some_and(|versions| !(1..=100_000).contains(&versions)) {
            return Err("keep_versions must be 1 to 100000".to_owned());
        }
        if config.keep_hours.is_some_and(|hours| hours > 8_760) {
            return Err("keep_hours must be at most 8760, a year".to_owned());
        }
        if config.password_cost.is_some_and(|cost| !(10..=16).contains(&cost)) {
            return Err("password_cost must be 10 to 16".to_owned());
        }
        if config.password_min_score.is_some_and(|score| score > 4) {
            return Err("password_min_score must be 0 to 4".to_owned());
        }
        if config.session_minutes.is_some_and(|minutes| !(15..=DAYS_90).contains(&minutes)) {
            return Err(format!("session_minutes must be 15 to {DAYS_90} (90 days)"));
        }
        if config.session_idle_minutes.is_some_and(|minutes| !(5..=DAYS_90).contains(&minutes)) {
            return Err(format!("session_idle_minutes must be 5 to {DAYS_90} (90 days)"));
        }
        if config.rotate_every_days.is_some_and(|days| !(1..=3_650).contains(&days)) {
            return Err("rotate_every_days must be 1 to 3650".to_owned());
        }
        if config.sync_jobs.is_some_and(|jobs| !(1..=64).contains(&jobs)) {
            return Err("sync_jobs must be 1 to 64".to_owned());
        }
        if config.hook_command_seconds.is_some_and(|seconds| !(1..=3_600).contains(&seconds)) {
            return Err("hook_command_seconds must be 1 to 3600".to_owned());
        }
        if config.hook_secret.is_some() && config.hook_secret_file.is_some() {
            return Err("hook_secret and hook_secret_file say the same: set one of them".to_owned());
        }
        if config.tls_cert.is_some() != config.tls_key.is_some() {
            return Err("tls_cert and tls_key belong together: set both or none".to_owned());
        }
        Ok(config)
    }

    /// What it says of credentials.
    pub fn policies(&self) -> Policies {
        let default = Lives::default();
        let minutes = |given: Option<u32>| given.map(|minutes| chrono::Duration::minutes(i64::from(minutes)));
        let whole = minutes(self.session_minutes).unwrap_or(default.whole);
        Policies {
            passwords: self.password_policy(),
            sessions: Lives { whole, idle: minutes(self.session_idle_minutes).unwrap_or(whole) },
            proxies: self.trusted_proxies.clone(),
            retention: self.retention(),
        }
    }

    fn retention(&self) -> Retention {
        let default = Retention::default();
        Retention {
            versions: self.keep_versions.map_or(default.versions, i64::from),
            young: self.keep_hours.map_or(default.young, |hours| chrono::Duration::hours(i64::from(hours))),
        }
    }

    /// What reports of hooks are signed with: from the environment, the settings, or the file that they name.
    ///
    /// # Errors
    /// [`Misconfigured`] for a file that cannot be read or that others can read, and for a secret that is too short; it is
    /// never shown.
    pub fn hook_secret(&self) -> Result<Option<Secret>, Misconfigured> {
        let (secret, from) =
            match (std::env::var(HOOK_SECRET_VARIABLE), &self.hook_secret, &self.hook_secret_file) {
                (Ok(text), _, _) => (Secret::from(text.trim()), HOOK_SECRET_VARIABLE.to_owned()),
                (_, Some(secret), _) => (secret.clone(), "hook_secret".to_owned()),
                (_, None, Some(path)) => {
                    require_private(path)?;
                    let text = std::fs::read_to_string(path)
                        .map(zeroize::Zeroizing::new)
                        .map_err(|error| Misconfigured(format!("cannot read {}: {error}", path.display())))?;
                    (Secret::from(text.trim()), path.display().to_string())
                }
                (_, None, None) => return Ok(None),
            };
        if secret.expose().chars().count() < HOOK_SECRET_CHARACTERS {
            return Err(Misconfigured(format!(
                "{from}: the secret must have {HOOK_SECRET_CHARACTERS} characters or more: `openssl rand -hex 32` makes one"
            )));
        }
        Ok(Some(secret))
    }

    /// Cost and least score of passwords.
    pub fn password_policy(&self) -> crate::crypto::password::Policy {
        let default = crate::crypto::password::Policy::default();
        crate::crypto::password::Policy {
            cost: self.password_cost.unwrap_or(default.cost),
            min_score: self.password_min_score.unwrap_or(default.min_score),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ConfigFile;

    #[test]
    fn unknown_and_senseless_settings_are_refused() {
        assert!(ConfigFile::parse("").is_ok());
        assert!(ConfigFile::parse("listen = \"127.0.0.1:1\"").is_ok());
        assert!(ConfigFile::parse("trusted_proxies = [\"10.0.0.0/8\", \"::1\"]").is_ok());
        for text in [
            "lissten = 1",
            "keep_versions = 0",
            "keep_hours = 10000",
            "password_cost = 4",
            "password_min_score = 9",
            "session_minutes = 1",
            "session_idle_minutes = 1000000",
            "tls_cert = \"x\"",
            "rotate_every_days = 0",
            "sync_jobs = 0",
            "hook_command = \"one text\"",
            "hook_command_seconds = 0",
            "hook_secret = 7",
            "hook_secret = \"a\"\nhook_secret_file = \"b\"",
            "trusted_proxies = [\"10.0.0.1/8\"]",
            "listen = \"x\"",
        ] {
            assert!(ConfigFile::parse(text).is_err(), "{text}");
        }
    }
}
