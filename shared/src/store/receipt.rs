//! What receivers have of a primary's slices, as far as they say.

use diesel::dsl::count_star;
use diesel::prelude::*;

use super::list::{Column, Columns, Kind, Selection, Value, all_of, page_of};
use super::schema::{companies, receipts, receivers, subscriptions};
use super::{Connection, StoreError, on_backend};
use crate::wire::{Id, Timestamp};

/// A row of `receipts`: one company and one slice.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = receipts)]
pub struct ReceiptRow {
    /// Of which slice.
    pub slice_id: Id,
    /// Who has it.
    pub company_id: Id,
    /// Our version that it has; `None`: none known.
    pub version: Option<i64>,
    /// It named no version: what it was offered last.
    pub inferred: bool,
    /// When this version was first reported.
    pub reported_at: Option<Timestamp>,
    /// The version that a receiver of the reference was last told of.
    pub offered: Option<i64>,
    /// Why its last report was a failure; empty: it was none.
    pub error: String,
    /// Since when it fails with that.
    pub error_at: Option<Timestamp>,
}

impl ReceiptRow {
    /// Nothing known.
    pub fn none(slice_id: Id, company_id: Id) -> Self {
        Self {
            slice_id,
            company_id,
            version: None,
            inferred: false,
            reported_at: None,
            offered: None,
            error: String::new(),
            error_at: None,
        }
    }
}

/// What is known of one company and one slice.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, slice_id: Id, company_id: Id) -> Result<Option<ReceiptRow>, StoreError> {
    Ok(receipts::table.find((slice_id, company_id)).first(conn).optional()?)
}

/// What is known of some companies and one slice.
///
/// # Errors
/// What SQL reports.
pub fn of_slice(
    conn: &mut Connection,
    slice_id: Id,
    companies: Vec<Id>,
) -> Result<Vec<ReceiptRow>, StoreError> {
    Ok(receipts::table
        .filter(receipts::slice_id.eq(slice_id))
        .filter(receipts::company_id.eq_any(companies))
        .load(conn)?)
}

/// What is known of one company and its slices.
///
/// # Errors
/// What SQL reports.
pub fn of_company(conn: &mut Connection, company_id: Id) -> Result<Vec<ReceiptRow>, StoreError> {
    Ok(receipts::table.filter(receipts::company_id.eq(company_id)).load(conn)?)
}

/// Adds or replaces a row.
///
/// # Errors
/// [`StoreError::Reference`] for an unknown slice or company.
pub fn put(conn: &mut Connection, row: &ReceiptRow) -> Result<(), StoreError> {
    on_backend!(conn, |c| diesel::insert_into(receipts::table)
        .values(row)
        .on_conflict((receipts::slice_id, receipts::company_id))
        .do_update()
        .set((
            receipts::version.eq(row.version),
            receipts::inferred.eq(row.inferred),
            receipts::reported_at.eq(row.reported_at),
            receipts::offered.eq(row.offered),
            receipts::error.eq(&row.error),
            receipts::error_at.eq(row.error_at),
        ))
        .execute(c))?;
    Ok(())
}

/// When a company last asked for its subscriptions, coarsely.
///
/// # Errors
/// What SQL reports.
pub fn asked_at(conn: &mut Connection, company_id: Id) -> Result<Option<Timestamp>, StoreError> {
    Ok(receivers::table.find(company_id).select(receivers::asked_at).first(conn).optional()?)
}

/// The same for some companies.
///
/// # Errors
/// What SQL reports.
pub fn asked_at_of(conn: &mut Connection, companies: Vec<Id>) -> Result<Vec<(Id, Timestamp)>, StoreError> {
    Ok(receivers::table
        .filter(receivers::company_id.eq_any(companies))
        .select((receivers::company_id, receivers::asked_at))
        .load(conn)?)
}

/// Notes that a company asked now.
///
/// # Errors
/// [`StoreError::Reference`] for an unknown company.
pub fn set_asked_at(conn: &mut Connection, company_id: Id, now: Timestamp) -> Result<(), StoreError> {
    on_backend!(conn, |c| diesel::insert_into(receivers::table)
        .values((receivers::company_id.eq(company_id), receivers::asked_at.eq(now)))
        .on_conflict(receivers::company_id)
        .do_update()
        .set(receivers::asked_at.eq(now))
        .execute(c))?;
    Ok(())
}

/// A company that subscribes to a slice: its id, its name, and whether the subscription is switched on.
pub type Subscriber = (Id, String, bool);

/// What lists of receivers offer.
pub const COLUMNS: Columns = Columns {
    filter: LISTED,
    sort: LISTED,
    by_default: COMPANY_NAME.ascending(),
    unique: COMPANY_ID,
    includes: &[],
    tagged: false,
    whole: false,
};

const COMPANY_ID: Column = Column::new("company_id", Kind::Id, "companies.id");
const COMPANY_NAME: Column = Column::new("company_name", Kind::Folded, "companies.name_key");
const LISTED: &[Column] =
    &[COMPANY_ID, COMPANY_NAME, Column::new("active", Kind::Bool, "subscriptions.active")];

/// What a row has in a column of [`COLUMNS`].
pub fn position((id, name, active): &Subscriber, column: &str) -> Value {
    match column {
        "company_name" => Value::Text(super::company::name_key(name)),
        "active" => Value::Bool(*active),
        _ => Value::Id(*id),
    }
}

/// A page of those who subscribe to a slice, and how many they are.
///
/// # Errors
/// What SQL reports.
pub fn subscribers(
    conn: &mut Connection,
    slice_id: Id,
    selection: &Selection,
) -> Result<(Vec<Subscriber>, i64), StoreError> {
    macro_rules! query {
        ($select:expr) => {
            subscriptions::table
                .inner_join(companies::table.on(companies::id.eq(subscriptions::company_id)))
                .filter(subscriptions::slice_id.eq(slice_id))
                .select($select)
                .into_boxed()
        };
    }
    let page =
        page_of!(query!((companies::id, companies::name, subscriptions::active)), selection).load(conn)?;
    Ok((page, all_of!(query!(count_star()), selection).get_result(conn)?))
}
