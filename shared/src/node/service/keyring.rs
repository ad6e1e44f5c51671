//! The key rings: preparing, activating and retiring keys while servers run (design D5, decision 0012).

use std::sync::Arc;

use super::caller::require_still_good;
use super::login::REFRESH_LIFE;
use crate::clock::Random;
use crate::crypto::keyring::{
    MAX_RING, MAX_SEALS, Purpose, WeakSecret, fresh_jwt_secret, fresh_seal_secret, import,
};
use crate::node::permission::{Action, By};
use crate::node::{Error, Node, Rings};
use crate::store::api_key::ApiKeyRow;
use crate::store::keyring::KeyRow;
use crate::store::{self, Connection, StoreError};
use crate::wire::Timestamp;
use crate::wire::keyring::{RingKey, SealedPartner};
use crate::wire::server::ServerRole;

const MISSING: Error = Error::NotFound("Key does not exist.");

/// How many partners of a key are named.
const NAMED: i64 = 1_000;
/// And in a message.
const NAMED_IN_TEXT: i64 = 10;

/// A key, and the living api-keys that it sealed, each with its company's name: the first of them, and how many.
type Entry = (KeyRow, (Vec<(ApiKeyRow, String)>, i64));

/// What a ring is called on the wire.
///
/// # Errors
/// [`Error::BadRequest`].
pub fn purpose(text: &str) -> Result<Purpose, Error> {
    Purpose::parse(text).ok_or_else(|| Error::BadRequest("purpose must be \"seal\" or \"jwt\"".to_owned()))
}

/// The keys of the rings, retired ones too, newest first.
///
/// # Errors
/// [`Error::Forbidden`]; what the store reports.
pub async fn list(node: &Node, by: By<'_>) -> Result<Vec<RingKey>, Error> {
    node.permit_by(by, Action::ManageRings)?;
    let entries = node
        .store
        .read(|conn| -> Result<Vec<Entry>, StoreError> {
            store::keyring::list_all(conn)?.into_iter().map(|row| entry(conn, row)).collect()
        })
        .await?;
    Ok(entries.into_iter().map(shown).collect())
}

/// Adds a key that is not in use yet.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::WrongServerRole`] for a seal key on a secondary; [`Error::Conflict`] when the ring is
/// full.
pub async fn prepare(node: &Node, by: By<'_>, purpose: Purpose) -> Result<RingKey, Error> {
    node.permit_by(by, Action::ManageRings)?;
    require_ring(node, purpose)?;
    change(node, by, move |conn, fresh| add(conn, purpose, fresh)).await
}

/// Makes a prepared key the one that seals or signs; the one before goes on opening or verifying.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::NotFound`]; [`Error::Conflict`] for a key that is not prepared.
pub async fn activate(node: &Node, by: By<'_>, id: String) -> Result<RingKey, Error> {
    node.permit_by(by, Action::ManageRings)?;
    change(node, by, move |conn, fresh| {
        let row = store::keyring::find(conn, &id)?.ok_or(MISSING)?;
        match row.state.as_str() {
            "active" => Ok(row),
            "prepared" => start(conn, &row, fresh.now),
            state => {
                Err(Error::Conflict(format!("key {id} is {state}: prepare a new one, and activate that")))
            }
        }
    })
    .await
}

/// Prepares a key and activates it.
///
/// # Errors
/// As [`prepare`].
pub async fn rotate(node: &Node, by: By<'_>, purpose: Purpose) -> Result<RingKey, Error> {
    node.permit_by(by, Action::ManageRings)?;
    require_ring(node, purpose)?;
    change(node, by, move |conn, fresh| {
        let row = add(conn, purpose, fresh)?;
        start(conn, &row, fresh.now)
    })
    .await
}

