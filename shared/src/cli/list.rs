//! `list`: slices, or the grains of one, as the reference's command prints them. Read page by page; of payloads only those
//! that fit on a screen are loaded.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::{Failure, Global, find_slice, output};
use crate::node::Node;
use crate::payload::{Encoding, PayloadError};
use crate::store::grain::GrainRow;
use crate::store::list::Selection;
use crate::store::slice::Tagged;
use crate::store::slice::{SliceRow, SliceView};
use crate::store::{self, StoreError};
use crate::wire::server::ServerRole;
use crate::wire::{Id, Timestamp};

/// Rows read at a time.
const PAGE_ROWS: i64 = 250;
/// Longest payload that is shown, as text and decoded.
const MAX_SHOWN_BYTES: u32 = 1024 * 1024;

/// Options of `list`.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// The grains of this slice [default: list slices]
    #[arg(short, long, value_name = "NAME|ID")]
    pub slice: Option<String>,
    /// Tell more: of slices their hash, metadata and subscriptions, of grains their decoded payloads
    #[arg(long)]
    pub full: bool,
}

/// Runs `list` on a node of `server_role`. What is listed is what receivers see: published versions.
///
/// # Errors
/// A sentence and its exit code; failed (1) when a payload cannot be unpacked.
pub async fn run(global: &Global, list: List, server_role: ServerRole) -> Result<(), Failure> {
    let node = global.open(server_role).await?.node;
    let mut out = Output { array: global.json.then(output::Array::default) };
    match list.slice {
        None => slices(&node, list.full, &mut out).await?,
        Some(name) => {
            let row = find_slice(&node, name).await?;
            let damaged = grains(&node, &row, list.full, &mut out).await?;
            if damaged > 0 {
                out.end()?;
                return Err(Failure::failed(format!(
                    "{damaged} payload(s) of \"{}\" cannot be unpacked: publish them anew",
                    row.name
                )));
            }
        }
    }
    out.end()
}

/// Text line by line, or one JSON array.
struct Output {
    array: Option<output::Array>,
}

impl Output {
    fn add(&mut self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        match &mut self.array {
            Some(array) => array.add(value),
            None => output::write_line(&text()),
        }
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.array.take().map_or(Ok(()), output::Array::end)
    }
}

#[derive(Serialize)]
struct SliceLine {
    id: Id,
    slice_name: String,
    slice_type: String,
    content_count: i64,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    more: Option<More>,
}

/// What `--full` adds to a slice.
#[derive(Serialize)]
struct More {
    version: i64,
    content_date: Option<Timestamp>,
    content_hash: String,
    metadata: BTreeMap<String, String>,
    subscriptions: Vec<Subscriber>,
}

#[derive(Serialize)]
struct Subscriber {
    company_id: Id,
    company_name: String,
    active: bool,
}

async fn slices(node: &Node, full: bool, out: &mut Output) -> Result<(), Failure> {
    let mut selection = Selection { limit: PAGE_ROWS, ..Selection::all(&store::slice::COLUMNS) };
    loop {
        let wanted = selection.clone();
        let (page, _total) = node
            .store
            .read(move |conn| -> Result<_, StoreError> {
                store::slice::list(conn, None, &Tagged::default(), &wanted)
            })
            .await?;
        let Some(last) = page.last() else { return Ok(()) };
        selection.after_row(|column| store::slice::position(last, column));
        for view in page {
            let slice = tell_slice(node, view, full).await?;
            out.add(&slice, || text_of_slice(&slice))?;
        }
    }
}

async fn tell_slice(node: &Node, (row, published): SliceView, full: bool) -> Result<SliceLine, StoreError> {
    let id = row.id;
    let more = if full {
        let version = published.version;
        let (metadata, subscribers) = node
            .store
            .read(move |conn| -> Result<_, StoreError> {
                let (subscribers, _total) =
                    store::receipt::subscribers(conn, id, &Selection::all(&store::receipt::COLUMNS))?;
                Ok((store::metadata::at(conn, id, version)?, subscribers))
            })
            .await?;
        let subscriptions = subscribers
            .into_iter()
            .map(|(company_id, company_name, active)| Subscriber { company_id, company_name, active })
            .collect();
        Some(More {
            version,
            content_date: published.content_date,
            content_hash: published.content_hash,
            metadata: metadata.into_iter().collect(),
            subscriptions,
        })
    } else {
        None
    };
    Ok(SliceLine {
        id,
        slice_name: row.name,
        slice_type: row.slice_type,
        content_count: published.grain_count,
        more,
    })
}

