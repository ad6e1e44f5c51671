//! How a PostgreSQL is reached. What libpq would take from its environment is written out before it is judged, so that
//! what was judged is what is used (design D7).

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::connection::UrlError;

/// Whether this build can encrypt: the feature `postgres-tls`.
pub(super) const HAS_TLS: bool = cfg!(feature = "postgres-tls");

/// What is said unless the URL says it: a server that does not answer must not hold a request for minutes.
const DEFAULTS: [(&str, &str); 5] = [
    ("application_name", "sandpiper"),
    ("client_encoding", "UTF8"),
    ("connect_timeout", "5"),
    ("keepalives_idle", "30"),
    ("tcp_user_timeout", "30000"),
];

/// A PostgreSQL and how to get there. Shown without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Conninfo {
    /// `key='value' …`, as libpq takes it.
    text: Zeroizing<String>,
    shown: String,
}

impl Conninfo {
    /// From a URL, with the process's environment.
    pub(super) fn parse(url: &str) -> Result<Self, UrlError> {
        Self::judge(url, |name| std::env::var(name).ok(), HAS_TLS)
    }

    /// What libpq takes.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    fn judge(
        url: &str,
        environment: impl Fn(&str) -> Option<String>,
        has_tls: bool,
    ) -> Result<Self, UrlError> {
        let url = url::Url::parse(url).map_err(|_invalid| UrlError::Malformed)?;
        let mut params = params(&url)?;
        for (key, variable) in [
            ("host", "PGHOST"),
            ("hostaddr", "PGHOSTADDR"),
            ("sslmode", "PGSSLMODE"),
            ("sslrootcert", "PGSSLROOTCERT"),
        ] {
            if let Some(value) = environment(variable).filter(|value| !value.is_empty()) {
                params.entry(key.to_owned()).or_insert(value);
            }
        }
        // A service file may name any server at all.
        if params.contains_key("service") || environment("PGSERVICE").is_some_and(|name| !name.is_empty()) {
            return Err(UrlError::Service);
        }
        require_encryption(&mut params, has_tls)?;
        for (key, value) in DEFAULTS {
            params.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        }
        let text = params
            .iter()
            .map(|(key, value)| format!("{key}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'")))
            .collect::<Vec<_>>()
            .join(" ");
        Ok(Self { text: Zeroizing::new(text), shown: shown(&params) })
    }
}

impl std::fmt::Display for Conninfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

type Params = BTreeMap<String, String>;

fn params(url: &url::Url) -> Result<Params, UrlError> {
    let decoded = |text: &str| -> Result<String, UrlError> {
        percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_not_text| UrlError::Malformed)
    };
    let mut params = Params::new();
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let parts = [
        ("host", decoded(host)?),
        ("port", url.port().map(|port| port.to_string()).unwrap_or_default()),
        ("user", decoded(url.username())?),
        ("password", decoded(url.password().unwrap_or_default())?),
        ("dbname", decoded(url.path().trim_start_matches('/'))?),
    ];
    params.extend(
        parts
            .into_iter()
            .filter(|(_key, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), value)),
    );
    for (key, value) in url.query_pairs() {
        // As libpq reads JDBC's way to say it.
        let (key, value) = if (&*key, &*value) == ("ssl", "true") {
            ("sslmode".to_owned(), "require".to_owned())
        } else {
            (key.into_owned(), value.into_owned())
        };
        // The key stands unquoted before its value.
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(UrlError::Malformed);
        }
        params.insert(key, value);
    }
    Ok(params)
}

/// Off this machine: encrypted and verified, unless the operator wrote something else.
fn require_encryption(params: &mut Params, has_tls: bool) -> Result<(), UrlError> {
    let mode = params.get("sslmode").cloned();
    let wants_tls = matches!(mode.as_deref(), Some("require" | "verify-ca" | "verify-full"));
    if wants_tls && !has_tls {
        return Err(UrlError::NoTls);
    }
    // The address is where it goes; the name is then only what the certificate must say.
    let goes_to = params.get("hostaddr").or_else(|| params.get("host")).cloned().unwrap_or_default();
    let remote = goes_to.split(',').find(|host| !is_local(host)).map(str::to_owned);
    if let Some(remote) = remote {
        match mode.as_deref() {
            Some("disable" | "require" | "verify-ca" | "verify-full") => {}
            _ if !has_tls => return Err(UrlError::Unencrypted(remote)),
            None => {
                params.insert("sslmode".to_owned(), "verify-full".to_owned());
            }
            Some(_) => return Err(UrlError::MayBePlain(remote)),
        }
    }
    let verifies = params.get("sslmode").is_some_and(|mode| mode.starts_with("verify-"));
    if verifies
        && !params.contains_key("sslrootcert")
        && let Some(bundle) = system_certificates()
    {
        params.insert("sslrootcert".to_owned(), bundle);
    }
    Ok(())
}

