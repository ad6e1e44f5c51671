//! Tags: how a node's staff groups its slices. They are not synced.

use super::slice::MISSING as MISSING_SLICE;
use crate::node::body::{Rules, no_nul};
use crate::node::permission::Action;
use crate::node::query::List;
use crate::node::{Error, Node, Principal};
use crate::store::tag::{NewTag, TagRow};
use crate::store::{self, Connection, StoreError};
use crate::wire::Id;
use crate::wire::page::Page;
use crate::wire::slice::Slice;
use crate::wire::tag::{CreateTag, Tag, UpdateTag};

pub use crate::store::tag::COLUMNS;

const MISSING: Error = Error::NotFound("Tag does not exist.");
/// Names in one query: each costs a look-up.
const MAX_NAMES: usize = 50;

/// A name as it is stored: what separates names in a query cannot be part of one.
pub(super) fn normalised(name: &str) -> String {
    let kept = name.chars().filter(|c| !matches!(c, '\'' | '"'));
    kept.map(|c| if matches!(c, ',' | ' ') { '_' } else { c }).collect::<String>().to_lowercase()
}

/// Adds a tag.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Forbidden`], [`Error::Conflict`].
pub async fn create(node: &Node, who: &Principal, body: CreateTag) -> Result<Tag, Error> {
    let name = normalised(&body.name);
    let mut rules = Rules::default();
    rules.name("Name", &name, 1);
    rules.check()?;
    no_nul("Name", &name)?;
    no_nul("Description", &body.description)?;
    node.permit(who, Action::CreateTag)?;
    let now = node.clock.now();
    let new = NewTag { name, description: body.description, created_at: now, updated_at: now };
    node.store
        .write(move |conn| {
            refuse_taken(conn, &new.name, None)?;
            Ok(to_wire(store::tag::insert(conn, &new)?))
        })
        .await
}

fn refuse_taken(conn: &mut Connection, name: &str, own: Option<i64>) -> Result<(), Error> {
    let taken = store::tag::find_by_name(conn, name)?.is_some_and(|other| Some(other.id) != own);
    if taken { Err(Error::Conflict("Tag name already exists.".to_owned())) } else { Ok(()) }
}

/// Tags by name.
///
/// # Errors
/// [`Error::Forbidden`] for an ordinary user.
pub async fn list(node: &Node, who: &Principal, list: List) -> Result<Page<Tag>, Error> {
    node.permit(who, Action::ListTags)?;
    node.store
        .read(move |conn| {
            let (rows, total) = store::tag::list(conn, &list.selection)?;
            list.page(rows, total, store::tag::position, |rows| Ok(rows.into_iter().map(to_wire).collect()))
        })
        .await
}

/// One tag with its slices.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`].
pub async fn view(node: &Node, who: &Principal, id: i64) -> Result<Tag, Error> {
    node.permit(who, Action::ViewTag)?;
    let now = node.clock.now();
    node.store
        .read(move |conn| {
            let row = store::tag::find(conn, id)?.ok_or(MISSING)?;
            let slices: Vec<Slice> = store::slice::of_tag(conn, id)?
                .into_iter()
                .map(|view| super::slice::to_wire(view, now))
                .collect();
            Ok(Tag { slices: (!slices.is_empty()).then_some(slices), ..to_wire(row) })
        })
        .await
}

/// Changes what the body names.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Forbidden`], [`Error::NotFound`], [`Error::Conflict`].
pub async fn update(node: &Node, who: &Principal, id: i64, body: UpdateTag) -> Result<Tag, Error> {
    let mut rules = Rules::default();
    rules.not_null("Name", &body.name);
    let name = body.name.value().map(|name| normalised(name));
    if let Some(name) = &name {
        rules.name("Name", name, 1);
    }
    rules.check()?;
    no_nul("Name", name.as_deref().unwrap_or_default())?;
    no_nul("Description", body.description.value().map_or("", String::as_str))?;
    node.permit(who, Action::UpdateTag)?;
    let now = node.clock.now();
    node.store
        .write(move |conn| {
            let mut row = store::tag::find_for_update(conn, id)?.ok_or(MISSING)?;
            row.name = name.unwrap_or(row.name);
            row.description = body.description.or(row.description);
            row.updated_at = now;
            refuse_taken(conn, &row.name, Some(id))?;
            store::tag::update(conn, &row)?;
            Ok(to_wire(row))
        })
        .await
}

/// Removes a tag, and takes it off all slices.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`].
pub async fn delete(node: &Node, who: &Principal, id: i64) -> Result<(), Error> {
    node.permit(who, Action::DeleteTag)?;
    node.store.write(move |conn| if store::tag::delete(conn, id)? { Ok(()) } else { Err(MISSING) }).await
}

/// Puts a tag on a slice; again changes nothing.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`].
pub async fn assign(node: &Node, who: &Principal, id: i64, slice_id: Id) -> Result<(), Error> {
    node.permit(who, Action::AssignTag)?;
    node.store
        .write(move |conn| {
            store::tag::find_for_update(conn, id)?.ok_or(MISSING)?;
            store::slice::find(conn, slice_id)?.ok_or(MISSING_SLICE)?;
            store::tag::assign(conn, id, slice_id).map_err(|error| match error {
                // It was deleted a moment ago.
                StoreError::Reference(_) => MISSING_SLICE,
                other => other.into(),
            })
        })
        .await
}

/// Takes a tag off a slice.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`], also when the slice does not have it.
pub async fn unassign(node: &Node, who: &Principal, id: i64, slice_id: Id) -> Result<(), Error> {
    node.permit(who, Action::AssignTag)?;
    node.store
        .write(move |conn| {
            store::tag::find_for_update(conn, id)?.ok_or(MISSING)?;
            if store::tag::unassign(conn, id, slice_id)? {
                Ok(())
            } else {
                Err(Error::NotFound("The slice does not have this tag."))
            }
        })
        .await
}

/// Names of tags as a query has them, normalised.
///
/// # Errors
/// [`Error::BadRequest`] for too many.
pub fn names<'a>(items: impl Iterator<Item = &'a str>) -> Result<Vec<String>, Error> {
    let names: Vec<String> = items.map(normalised).filter(|name| !name.is_empty()).collect();
    if names.len() > MAX_NAMES {
        return Err(Error::BadRequest(format!("name at most {MAX_NAMES} tags")));
    }
    Ok(names)
}

fn to_wire(row: TagRow) -> Tag {
    Tag {
        id: row.id,
        name: row.name,
        description: row.description,
        created_at: Some(row.created_at),
        updated_at: Some(row.updated_at),
        slices: None,
    }
}

#[cfg(test)]
mod tests {
    use super::{names, normalised};

    #[test]
    fn names_are_normalised_as_the_reference_does() {
        assert_eq!(normalised("Hot Items"), "hot_items");
        assert_eq!(normalised("a,b \"c\" 'D'"), "a_b_c_d");
        assert_eq!(normalised("'\""), "");
        assert_eq!(names(["Hot_Items", "b", "'", "c"].into_iter()).unwrap(), ["hot_items", "b", "c"]);
        assert_eq!(names(std::iter::empty()).unwrap(), [""; 0]);
        assert!(names(std::iter::repeat_n("x", 51)).is_err());
    }
}