/// The reference's line, and below it what `--full` adds.
fn text_of_slice(slice: &SliceLine) -> String {
    let name = output::escaped(&slice.slice_name);
    let mut lines =
        vec![format!("{name} ({}) \"{}\" Grains: {}", slice.id, slice.slice_type, slice.content_count)];
    if let Some(more) = &slice.more {
        let when = more.content_date.map_or("never published".to_owned(), |time| time.to_string());
        lines.push(format!("  version: {} ({when})", more.version));
        lines.push(format!("  hash: {}", more.content_hash));
        lines.extend(more.metadata.iter().map(|(key, value)| {
            format!("  metadata: {} = {}", output::escaped(key), output::escaped(value))
        }));
        lines.extend(more.subscriptions.iter().map(|sub| {
            let state = if sub.active { "active" } else { "inactive" };
            format!("  subscription: {} ({}, {state})", output::escaped(&sub.company_name), sub.company_id)
        }));
    }
    lines.join("\n")
}

#[derive(Serialize)]
struct GrainLine {
    id: Id,
    grain_key: String,
    source: String,
    encoding: String,
    payload_len: i64,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    payload: Option<Payload>,
}

/// A payload, decoded.
#[derive(Serialize)]
enum Payload {
    /// It is text.
    #[serde(rename = "payload")]
    Text(String),
    /// It is not; in base64.
    #[serde(rename = "payload_base64")]
    Bytes(String),
    /// Too long to be shown.
    #[serde(rename = "payload_omitted")]
    Omitted(bool),
    /// It cannot be unpacked; why.
    #[serde(rename = "payload_error")]
    Damaged(String),
}

/// Lists them and returns how many payloads cannot be unpacked.
async fn grains(node: &Node, slice: &SliceRow, full: bool, out: &mut Output) -> Result<usize, Failure> {
    let (slice_id, version) = (slice.id, slice.current_version);
    let (mut after, mut damaged) = (None, 0);
    loop {
        let page = node
            .store
            .read(move |conn| store::grain::page(conn, slice_id, version, after, PAGE_ROWS))
            .await?;
        let Some(last) = page.last() else { return Ok(damaged) };
        after = Some(last.id);
        for row in page {
            let payload = if full { Some(payload(node, &row).await?) } else { None };
            if matches!(payload, Some(Payload::Damaged(_))) {
                damaged += 1;
            }
            let grain = GrainLine {
                id: row.id,
                grain_key: row.grain_key,
                source: row.source,
                encoding: row.encoding,
                payload_len: row.payload_len,
                created_at: row.created_at,
                payload,
            };
            out.add(&grain, || text_of_grain(&grain))?;
        }
    }
}

async fn payload(node: &Node, row: &GrainRow) -> Result<Payload, Failure> {
    if row.payload_bytes > i64::from(MAX_SHOWN_BYTES) {
        return Ok(Payload::Omitted(true));
    }
    let Ok(encoding) = row.encoding.parse::<Encoding>() else {
        return Ok(Payload::Damaged("its encoding is unknown".to_owned()));
    };
    let row = row.clone();
    let decoded = node
        .store
        .read(move |conn| -> Result<_, StoreError> {
            let text = store::payload::of_row(conn, &row)?;
            Ok(encoding.decode(&text, u64::from(MAX_SHOWN_BYTES)))
        })
        .await?;
    Ok(match decoded {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Payload::Text(text),
            Err(error) => Payload::Bytes(data_encoding::BASE64.encode(error.as_bytes())),
        },
        Err(PayloadError::TooLarge { .. }) => Payload::Omitted(true),
        Err(error) => Payload::Damaged(error.to_string()),
    })
}

fn text_of_grain(grain: &GrainLine) -> String {
    let mut text = format!(
        "{} ({}) \"{}\" {} {}",
        output::escaped(&grain.grain_key),
        grain.id,
        output::escaped(&grain.source),
        grain.encoding,
        output::size(grain.payload_len)
    );
    let mut add = |line: &str| {
        text.push_str("\n    ");
        text.push_str(line);
    };
    match &grain.payload {
        None => {}
        Some(Payload::Text(payload)) => payload.lines().for_each(|line| add(&output::escaped(line))),
        Some(Payload::Bytes(base64)) => add(&format!("(not text; in base64) {base64}")),
        Some(Payload::Omitted(_)) => add("(too long to be shown)"),
        Some(Payload::Damaged(why)) => add(&format!("(cannot be unpacked: {why})")),
    }
    text
}
