//! Connecting to a primary: log in there once with a password, mint a key, prove it where it came from, and only then
//! write it here (docs/decisions/0005).

use shared::client::{Client, ClientError};
use shared::crypto::Secret;
use shared::node::Error;
use shared::node::body::Rules;
use shared::store::company::{CompanyRow, name_key};
use shared::store::{self, Connection, StoreError};
use shared::wire::Id;
use shared::wire::api_key::MAX_OVERLAP_SECONDS;
use shared::wire::auth::KeyLife;
use shared::wire::connection::{Connect, Connected, Subscribed};
use shared::wire::server::{Server, ServerRole};

use super::partner;
use crate::Secondary;

/// Logs in at a primary as a company admin, mints a key, stores it, proves it by logging in with it. The password is
/// used once and never stored.
///
/// # Errors
/// [`Error::BadRequest`] for what is missing, a URL that cannot be used or a login that is none of a receiver;
/// [`Error::Invalid`] for a name that cannot be used; [`Error::Conflict`] for what clashes with what is known here;
/// [`Error::Upstream`] and [`Error::Unreachable`] for what the primary answered.
pub async fn connect(secondary: &Secondary, body: Connect) -> Result<Connected, Error> {
    for (name, missing) in [
        ("url", body.url.is_empty()),
        ("username", body.username.is_empty()),
        ("password", body.password.is_empty()),
    ] {
        if missing {
            return Err(Error::BadRequest(format!("{name} is required, but was not received")));
        }
    }
    // A mint would end the key in use, and the new one could not be stored.
    secondary.node.store.require_current()?;
    let wanted_name = body.name.as_deref().map(local_name).transpose()?;
    let mut admin = Client::new(&secondary.http, &body.url, secondary.settings.allow_http)?;
    admin
        .login(&body.username, &body.password)
        .await
        .map_err(|error| refused_login(error, &body.username))?;
    let server = admin.view_server().await?;
    refuse_unfit(secondary, &admin, &server)?;
    refuse_own_company(&admin, &server, &body.username).await?;
    let known = refuse_moved(secondary, &server, admin.server(), body.moved).await?;
    if let Some(name) = &wanted_name {
        refuse_taken(secondary, server.server_id, name).await?;
    }
    // A new key's first login ends the session of a run that uses the old one.
    let _turn = if known {
        Some(secondary.node.store.try_run_lock(server.server_id).await?.ok_or(Error::SyncRunning)?)
    } else {
        None
    };
    // The reference has no overlap.
    let overlap_seconds = if server.speaks_sync_2() { MAX_OVERLAP_SECONDS } else { 0 };
    let minted = admin.mint(overlap_seconds).await?;
    if minted.primary_id != server.server_id {
        return Err(Error::Upstream(format!(
            "{} says it is {} but minted a key for {}",
            admin.server(),
            server.server_id,
            minted.primary_id
        )));
    }
    let api_key = Secret::from(minted.sync_api_key);
    // Its first login ends the key before: from then on it must be here, whatever happens to us. Beside a proven key, and
    // for the address that is known already, a bad one costs nothing.
    if known {
        partner::store_key(secondary, server.server_id, &api_key).await?;
    }
    // Proven where it came from, before anything else is written: whoever answers there gets to see no other key of ours.
    let mut machine = Client::new(&secondary.http, &body.url, secondary.settings.allow_http)?;
    let life = machine.login_with_key(&api_key).await?.key_life();
    let company_id = machine.me().await?.company_id;
    let subscriptions = machine.subscriptions().await?;
    let company = remember(secondary, &server, admin.server(), wanted_name, (&api_key, life)).await?;
    Ok(Connected {
        id: company.id,
        name: company.name,
        sync_addr: company.sync_addr.unwrap_or_default(),
        has_api_key: true,
        company_id,
        subscriptions: subscriptions
            .into_iter()
            .map(|sub| Subscribed {
                slice: sub.slice.map_or(sub.name, |slice| slice.slice_name),
                active: sub.active,
            })
            .collect(),
    })
}

fn refused_login(error: ClientError, username: &str) -> Error {
    // The reference answers 404 for an unknown user, in these words.
    if error.is_status(401) || (error.is_status(404) && error.to_string().contains("Authentication Error")) {
        return Error::Upstream(format!("the primary refused user \"{username}\" or the password"));
    }
    error.into()
}

fn refuse_unfit(secondary: &Secondary, client: &Client, server: &Server) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::BadRequest(format!("{} {why}", client.server())));
    if server.server_role != ServerRole::Primary {
        return refuse("is not a primary");
    }
    if server.server_id == secondary.node.server_id() {
        return refuse("has the id of this very server");
    }
    Ok(())
}

