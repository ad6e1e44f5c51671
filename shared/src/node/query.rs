//! Query parameters and path ids.

use actix_web::{HttpRequest, web};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::store::list::{Column, Columns, Kind, Order, Selection, Value};
use crate::wire::page::{Page, Paging};
use crate::wire::{Id, Timestamp};

const DEFAULT_PAGE_SIZE: i64 = 50;
/// Rows of the largest page.
pub const MAX_PAGE_SIZE: i64 = 250;

/// The query of a request.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads it.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a malformed query.
    pub fn of(request: &HttpRequest) -> Result<Self, Error> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|error| Error::BadRequest(format!("malformed query: {error}")))?;
        Ok(Self(pairs.into_inner()))
    }

    /// The text of a parameter; of a repeated name the last counts.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// Every text of a parameter that may be repeated.
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _text)| key == name).map(|(_key, text)| text.as_str())
    }

    /// What stands between the commas of a repeatable parameter.
    pub fn items(&self, name: &str) -> impl Iterator<Item = &str> {
        self.all(name).flat_map(|text| text.split(',')).map(str::trim).filter(|item| !item.is_empty())
    }

    /// `name=yes` (any text but `no`, `false` and `0` counts).
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|text| !matches!(text, "" | "no" | "false" | "0"))
    }

    /// What is asked of a list.
    ///
    /// # Errors
    /// [`Error::BadRequest`] naming what can be asked for: for an unknown column, direction or relation, for a value
    /// that the column cannot hold, and for a `next` that is not from this list in this order.
    pub fn list(&self, columns: &'static Columns) -> Result<List, Error> {
        if !columns.tagged && self.all("tags").chain(self.all("tags-all")).next().is_some() {
            return Err(Error::BadRequest("tags: only slices have tags".to_owned()));
        }
        let order = self.order(columns)?;
        let filter =
            self.items("filter").map(|item| condition(columns, item)).collect::<Result<Vec<_>, Error>>()?;
        for (column, _value) in &filter {
            if let Some(needed) = column.needs
                && filter.iter().all(|(other, _value)| other.name != needed)
            {
                return Err(Error::BadRequest(format!(
                    "filter={}: only together with {needed}",
                    column.name
                )));
            }
        }
        let include =
            self.items("include").map(|name| relation(columns, name)).collect::<Result<_, Error>>()?;
        let number =
            |name: &str| self.get(name).and_then(|text| text.parse::<i64>().ok()).filter(|value| *value > 0);
        // As the reference reads them: 1 and 50 where they make no sense, 250 at most.
        let mut page_number = number("page").unwrap_or(1);
        let says_nothing = ["page", "pagesize", "next"].iter().all(|name| self.get(name).is_none());
        let limit = if columns.whole && says_nothing {
            i64::MAX
        } else {
            number("pagesize").unwrap_or(DEFAULT_PAGE_SIZE).min(MAX_PAGE_SIZE)
        };
        let mut offset = page_number.saturating_sub(1).saturating_mul(limit);
        let mut after = None;
        if let Some(text) = self.get("next").filter(|text| !text.is_empty()) {
            let cursor = Cursor::read(text, &order)?;
            (page_number, offset, after) = (cursor.0, 0, Some(cursor.1));
        }
        Ok(List { page_number, include, selection: Selection { filter, order, after, offset, limit } })
    }

    fn order(&self, columns: &'static Columns) -> Result<Vec<Order>, Error> {
        let mut order: Vec<Order> = Vec::new();
        for item in self.items("sort") {
            let (name, direction) = item.split_once(':').unwrap_or((item, "asc"));
            let descending = match direction.trim().to_ascii_lowercase().as_str() {
                "asc" | "" => false,
                "desc" => true,
                _ => return Err(Error::BadRequest("sort: the direction is asc or desc".to_owned())),
            };
            let column = columns.sortable(name.trim()).ok_or_else(|| unknown("sort", names(columns.sort)))?;
            if order.iter().all(|earlier| earlier.column.name != column.name) {
                order.push(Order { column, descending });
            }
        }
        if order.is_empty() {
            order.push(columns.by_default);
        }
        // Rows that are equal in all of them need an order too, or pages would repeat and skip.
        if order.iter().all(|earlier| earlier.column.name != columns.unique.name) {
            let descending = order.last().is_some_and(|last| last.descending);
            order.push(Order { column: columns.unique, descending });
        }
        Ok(order)
    }
}

fn condition(columns: &Columns, item: &str) -> Result<(Column, Value), Error> {
    let (name, text) = item
        .split_once(':')
        .ok_or_else(|| Error::BadRequest("filter: write name:value,name:value".to_owned()))?;
    let column = columns.filterable(name.trim()).ok_or_else(|| unknown("filter", names(columns.filter)))?;
    let value = read(column.kind, text).ok_or_else(|| {
        Error::BadRequest(format!("filter={}: the value must be {}", column.name, describe(column.kind)))
    })?;
    Ok((column, value))
}

fn relation(columns: &Columns, name: &str) -> Result<&'static str, Error> {
    let found = columns.includes.iter().find(|known| **known == name).copied();
    found.ok_or_else(|| unknown("include", columns.includes.join(", ")))
}

