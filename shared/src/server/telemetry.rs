//! Logs: to standard error, one line an event, secrets kept out by construction.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Crates that print wire content when asked for more than this: headers with tokens, SQL with values.
const CAPPED: [&str; 14] = [
    "actix_http",
    "actix_web",
    "actix_server",
    "actix_rt",
    "diesel",
    "h2",
    "hyper",
    "hyper_util",
    "mio",
    "r2d2",
    "reqwest",
    "rustls",
    "tokio",
    "tower",
];

/// The filter for a level or directive list such as `info` or `debug,shared=trace`.
///
/// # Errors
/// Text that is no filter.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    let mut filter = EnvFilter::try_new(text).map_err(|error| format!("log filter `{text}`: {error}"))?;
    for name in CAPPED {
        if let Ok(directive) = format!("{name}=info").parse() {
            filter = filter.add_directive(directive);
        }
    }
    Ok(filter)
}

/// Starts logging for this process; a second call changes nothing.
///
/// # Errors
/// Text that is no filter.
pub fn start(text: &str, as_json: bool) -> Result<(), String> {
    start_with(text, as_json, std::io::stderr)
}

/// Starts logging into `writer`.
///
/// # Errors
/// Text that is no filter.
pub fn start_with<W>(text: &str, as_json: bool, writer: W) -> Result<(), String>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = filter(text)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // Already started (in-process servers of a test): the first one stays.
    let started = if as_json { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
    drop(started);
    Ok(())
}