/// Loopback or a Unix socket; an empty host is the default socket.
fn is_local(host: &str) -> bool {
    host.is_empty()
        || host.starts_with(['/', '@'])
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The system's trust store. The OpenSSL that is compiled in knows no system's.
#[cfg(feature = "postgres-tls")]
fn system_certificates() -> Option<String> {
    openssl_probe::probe().cert_file.map(|path| path.display().to_string())
}

#[cfg(not(feature = "postgres-tls"))]
fn system_certificates() -> Option<String> {
    None
}

fn shown(params: &Params) -> String {
    let part = |key: &str| params.get(key).map(String::as_str).unwrap_or_default();
    let port = params.get("port").map(|port| format!(":{port}")).unwrap_or_default();
    let host = part("host");
    if host.starts_with('/') {
        return format!("postgres:///{}?host={host}", part("dbname"));
    }
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("postgres://{host}{port}/{}", part("dbname"))
}

#[cfg(test)]
mod tests {
    use super::{Conninfo, UrlError};

    fn judge(url: &str, environment: &[(&str, &str)], has_tls: bool) -> Result<Conninfo, UrlError> {
        let variable = |name: &str| {
            environment.iter().find(|(key, _value)| *key == name).map(|(_key, value)| (*value).to_owned())
        };
        Conninfo::judge(url, variable, has_tls)
    }

    #[test]
    fn without_tls_a_remote_server_is_refused_however_it_is_named() {
        let cases: [(&str, &[(&str, &str)]); 8] = [
            ("postgres://db.example/x", &[]),
            ("postgres://10.0.0.1/x?sslmode=prefer", &[]),
            ("postgres:///x?host=db.example", &[]),
            ("postgres:///x?host=/run/postgresql,db.example", &[]),
            ("postgres://localhost/x?hostaddr=10.0.0.1", &[]),
            ("postgres:///x", &[("PGHOST", "db.example")]),
            ("postgres://localhost/x", &[("PGHOSTADDR", "10.0.0.1")]),
            ("postgres://localhost.evil.example/x", &[]),
        ];
        for (url, environment) in cases {
            let refused = judge(url, environment, false);
            assert!(matches!(refused, Err(UrlError::Unencrypted(_))), "{url}: {:?}", refused.err());
        }
        for url in ["postgres:///x?service=other", "postgres://localhost/x?service=other"] {
            assert_eq!(judge(url, &[], true).err(), Some(UrlError::Service), "{url}");
        }
        assert_eq!(judge("postgres:///x", &[("PGSERVICE", "a")], true).err(), Some(UrlError::Service));
        for url in ["postgres://db.example/x?sslmode=require", "postgres://localhost/x?sslmode=verify-full"] {
            assert_eq!(judge(url, &[], false).err(), Some(UrlError::NoTls), "{url}");
        }
    }

    #[test]
    fn what_stays_on_this_machine_or_is_accepted_in_plain_is_taken() {
        for url in [
            "postgres://localhost/x",
            "postgres://[::1]:5432/x",
            "postgres://127.0.0.2/x",
            "postgres:///x?host=/run/postgresql",
            "postgres://%2Frun%2Fpostgresql/x",
            "postgres://db.example/x?sslmode=disable",
            "postgres://db.example/x?hostaddr=127.0.0.1",
        ] {
            assert!(judge(url, &[], false).is_ok(), "{url}");
        }
        assert!(judge("postgres://db.example/x", &[("PGSSLMODE", "disable")], false).is_ok());
    }

    #[test]
    fn with_tls_a_remote_server_must_prove_itself_by_default() {
        let remote = judge("postgres://db.example/x", &[], true).unwrap();
        assert!(remote.as_str().contains("sslmode='verify-full'"), "{}", remote.as_str());
        for mode in ["prefer", "allow"] {
            let url = format!("postgres://db.example/x?sslmode={mode}");
            assert_eq!(judge(&url, &[], true).err(), Some(UrlError::MayBePlain("db.example".to_owned())));
        }
        let required = judge("postgres://db.example/x?ssl=true", &[], true).unwrap();
        assert!(required.as_str().contains("sslmode='require'"), "{}", required.as_str());
    }

    #[test]
    fn odd_names_and_passwords_reach_libpq_as_they_are() {
        let info =
            judge("postgres://m%27e:p%40s%5Cs@localhost:5433/a%20b?options=-csearch_path%3Dx", &[], false)
                .unwrap();
        for part in ["user='m\\'e'", "password='p@s\\\\s'", "dbname='a b'", "options='-csearch_path=x'"] {
            assert!(info.as_str().contains(part), "{part} in {}", info.as_str());
        }
        assert_eq!(info.to_string(), "postgres://localhost:5433/a b");
        for url in ["postgres://localhost/x?a%20b=c", "postgres://localhost/x?=c", "postgres://h/%ff"] {
            assert_eq!(judge(url, &[], false).err(), Some(UrlError::Malformed), "{url}");
        }
    }
}
