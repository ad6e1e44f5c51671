//! Grains of one slice, from the source into version 1: in batches, never whole in memory.

use super::report::{Finding, Notes, Table, named};
use super::slice::Planned;
use super::{ImportError, Reader, length};
use crate::crypto::content_hash::ContentHash;
use crate::crypto::set_hash::{SetHash, grain_digest};
use crate::node::body::MAX_KEY_BYTES;
use crate::payload::{Encoding, MAX_UNPACKED_BYTES};
use crate::store::grain::NewGrain;
use crate::store::payload::MAX_TEXT_BYTES;
use crate::store::reference::{GrainHead, ReferenceError, Source};
use crate::wire::{Id, Timestamp};

/// Grains read and written at a time.
const BATCH_ROWS: usize = 500;
/// Payload read and written at a time, but for a single grain that has more (design D7).
const BATCH_BYTES: i64 = 2 * 1024 * 1024;
/// What a payload may unpack to while it is looked at.
/// The version that an import makes.
pub(super) const VERSION: i64 = 1;

/// What the grains of a slice amount to.
pub(super) struct Content {
    /// Grains that were taken.
    pub grains: i64,
    /// Bytes of their payload texts.
    pub payload_bytes: i64,
    /// Over their ids; metadata is to come.
    pub ids: ContentHash,
    /// Over their digests; metadata is to come.
    pub set: SetHash,
    /// Whether some were refused.
    pub is_incomplete: bool,
}

/// Reads the grains of a slice, batch by batch.
pub(super) struct Stream {
    reader: Reader,
    slice_id: Id,
    shown: String,
    /// Read, judged and not yet fetched.
    wanted: std::collections::VecDeque<GrainHead>,
    ended: bool,
    last: Option<Id>,
    /// What there was up to now.
    pub content: Content,
}

impl Stream {
    /// At the slice's first grain.
    pub async fn begin(reader: Reader, slice: &Planned) -> Result<Self, ImportError> {
        let slice_id = slice.row.id;
        reader.read(move |source| source.begin_grains(slice_id)).await?;
        Ok(Self {
            reader,
            slice_id,
            shown: named(slice_id, &slice.row.name),
            wanted: std::collections::VecDeque::new(),
            ended: false,
            last: None,
            content: Content {
                grains: 0,
                payload_bytes: 0,
                ids: ContentHash::new(),
                set: SetHash::default(),
                is_incomplete: slice.is_incomplete,
            },
        })
    }

    /// The next grains, ready to be written; none at the end.
    pub async fn next(&mut self, notes: &mut Notes) -> Result<Vec<NewGrain>, ImportError> {
        while self.wanted.is_empty() && !self.ended {
            let heads = self.reader.read(|source| source.next_grains(BATCH_ROWS)).await?;
            self.ended = heads.is_empty();
            for head in heads {
                self.judge(head, notes);
            }
        }
        let batch = self.take_batch(notes);
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let slice_id = self.slice_id;
        let read = self.reader.read(move |source| fetch(source, slice_id, batch)).await?;
        let mut grains = Vec::with_capacity(read.len());
        for Fetched { grain, is_undecodable } in read {
            if is_undecodable {
                notes.add(Table::Grains, Finding::Undecodable, self.line(grain.id, &grain.grain_key));
            }
            self.content.grains += 1;
            self.content.payload_bytes += length(grain.payload.len());
            self.content.ids.id(grain.id);
            self.content.set.add_grain(&grain.digest);
            grains.push(grain);
        }
        Ok(grains)
    }

    fn judge(&mut self, head: GrainHead, notes: &mut Notes) {
        let finding = if self.last == Some(head.id) {
            Some(Finding::IdTwice)
        } else if head.nth_of_key > 1 {
            Some(Finding::GrainKeyTwice)
        } else if head.grain_key.len() > MAX_KEY_BYTES {
            Some(Finding::GrainKeyTooLong)
        } else if head.encoding.parse::<Encoding>().is_err() {
            Some(Finding::UnknownEncoding)
        } else if head.payload_bytes > length(MAX_TEXT_BYTES) {
            Some(Finding::TooLarge)
        } else {
            None
        };
        self.last = Some(head.id);
        match finding {
            Some(finding) => {
                self.content.is_incomplete = true;
                notes.add(Table::Grains, finding, self.line(head.id, &head.grain_key));
            }
            None => self.wanted.push_back(head),
        }
    }

    fn take_batch(&mut self, notes: &mut Notes) -> Vec<(GrainHead, Timestamp)> {
        let (mut batch, mut bytes) = (Vec::new(), 0_i64);
        while let Some(head) = self.wanted.front() {
            bytes = bytes.saturating_add(head.payload_bytes);
            if bytes > BATCH_BYTES && !batch.is_empty() {
                break;
            }
            let Some(head) = self.wanted.pop_front() else { break };
            let line = || self.line(head.id, &head.grain_key);
            let created_at = notes.time_or_zero(Table::Grains, head.created_at, line);
            batch.push((head, created_at));
        }
        batch
    }

    fn line(&self, id: Id, key: &str) -> String {
        format!("{} of slice {}", named(id, key), self.shown)
    }
}

struct Fetched {
    grain: NewGrain,
    is_undecodable: bool,
}

/// Payloads to their heads. Unpacking and hashing take longer than reading, so this is no place for an async thread.
fn fetch(
    source: &mut Source,
    slice_id: Id,
    heads: Vec<(GrainHead, Timestamp)>,
) -> Result<Vec<Fetched>, ReferenceError> {
    let ids = heads.iter().map(|(head, _created_at)| head.id).collect();
    let mut payloads = source.payloads(slice_id, ids)?;
    heads
        .into_iter()
        .map(|(head, created_at)| {
            // The snapshot has every row that it had a moment ago.
            let payload = payloads
                .remove(&(head.id, head.grain_key.clone()))
                .ok_or_else(|| ReferenceError::Failed(format!("grain {} has no payload", head.id)))?;
            let is_undecodable = head
                .encoding
                .parse::<Encoding>()
                .map_or(true, |encoding| encoding.check(&payload, MAX_UNPACKED_BYTES).is_err());
            let digest = grain_digest(head.id, &head.grain_key, &head.encoding, &head.source, &payload);
            let grain = NewGrain {
                slice_id,
                id: head.id,
                digest: digest.to_vec(),
                grain_key: head.grain_key,
                source: head.source,
                encoding: head.encoding,
                payload,
                added_in: VERSION,
                created_at,
            };
            Ok(Fetched { grain, is_undecodable })
        })
        .collect()
}
