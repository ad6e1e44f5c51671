//! Users: who may see, make and change them.

use crate::clock::Random;
use crate::crypto::password::{Passwords, Rejected};
use crate::node::body::{Rules, indexable};
use crate::node::permission::Action;
use crate::node::query::List;
use crate::node::{Error, Node, Principal};
use crate::store::session::Ended;
use crate::store::user::{NewUser, UserRow, login_key};
use crate::store::{self, Connection, StoreError};
use crate::wire::Timestamp;
use crate::wire::page::Page;
use crate::wire::user::{CreateUser, Role, UpdateUser, User};

pub use crate::store::user::COLUMNS;

pub(super) const MISSING: Error = Error::NotFound("User does not exist.");
const TAKEN: &str = "Username or email already exists.";
const MAX_USERNAME: usize = 30;

/// Adds a user to a company the caller rules, weaker than himself.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Forbidden`], [`Error::Conflict`], [`Error::Overloaded`].
pub async fn create(node: &Node, who: &Principal, body: CreateUser) -> Result<User, Error> {
    let mut rules = Rules::default();
    rules.name("FirstName", body.first_name.trim(), 1);
    rules.name("LastName", body.last_name.trim(), 1);
    rules.name("Username", &body.username, 1);
    rules.holds(is_username(&body.username), "Username failed on alphanum validation");
    rules.required("Password", !body.password.is_empty());
    rules.required("PasswordConfirm", !body.password_confirm.is_empty());
    if rules.required("Email", !body.email.is_empty()) {
        rules.holds(is_email(&body.email), "Email failed on email validation");
    }
    rules.required("CompanyID", !body.company_id.is_nil());
    rules.required("Role", body.role != 0);
    rules.check()?;
    if body.password != body.password_confirm {
        return Err(Error::BadRequest("passwords do not match".to_owned()));
    }
    let role = Role::from_number(body.role)
        .ok_or_else(|| Error::BadRequest("unknown role: use 100, 110, 120, 200 or 300".to_owned()))?;
    node.permit(who, Action::CreateUser)?.admits_company(body.company_id)?;
    if role <= who.role {
        return Err(Error::Forbidden);
    }
    insert(node, body, role).await
}

/// Adds a user whose rights the caller has settled; used by the command line too.
///
/// # Errors
/// [`Error::Invalid`] for a bad name or a weak password, [`Error::NotFound`] for an unknown company,
/// [`Error::Conflict`], [`Error::Overloaded`].
pub async fn insert(node: &Node, body: CreateUser, role: Role) -> Result<User, Error> {
    let own_name = node.server.server_name.clone();
    let new = prepare(&node.passwords, &node.random, node.clock.now(), &own_name, body, role).await?;
    node.store
        .write(move |conn| {
            if store::company::find(conn, new.company_id)?.is_none() {
                return Err(Error::NotFound("unknown company"));
            }
            refuse_taken(conn, &new.username, new.email_key.as_deref(), None)?;
            if role == Role::Sync && store::user::find_sync_user(conn, new.company_id)?.is_some() {
                return Err(Error::Conflict("the company has a sync user already".to_owned()));
            }
            Ok(to_wire(store::user::insert(conn, &new)?))
        })
        .await
}

/// Checks a user and hashes the password; nothing is written yet.
///
/// # Errors
/// [`Error::Invalid`] for a bad name or a weak password, [`Error::Overloaded`].
pub async fn prepare(
    passwords: &Passwords,
    random: &Random,
    now: Timestamp,
    server_name: &str,
    body: CreateUser,
    role: Role,
) -> Result<NewUser, Error> {
    let mut rules = Rules::default();
    rules.name("Username", &body.username, 1);
    rules.holds(is_username(&body.username), "Username failed on alphanum validation");
    rules.check()?;
    for (field, text) in [
        ("FirstName", &body.first_name),
        ("LastName", &body.last_name),
        ("Email", &body.email),
        ("Phone", &body.phone),
        ("DisplayName", &body.display_name),
    ] {
        indexable(field, text)?;
    }
    let own = [
        body.username.as_str(),
        &body.email,
        &body.first_name,
        &body.last_name,
        &body.display_name,
        server_name,
    ];
    let password = passwords.policy().check(body.password, &own).map_err(|rejected| match rejected {
        Rejected::TooShort => {
            Error::Invalid(vec!["Password's value or length is less than allowed".to_owned()])
        }
        other => Error::BadRequest(other.to_string()),
    })?;
    let hash = passwords.hash(password, random).await?;
    let email_key = (role != Role::Sync && !body.email.trim().is_empty()).then(|| login_key(&body.email));
    Ok(NewUser {
        company_id: body.company_id,
        username_key: login_key(&body.username),
        username: body.username,
        password_hash: Some(hash),
        email_key,
        email: body.email,
        first_name: body.first_name,
        last_name: body.last_name,
        phone: body.phone,
        active: body.active.unwrap_or(true),
        role: role.number(),
        created_at: now,
        updated_at: now,
        display_name: body.display_name,
    })
}

