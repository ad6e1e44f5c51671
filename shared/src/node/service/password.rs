//! Passwords of people: changing one's own, and setting somebody's. Hashing takes long, so it is done outside the
//! transaction, which then makes sure that nothing has changed since.

use super::caller::require_still_good;
use super::throttle::{self, Attempt};
use super::user::{MISSING, require_weaker_or_self};
use crate::crypto::Secret;
use crate::crypto::password::{MIN_CHARS, Rejected};
use crate::node::body::Rules;
use crate::node::permission::Action;
use crate::node::{Error, Node, Peer, Principal};
use crate::store;
use crate::store::session::Ended;
use crate::store::user::UserRow;
use crate::wire::Id;
use crate::wire::password::{ChangePassword, PasswordReset, ResetPassword};
use crate::wire::user::Role;

/// Random bytes in a password that the server makes: 120 bits.
const MADE_BYTES: usize = 15;

/// Changes a password that the caller knows: his own, or for staff that of somebody who is not stronger. Ends the
/// user's logins, but for the one that asks. Whoever guesses the old one is slowed down as at a login.
///
/// # Errors
/// [`Error::Invalid`], [`Error::BadRequest`] for a wrong old or a weak new password, [`Error::Forbidden`],
/// [`Error::NotFound`], [`Error::Conflict`] for a machine, [`Error::Throttled`], [`Error::Overloaded`].
pub async fn change(
    node: &Node,
    who: &Principal,
    id: i64,
    body: ChangePassword,
    peer: &Peer,
) -> Result<(), Error> {
    let mut rules = Rules::default();
    for (field, password) in [("OldPassword", &body.old_password), ("NewPassword", &body.new_password)] {
        if rules.required(field, !password.is_empty()) {
            rules.min(field, password.expose(), MIN_CHARS);
        }
    }
    rules.required("NewPasswordConfirm", !body.new_password_confirm.is_empty());
    rules.check()?;
    if body.new_password != body.new_password_confirm {
        return Err(Error::BadRequest("passwords do not match".to_owned()));
    }
    node.permit(who, Action::ChangePassword)?.admits_user(id)?;
    let user = target(node, who, id).await?;
    let wrong = || Error::BadRequest("incorrect old password".to_owned());
    let (key, source, now) = (node.throttle.clone(), peer.source(), node.clock.now());
    let (user, attempt) = node
        .store
        .read(move |conn| -> Result<_, Error> {
            let attempt = Attempt::begin(conn, &key, &user.username, Some(&user), source, now)?;
            Ok((user, attempt))
        })
        .await?;
    if !node.passwords.verify(attempt.lane(), body.old_password, user.password_hash.clone()).await? {
        return Err(attempt.fail(node, wrong()).await);
    }
    let kept = if who.user_id == id { who.session_id } else { None };
    if set(node, &user, body.new_password, Some(who.clone()), kept).await? {
        Ok(())
    } else {
        // Somebody else has changed it meanwhile.
        Err(wrong())
    }
}

/// Sets the password of somebody who is not stronger, without the old one, or makes one. Ends all his logins.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::BadRequest`] for a weak password, [`Error::NotFound`],
/// [`Error::Conflict`] for a machine and for the caller himself, [`Error::Overloaded`].
pub async fn reset(
    node: &Node,
    who: &Principal,
    id: i64,
    body: ResetPassword,
) -> Result<PasswordReset, Error> {
    node.permit(who, Action::ResetPassword)?;
    let user = target(node, who, id).await?;
    if who.user_id == id {
        // Whoever holds a stolen token must not be able to keep the account.
        return Err(Error::Conflict(
            "your own password is changed with the old one: PATCH /v1/password/:id".to_owned(),
        ));
    }
    let made = body.new_password.is_empty().then(|| make(node));
    let password = made.clone().unwrap_or(body.new_password);
    if !set(node, &user, password, Some(who.clone()), None).await? {
        return Err(changed_meanwhile());
    }
    let password = made.map(|made| made.expose().to_owned());
    Ok(PasswordReset { id: user.id, username: user.username, password })
}

/// Sets a password in the name of the operator at this machine.
///
/// # Errors
/// As [`reset`].
pub async fn set_by_operator(node: &Node, user: UserRow, password: Secret) -> Result<PasswordReset, Error> {
    refuse_machine(&user)?;
    if !set(node, &user, password, None, None).await? {
        return Err(changed_meanwhile());
    }
    Ok(PasswordReset { id: user.id, username: user.username, password: None })
}

/// The person whose password is meant.
async fn target(node: &Node, who: &Principal, id: i64) -> Result<UserRow, Error> {
    let user = node.store.read(move |conn| store::user::find(conn, id)?.ok_or(MISSING)).await?;
    require_weaker_or_self(who, &user)?;
    refuse_machine(&user)?;
    Ok(user)
}

fn refuse_machine(user: &UserRow) -> Result<(), Error> {
    if user.role == Role::Sync.number() {
        return Err(Error::Conflict(
            "a machine has no password: mint an api-key for its company (POST /v1/apikey)".to_owned(),
        ));
    }
    Ok(())
}

fn changed_meanwhile() -> Error {
    Error::Conflict("the password was changed meanwhile: look at the user again".to_owned())
}

/// Sets a password in the place of the one that `user` was read with; `false` if that is another one by now. Every login
/// ends but `kept`.
async fn set(
    node: &Node,
    user: &UserRow,
    password: Secret,
    by: Option<Principal>,
    kept: Option<Id>,
) -> Result<bool, Error> {
    let hash = hash(node, user, password).await?;
    let (id, old_hash, now) = (user.id, user.password_hash.clone(), node.clock.now());
    let (user, key) = (user.clone(), node.throttle.clone());
    node.store
        .write(move |conn| {
            if let Some(by) = &by {
                require_still_good(conn, by, now)?;
                require_weaker_or_self(by, &store::user::find_for_update(conn, id)?.ok_or(MISSING)?)?;
            }
            if !store::user::set_password(conn, id, old_hash.as_deref(), &hash, now)? {
                return Ok(false);
            }
            if kept.is_none() {
                store::user::end_tokens(conn, id)?;
            }
            store::session::end_all(conn, id, kept, Ended::PasswordChanged, now)?;
            throttle::forgive(conn, &key, &user)?;
            Ok(true)
        })
        .await
}

async fn hash(node: &Node, user: &UserRow, password: Secret) -> Result<String, Error> {
    let own = [
        user.username.as_str(),
        &user.email,
        &user.first_name,
        &user.last_name,
        &user.display_name,
        &node.server.server_name,
    ];
    let checked = node.passwords.policy().check(password, &own).map_err(|rejected| match rejected {
        // The reference's words, and what to do about it.
        Rejected::Weak(advice) => Error::BadRequest(format!("insecure password: {advice}")),
        other => Error::BadRequest(other.to_string()),
    })?;
    Ok(node.passwords.hash(checked, &node.random).await?)
}

/// Four groups of six letters and digits: people will type it.
fn make(node: &Node) -> Secret {
    let bytes: [u8; MADE_BYTES] = node.random.bytes();
    let text = data_encoding::BASE32_NOPAD.encode(&bytes).to_lowercase();
    let mut password = String::with_capacity(text.len() + 3);
    for (n, c) in text.chars().enumerate() {
        if n > 0 && n % 6 == 0 {
            password.push('-');
        }
        password.push(c);
    }
    password.into()
}
