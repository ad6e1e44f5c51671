//! Payload texts that are too long for a line: fetched and staged piece by piece, so that no whole one is ever in memory, and
//! gone on with at the piece where a run was cut off.

use futures_util::StreamExt as _;
use futures_util::stream;
use shared::client::ClientError;
use shared::crypto::set_hash::GrainDigest;
use shared::failpoint::{Failpoint, reach};
use shared::node::Error;
use shared::store;
use shared::store::grain::NewGrain;
use shared::wire::Id;
use shared::wire::sync::{PIECE_BYTES, PieceQuery};

use super::feed::refused;
use super::stage::{Stage, check_fields, damaged, twice};
use super::{Event, Run};

/// Pieces asked for at the same time: an answer is on its way while another is written.
const PIECES_AHEAD: usize = 3;
/// How often a piece is asked for that arrives damaged.
const ATTEMPTS: u32 = 3;

/// A grain whose payload text is to be fetched.
pub(super) struct Long {
    pub id: Id,
    pub grain_key: String,
    pub source: String,
    pub encoding: String,
    /// Of the whole, hex.
    pub digest: String,
    /// Of the payload text.
    pub bytes: usize,
    /// The primary's, which the grain belongs to.
    pub version: i64,
}

impl Stage {
    /// Fetches and stages a grain with a long payload text.
    ///
    /// # Errors
    /// [`Error::Upstream`] naming the grain that is damaged; [`Error::Unreachable`]; what the store reports.
    pub async fn add_in_pieces(&mut self, run: &Run, long: Long) -> Result<(), Error> {
        check_fields(long.id, &long.grain_key, &long.source, &long.encoding)?;
        self.staged().await?;
        let Some((row_id, there)) = self.begin_pieces(&long).await? else { return Ok(()) };
        // It is this one, or is gone: the next long one must not take it for its own, and drop it.
        self.forget_unfinished();
        let mut text = Text::of(&long);
        for seq in 0..there {
            let piece = self.store().read(move |conn| store::payload::piece(conn, row_id, seq)).await?;
            let piece = piece.ok_or_else(|| Error::Internal(format!("piece {seq} of {row_id} is gone")))?;
            text.take(&piece).map_err(|what| damaged(long.id, what))?;
        }
        let (slice_id, count) =
            (self.slice_id, i64::try_from(long.bytes.div_ceil(PIECE_BYTES)).unwrap_or(i64::MAX));
        let fetch = |seq| fetch(run, slice_id, &long, seq);
        let mut pieces = stream::iter(there..count).map(fetch).buffered(PIECES_AHEAD);
        let mut seq = there;
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            text.take(&piece).map_err(|what| damaged(long.id, what))?;
            let bytes = i64::try_from(piece.len()).unwrap_or(i64::MAX);
            self.change.payload_bytes += bytes;
            self.write(move |conn| Ok(store::payload::insert_piece(conn, row_id, seq, &piece)?)).await?;
            reach(Failpoint::PieceStaged);
            self.progress.tell(Event::Staged { id: slice_id, grains: 0, bytes });
            seq += 1;
        }
        let characters = text.finish(&long.digest).map_err(|what| damaged(long.id, what))?;
        self.write(move |conn| {
            store::grain::finish(conn, row_id, characters)?;
            Ok(store::stage::set_unfinished(conn, slice_id, None)?)
        })
        .await?;
        self.change.grains_added += 1;
        self.progress.tell(Event::Staged { id: slice_id, grains: 1, bytes: 0 });
        Ok(())
    }

    /// The row, and how many pieces of it are there already; `None` if it is whole.
    async fn begin_pieces(&self, long: &Long) -> Result<Option<(i64, i64)>, Error> {
        let digest = data_encoding::HEXLOWER
            .decode(long.digest.as_bytes())
            .map_err(|_no_hex| damaged(long.id, "its digest is none"))?;
        let new = NewGrain {
            slice_id: self.slice_id,
            id: long.id,
            grain_key: long.grain_key.clone(),
            source: long.source.clone(),
            encoding: long.encoding.clone(),
            payload: String::new(),
            digest,
            added_in: self.next(),
            created_at: self.now(),
        };
        let bytes = i64::try_from(long.bytes).unwrap_or(i64::MAX);
        let unfinished = self.left().and_then(|left| left.unfinished_row);
        self.write(move |conn| {
            let staged = store::grain::find(conn, new.slice_id, new.added_in, new.id)?
                .filter(|row| row.added_in == new.added_in && row.digest == new.digest);
            match (staged, unfinished) {
                (Some(row), Some(unfinished)) if row.row_id == unfinished => {
                    return Ok(Some((unfinished, store::payload::count_pieces(conn, unfinished)?)));
                }
                (Some(_whole), _) => return Ok(None),
                (None, Some(unfinished)) => store::grain::discard(conn, new.slice_id, unfinished)?,
                (None, None) => {}
            }
            let row_id = store::grain::insert_unfinished(conn, &new, bytes).map_err(twice)?;
            store::stage::set_unfinished(conn, new.slice_id, Some(row_id))?;
            Ok(Some((row_id, 0)))
        })
        .await
    }
}

/// One piece. Damaged on its way, it is asked for again.
async fn fetch(run: &Run, slice_id: Id, long: &Long, seq: i64) -> Result<Vec<u8>, Error> {
    let offset = seq.saturating_mul(i64::try_from(PIECE_BYTES).unwrap_or(i64::MAX));
    let query = PieceQuery { version: Some(long.version), offset };
    let begin = usize::try_from(offset).unwrap_or(usize::MAX);
    let expected = long.bytes.saturating_sub(begin).min(PIECE_BYTES);
    let mut attempt = 1;
    loop {
        match run.client().await?.piece(slice_id, long.id, query).await {
            Ok(piece) if piece.len() == expected => return Ok(piece),
            Ok(_other) => return Err(damaged(long.id, "a piece of its payload has another length")),
            Err(ClientError::Unexpected { .. }) if attempt < ATTEMPTS => attempt += 1,
            Err(ClientError::Unexpected { reason, .. }) => return Err(damaged(long.id, &reason)),
            Err(error) => return Err(refused(error)),
        }
    }
}

/// A text that is checked while it comes.
struct Text {
    digest: GrainDigest,
    characters: i64,
    /// The beginning of a character whose end is in the next piece.
    rest: Vec<u8>,
}

impl Text {
    fn of(long: &Long) -> Self {
        let digest = GrainDigest::new(long.id, &long.grain_key, &long.encoding, &long.source, long.bytes);
        Self { digest, characters: 0, rest: Vec::new() }
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), &'static str> {
        self.digest.update(piece);
        if piece.contains(&0) {
            return Err("its payload holds NUL");
        }
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(piece);
        let whole = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) if error.error_len().is_some() => return Err("its payload is not UTF-8"),
            Err(error) => {
                let (whole, rest) = bytes.split_at(error.valid_up_to());
                self.rest = rest.to_vec();
                std::str::from_utf8(whole).unwrap_or_default()
            }
        };
        self.characters += i64::try_from(whole.chars().count()).unwrap_or(i64::MAX);
        Ok(())
    }

    /// The number of characters, if all is well.
    fn finish(self, digest: &str) -> Result<i64, &'static str> {
        if !self.rest.is_empty() {
            return Err("its payload is not UTF-8");
        }
        if data_encoding::HEXLOWER.encode(&self.digest.finish()) != digest {
            return Err("its payload does not give its digest");
        }
        Ok(self.characters)
    }
}