fn refuse_taken(
    conn: &mut Connection,
    username: &str,
    email: Option<&str>,
    own: Option<i64>,
) -> Result<(), Error> {
    let others = |user: Option<UserRow>| user.is_some_and(|user| Some(user.id) != own);
    let name_taken = others(store::user::find_by_username(conn, username)?);
    let email_taken = match email {
        Some(email) => others(store::user::find_by_email(conn, email)?),
        None => false,
    };
    if name_taken || email_taken { Err(Error::Conflict(TAKEN.to_owned())) } else { Ok(()) }
}

fn is_username(text: &str) -> bool {
    text.chars().count() <= MAX_USERNAME
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '~' | '.' | '-'))
}

/// Enough to find what is no address; whether anybody reads it only a letter could tell.
fn is_email(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control());
    text.rsplit_once('@').is_some_and(|(local, domain)| {
        is_part(local) && is_part(domain) && !domain.starts_with('.') && !domain.ends_with('.')
    })
}

/// The caller.
///
/// # Errors
/// [`Error::NotFound`] when it was deleted meanwhile.
pub async fn me(node: &Node, who: &Principal) -> Result<User, Error> {
    find(node, who.user_id).await.map(to_wire)
}

/// One user: himself, or any for staff.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`].
pub async fn view(node: &Node, who: &Principal, id: i64) -> Result<User, Error> {
    node.permit(who, Action::ViewUser)?.admits_user(id)?;
    find(node, id).await.map(to_wire)
}

/// Users by id: all for staff, his company's for a company admin.
///
/// # Errors
/// [`Error::Forbidden`] for a machine.
pub async fn list(node: &Node, who: &Principal, list: List) -> Result<Page<User>, Error> {
    let scope = node.permit(who, Action::ListUsers)?.company();
    node.store
        .read(move |conn| {
            let (rows, total) = store::user::list(conn, scope, &list.selection)?;
            list.page(rows, total, store::user::position, |rows| Ok(rows.into_iter().map(to_wire).collect()))
        })
        .await
}

/// Changes what the body names.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Forbidden`], [`Error::ForbiddenMember`], [`Error::NotFound`], [`Error::Conflict`].
pub async fn update(node: &Node, who: &Principal, id: i64, body: UpdateUser) -> Result<User, Error> {
    let mut rules = Rules::default();
    rules.patched_name("FirstName", &body.first_name, 2);
    rules.patched_name("LastName", &body.last_name, 2);
    rules.not_null("Email", &body.email);
    if let Some(email) = body.email.value() {
        rules.holds(is_email(email), "Email failed on email validation");
    }
    rules.not_null("Active", &body.active);
    rules.check()?;
    for (field, patch) in [
        ("FirstName", &body.first_name),
        ("LastName", &body.last_name),
        ("Email", &body.email),
        ("Phone", &body.phone),
        ("DisplayName", &body.display_name),
    ] {
        indexable(field, patch.value().map_or("", String::as_str))?;
    }
    node.permit(who, Action::UpdateUser)?.admits_user(id)?;
    if body.role.is_some() {
        return Err(Error::ForbiddenMember("role"));
    }
    if body.company_id.is_some() {
        return Err(Error::ForbiddenMember("company_id"));
    }
    if body.active.is_some() {
        who.may(Action::SwitchUser).map_err(|_forbidden| Error::ForbiddenMember("active"))?;
    }
    let (now, who) = (node.clock.now(), who.clone());
    node.store
        .write(move |conn| {
            let mut row = store::user::find_for_update(conn, id)?.ok_or(MISSING)?;
            require_weaker_or_self(&who, &row)?;
            row.first_name = body.first_name.or(row.first_name);
            row.last_name = body.last_name.or(row.last_name);
            row.phone = body.phone.or(row.phone);
            row.display_name = body.display_name.or(row.display_name);
            let active = body.active.or(row.active);
            if row.active && !active {
                refuse_last_super_admin(conn, &row)?;
                // What was issued before must not come back with the account.
                store::user::end_tokens(conn, row.id)?;
                store::session::end_all(conn, row.id, None, Ended::SwitchedOff, now)?;
            }
            row.active = active;
            if body.email.is_some() {
                row.email = body.email.or(row.email);
                // Sync users all have the same one.
                row.email_key = (row.role != Role::Sync.number()).then(|| login_key(&row.email));
            }
            row.updated_at = now;
            refuse_taken(conn, &row.username, row.email_key.as_deref(), Some(row.id))?;
            store::user::update(conn, &row)?;
            Ok(to_wire(row))
        })
        .await
}