/// Ends a key: what it sealed opens no more, what it signed is refused. It is forgotten and cannot come back.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::NotFound`]; [`Error::Conflict`] for the active key, and, without `force`, while somebody
/// would be cut off.
pub async fn retire(node: &Node, by: By<'_>, id: String, force: bool) -> Result<RingKey, Error> {
    node.permit_by(by, Action::ManageRings)?;
    change(node, by, move |conn, fresh| {
        let row = store::keyring::find(conn, &id)?.ok_or(MISSING)?;
        match row.state.as_str() {
            "retired" => return Ok(row),
            "active" => {
                return Err(Error::Conflict(format!(
                    "key {id} is the active one: activate another one first"
                )));
            }
            _ if force => {}
            _ => refuse_cutting_off(conn, &row, fresh.now)?,
        }
        store::keyring::retire(conn, &id, fresh.now)?;
        store::keyring::find(conn, &id)?.ok_or(MISSING)
    })
    .await
}

/// Lets another key seal, unless that was done meanwhile: the active one has sealed as many as it may.
///
/// # Errors
/// [`Error::Conflict`] when the ring is full.
pub(super) async fn replace_used_up(node: &Node) -> Result<(), Error> {
    change(node, By::Operator, |conn, fresh| {
        let active = store::keyring::find_active(conn, Purpose::Seal.as_str())?.ok_or(MISSING)?;
        if active.seals < MAX_SEALS {
            return Ok(active);
        }
        let row = add(conn, Purpose::Seal, fresh)?;
        start(conn, &row, fresh.now)
    })
    .await?;
    Ok(())
}

/// What a recovery does to the rings: ends the keys `dead`, and every key of tokens, so that nothing is good any more that was
/// signed before. Where the active one was among them, a new one is. `given_out`: so often the rings may have changed
/// meanwhile. Returns which of `dead` were alive.
pub(super) fn end_in_recovery(
    conn: &mut Connection,
    dead: &[String],
    given_out: i64,
    fresh: &Fresh,
) -> Result<Vec<String>, Error> {
    store::setting::hold(conn)?;
    let living = store::keyring::list(conn)?;
    for row in living.iter().filter(|row| row.purpose == Purpose::Jwt.as_str() || dead.contains(&row.id)) {
        store::keyring::retire(conn, &row.id, fresh.now)?;
    }
    for purpose in [Purpose::Jwt, Purpose::Seal] {
        let has_ring = living.iter().any(|row| row.purpose == purpose.as_str());
        if has_ring && store::keyring::find_active(conn, purpose.as_str())?.is_none() {
            let row = add(conn, purpose, fresh)?;
            start(conn, &row, fresh.now)?;
        }
    }
    store::setting::raise_ring_epoch_by(conn, given_out + 1)?;
    Ok(living.into_iter().map(|row| row.id).filter(|id| dead.contains(id)).collect())
}

fn require_ring(node: &Node, purpose: Purpose) -> Result<(), Error> {
    if purpose == Purpose::Seal { node.require_role(ServerRole::Primary) } else { Ok(()) }
}

/// What a new key is made with.
pub(super) struct Fresh {
    rings: Arc<Rings>,
    random: Random,
    now: Timestamp,
}

impl Fresh {
    pub(super) fn of(node: &Node) -> Self {
        Self { rings: Arc::clone(&node.rings), random: node.random.clone(), now: node.clock.now() }
    }
}

/// Changes the rings, one change after the other, and lets every server know.
async fn change(
    node: &Node,
    by: By<'_>,
    work: impl FnOnce(&mut Connection, &Fresh) -> Result<KeyRow, Error> + Send + 'static,
) -> Result<RingKey, Error> {
    let fresh = Fresh::of(node);
    let caller = match by {
        By::Caller(who) => Some(who.clone()),
        By::Operator => None,
    };
    let changed = node
        .store
        .write(move |conn| -> Result<Entry, Error> {
            store::setting::hold(conn)?;
            if let Some(caller) = &caller {
                require_still_good(conn, caller, fresh.now)?;
            }
            let before = store::keyring::list_all(conn)?;
            let row = work(conn, &fresh)?;
            // What is so already makes no server read its rings anew.
            if store::keyring::list_all(conn)? != before {
                store::setting::raise_ring_epoch(conn)?;
            }
            Ok(entry(conn, row)?)
        })
        .await?;
    Ok(shown(changed))
}