/// Names of columns, divided by commas.
pub fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

/// Says what there is, and nothing of what was asked for: that may be anything.
fn unknown(parameter: &str, allowed: String) -> Error {
    let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed };
    Error::BadRequest(format!("{parameter}: unknown name; allowed: {allowed}"))
}

fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Folded => "text",
        Kind::Id => "a uuid",
        Kind::Bool => "true or false",
        Kind::Number => "a whole number",
        Kind::Time => "a time as in 2026-11-22T10:00:00Z",
    }
}

fn read(kind: Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Text => Some(Value::Text(text.to_owned())),
        Kind::Folded => Some(Value::Text(text.to_lowercase())),
        Kind::Id => text.parse().ok().map(Value::Id),
        Kind::Bool => match text {
            "true" | "t" | "1" => Some(Value::Bool(true)),
            "false" | "f" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        Kind::Number => text.parse().ok().map(Value::Number),
        Kind::Time => Timestamp::parse(text).map(Value::Time),
    }
}

/// What is asked of a list.
pub struct List {
    page_number: i64,
    include: Vec<&'static str>,
    /// For the store.
    pub selection: Selection,
}

impl List {
    /// Every row of a list, on one page, in the order that nobody asked for.
    pub fn everything(columns: &Columns) -> Self {
        Self { page_number: 1, include: Vec::new(), selection: Selection::all(columns) }
    }

    /// Only rows that have `text` in a column.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a column that the list does not offer, or a value that it cannot hold.
    pub fn narrow(&mut self, columns: &'static Columns, column: &str, text: &str) -> Result<(), Error> {
        self.selection.filter.push(condition(columns, &format!("{column}:{text}"))?);
        Ok(())
    }

    /// Whether a relation is to be embedded.
    pub fn includes(&self, name: &str) -> bool {
        self.include.contains(&name)
    }

    /// The page: its rows, of which one may be too many, how many there are in all, and where the next page begins.
    ///
    /// # Errors
    /// What `to_wire` meets.
    pub fn page<Row, Wire>(
        &self,
        mut rows: Vec<Row>,
        total: i64,
        position: impl Fn(&Row, &str) -> Value,
        to_wire: impl FnOnce(Vec<Row>) -> Result<Vec<Wire>, Error>,
    ) -> Result<Page<Wire>, Error> {
        let limit = usize::try_from(self.selection.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_last| more).map(|last| {
            let values = self.selection.order.iter().map(|order| position(last, order.column.name)).collect();
            Cursor::write(self.page_number.saturating_add(1), &self.selection.order, values)
        });
        let paging = Paging {
            page_number: self.page_number,
            page_size: if self.selection.limit == i64::MAX {
                total.max(DEFAULT_PAGE_SIZE)
            } else {
                self.selection.limit
            },
            items_total: total,
            next,
        };
        Ok(Page::new(to_wire(rows)?, paging))
    }
}

/// Where a page ended: the page behind it, the order, and the last row's values in it. Opaque to callers, and no
/// secret: whoever changes it can only begin elsewhere in what he may list anyway.
#[derive(Serialize, Deserialize)]
struct Cursor {
    p: i64,
    o: Vec<(String, bool)>,
    v: Vec<String>,
}

impl Cursor {
    fn write(page: i64, order: &[Order], values: Vec<Value>) -> String {
        let cursor = Self {
            p: page,
            o: order.iter().map(|order| (order.column.name.to_owned(), order.descending)).collect(),
            v: values.into_iter().map(written).collect(),
        };
        BASE64URL_NOPAD.encode(&serde_json::to_vec(&cursor).unwrap_or_default())
    }

    fn read(text: &str, order: &[Order]) -> Result<(i64, Vec<Value>), Error> {
        let foreign = || {
            Error::BadRequest(
                "next: take it from the page before, and ask with the same sort and filter".to_owned(),
            )
        };
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_malformed| foreign())?;
        let cursor: Self = serde_json::from_slice(&bytes).map_err(|_malformed| foreign())?;
        let same = cursor.o.len() == order.len()
            && cursor.o.iter().zip(order).all(|((name, descending), order)| {
                name == order.column.name && *descending == order.descending
            });
        if !same || cursor.v.len() != order.len() || cursor.v.iter().any(|text| text.contains('\0')) {
            return Err(foreign());
        }
        let values = cursor.v.iter().zip(order).map(|(text, order)| read(order.column.kind, text));
        let values = values.collect::<Option<Vec<_>>>().ok_or_else(foreign)?;
        Ok((cursor.p.max(1), values))
    }
}

fn written(value: Value) -> String {
    match value {
        Value::Text(text) => text,
        Value::Id(id) => id.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Time(time) => time.to_string(),
    }
}

/// An id in the path.
///
/// # Errors
/// [`Error::BadRequest`] in the reference's words: "invalid company uuid".
pub fn path_id(text: &str, what: &str) -> Result<Id, Error> {
    text.parse().map_err(|_invalid| Error::BadRequest(format!("invalid {what} uuid")))
}
