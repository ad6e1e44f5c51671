//! The store on every database that can be had: constraints, versions, payloads, transactions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, tells a story in one go, and looks at a server with a stranger's client"
)]

mod constraints;
mod grains;
mod schema;
mod transactions;

use shared::clock::Random;
use shared::store::company::{CompanyRow, name_key};
use shared::store::slice::SliceRow;
use shared::store::user::{NewUser, login_key};
use shared::store::{self, Connection, Store, StoreError};
use shared::wire::{Id, Timestamp};

fn now() -> Timestamp {
    Timestamp::parse("2026-11-21T12:34:56.789012Z").unwrap()
}

fn id() -> Id {
    Random::System.id()
}

fn company(name: &str) -> CompanyRow {
    CompanyRow {
        id: id(),
        name: name.to_owned(),
        name_key: name_key(name),
        sync_addr: None,
        active: true,
        key_generation: 0,
        created_at: now(),
        updated_at: now(),
    }
}

fn user(company_id: Id, username: &str, role: i64) -> NewUser {
    NewUser {
        company_id,
        username: username.to_owned(),
        username_key: login_key(username),
        password_hash: None,
        email: String::new(),
        email_key: None,
        first_name: String::new(),
        last_name: String::new(),
        phone: String::new(),
        active: true,
        role,
        created_at: now(),
        updated_at: now(),
        display_name: String::new(),
    }
}

/// A slice with its version 0.
fn add_slice(conn: &mut Connection, name: &str) -> Result<Id, StoreError> {
    let row = SliceRow {
        draft_change: 0,
        id: id(),
        name: name.to_owned(),
        name_key: name_key(name),
        slice_type: "aces-items".to_owned(),
        primary_id: None,
        epoch: id(),
        current_version: 0,
        allow_sync: true,
        lock_owner: None,
        lock_expires_at: None,
        sync_status: "none".to_owned(),
        last_sync_attempt: None,
        last_good_sync: None,
        created_at: now(),
        updated_at: now(),
    };
    store::slice::insert(conn, &row)?;
    store::version::insert(conn, &shared::node::service::version::empty(row.id, now()))?;
    Ok(row.id)
}

async fn write<T: Send + 'static>(
    store: &Store,
    change: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    store.write(change).await
}