/// Removes a user weaker than the caller, of a company he rules. The row stays, so that the id names nobody else; name
/// and e-mail are free, and what was issued to the user ends.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::NotFound`], which only those learn who may remove users of every company;
/// [`Error::Conflict`] for one who was switched off, by a caller who could not switch him on again.
pub async fn delete(node: &Node, who: &Principal, id: i64) -> Result<(), Error> {
    let scope = node.permit(who, Action::DeleteUser)?;
    let may_switch = who.may(Action::SwitchUser).is_ok();
    let (now, who) = (node.clock.now(), who.clone());
    node.store
        .write(move |conn| {
            let Some(UserRow { company_id, .. }) = store::user::find(conn, id)? else {
                return Err(scope.unless_own(Error::Forbidden, MISSING));
            };
            scope.admits_company(company_id)?;
            // A mint takes it first, too: no key may be made for a machine that is going.
            store::company::find_for_update(conn, company_id)?;
            let row = store::user::find_for_update(conn, id)?.ok_or(MISSING)?;
            if Role::from_number(row.role).is_none_or(|role| role <= who.role) {
                return Err(Error::Forbidden);
            }
            if !row.active && !may_switch {
                // He could be made anew, active.
                return Err(Error::Conflict(
                    "this user was switched off by staff, who alone can remove him now".to_owned(),
                ));
            }
            if row.role == Role::Sync.number() {
                store::api_key::revoke_all(conn, row.company_id, &who.username, "revoked", now)?;
            }
            store::session::end_all(conn, row.id, None, Ended::UserDeleted, now)?;
            store::user::delete(conn, id, now)?;
            Ok(())
        })
        .await
}

fn refuse_last_super_admin(conn: &mut Connection, row: &UserRow) -> Result<(), Error> {
    // Two who switch each other off queue here.
    store::setting::hold(conn)?;
    let is_last = row.role == Role::SuperAdmin.number() && store::user::count_active(conn, row.role)? <= 1;
    if row.active && is_last {
        return Err(Error::Conflict(
            "this is the last active super admin: make another one first".to_owned(),
        ));
    }
    Ok(())
}

/// An admin does not edit a super admin (gap S13).
pub(super) fn require_weaker_or_self(who: &Principal, row: &UserRow) -> Result<(), Error> {
    let weaker = Role::from_number(row.role).is_some_and(|role| role >= who.role);
    if who.user_id == row.id || weaker { Ok(()) } else { Err(Error::Forbidden) }
}

/// The user who logs in with this text: his name, or his e-mail address. No name holds an @, so neither is taken for
/// the other.
///
/// # Errors
/// What the store reports.
pub async fn find_login(node: &Node, text: String) -> Result<Option<UserRow>, StoreError> {
    node.store.read(move |conn| find_by_login(conn, &text)).await
}

/// As [`find_login`].
pub(super) fn find_by_login(conn: &mut Connection, text: &str) -> Result<Option<UserRow>, StoreError> {
    // No name holds a NUL, and PostgreSQL could not even be asked.
    if text.contains('\0') {
        return Ok(None);
    }
    if text.contains('@') {
        store::user::find_by_email(conn, text)
    } else {
        store::user::find_by_username(conn, text)
    }
}

async fn find(node: &Node, id: i64) -> Result<UserRow, Error> {
    node.store.read(move |conn| store::user::find(conn, id)?.ok_or(MISSING)).await
}

/// As it crosses the wire.
pub fn to_wire(row: UserRow) -> User {
    User {
        id: row.id,
        first_name: row.first_name,
        last_name: row.last_name,
        display_name: row.display_name,
        username: row.username,
        email: row.email,
        phone: row.phone,
        active: row.active,
        last_login: row.last_login,
        password_changed: row.password_changed,
        role: row.role,
        company_id: row.company_id,
        created_at: Some(row.created_at),
        updated_at: Some(row.updated_at),
    }
}
