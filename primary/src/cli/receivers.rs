//! `slice receivers`: who has which version.

use shared::cli::{Failure, Global, output};
use shared::node::Node;
use shared::node::query::List;
use shared::node::service::receiver as service;
use shared::store::slice::SliceRow;
use shared::wire::Timestamp;
use shared::wire::receiver::Receiver;

/// Prints who subscribes to a slice, and what each has of it.
pub(super) async fn run(global: &Global, node: &Node, slice: &SliceRow) -> Result<(), Failure> {
    let receivers = service::list_for(node, slice.id, List::everything(&service::COLUMNS))
        .await?
        .data
        .unwrap_or_default();
    output::print(global.json, &receivers, || {
        if receivers.is_empty() {
            return format!(
                "nobody subscribes to \"{}\" yet: sandpiper-primary sub add --company NAME --slice \"{}\"",
                slice.name, slice.name
            );
        }
        let rows: Vec<Vec<String>> = receivers.iter().map(row).collect();
        output::table(
            &["COMPANY", "SUBSCRIPTION", "HAS VERSION", "SINCE", "LAST ASKED", "ERROR", "ID"],
            &rows,
        )
    })
}

fn row(receiver: &Receiver) -> Vec<String> {
    let time = |time: Option<Timestamp>| time.map_or("-".to_owned(), |time| time.to_string());
    let has = match receiver.version {
        None => "-".to_owned(),
        Some(version) => {
            let current = if receiver.current { " (current)" } else { "" };
            let inferred = if receiver.inferred { " (inferred)" } else { "" };
            format!("{version}{current}{inferred}")
        }
    };
    vec![
        receiver.company_name.clone(),
        if receiver.active { "active" } else { "inactive" }.to_owned(),
        has,
        time(receiver.reported_at),
        time(receiver.asked_at),
        receiver.error.clone(),
        receiver.company_id.to_string(),
    ]
}
