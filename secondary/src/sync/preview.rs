//! What a sync would change, without changing anything: no row here, no record there. (At the primary the login counts as
//! one, and asking as asking.)

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;
use shared::node::Error;
use shared::node::service::version;
use shared::store::version::VersionRow;
use shared::store::{self, StoreError};
use shared::wire::Id;
use shared::wire::slice::Slice;
use shared::wire::subscription::Subscription;
use shared::wire::sync::{FeedHeader, FeedMode, FeedQuery};
use tokio::sync::RwLock;

use super::index::{Difference, LocalIndex, Merge};
use super::{Progress, Run, go_wire, subscription};
use crate::Secondary;
use crate::service::partner;

/// What a sync with one primary would do.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// With whom.
    pub primary_id: Id,
    /// Its name.
    pub primary: String,
    /// `sync-2` or `go`.
    pub protocol: &'static str,
    /// One per subscription that is switched on here and there.
    pub slices: Vec<SlicePreview>,
}

/// What a sync would do to one slice.
#[derive(Clone, Debug, Serialize)]
pub struct SlicePreview {
    /// Which.
    pub slice_id: Id,
    /// Its name.
    pub slice: String,
    /// By which subscription.
    pub sub_id: Id,
    /// What.
    #[serde(flatten)]
    pub would: Would,
}

/// What a sync would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "would", rename_all = "lowercase")]
pub enum Would {
    /// It is equal already.
    Nothing,
    /// It would get a new version.
    Change {
        /// Grains to fetch.
        grains_added: i64,
        /// Grains that would go.
        grains_removed: i64,
    },
    /// The primary no longer offers it: the last copy would stay.
    Gone,
    /// It would keep its old version.
    Fail {
        /// Why.
        error: String,
    },
}

/// What a sync with one primary would do now.
///
/// # Errors
/// What would keep it from starting.
pub async fn preview(secondary: &Arc<Secondary>, primary_id: Id) -> Result<Preview, Error> {
    let name = partner::load(secondary, primary_id).await?.0.name;
    let session = partner::look(secondary, primary_id).await?;
    let run = Run {
        secondary: Arc::clone(secondary),
        primary_id,
        // No run has ever had it: whatever tried to write by mistake could not.
        fence: -1,
        speaks_sync_2: session.server.speaks_sync_2(),
        session: RwLock::new(session),
        progress: Progress::silent(),
    };
    run.refuse_downgrade().await?;
    let remote = run.client().await?.subscriptions().await?;
    let offered: HashSet<Id> = remote.iter().map(|sub| sub.id).collect();
    // Deleted and made anew there: the same slice under a new subscription is not gone.
    let slices_offered: HashSet<Id> = remote.iter().map(|sub| sub.slice_id).collect();
    let mut slices = Vec::new();
    for sub in remote.into_iter().filter(|sub| sub.active) {
        if let Some(slice) = look_at(&run, sub).await? {
            slices.push(slice);
        }
    }
    for (sub_id, slice_id, slice) in subscription::no_longer_offered(&run, &offered).await? {
        if !slices_offered.contains(&slice_id) {
            slices.push(SlicePreview { slice_id, slice, sub_id, would: Would::Gone });
        }
    }
    let protocol = if run.speaks_sync_2 { "sync-2" } else { "go" };
    Ok(Preview { primary_id, primary: name, protocol, slices })
}

/// `None` if it is switched off here.
async fn look_at(run: &Run, sub: Subscription) -> Result<Option<SlicePreview>, Error> {
    let sub_id = sub.id;
    let Some(slice) = sub.slice.filter(|slice| slice.id == sub.slice_id) else {
        return Err(Error::Upstream(format!("subscription {sub_id} comes without its slice")));
    };
    let primary_id = run.primary_id;
    let (slice_id, now) = (slice.id, run.secondary.node.clock.now());
    let (local_sub, local) = run
        .secondary
        .node
        .store
        .read(move |conn| -> Result<_, StoreError> {
            let local_sub = match store::subscription::find(conn, sub_id)? {
                None => store::subscription::find_pair(conn, slice_id, primary_id)?,
                found => found,
            };
            let row = store::slice::find(conn, slice_id)?;
            let version = match &row {
                Some(row) => store::version::find(conn, slice_id, row.current_version)?,
                None => None,
            };
            Ok((local_sub, row.map(|row| row.primary_id).zip(version)))
        })
        .await?;
    if local_sub.as_ref().is_some_and(|sub| sub.company_id == primary_id && !sub.active) {
        return Ok(None);
    }
    let foreign_sub = local_sub.is_some_and(|sub| sub.company_id != primary_id || sub.slice_id != slice_id);
    let foreign_slice = local.as_ref().is_some_and(|(owner, _version)| *owner != Some(primary_id));
    let would = if let Some(why) = subscription::refuse_unfit(&slice) {
        Would::Fail { error: why }
    } else if foreign_sub || foreign_slice {
        Would::Fail { error: "its ids belong to another primary or slice here".to_owned() }
    } else if !slice.allow_sync {
        Would::Fail { error: Error::PublisherEditing.to_string() }
    } else {
        let local = local.map_or_else(|| version::empty(slice_id, now), |(_owner, version)| version);
        match difference(run, &slice, &local).await {
            Ok(would) => would,
            Err(error) => Would::Fail { error: error.to_string() },
        }
    };
    Ok(Some(SlicePreview { slice_id, slice: slice.slice_name, sub_id, would }))
}

async fn difference(run: &Run, remote: &Slice, local: &VersionRow) -> Result<Would, Error> {
    let local_index = LocalIndex::of(run.secondary.node.store.clone(), local.slice_id, local.version);
    let (removed, added) = if run.speaks_sync_2 {
        let digest = data_encoding::HEXLOWER.encode(&local.digest);
        if remote.version.as_ref().is_some_and(|version| version.digest == digest) {
            return Ok(Would::Nothing);
        }
        // Of a version that nobody knows the primary sends ids and digests only.
        let unknown = FeedQuery { digest: Some(String::new()), ..FeedQuery::default() };
        let mut lines = run.client().await?.feed(remote.id, &unknown).await?;
        let header: Option<FeedHeader> = lines.header().await?;
        let header = header
            .filter(|header| header.slice_id == remote.id && header.mode == FeedMode::Index)
            .ok_or_else(|| {
            Error::Upstream("the primary sent another feed than was asked for".to_owned())
        })?;
        let (mut added, mut removed) = (0, 0);
        let mut merge = Merge::of(&mut lines, &header, local_index);
        while let Some(difference) = merge.next().await? {
            match difference {
                Difference::Ours(_) => removed += 1,
                Difference::Theirs(_) => added += 1,
            }
        }
        (removed, added)
    } else {
        if go_wire::is_equal(remote, local) {
            return Ok(Would::Nothing);
        }
        let theirs: HashSet<Id> =
            run.client().await?.brief_grains(remote.id).await?.into_iter().map(|grain| grain.id).collect();
        let ours = local_index.ids().await?;
        let count = |ids: usize| i64::try_from(ids).unwrap_or(i64::MAX);
        (count(ours.difference(&theirs).count()), count(theirs.difference(&ours).count()))
    };
    Ok(Would::Change { grains_added: added, grains_removed: removed })
}
