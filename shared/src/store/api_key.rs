//! Machine credentials: every api-key ever minted, at most one active a company.

use diesel::prelude::*;

use super::schema::{api_keys, companies, settings, users};
use super::user::Holder;
use super::{Connection, StoreError, on_backend};
use crate::wire::{Id, Timestamp};

/// A row of `api_keys`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = api_keys)]
pub struct ApiKeyRow {
    /// The uuid in the user name `sync_<uuid>`.
    pub key_id: Id,
    /// Whose key it is.
    pub company_id: Id,
    /// The company's one sync user.
    pub user_id: i64,
    /// Rises by one with each mint of the company.
    pub generation: i64,
    /// Hash of the machine secret.
    pub secret_sha256: Option<Vec<u8>>,
    /// A key minted by the reference, until its first login.
    pub legacy_bcrypt: Option<String>,
    /// `active`, `overlap` or `revoked`.
    pub state: String,
    /// When it was minted.
    pub created_at: Timestamp,
    /// User name of who minted it.
    pub created_by: String,
    /// First good login.
    pub first_used_at: Option<Timestamp>,
    /// Last good login, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// Where that came from.
    pub last_used_ip: Option<String>,
    /// End of an overlap.
    pub valid_until: Option<Timestamp>,
    /// When it was superseded or revoked.
    pub revoked_at: Option<Timestamp>,
    /// By whom.
    pub revoked_by: Option<String>,
    /// `superseded` or `revoked`.
    pub revoked_why: Option<String>,
    /// The ring entry that it is sealed with; empty for one that is not sealed.
    pub seal_key: String,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Networks from which it may be used, with a space between; empty: anywhere.
    pub networks: String,
    /// The id in a key that scanners can find; `None` for one that is sealed.
    pub scan_id: Option<String>,
}

impl ApiKeyRow {
    /// How it stands.
    pub fn standing(&self) -> Standing {
        let Self { generation, valid_until, expires_at, .. } = *self;
        Standing {
            generation,
            state: self.state.clone(),
            valid_until,
            expires_at,
            networks: self.networks.clone(),
        }
    }

    /// An active key without a verifier, sealed by nothing, that lives for ever and may be used from anywhere.
    pub fn new(
        key_id: Id,
        (company_id, user_id): (Id, i64),
        generation: i64,
        by: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            key_id,
            company_id,
            user_id,
            generation,
            secret_sha256: None,
            legacy_bcrypt: None,
            state: "active".to_owned(),
            created_at: now,
            created_by: by.to_owned(),
            first_used_at: None,
            last_used_at: None,
            last_used_ip: None,
            valid_until: None,
            revoked_at: None,
            revoked_by: None,
            revoked_why: None,
            seal_key: String::new(),
            expires_at: None,
            networks: String::new(),
            scan_id: None,
        }
    }
}

/// Adds a key.
///
/// # Errors
/// [`StoreError::Conflict`] when the company has an active key.
pub fn insert(conn: &mut Connection, row: &ApiKeyRow) -> Result<(), StoreError> {
    diesel::insert_into(api_keys::table).values(row).execute(conn)?;
    Ok(())
}

/// How a key stands: what decides whether it is good, and from where.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = api_keys)]
pub struct Standing {
    /// Rises by one with each mint of the company.
    pub generation: i64,
    /// `active`, `overlap` or `revoked`.
    pub state: String,
    /// End of an overlap.
    pub valid_until: Option<Timestamp>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Networks from which it may be used, with a space between; empty: anywhere.
    pub networks: String,
}

/// What a login with a key looks at.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = api_keys)]
pub struct LoginKey {
    /// The uuid in the user name `sync_<uuid>`.
    pub key_id: Id,
    /// Whose key it is.
    pub company_id: Id,
    /// Whether it is good, and from where.
    #[diesel(embed)]
    pub standing: Standing,
    /// Hash of the machine secret.
    pub secret_sha256: Option<Vec<u8>>,
    /// A key minted by the reference, until its first login.
    pub legacy_bcrypt: Option<String>,
    /// When it was minted.
    pub created_at: Timestamp,
    /// First good login.
    pub first_used_at: Option<Timestamp>,
    /// Last good login, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// The id in a key that scanners can find; `None` for one that is sealed.
    pub scan_id: Option<String>,
}

