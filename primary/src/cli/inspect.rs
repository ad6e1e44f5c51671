//! `apikey inspect`: what a text is that may be an api-key.

use serde::Serialize;
use shared::cli::{Failure, Global, output, prompt};
use shared::crypto::api_key::is_envelope;
use shared::crypto::scannable_key::ScannableKey;
use shared::node::service::api_key as service;
use shared::wire::api_key::{ApiKeyInfo, Format};

use super::ROLE;

/// What is known of a key.
#[derive(Serialize)]
struct Inspected {
    format: Format,
    /// The id that stands in it, if any does.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// What the database of the named data folder says.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<ApiKeyInfo>,
}

/// Runs `apikey inspect`.
///
/// # Errors
/// Failed (1) for what is no api-key, or none of the named primary.
pub(super) async fn run(global: &Global) -> Result<(), Failure> {
    let text = prompt::password(!prompt::can_ask(), "api-key", "inspect < FILE")?;
    let scannable = ScannableKey::parse(text.expose());
    if scannable.is_none() && !is_envelope(text.expose()) {
        return Err(Failure::failed(
            "this is no api-key: neither spsk1_… with a right checksum nor a sealed one in hex; is all of it there?",
        ));
    }
    let format = if scannable.is_some() { Format::Token } else { Format::Hex };
    let key = if global.data_dir.is_some() {
        let node = global.open(ROLE).await?.node;
        let found = service::inspect(&node, &text).await?;
        let unknown = "this has the shape of an api-key, but this primary did not mint it, or has retired the ring key that sealed it";
        Some(found.ok_or_else(|| Failure::failed(unknown))?)
    } else {
        None
    };
    let inspected = Inspected { format, id: scannable.map(|key| key.id), key };
    output::print(global.json, &inspected, || text_of(&inspected))
}

fn text_of(inspected: &Inspected) -> String {
    let mut lines = vec![match (inspected.format, &inspected.id) {
        (Format::Token, Some(id)) => format!("an api-key with the id {id}; its checksum is right"),
        _ => "a sealed api-key, in hex".to_owned(),
    }];
    match &inspected.key {
        Some(key) => {
            lines.push(format!("  company     {}", key.company_id));
            lines.push(format!("  generation  {}", key.generation));
            lines.push(format!("  state       {}", key.state));
            lines.push(format!("  minted      {} by {}", key.created_at, output::escaped(&key.created_by)));
            lines.extend(key.expires_at.map(|end| format!("  until       {end}")));
        }
        None => {
            lines.push("whether it is good only its primary knows: name that one's --data-dir".to_owned());
        }
    }
    lines.join("\n")
}
