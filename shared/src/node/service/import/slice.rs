//! Slices of the source with their metadata and subscriptions. Their grains follow, slice by slice.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::names::Names;
use super::report::{Finding, Notes, Table, named};
use super::{Installation, Snapshot, length};
use crate::clock::Random;
use crate::node::body::MAX_KEY_BYTES;
use crate::store::company::{CompanyRow, name_key};
use crate::store::reference::{Moment, Slice, Subscription};
use crate::store::slice::SliceRow;
use crate::store::subscription::SubscriptionRow;
use crate::wire::server::ServerRole;
use crate::wire::slice::SLICE_TYPES;
use crate::wire::{Id, Timestamp};

/// A slice to take.
pub(super) struct Planned {
    /// As it is before its grains are there: without any.
    pub row: SliceRow,
    /// Its metadata in the order of the source's collation.
    pub pairs: Vec<(String, String)>,
    /// Grains that it has in the source.
    pub grains: i64,
    /// What the source says of its content.
    pub said: Said,
    /// Some of its metadata was refused.
    pub is_incomplete: bool,
}

/// What the source says of a slice's content.
pub(super) struct Said {
    /// SHA-1.
    pub hash: String,
    /// Grains.
    pub count: i64,
    /// When it was published.
    pub date: Option<Timestamp>,
    /// On a secondary: whether it was ever synced.
    pub was_synced: bool,
}

/// What slices and subscriptions become.
#[derive(Default)]
pub(super) struct Slices {
    /// The oldest first.
    pub slices: Vec<Planned>,
    /// The oldest first.
    pub subscriptions: Vec<SubscriptionRow>,
}

/// Plans slices and subscriptions.
pub(super) fn plan(
    snapshot: &Snapshot,
    installation: &Installation,
    companies: &HashMap<Id, &CompanyRow>,
    random: &Random,
    notes: &mut Notes,
) -> Slices {
    let primaries = match installation.role {
        ServerRole::Primary => HashMap::new(),
        ServerRole::Secondary => primaries(snapshot, installation, companies),
    };
    let mut plan = Slices::default();
    let (mut ids, mut names) = (HashSet::new(), Names::default());
    let mut metadata = metadata(snapshot, notes);
    let counts: HashMap<Id, i64> =
        snapshot.grains.iter().filter_map(|count| Some((count.slice_id?, count.grains))).collect();
    notes.read(Table::Slices, length(snapshot.slices.len()));
    notes.read(Table::Grains, snapshot.grains.iter().map(|count| count.grains).sum());
    for slice in &snapshot.slices {
        if !ids.insert(slice.id) {
            notes.add(Table::Slices, Finding::IdTwice, row(slice));
            continue;
        }
        let primary_id = primaries.get(&slice.id).copied();
        let refusal = if !SLICE_TYPES.contains(&slice.slice_type.as_str()) {
            Some(Finding::UnknownType)
        } else if installation.role == ServerRole::Secondary && primary_id.is_none() {
            Some(Finding::Ownerless)
        } else {
            None
        };
        let grains = counts.get(&slice.id).copied().unwrap_or_default();
        if let Some(finding) = refusal {
            notes.add(Table::Slices, finding, format!("{} of type {:?}", row(slice), slice.slice_type));
            if grains > 0 {
                let line = format!("all {grains} of slice {}", row(slice));
                notes.add_many(Table::Grains, Finding::Orphan, grains, line);
            }
            continue;
        }
        let (pairs, is_incomplete) = own_pairs(slice, metadata.remove(&slice.id), notes);
        let name = names.fit(&slice.name, &slice.id.to_string());
        if name != slice.name {
            notes.add(Table::Slices, Finding::Renamed, format!("{} is now {name:?}", row(slice)));
        }
        plan.slices.push(Planned {
            said: Said {
                hash: slice.content_hash.clone(),
                count: slice.content_count,
                date: notes.time(Table::Slices, slice.content_date, || row(slice)),
                was_synced: slice.last_good_sync != Moment::Never,
            },
            row: slice_row(slice, name, primary_id, random, notes),
            pairs,
            grains,
            is_incomplete,
        });
    }
    for (slice_id, pairs) in metadata {
        let count = length(pairs.len());
        notes.add_many(Table::Metadata, Finding::Orphan, count, format!("all {count} of slice {slice_id}"));
    }
    plan.subscriptions = subscriptions(snapshot, installation, companies, &plan.slices, notes);
    plan
}

fn row(slice: &Slice) -> String {
    named(slice.id, &slice.name)
}

fn slice_row(
    slice: &Slice,
    name: String,
    primary_id: Option<Id>,
    random: &Random,
    notes: &mut Notes,
) -> SliceRow {
    let line = || row(slice);
    // Whatever held the slice while it was synced is gone.
    let is_over = ["none", "success", "error"].contains(&slice.sync_status.as_str());
    if !is_over {
        notes.add(Table::Slices, Finding::CutOff, line());
    }
    let sync_status = if is_over { slice.sync_status.as_str() } else { "error" };
    SliceRow {
        id: slice.id,
        name_key: name_key(&name),
        name,
        slice_type: slice.slice_type.clone(),
        primary_id,
        epoch: random.id(),
        current_version: 0,
        draft_change: 0,
        allow_sync: slice.allow_sync,
        lock_owner: None,
        lock_expires_at: None,
        sync_status: sync_status.to_owned(),
        last_sync_attempt: notes.time(Table::Slices, slice.last_sync_attempt, line),
        last_good_sync: notes.time(Table::Slices, slice.last_good_sync, line),
        created_at: notes.time_or_zero(Table::Slices, slice.created_at, line),
        updated_at: notes.time_or_zero(Table::Slices, slice.updated_at, line),
    }
}

