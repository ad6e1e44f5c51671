//! Tags of the source, and which slice has which.

use std::collections::HashSet;

use super::report::{Finding, Notes, Table, named};
use super::slice::Planned;
use super::{Snapshot, length};
use crate::node::service::tag::normalised;
use crate::store::tag::TagRow;
use crate::wire::Id;

/// Longest name that is kept, with room for an id behind it.
const MAX_NAME_CHARS: usize = 200;

/// What tags become.
#[derive(Default)]
pub(super) struct Tags {
    /// With the ids they had.
    pub rows: Vec<TagRow>,
    /// (tag, slice).
    pub on_slices: Vec<(i64, Id)>,
    /// Highest id in the source, taken or not.
    pub last_id: i64,
}

/// Plans the tags; `slices` are those that were taken.
pub(super) fn plan(snapshot: &Snapshot, slices: &[Planned], notes: &mut Notes) -> Tags {
    let mut plan = Tags::default();
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    notes.read(Table::Tags, length(snapshot.tags.len()));
    for tag in &snapshot.tags {
        let line = || named(tag.id, &tag.name);
        plan.last_id = plan.last_id.max(tag.id);
        if !ids.insert(tag.id) {
            notes.add(Table::Tags, Finding::IdTwice, line());
            continue;
        }
        let kept: String = tag.name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
        let base = normalised(&kept);
        let mut name = if base.is_empty() { format!("tag-{}", tag.id) } else { base.clone() };
        let mut round = 1;
        while !names.insert(name.clone()) {
            name =
                if round == 1 { format!("{base}-{}", tag.id) } else { format!("{base}-{}-{round}", tag.id) };
            round += 1;
        }
        if name != tag.name {
            notes.add(Table::Tags, Finding::Renamed, format!("{} is now {name:?}", line()));
        }
        plan.rows.push(TagRow {
            id: tag.id,
            name,
            description: tag.description.clone(),
            created_at: notes.time_or_zero(Table::Tags, tag.created_at, line),
            updated_at: notes.time_or_zero(Table::Tags, tag.updated_at, line),
        });
    }
    let slices: HashSet<Id> = slices.iter().map(|slice| slice.row.id).collect();
    let mut pairs = HashSet::new();
    notes.read(Table::SliceTags, length(snapshot.slice_tags.len()));
    for row in &snapshot.slice_tags {
        let slice_id = row.slice_id.unwrap_or_default();
        let finding = if !(ids.contains(&row.tag_id) && slices.contains(&slice_id)) {
            Finding::Orphan
        } else if !pairs.insert((row.tag_id, slice_id)) {
            Finding::PairTwice
        } else {
            plan.on_slices.push((row.tag_id, slice_id));
            continue;
        };
        notes.add(Table::SliceTags, finding, format!("tag {} on slice {slice_id}", row.tag_id));
    }
    plan
}
