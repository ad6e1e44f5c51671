//! Comparing what a primary has of a slice with what is here, by the ids and digests of all grains: a merge of two streams in id
//! order.

use std::collections::HashSet;

use shared::client::Lines;
use shared::node::Error;
use shared::store::{self, Store};
use shared::wire::Id;
use shared::wire::sync::{FeedHeader, FeedLine};

use super::feed::{Allowance, next, unexpected};

/// Ids and digests read at a time.
const INDEX_ROWS: i64 = 5_000;

/// A grain that is not the same on both sides. One whose digests differ is both.
pub(super) enum Difference {
    /// The primary does not have it.
    Ours(Id),
    /// It is not here.
    Theirs(Id),
}

/// The merge.
pub(super) struct Merge<'a> {
    lines: &'a mut Lines,
    grains: Allowance,
    /// `None`: the index has ended.
    theirs: Option<(Id, String)>,
    local: LocalIndex,
    ours: Option<(Id, Vec<u8>)>,
    has_begun: bool,
    /// Comes next: the other half of a grain that differs.
    held: Option<Id>,
}

impl<'a> Merge<'a> {
    /// Of an index feed behind its header, and ours.
    pub fn of(lines: &'a mut Lines, header: &FeedHeader, local: LocalIndex) -> Self {
        let grains = Allowance::of(header.count, "grains");
        Self { lines, grains, theirs: None, local, ours: None, has_begun: false, held: None }
    }

    /// The next difference, in id order; `None` behind the last.
    ///
    /// # Errors
    /// [`Error::Upstream`] for an index that is none; what the store reports.
    pub async fn next(&mut self) -> Result<Option<Difference>, Error> {
        if let Some(id) = self.held.take() {
            return Ok(Some(Difference::Theirs(id)));
        }
        if !self.has_begun {
            self.has_begun = true;
            self.read_theirs().await?;
            self.ours = self.local.next().await?;
        }
        loop {
            match (&self.ours, &self.theirs) {
                (None, None) => return Ok(None),
                (Some((ours, _digest)), Some((theirs, _their_digest))) if ours > theirs => {
                    return self.take_theirs().await;
                }
                (None, Some(_)) => return self.take_theirs().await,
                (Some((ours, digest)), Some((theirs, their_digest))) if ours == theirs => {
                    let (id, is_same) = (*ours, data_encoding::HEXLOWER.encode(digest) == *their_digest);
                    self.ours = self.local.next().await?;
                    self.read_theirs().await?;
                    if !is_same {
                        self.held = Some(id);
                        return Ok(Some(Difference::Ours(id)));
                    }
                }
                (Some((ours, _digest)), _) => {
                    let id = *ours;
                    self.ours = self.local.next().await?;
                    return Ok(Some(Difference::Ours(id)));
                }
            }
        }
    }

    async fn take_theirs(&mut self) -> Result<Option<Difference>, Error> {
        let id = self.theirs.as_ref().map(|(id, _digest)| *id);
        self.read_theirs().await?;
        Ok(id.map(Difference::Theirs))
    }

    async fn read_theirs(&mut self) -> Result<(), Error> {
        let last = self.theirs.take().map(|(id, _digest)| id);
        match next(self.lines).await? {
            FeedLine::Index(id, _digest) if last.is_some_and(|last| id <= last) => {
                Err(unexpected("an index out of order"))
            }
            FeedLine::Index(id, digest) => {
                self.grains.take(1)?;
                self.theirs = Some((id, digest));
                Ok(())
            }
            FeedLine::End => Ok(()),
            FeedLine::Remove(_) | FeedLine::Grain(_) | FeedLine::Mark(_) => {
                Err(unexpected("lines in the wrong order"))
            }
        }
    }
}

/// A version's index, page by page.
pub(super) struct LocalIndex {
    store: Store,
    slice_id: Id,
    version: i64,
    page: std::vec::IntoIter<(Id, Vec<u8>)>,
    after: Option<Id>,
    ended: bool,
}

impl LocalIndex {
    /// Of this version.
    pub fn of(store: Store, slice_id: Id, version: i64) -> Self {
        Self { store, slice_id, version, page: Vec::new().into_iter(), after: None, ended: false }
    }

    async fn next(&mut self) -> Result<Option<(Id, Vec<u8>)>, Error> {
        if self.page.len() == 0 && !self.ended {
            let (slice_id, version, after) = (self.slice_id, self.version, self.after);
            let page = self
                .store
                .read(move |conn| store::grain::index_page(conn, slice_id, version, after, INDEX_ROWS))
                .await?;
            self.ended = page.is_empty();
            self.after = page.last().map(|(id, _digest)| *id);
            self.page = page.into_iter();
        }
        Ok(self.page.next())
    }

    /// All ids of it.
    pub async fn ids(mut self) -> Result<HashSet<Id>, Error> {
        let mut ids = HashSet::new();
        while let Some((id, _digest)) = self.next().await? {
            ids.insert(id);
        }
        Ok(ids)
    }
}
