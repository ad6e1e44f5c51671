//! Query parameters and path ids.

use std::collections::HashMap;

use actix_web::{HttpRequest, web};

use super::error::Error;
use crate::wire::Id;
use crate::wire::page::Paging;

const DEFAULT_PAGE_SIZE: i64 = 50;
const MAX_PAGE_SIZE: i64 = 250;

/// The query of a request.
pub struct Query(HashMap<String, String>);

impl Query {
    /// Reads it; of a repeated name the last counts.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a malformed query, and for parameters of the reference that this version does not
    /// have yet: ignoring a filter would answer with rows that nobody asked for.
    pub fn of(request: &HttpRequest) -> Result<Self, Error> {
        Self::refusing(request, &["sort", "filter", "include", "tags", "tags-all"])
    }

    /// The query of a list of slices, which may name tags.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn of_slices(request: &HttpRequest) -> Result<Self, Error> {
        Self::refusing(request, &["sort", "filter", "include"])
    }

    fn refusing(request: &HttpRequest, refused: &[&str]) -> Result<Self, Error> {
        let pairs = web::Query::<HashMap<String, String>>::from_query(request.query_string())
            .map_err(|error| Error::BadRequest(format!("malformed query: {error}")))?
            .into_inner();
        if let Some(name) = refused.iter().find(|name| pairs.contains_key(**name)) {
            return Err(Error::BadRequest(format!("{name} is not supported by this version")));
        }
        Ok(Self(pairs))
    }

    /// The text of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// `name=yes` (any text but `no`, `false` and `0` counts).
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|text| !matches!(text, "" | "no" | "false" | "0"))
    }

    /// `page` and `pagesize` as the reference reads them: 1 and 50 where they make no sense, 250 at most.
    pub fn paging(&self) -> Paging {
        let number =
            |name: &str| self.get(name).and_then(|text| text.parse::<i64>().ok()).filter(|value| *value > 0);
        Paging {
            page_number: number("page").unwrap_or(1),
            page_size: number("pagesize").unwrap_or(DEFAULT_PAGE_SIZE).min(MAX_PAGE_SIZE),
            items_total: 0,
        }
    }
}

/// Rows before the page.
pub fn offset(paging: &Paging) -> i64 {
    paging.page_number.saturating_sub(1).saturating_mul(paging.page_size)
}

/// An id in the path.
///
/// # Errors
/// [`Error::BadRequest`] in the reference's words: "invalid company uuid".
pub fn path_id(text: &str, what: &str) -> Result<Id, Error> {
    text.parse().map_err(|_invalid| Error::BadRequest(format!("invalid {what} uuid")))
}
