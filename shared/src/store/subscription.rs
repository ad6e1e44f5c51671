//! Subscriptions: which company gets which slice.

use diesel::prelude::*;

use super::count::{self, Counted};
use super::list::{Column, Columns, Kind, Selection, Value, all_of, page_of};
use super::schema::subscriptions;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// A row of `subscriptions`. `company_id` is always "the other party": on a secondary the primary's company.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = subscriptions)]
pub struct SubscriptionRow {
    /// The same on both nodes.
    pub id: Id,
    /// What is subscribed to.
    pub slice_id: Id,
    /// The other party.
    pub company_id: Id,
    /// As written.
    pub name: String,
    /// In lower case: unique ignoring case.
    pub name_key: String,
    /// May be empty.
    pub description: String,
    /// The own side's switch: inactive ones neither sync nor grant access.
    pub active: bool,
    /// On a secondary: the primary's switch, as it last said. On a primary always `true`.
    pub offered: bool,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// On a secondary: the primary lists it no longer. On a primary always `false`.
    pub gone: bool,
}

impl SubscriptionRow {
    /// Whether both sides want it.
    pub fn is_live(&self) -> bool {
        self.active && self.offered
    }
}

/// Adds a subscription.
///
/// # Errors
/// [`StoreError::Conflict`] when id, name or the pair exist; [`StoreError::Reference`] for an unknown slice or company.
pub fn insert(conn: &mut Connection, row: &SubscriptionRow) -> Result<(), StoreError> {
    diesel::insert_into(subscriptions::table).values(row).execute(conn)?;
    Ok(())
}

/// The subscription with this id.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, id: Id) -> Result<Option<SubscriptionRow>, StoreError> {
    Ok(subscriptions::table.find(id).first(conn).optional()?)
}

/// The subscription of this name, ignoring case.
///
/// # Errors
/// What SQL reports.
pub fn find_by_name(conn: &mut Connection, name: &str) -> Result<Option<SubscriptionRow>, StoreError> {
    Ok(subscriptions::table
        .filter(subscriptions::name_key.eq(super::company::name_key(name)))
        .first(conn)
        .optional()?)
}

/// The subscription of a company to a slice.
///
/// # Errors
/// What SQL reports.
pub fn find_pair(
    conn: &mut Connection,
    slice_id: Id,
    company_id: Id,
) -> Result<Option<SubscriptionRow>, StoreError> {
    Ok(subscriptions::table
        .filter(subscriptions::slice_id.eq(slice_id))
        .filter(subscriptions::company_id.eq(company_id))
        .first(conn)
        .optional()?)
}

/// What lists of subscriptions offer.
pub const COLUMNS: Columns = Columns {
    filter: LISTED,
    sort: SORTED,
    by_default: NAME.ascending(),
    unique: ID,
    includes: &[],
    tagged: false,
    whole: false,
};

const ID: Column = Column::new("sub_id", Kind::Id, "subscriptions.id");
const NAME: Column = Column::new("name", Kind::Folded, "subscriptions.name_key");
const LISTED: &[Column] = &[
    ID,
    NAME,
    Column::new("slice_id", Kind::Id, "subscriptions.slice_id"),
    Column::new("company_id", Kind::Id, "subscriptions.company_id"),
    Column::new("active", Kind::Bool, "(subscriptions.active AND subscriptions.offered)"),
    Column::new("created_at", Kind::Time, "subscriptions.created_at"),
    Column::new("updated_at", Kind::Time, "subscriptions.updated_at"),
    Column::new("description", Kind::Text, "subscriptions.description"),
];
/// Not by the description: it may be long, and a cursor holds what is sorted by.
const SORTED: &[Column] = match LISTED {
    [sorted @ .., _description] => sorted,
    [] => LISTED,
};

/// What a row has in a column of [`COLUMNS`].
pub fn position(row: &SubscriptionRow, column: &str) -> Value {
    match column {
        "name" => Value::Text(row.name_key.clone()),
        "slice_id" => Value::Id(row.slice_id),
        "company_id" => Value::Id(row.company_id),
        "active" => Value::Bool(row.is_live()),
        "created_at" => Value::Time(row.created_at),
        "updated_at" => Value::Time(row.updated_at),
        _ => Value::Id(row.id),
    }
}