fn add(conn: &mut Connection, purpose: Purpose, fresh: &Fresh) -> Result<KeyRow, Error> {
    let rows = store::keyring::list_all(conn)?;
    let ring = || rows.iter().filter(|row| row.purpose == purpose.as_str());
    if ring().filter(|row| row.state != "retired").count() >= MAX_RING {
        return Err(Error::Conflict(format!(
            "the {} ring has {MAX_RING} keys already: retire an old one first",
            purpose.as_str()
        )));
    }
    let number =
        |row: &KeyRow| row.id.strip_prefix(purpose.letter()).and_then(|digits| digits.parse::<u64>().ok());
    let next = ring().filter_map(number).max().map_or(0, |newest| newest + 1);
    let secret = match purpose {
        Purpose::Seal => fresh_seal_secret(&fresh.random),
        Purpose::Jwt => fresh_jwt_secret(&fresh.random),
    };
    let secret = import(purpose, &secret).map_err(|weak: WeakSecret| Error::Internal(weak.to_string()))?;
    let id = format!("{}{next}", purpose.letter());
    let row = fresh.rings.row(&id, purpose, &secret, fresh.now, &fresh.random);
    store::keyring::insert(conn, &row)?;
    Ok(row)
}

fn start(conn: &mut Connection, row: &KeyRow, now: Timestamp) -> Result<KeyRow, Error> {
    store::keyring::activate(conn, &row.id, &row.purpose, now)?;
    store::keyring::find(conn, &row.id)?.ok_or(MISSING)
}

/// Who holds something that only this key opens or verifies?
fn refuse_cutting_off(conn: &mut Connection, row: &KeyRow, now: Timestamp) -> Result<(), Error> {
    if row.purpose == Purpose::Jwt.as_str() {
        // The longest that it signs: the refresh tokens of machines.
        let until = row.superseded_at.map(|at| at.plus(REFRESH_LIFE));
        return match until {
            Some(until) if now < until => Err(Error::Conflict(format!(
                "key {} signed tokens that live until {until}: wait, or retire it by force, and who holds one logs in \
                 again",
                row.id
            ))),
            _ => Ok(()),
        };
    }
    let (first, all) = store::api_key::sealed_with(conn, &row.id, NAMED_IN_TEXT)?;
    let mut names: Vec<String> = first.into_iter().map(|(_key, name)| format!("\"{name}\"")).collect();
    names.dedup();
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "key {} sealed {all} living api-key{}, of {}{}: let these partners rotate or connect first, or retire it by force, \
         and they must connect again",
        row.id,
        if all == 1 { "" } else { "s" },
        names.join(", "),
        if all > NAMED_IN_TEXT { " and others" } else { "" }
    )))
}

fn entry(conn: &mut Connection, row: KeyRow) -> Result<Entry, StoreError> {
    let partners = store::api_key::sealed_with(conn, &row.id, NAMED)?;
    Ok((row, partners))
}

fn shown((row, (partners, partner_count)): Entry) -> RingKey {
    RingKey {
        id: row.id,
        purpose: row.purpose,
        state: row.state,
        created_at: row.created_at,
        activated_at: row.activated_at,
        superseded_at: row.superseded_at,
        retired_at: row.retired_at,
        seals: row.seals,
        partner_count,
        partners: partners
            .into_iter()
            .map(|(key, company_name)| SealedPartner {
                company_id: key.company_id,
                company_name,
                key_id: key.key_id,
                last_used_at: key.last_used_at,
            })
            .collect(),
    }
}
