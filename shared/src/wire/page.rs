//! Lists: `{"data": […] | null, "paging": {…}}`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows. Without any it is `null`, but in the list of slices `[]`.
    pub data: Option<Vec<T>>,
    /// Where this page stands.
    pub paging: Paging,
}

/// Where a page stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Paging {
    /// From 1.
    pub page_number: i64,
    /// How many rows a page has at most.
    pub page_size: i64,
    /// How many rows all pages have together.
    pub items_total: i64,
    /// For the parameter `next`: where the next page begins; absent on the last page. Not sent by the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// `null` for no rows.
    pub fn new(rows: Vec<T>, paging: Paging) -> Self {
        Self { data: (!rows.is_empty()).then_some(rows), paging }
    }
}
