//! Lists: which columns can be asked for, and the SQL of filter, order and page.
//!
//! Column names in SQL are texts of ours; what a caller writes is compared with names and bound as values, never part
//! of a statement (gap S2).

use diesel::BoxableExpression;
use diesel::dsl::sql;
use diesel::sql_types::{BigInt, Bool, Text, Untyped};

use super::any_connection::MultiBackend;
use super::types::{SqlId, SqlTime};
use crate::wire::{Id, Timestamp};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, compared as it stands.
    Text,
    /// Text, compared ignoring case: the column holds it in lower case.
    Folded,
    /// A UUID.
    Id,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Number,
    /// RFC 3339.
    Time,
}

/// A column that a list can be filtered by, and perhaps ordered by.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// As callers write it.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// As SQL writes it; never NULL.
    sql: &'static str,
    /// A filter by it needs one by this column too: alone it would read the whole table.
    pub needs: Option<&'static str>,
}

impl Column {
    /// A column of that name, in callers' words and in SQL.
    pub const fn new(name: &'static str, kind: Kind, sql: &'static str) -> Self {
        Self { name, kind, sql, needs: None }
    }

    /// To be filtered by only together with another column.
    #[must_use]
    pub const fn only_with(self, name: &'static str) -> Self {
        Self { needs: Some(name), ..self }
    }

    /// Largest first.
    pub const fn descending(self) -> Order {
        Order { column: self, descending: true }
    }

    /// Smallest first.
    pub const fn ascending(self) -> Order {
        Order { column: self, descending: false }
    }
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of [`Kind::Text`] and [`Kind::Folded`].
    Text(String),
    /// Of [`Kind::Id`].
    Id(Id),
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Number`].
    Number(i64),
    /// Of [`Kind::Time`].
    Time(Timestamp),
}

/// A column and its direction.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// By what.
    pub column: Column,
    /// Largest first.
    pub descending: bool,
}

/// What a list offers.
pub struct Columns {
    /// For filters.
    pub filter: &'static [Column],
    /// For the order.
    pub sort: &'static [Column],
    /// The order that nobody asked for.
    pub by_default: Order,
    /// Makes every order total.
    pub unique: Column,
    /// Relations that can be embedded.
    pub includes: &'static [&'static str],
    /// Whether its rows can have tags.
    pub tagged: bool,
    /// Whether it comes whole when nothing is said of pages.
    pub whole: bool,
}

impl Columns {
    /// The column of that name that lists can be ordered by.
    pub fn sortable(&self, name: &str) -> Option<Column> {
        find(self.sort, name)
    }

    /// The column of that name that lists can be filtered by.
    pub fn filterable(&self, name: &str) -> Option<Column> {
        find(self.filter, name)
    }
}

fn find(columns: &[Column], name: &str) -> Option<Column> {
    columns.iter().find(|column| column.name == name).copied()
}

/// Which rows of a list, and in which order.
#[derive(Clone, Debug)]
pub struct Selection {
    /// All must hold.
    pub filter: Vec<(Column, Value)>,
    /// The last one is unique, so that the order is total.
    pub order: Vec<Order>,
    /// Values of `order` in the row behind which to go on.
    pub after: Option<Vec<Value>>,
    /// Rows to skip; 0 with `after`.
    pub offset: i64,
    /// Rows of a page; one more is read, to see whether there is a next page.
    pub limit: i64,
}

type Predicate<QS> = Box<dyn BoxableExpression<QS, MultiBackend, SqlType = Bool>>;

impl Selection {
    /// Every row, in the order that nobody asked for.
    pub fn all(columns: &Columns) -> Self {
        let order = vec![columns.by_default, columns.unique.ascending()];
        Self { filter: Vec::new(), order, after: None, offset: 0, limit: i64::MAX }
    }

    /// Goes on behind a row, which has these values.
    pub fn after_row(&mut self, position: impl Fn(&str) -> Value) {
        self.offset = 0;
        self.after = Some(self.order.iter().map(|order| position(order.column.name)).collect());
    }

    /// Rows to ask SQL for.
    pub(super) fn rows(&self) -> i64 {
        self.limit.saturating_add(1)
    }

    /// What the filter demands.
    pub(super) fn matching<QS: 'static>(&self) -> Vec<Predicate<QS>> {
        self.filter.iter().map(|(column, value)| compare(*column, "=", value)).collect()
    }

    /// Rows behind the cursor, if there is one. The first column's bound stands alone too: an index can use it,
    /// while an OR hides it from the planner.
    pub(super) fn behind<QS: 'static>(&self) -> Vec<Predicate<QS>> {
        use diesel::BoolExpressionMethods as _;
        let Some(after) = &self.after else { return Vec::new() };
        let strict = |order: &Order| if order.descending { "<" } else { ">" };
        let mut any: Option<Predicate<QS>> = None;
        let pairs: Vec<(&Order, &Value)> = self.order.iter().zip(after).collect();
        for (position, (order, value)) in pairs.iter().enumerate() {
            let mut all = compare(order.column, strict(order), value);
            for (earlier, equal) in pairs.iter().take(position) {
                all = Box::new(all.and(compare(earlier.column, "=", equal)));
            }
            any = Some(match any {
                Some(any) => Box::new(any.or(all)),
                None => all,
            });
        }
        let mut predicates: Vec<Predicate<QS>> = any.into_iter().collect();
        if let Some((order, value)) = pairs.first() {
            let loose = if order.descending { "<=" } else { ">=" };
            predicates.push(compare(order.column, loose, value));
        }
        predicates
    }

    /// The order as SQL.
    pub(super) fn order_by(&self) -> diesel::expression::SqlLiteral<Untyped> {
        let columns: Vec<String> = self
            .order
            .iter()
            .map(|order| format!("{} {}", order.column.sql, if order.descending { "DESC" } else { "ASC" }))
            .collect();
        sql::<Untyped>(&columns.join(", "))
    }
}

fn compare<QS: 'static>(column: Column, operator: &str, value: &Value) -> Predicate<QS> {
    // An id that is not there is the nil one on the wire.
    if matches!(value, Value::Id(id) if id.is_nil()) && operator == "=" {
        return Box::new(sql::<Bool>(&format!("{} IS NULL", column.sql)));
    }
    let left = sql::<Bool>(&format!("{} {operator} ", column.sql));
    match value {
        Value::Text(text) => Box::new(left.bind::<Text, _>(text.clone())),
        Value::Id(id) => Box::new(left.bind::<SqlId, _>(*id)),
        Value::Bool(yes) => Box::new(left.bind::<Bool, _>(*yes)),
        Value::Number(number) => Box::new(left.bind::<BigInt, _>(*number)),
        Value::Time(time) => Box::new(left.bind::<SqlTime, _>(*time)),
    }
}

/// Puts a [`Selection`] on a boxed query: filter, cursor, order and page.
macro_rules! page_of {
    ($query:expr, $selection:expr) => {{
        let mut query = $query;
        for predicate in $selection.matching() {
            query = query.filter(predicate);
        }
        for predicate in $selection.behind() {
            query = query.filter(predicate);
        }
        query.order_by($selection.order_by()).offset($selection.offset).limit($selection.rows())
    }};
}
pub(super) use page_of;

/// Puts only the filter of a [`Selection`] on a boxed query: for counting.
macro_rules! all_of {
    ($query:expr, $selection:expr) => {{
        let mut query = $query;
        for predicate in $selection.matching() {
            query = query.filter(predicate);
        }
        query
    }};
}
pub(super) use all_of;
