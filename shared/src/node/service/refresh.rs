//! Renewing access tokens (security R2, R3): by the reference's `GET /refresh/:token`, which keeps the refresh token, and
//! by `POST /refresh`, which exchanges it.

use chrono::Duration;

use super::key_life::lets_in;
use super::login::{machine_answer, machine_token, person_token};
use crate::crypto::retry::Retry;
use crate::crypto::{Secret, refresh};
use crate::node::rings::Loaded;
use crate::node::{Error, Lives, Node, Peer};
use crate::store::api_key::{KeyName, LoginKey};
use crate::store::session::{Ended, FoundSession};
use crate::store::spent_token::SpentTokenRow;
use crate::store::{self, Connection, StoreError};
use crate::wire::auth::{AuthToken, RefreshedToken};
use crate::wire::{Id, Timestamp};

/// Whose answer was lost may ask again so long, and gets the same.
const RETRY_FOR: Duration = Duration::seconds(30);

/// Renews an access token; the refresh token stays the same, as in the reference.
///
/// # Errors
/// [`Error::LoginRefused`] for a token that is unknown, over, spent, or whose login was ended.
pub async fn renew(node: &Node, token: &str, peer: &Peer) -> Result<RefreshedToken, Error> {
    let now = node.clock.now();
    let rings = node.rings.newest(&node.store).await?;
    if let Some(key_id) = refresh::open_machine(&rings.tokens, token, now) {
        let (_key, (token, expires)) = of_machine(node, &rings, key_id, peer, now).await?;
        return Ok(RefreshedToken { token, expires });
    }
    let (sha256, sessions) = (refresh::sha256(token), node.sessions);
    let found = node
        .store
        .write(move |conn| -> Result<_, StoreError> {
            let Some(found) = store::session::find_by_token(conn, &sha256)? else {
                end_if_spent(conn, &sha256, now)?;
                return Ok(None);
            };
            // One that was idle for too long must not come back by being asked for.
            if !is_good(sessions, &found, now) {
                return Ok(None);
            }
            store::session::touch(conn, found.session.id, now, now)?;
            // It is in use: the token that it was exchanged for need not be asked for again.
            store::spent_token::forget_successors(conn, found.session.id)?;
            Ok(Some(found))
        })
        .await?;
    let found = found.ok_or(Error::LoginRefused)?;
    let (token, expires) = person_token(node, &rings, &found.user, &found.session, now)?;
    Ok(RefreshedToken { token, expires })
}

/// Exchanges a refresh token for another one, with a new access token. Shown again, the old one ends the login, unless
/// the answer may have been lost: for thirty seconds, and while its successor was not used, it gets that successor.
///
/// # Errors
/// As [`renew`].
pub async fn exchange(node: &Node, token: Secret, peer: &Peer) -> Result<AuthToken, Error> {
    let now = node.clock.now();
    let rings = node.rings.newest(&node.store).await?;
    if let Some(key_id) = refresh::open_machine(&rings.tokens, token.expose(), now) {
        // It is bound to its key and proves nothing that the key does not, so it need not change.
        let (key, access) = of_machine(node, &rings, key_id, peer, now).await?;
        return Ok(machine_answer(&key, access, &token));
    }
    let (random, successor) = (node.random.clone(), refresh::fresh(&node.random));
    let (old, new) = (refresh::sha256(token.expose()), refresh::sha256(successor.expose()));
    let lost_answer = Retry::new(&node.retries, "refresh", &lower(&token));
    let sessions = node.sessions;
    let exchanged = node
        .store
        .write(move |conn| -> Result<Option<(FoundSession, Secret)>, StoreError> {
            if let Some(found) = store::session::find_by_token(conn, &old)?
                && is_good(sessions, &found, now)
                && store::session::exchange_token(conn, found.session.id, &old, &new, now)?
            {
                let spent = SpentTokenRow {
                    token_sha256: old.to_vec(),
                    session_id: found.session.id,
                    spent_at: now,
                    successor: Some(lost_answer.seal(successor.expose().as_bytes(), &random)),
                };
                store::spent_token::insert(conn, &spent)?;
                return Ok(Some((found, successor)));
            }
            // Another request may have exchanged it a moment ago.
            let Some(spent) = store::spent_token::find(conn, &old)? else { return Ok(None) };
            let again = spent.successor.filter(|_sealed| now < spent.spent_at.plus(RETRY_FOR));
            let Some(again) = again.and_then(|sealed| lost_answer.open(&sealed)) else {
                end_if_spent(conn, &old, now)?;
                return Ok(None);
            };
            let found = store::session::find(conn, spent.session_id)?;
            let found = found.filter(|found| is_good(sessions, found, now));
            let successor = std::str::from_utf8(&again).ok().map(Secret::from);
            Ok(found.zip(successor))
        })
        .await?;
    let (found, successor) = exchanged.ok_or(Error::LoginRefused)?;
    let (access, expires) = person_token(node, &rings, &found.user, &found.session, now)?;
    Ok(AuthToken {
        token: access,
        expires,
        refresh_token: successor.expose().to_owned(),
        ..AuthToken::default()
    })
}

fn lower(token: &Secret) -> Secret {
    Secret::from(token.expose().to_ascii_lowercase())
}

async fn of_machine(
    node: &Node,
    rings: &Loaded,
    key_id: Id,
    peer: &Peer,
    now: Timestamp,
) -> Result<(LoginKey, (String, String)), Error> {
    let name = KeyName::Id(key_id);
    let looked_up = node.store.read_current(move |conn| store::api_key::look_up(conn, &name)).await?;
    let found =
        looked_up.found.filter(|found| lets_in(found, peer.address, now)).ok_or(Error::LoginRefused)?;
    let token = machine_token(node, rings, &found.user, &found.key, now)?;
    Ok((found.key, token))
}

fn is_good(sessions: Lives, found: &FoundSession, now: Timestamp) -> bool {
    sessions.admit(&found.session, now) && found.user.active && found.company_active
}

/// A token that was exchanged is shown again: two have it, and one of them should not. The login ends for both.
fn end_if_spent(conn: &mut Connection, token_sha256: &[u8], now: Timestamp) -> Result<(), StoreError> {
    if let Some(spent) = store::spent_token::find(conn, token_sha256)?
        && store::session::end(conn, spent.session_id, Ended::TokenReused, now)?
    {
        tracing::warn!(session = %spent.session_id, "a refresh token was used twice: its login was ended");
    }
    Ok(())
}
