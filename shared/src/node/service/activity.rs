//! The sync log: partners write their own records, staff read them all.

use crate::node::body::{Rules, no_nul};
use crate::node::query::offset;
use crate::node::{Error, Node, Principal};
use crate::store::activity::{ActivityRow, NewActivity};
use crate::store::{self, StoreError};
use crate::wire::activity::{Activity, CreateActivity};
use crate::wire::page::{Page, Paging};

/// Adds a record of the caller's company; of any for staff.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Forbidden`] for another's company or subscription (gap S12).
pub async fn create(node: &Node, who: &Principal, body: CreateActivity) -> Result<Activity, Error> {
    let mut rules = Rules::default();
    rules.required("CompanyID", !body.company_id.is_nil());
    rules.required("Message", !body.message.is_empty());
    rules.check()?;
    no_nul("Message", &body.message)?;
    no_nul("Error", &body.error)?;
    if !who.role.is_staff() && body.company_id != who.company_id {
        return Err(Error::Forbidden);
    }
    let report = super::receiver::Report::of(node, who, &body);
    let new = NewActivity {
        uid: node.random.id(),
        company_id: body.company_id,
        sub_id: body.sub_id.given(),
        success: body.success,
        message: body.message,
        error: body.error,
        duration: body.duration,
        created_at: node.clock.now(),
    };
    let (company_id, is_staff) = (who.company_id, who.role.is_staff());
    node.store
        .write(move |conn| {
            if let Some(sub_id) = new.sub_id
                && !is_staff
                && store::subscription::find(conn, sub_id)?.is_none_or(|sub| sub.company_id != company_id)
            {
                return Err(Error::Forbidden);
            }
            if let Some(report) = report {
                report.take(conn, new.created_at)?;
            }
            Ok(to_wire(store::activity::insert(conn, &new)?))
        })
        .await
}

/// Records, newest first.
///
/// # Errors
/// [`Error::Forbidden`] but for staff.
pub async fn list(node: &Node, who: &Principal, mut paging: Paging) -> Result<Page<Activity>, Error> {
    who.require_staff()?;
    let (rows, total) = node
        .store
        .read(move |conn| -> Result<_, StoreError> {
            store::activity::list(conn, offset(&paging), paging.page_size)
        })
        .await?;
    paging.items_total = total;
    Ok(Page::new(rows.into_iter().map(to_wire).collect(), paging))
}

/// One record.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`].
pub async fn view(node: &Node, who: &Principal, id: i64) -> Result<Activity, Error> {
    who.require_staff()?;
    node.store
        .read(move |conn| {
            store::activity::find(conn, id)?.map(to_wire).ok_or(Error::NotFound("Activity does not exist."))
        })
        .await
}

fn to_wire(row: ActivityRow) -> Activity {
    Activity {
        id: row.id,
        company_id: row.company_id,
        sub_id: row.sub_id.unwrap_or_default(),
        success: row.success,
        message: row.message,
        error: row.error,
        duration: row.duration,
        created_at: Some(row.created_at),
    }
}
