//! The reference's wire, towards primaries that do not speak sync-2 (spec §4): a list of all grains, the missing ones
//! one by one, and a hash over ids and metadata to check the whole.

use std::collections::HashSet;

use shared::node::Error;
use shared::store::version::VersionRow;
use shared::wire::Id;
use shared::wire::grain::Grain;
use shared::wire::slice::Slice;

use super::index::LocalIndex;
use super::stage::{Arrived, Stage};
use super::switch::Expected;
use super::{Change, Run};

/// The hash is all that this wire has. Ours is of a version that is whole, so an equal one means equal ids.
pub(super) fn is_equal(remote: &Slice, local: &VersionRow) -> bool {
    let never_synced = local.version == 0 && remote.content_count > 0;
    !never_synced && (remote.content_hash == local.content_hash) && remote.content_count == local.grain_count
}

/// Fetches, stages, verifies, switches.
///
/// # Errors
/// [`Error::Upstream`] for anything that is not what was announced; [`Error::Unreachable`].
pub(super) async fn fetch(run: &Run, remote: &Slice, stage: &mut Stage) -> Result<Change, Error> {
    if stage.left().is_some() {
        // Of the days when it spoke sync-2.
        stage.start_over().await?;
    }
    let list = run.client().await?.brief_grains(remote.id).await?;
    let ours = LocalIndex::of(stage.store().clone(), remote.id, stage.base.version).ids().await?;
    let theirs: HashSet<Id> = list.iter().map(|grain| grain.id).collect();
    stage.remove(ours.difference(&theirs).copied().collect(), None).await?;
    for grain in list {
        if ours.contains(&grain.id) {
            continue;
        }
        // The reference's brief list holds the payloads already (gap P1); an empty one was not sent: no grain has one.
        let is_whole = grain.payload.as_deref().is_some_and(|payload| !payload.is_empty());
        let whole = if is_whole { grain } else { run.client().await?.grain(grain.id).await? };
        stage.add(arrived(whole, remote.id)?).await?;
    }
    stage.set_metadata(run.client().await?.metadata(remote.id).await?).await?;
    stage
        .switch(Expected {
            digest: None,
            count: remote.content_count,
            content_hash: remote.content_hash.clone(),
            ids_hash: String::new(),
            content_date: remote.content_date,
            source: None,
        })
        .await
}

fn arrived(grain: Grain, slice_id: Id) -> Result<Arrived, Error> {
    if grain.slice_id.is_some_and(|other| other != slice_id) {
        return Err(Error::Upstream(format!("grain {} belongs to another slice", grain.id)));
    }
    Ok(Arrived {
        id: grain.id,
        grain_key: grain.grain_key,
        source: grain.source,
        encoding: grain.encoding,
        payload: grain.payload.unwrap_or_default(),
        digest: None,
    })
}