/// A key, and what decides besides whether it is good.
#[derive(Debug, Clone)]
pub struct FoundKey {
    /// The key.
    pub key: LoginKey,
    /// The company's sync user.
    pub user: Holder,
    /// Whether the company is switched on.
    pub company_active: bool,
}

/// What a key is looked up by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyName {
    /// The uuid in the user name `sync_<uuid>`.
    Id(Id),
    /// The id in a key that scanners can find.
    ScanId(String),
}

/// What one read tells of a key.
#[derive(Debug, Clone)]
pub struct LookedUp {
    /// Which state of the key rings is in force.
    pub ring_epoch: i64,
    /// The key, if there is one of that name.
    pub found: Option<FoundKey>,
}

macro_rules! look_up {
    ($conn:expr, $condition:expr) => {{
        // On the connection itself, where a query that does not change its shape is written and prepared once.
        on_backend!($conn, |conn| settings::table
            .left_join(api_keys::table.on($condition))
            .left_join(users::table.on(users::id.eq(api_keys::user_id).and(users::deleted_at.is_null())))
            .select((
                settings::ring_epoch,
                Option::<LoginKey>::as_select(),
                Option::<Holder>::as_select(),
                // Not as one more join: a fifth of the whole statement on PostgreSQL.
                companies::table
                    .filter(companies::id.nullable().eq(users::company_id.nullable()))
                    .select(companies::active)
                    .single_value(),
            ))
            .get_result(conn))
    }};
}

/// The one read behind a request or login of a machine, which takes as long for a key that there is not.
///
/// # Errors
/// What SQL reports.
pub fn look_up(conn: &mut Connection, name: &KeyName) -> Result<LookedUp, StoreError> {
    let (ring_epoch, key, user, company_active): (_, Option<LoginKey>, Option<Holder>, Option<bool>) =
        match name {
            KeyName::Id(key_id) => look_up!(conn, api_keys::key_id.eq(*key_id)),
            KeyName::ScanId(scan_id) => look_up!(conn, api_keys::scan_id.eq(scan_id.clone())),
        }?;
    let company_active = company_active.unwrap_or(false);
    let found = key.zip(user).map(|(key, user)| FoundKey { key, user, company_active });
    Ok(LookedUp { ring_epoch, found })
}

/// A key.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, key_id: Id) -> Result<Option<ApiKeyRow>, StoreError> {
    Ok(api_keys::table.find(key_id).first(conn).optional()?)
}

/// The newest key of a company, whatever became of it.
///
/// # Errors
/// What SQL reports.
pub fn newest(conn: &mut Connection, company_id: Id) -> Result<Option<ApiKeyRow>, StoreError> {
    Ok(api_keys::table
        .filter(api_keys::company_id.eq(company_id))
        .order(api_keys::generation.desc())
        .first(conn)
        .optional()?)
}

/// Keys of one company (or of all), newest first.
///
/// # Errors
/// What SQL reports.
pub fn list(conn: &mut Connection, company_id: Option<Id>) -> Result<Vec<ApiKeyRow>, StoreError> {
    let mut rows = api_keys::table.into_boxed();
    if let Some(company_id) = company_id {
        rows = rows.filter(api_keys::company_id.eq(company_id));
    }
    Ok(rows.order((api_keys::company_id, api_keys::generation.desc())).load(conn)?)
}