/// A key of the publisher's own company logs in, and is offered nothing: with it stored, every slice would count as no
/// longer offered.
async fn refuse_own_company(admin: &Client, server: &Server, username: &str) -> Result<(), Error> {
    if admin.me().await?.company_id == server.server_id {
        return Err(Error::BadRequest(format!(
            "user \"{username}\" belongs to the company of the primary itself: connect with the login that the publisher \
             gave your company (its company admin there); nothing was minted"
        )));
    }
    Ok(())
}

/// As companies are named.
fn local_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    let mut rules = Rules::default();
    rules.name("Name", name, 3);
    rules.check()?;
    Ok(name.to_owned())
}

async fn refuse_taken(secondary: &Secondary, id: Id, name: &str) -> Result<(), Error> {
    let name = name.to_owned();
    secondary
        .node
        .store
        .read(move |conn| match store::company::find_by_name(conn, &name)? {
            Some(other) if other.id != id => {
                Err(Error::Conflict(format!("\"{}\" ({}) has that name here", other.name, other.id)))
            }
            _ => Ok(()),
        })
        .await
}

/// Any server can say that it is the primary that we know: only an operator can say that this one has moved. Returns
/// whether it is known here under this very address.
async fn refuse_moved(
    secondary: &Secondary,
    server: &Server,
    addr: &str,
    moved: bool,
) -> Result<bool, Error> {
    let (id, addr) = (server.server_id, addr.to_owned());
    secondary
        .node
        .store
        .read(move |conn| {
            if let Some(other) = store::company::find_by_addr(conn, &addr)?.filter(|other| other.id != id) {
                return Err(Error::Conflict(format!(
                    "the address belongs to \"{}\" ({}) here: if the primary was made anew, change that company's \
                     sync_addr first (PATCH /v1/companies/:id)",
                    other.name, other.id
                )));
            }
            let known = store::company::find(conn, id)?;
            let Some((name, Some(old))) = known.map(|company| (company.name, company.sync_addr)) else {
                return Ok(false);
            };
            let is_here = normalised(&old) == addr;
            if !is_here && !moved {
                return Err(Error::Conflict(format!(
                    "\"{name}\" is known here at {old}: if it has really moved to {addr}, connect with --moved"
                )));
            }
            Ok(is_here)
        })
        .await
}

/// `https://Host:443/` and `https://host` are one address.
fn normalised(addr: &str) -> String {
    Client::address(addr).unwrap_or_else(|| addr.to_owned())
}

/// Adds the primary's company, or its new address, together with its proven key.
async fn remember(
    secondary: &Secondary,
    server: &Server,
    addr: &str,
    wanted_name: Option<String>,
    (api_key, life): (&Secret, KeyLife),
) -> Result<CompanyRow, Error> {
    let now = secondary.node.clock.now();
    let (id, addr, sync2) = (server.server_id, addr.to_owned(), server.speaks_sync_2());
    let sealed = partner::seal(secondary, id, api_key);
    let host = addr.split("//").nth(1).unwrap_or(&addr).to_owned();
    // The reference does not tell its name.
    let name = if server.server_name.trim().is_empty() { host } else { server.server_name.trim().to_owned() };
    secondary
        .node
        .store
        .write(move |conn| -> Result<CompanyRow, Error> {
            let row = if let Some(mut row) = store::company::find(conn, id)? {
                if let Some(name) = wanted_name {
                    row.name_key = name_key(&name);
                    row.name = name;
                }
                row.sync_addr = Some(addr);
                row.active = true;
                row.updated_at = now;
                store::company::update(conn, &row)?;
                row
            } else {
                let name = match wanted_name {
                    Some(name) => name,
                    None => free_company_name(conn, &name, id)?,
                };
                let row = CompanyRow {
                    id,
                    name_key: name_key(&name),
                    name,
                    sync_addr: Some(addr),
                    active: true,
                    key_generation: 0,
                    created_at: now,
                    updated_at: now,
                };
                store::company::insert(conn, &row)?;
                row
            };
            store::partner::set_proven(conn, id, &sealed, life, now)?;
            // An operator who connects again consents to what the server speaks now (design D15).
            store::partner::set_sync2(conn, id, sync2)?;
            Ok(row)
        })
        .await
}

fn free_company_name(conn: &mut Connection, name: &str, id: Id) -> Result<String, StoreError> {
    let name: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
    let taken = store::company::find_by_name(conn, &name)?.is_some();
    Ok(if taken { format!("{name} ({id})") } else { name })
}