/// Metadata by slice, each in the order of the source.
fn metadata<'a>(snapshot: &'a Snapshot, notes: &mut Notes) -> BTreeMap<Id, Vec<(&'a str, &'a str)>> {
    notes.read(Table::Metadata, length(snapshot.metadata.len()));
    let mut by_slice: BTreeMap<Id, Vec<(&str, &str)>> = BTreeMap::new();
    for pair in &snapshot.metadata {
        match pair.slice_id {
            Some(slice_id) => by_slice.entry(slice_id).or_default().push((&pair.key, &pair.value)),
            None => notes.add(Table::Metadata, Finding::Orphan, named("no slice:", &pair.key)),
        }
    }
    by_slice
}

/// A slice's metadata, and whether some of it was refused.
fn own_pairs(
    slice: &Slice,
    pairs: Option<Vec<(&str, &str)>>,
    notes: &mut Notes,
) -> (Vec<(String, String)>, bool) {
    let mut keys = HashSet::new();
    let (mut taken, mut is_incomplete) = (Vec::new(), false);
    for (key, value) in pairs.unwrap_or_default() {
        if key.len() > MAX_KEY_BYTES || !keys.insert(key) {
            is_incomplete = true;
            let line = format!("{} of slice {}", named("key", key), row(slice));
            notes.add(Table::Metadata, Finding::MetadataKey, line);
        } else {
            taken.push((key.to_owned(), value.to_owned()));
        }
    }
    (taken, is_incomplete)
}

/// On a secondary: whose slice it is, as its subscriptions say; the oldest active one decides.
fn primaries(
    snapshot: &Snapshot,
    installation: &Installation,
    companies: &HashMap<Id, &CompanyRow>,
) -> HashMap<Id, Id> {
    let mut found: Vec<(&Subscription, Id, Id)> = snapshot
        .subscriptions
        .iter()
        .filter_map(|sub| Some((sub, sub.slice_id?, sub.company_id?)))
        .filter(|(_sub, _slice, company)| {
            *company != installation.server_id && companies.contains_key(company)
        })
        .collect();
    let since = |sub: &Subscription| match sub.created_at {
        Moment::At(time) => Some(time),
        Moment::Never | Moment::Beyond => None,
    };
    found.sort_by_key(|(sub, ..)| (!sub.active, since(sub), sub.id));
    let mut primaries = HashMap::new();
    for (_sub, slice, company) in found {
        primaries.entry(slice).or_insert(company);
    }
    primaries
}

fn subscriptions(
    snapshot: &Snapshot,
    installation: &Installation,
    companies: &HashMap<Id, &CompanyRow>,
    slices: &[Planned],
    notes: &mut Notes,
) -> Vec<SubscriptionRow> {
    let slices: HashMap<Id, Option<Id>> =
        slices.iter().map(|slice| (slice.row.id, slice.row.primary_id)).collect();
    let (mut ids, mut pairs, mut names) = (HashSet::new(), HashSet::new(), Names::default());
    let mut rows = Vec::new();
    notes.read(Table::Subscriptions, length(snapshot.subscriptions.len()));
    for sub in &snapshot.subscriptions {
        let line = || named(sub.id, &sub.name);
        let ends = sub
            .slice_id
            .filter(|id| slices.contains_key(id))
            .zip(sub.company_id.filter(|id| companies.contains_key(id)));
        let Some((slice_id, company_id)) = ends else {
            notes.add(Table::Subscriptions, Finding::Orphan, line());
            continue;
        };
        let is_of_other = installation.role == ServerRole::Secondary
            && slices.get(&slice_id).copied().flatten() != Some(company_id);
        let refusal = if !ids.insert(sub.id) {
            Some(Finding::IdTwice)
        } else if is_of_other {
            Some(Finding::OtherPrimary)
        } else if !pairs.insert((slice_id, company_id)) {
            Some(Finding::PairTwice)
        } else {
            None
        };
        if let Some(finding) = refusal {
            notes.add(Table::Subscriptions, finding, line());
            continue;
        }
        let name = names.fit(&sub.name, &sub.id.to_string());
        if name != sub.name {
            notes.add(Table::Subscriptions, Finding::Renamed, format!("{} is now {name:?}", line()));
        }
        rows.push(SubscriptionRow {
            id: sub.id,
            slice_id,
            company_id,
            name_key: name_key(&name),
            name,
            description: sub.description.clone(),
            // On a secondary the reference has one switch for both sides, and what is off stays off there too.
            active: sub.active,
            offered: true,
            created_at: notes.time_or_zero(Table::Subscriptions, sub.created_at, line),
            updated_at: notes.time_or_zero(Table::Subscriptions, sub.updated_at, line),
            gone: false,
        });
    }
    rows
}