/// Ends every key of `company_id` that is not revoked yet; returns how many.
///
/// # Errors
/// What SQL reports.
pub fn revoke_all(
    conn: &mut Connection,
    company_id: Id,
    by: &str,
    why: &str,
    now: Timestamp,
) -> Result<usize, StoreError> {
    Ok(diesel::update(
        api_keys::table.filter(api_keys::company_id.eq(company_id)).filter(api_keys::state.ne("revoked")),
    )
    .set((
        api_keys::state.eq("revoked"),
        api_keys::revoked_at.eq(now),
        api_keys::revoked_by.eq(by),
        api_keys::revoked_why.eq(why),
    ))
    .execute(conn)?)
}

/// Ends one key, if it is not revoked yet.
///
/// # Errors
/// What SQL reports.
pub fn revoke(
    conn: &mut Connection,
    key_id: Id,
    by: &str,
    why: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(api_keys::table.find(key_id).filter(api_keys::state.ne("revoked")))
        .set((
            api_keys::state.eq("revoked"),
            api_keys::revoked_at.eq(now),
            api_keys::revoked_by.eq(by),
            api_keys::revoked_why.eq(why),
        ))
        .execute(conn)?;
    Ok(())
}

/// Keeps a key as the one before the active one, until `valid_until` at most.
///
/// # Errors
/// What SQL reports.
pub fn set_overlap(conn: &mut Connection, key_id: Id, valid_until: Timestamp) -> Result<(), StoreError> {
    diesel::update(api_keys::table.find(key_id))
        .set((api_keys::state.eq("overlap"), api_keys::valid_until.eq(valid_until)))
        .execute(conn)?;
    Ok(())
}

/// The keys of a company that are not revoked, newest first: the active one and at most one before it.
///
/// # Errors
/// What SQL reports.
pub fn living(conn: &mut Connection, company_id: Id) -> Result<Vec<ApiKeyRow>, StoreError> {
    Ok(api_keys::table
        .filter(api_keys::company_id.eq(company_id))
        .filter(api_keys::state.ne("revoked"))
        .order(api_keys::generation.desc())
        .load(conn)?)
}

/// Records a use, unless the key was revoked meanwhile: then `false`.
///
/// # Errors
/// What SQL reports.
pub fn touch(
    conn: &mut Connection,
    row: &LoginKey,
    ip: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let touched = diesel::update(api_keys::table.find(row.key_id).filter(api_keys::state.ne("revoked")))
        .set((
            api_keys::first_used_at.eq(row.first_used_at.unwrap_or(now)),
            api_keys::last_used_at.eq(now),
            api_keys::last_used_ip.eq(ip),
        ))
        .execute(conn)?;
    Ok(touched == 1)
}

/// Replaces a reference-made bcrypt verifier by our hash, if nobody else did: compare-and-set on the old value.
///
/// # Errors
/// What SQL reports.
pub fn upgrade_legacy(
    conn: &mut Connection,
    key_id: Id,
    bcrypt: &str,
    sha256: &[u8],
) -> Result<(), StoreError> {
    diesel::update(api_keys::table.find(key_id).filter(api_keys::legacy_bcrypt.eq(bcrypt)))
        .set((api_keys::secret_sha256.eq(sha256), api_keys::legacy_bcrypt.eq(None::<String>)))
        .execute(conn)?;
    Ok(())
}

/// The first `most` living keys that are sealed with ring entry `seal_key`, each with its company's name, and how many
/// there are.
///
/// # Errors
/// What SQL reports.
pub fn sealed_with(
    conn: &mut Connection,
    seal_key: &str,
    most: i64,
) -> Result<(Vec<(ApiKeyRow, String)>, i64), StoreError> {
    let all = api_keys::table
        .filter(api_keys::seal_key.eq(seal_key))
        .filter(api_keys::state.ne("revoked"))
        .count()
        .get_result(conn)?;
    let first = api_keys::table
        .inner_join(companies::table)
        .filter(api_keys::seal_key.eq(seal_key))
        .filter(api_keys::state.ne("revoked"))
        .order((companies::name_key, api_keys::generation.desc()))
        .select((api_keys::all_columns, companies::name))
        .limit(most)
        .load(conn)?;
    Ok((first, all))
}