/// A page of subscriptions, only those of `company` if given, and how many there are.
///
/// # Errors
/// What SQL reports.
pub fn list(
    conn: &mut Connection,
    company: Option<Id>,
    selection: &Selection,
) -> Result<(Vec<SubscriptionRow>, i64), StoreError> {
    let query = || {
        let query = subscriptions::table.into_boxed();
        match company {
            Some(id) => query.filter(subscriptions::company_id.eq(id)),
            None => query,
        }
    };
    let page = page_of!(query(), selection).load(conn)?;
    let total = if company.is_none() && selection.filter.is_empty() {
        count::of(conn, Counted::Subscriptions)?
    } else {
        all_of!(query(), selection).count().get_result(conn)?
    };
    Ok((page, total))
}

/// Every subscription of a company, active or not, in a stable order.
///
/// # Errors
/// What SQL reports.
pub fn of_company(conn: &mut Connection, company: Id) -> Result<Vec<SubscriptionRow>, StoreError> {
    Ok(subscriptions::table
        .filter(subscriptions::company_id.eq(company))
        .order((subscriptions::name_key, subscriptions::id))
        .load(conn)?)
}

/// Companies that subscribe to a slice.
///
/// # Errors
/// What SQL reports.
pub fn companies_of_slice(conn: &mut Connection, slice_id: Id) -> Result<Vec<Id>, StoreError> {
    Ok(subscriptions::table
        .filter(subscriptions::slice_id.eq(slice_id))
        .order(subscriptions::company_id)
        .select(subscriptions::company_id)
        .load(conn)?)
}

/// Whether a company has an active subscription to a slice.
///
/// # Errors
/// What SQL reports.
pub fn grants(conn: &mut Connection, slice_id: Id, company_id: Id) -> Result<bool, StoreError> {
    Ok(find_pair(conn, slice_id, company_id)?.is_some_and(|row| row.is_live()))
}

/// Takes the row for writing until the transaction ends.
///
/// # Errors
/// What SQL reports.
pub fn find_for_update(conn: &mut Connection, id: Id) -> Result<Option<SubscriptionRow>, StoreError> {
    match conn {
        // BEGIN IMMEDIATE has locked out every other writer.
        Connection::Sqlite(conn) => Ok(subscriptions::table.find(id).first(conn).optional()?),
        Connection::Postgres(conn) => {
            Ok(subscriptions::table.find(id).for_update().first(conn).optional()?)
        }
    }
}

/// Writes name, description and the own side's switch.
///
/// # Errors
/// [`StoreError::Conflict`] when the name exists.
pub fn update(conn: &mut Connection, row: &SubscriptionRow) -> Result<(), StoreError> {
    diesel::update(subscriptions::table.find(row.id))
        .set((
            subscriptions::name.eq(&row.name),
            subscriptions::name_key.eq(&row.name_key),
            subscriptions::description.eq(&row.description),
            subscriptions::active.eq(row.active),
            subscriptions::updated_at.eq(row.updated_at),
        ))
        .execute(conn)?;
    Ok(())
}

/// Switches a subscription on or off.
///
/// # Errors
/// What SQL reports.
pub fn set_active(conn: &mut Connection, id: Id, active: bool, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(subscriptions::table.find(id))
        .set((subscriptions::active.eq(active), subscriptions::updated_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Notes the primary's switch.
///
/// # Errors
/// What SQL reports.
pub fn set_offered(conn: &mut Connection, id: Id, offered: bool, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(subscriptions::table.find(id))
        .set((subscriptions::offered.eq(offered), subscriptions::updated_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Notes that the primary lists a subscription no longer, or lists it again.
///
/// # Errors
/// What SQL reports.
pub fn set_gone(conn: &mut Connection, id: Id, gone: bool, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(subscriptions::table.find(id))
        .set((subscriptions::gone.eq(gone), subscriptions::updated_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Every subscription to a slice.
///
/// # Errors
/// What SQL reports.
pub fn of_slice(conn: &mut Connection, slice_id: Id) -> Result<Vec<SubscriptionRow>, StoreError> {
    Ok(subscriptions::table
        .filter(subscriptions::slice_id.eq(slice_id))
        .order(subscriptions::id)
        .load(conn)?)
}

/// Gives the subscription of a pair the id that the primary now uses for it.
///
/// # Errors
/// [`StoreError::Conflict`] when that id exists.
pub fn set_id(conn: &mut Connection, old: Id, new: Id, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(subscriptions::table.find(old))
        .set((subscriptions::id.eq(new), subscriptions::updated_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Removes a subscription; `false` when there was none.
///
/// # Errors
/// What SQL reports.
pub fn delete(conn: &mut Connection, id: Id) -> Result<bool, StoreError> {
    Ok(diesel::delete(subscriptions::table.find(id)).execute(conn)? > 0)
}
