//! `serve`: settings into [`ServeOptions`].

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{Failure, output};
use crate::node::Node;
use crate::server::config::ConfigFile;
use crate::server::serve::{Running, ServeError, ServeOptions};
use crate::server::tls;

/// Options of `serve`.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// Address and port to serve on (port 0: a free one)
    #[arg(long, env = "SANDPIPER_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Certificate chain (PEM): serve TLS
    #[arg(long, env = "SANDPIPER_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, env = "SANDPIPER_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Serve plain HTTP to other machines, behind a proxy that ends TLS
    #[arg(long, env = "SANDPIPER_INSECURE_HTTP")]
    pub insecure_http: bool,
}

impl Serve {
    /// Flags and environment, then the settings file, then the default port on loopback.
    ///
    /// # Errors
    /// Configuration (78) for a certificate that cannot be used.
    pub fn options(&self, config: &ConfigFile, default_port: u16) -> Result<ServeOptions, Failure> {
        let cert = self.tls_cert.as_ref().or(config.tls_cert.as_ref());
        let key = self.tls_key.as_ref().or(config.tls_key.as_ref());
        let tls = match (cert, key) {
            (Some(cert), Some(key)) => Some(tls::server_config(cert, key).map_err(Failure::config)?),
            _ => None,
        };
        Ok(ServeOptions {
            listen: self.listen.or(config.listen).unwrap_or(SocketAddr::from(([127, 0, 0, 1], default_port))),
            tls,
            insecure_http: self.insecure_http || config.insecure_http,
            signals: true,
        })
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Misconfigured(error) => error.into(),
            ServeError::Bind { listen, error } if error.kind() == std::io::ErrorKind::AddrInUse => {
                Self::failed(format!(
                    "port {} is taken: stop the other process or give --listen",
                    listen.port()
                ))
            }
            other @ ServeError::Bind { .. } => Self::failed(other.to_string()),
        }
    }
}

/// A server that may only be read says so at its start, with the remedy.
pub fn tell_of_rollback(node: &Node) {
    if let Err(error) = node.store.require_current() {
        tracing::error!("nobody is let in, and nothing is written: {error}");
    }
}

/// Says where the server is, then serves until a signal ends it.
///
/// # Errors
/// The server's.
pub async fn until_stopped(running: Running, name: &str) -> Result<(), Failure> {
    output::write_line(&format!("{name} serves {} (stop with Ctrl-C)", running.url()))?;
    Ok(running.wait().await?)
}
