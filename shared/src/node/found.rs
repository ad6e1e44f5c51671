//! Founding a node in an empty database: its company, settings, keys and first admin.

use zeroize::Zeroizing;

use super::open::{OpenError, assemble};
use super::{Error, Node, Policies};
use super::{rings, service};
use crate::clock::{Clock, Random};
use crate::crypto::Secret;
use crate::crypto::keyring::Purpose;
use crate::crypto::password::{Passwords, Policy};
use crate::crypto::root_key::RootKey;
use crate::server::data_dir::Misconfigured;
use crate::store::company::{CompanyRow, name_key};
use crate::store::keyring::KeyRow;
use crate::store::setting::SettingRow;
use crate::store::{self, Store, StoreError};
use crate::wire::server::ServerRole;
use crate::wire::user::{CreateUser, Role};
use crate::wire::{Id, Timestamp};

/// Id, purpose and bytes of a ring's first entry.
pub type RingSecret = (&'static str, Purpose, Zeroizing<Vec<u8>>);

/// What a new node is to be.
pub struct Founding {
    /// Primary or secondary.
    pub role: ServerRole,
    /// Its company's id; a new one if absent.
    pub id: Option<Id>,
    /// Its company's name.
    pub name: String,
    /// Under which partners reach it.
    pub public_url: Option<String>,
    /// User name of the first admin.
    pub admin_username: String,
    /// His password.
    pub admin_password: Secret,
    /// First entries of the rings.
    pub secrets: Vec<RingSecret>,
    /// For the admin's password and all later ones.
    pub policy: Policy,
}

/// Why a node was not founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// The database, or what it holds.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The name or the admin.
    #[error(transparent)]
    Refused(#[from] Error),
}

impl From<StoreError> for FoundError {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

/// Founds a node.
///
/// # Errors
/// [`FoundError`]; [`Misconfigured`] when the database holds a node already.
pub async fn found(
    store: Store,
    root_key: &RootKey,
    founding: Founding,
    clock: Clock,
    random: Random,
) -> Result<Node, FoundError> {
    let now = clock.now();
    let name = founding.name.trim().to_owned();
    if name.chars().count() < 3 {
        return Err(Error::BadRequest("the company's name must have at least 3 characters".to_owned()).into());
    }
    let company = CompanyRow {
        id: founding.id.unwrap_or_else(|| random.id()),
        name_key: name_key(&name),
        name,
        sync_addr: founding.public_url.map(|url| url.trim_end_matches('/').to_owned()),
        active: true,
        key_generation: 0,
        created_at: now,
        updated_at: now,
    };
    let server_id = company.id;
    let setting = SettingRow {
        id: 1,
        server_role: founding.role.as_str().to_owned(),
        server_id,
        root_key_check: root_key.check(),
        created_at: now,
        updated_at: now,
        ring_epoch: 0,
    };
    let keys = key_rows(root_key, founding.secrets, now, &random);
    let admin = CreateUser {
        first_name: founding.admin_username.clone(),
        last_name: String::new(),
        username: founding.admin_username,
        password_confirm: Secret::default(),
        password: founding.admin_password,
        email: String::new(),
        phone: String::new(),
        display_name: String::new(),
        company_id: server_id,
        role: Role::SuperAdmin.number(),
        active: Some(true),
    };
    let passwords = Passwords::new(founding.policy);
    let admin =
        service::user::prepare(&passwords, &random, now, &company.name, admin, Role::SuperAdmin).await?;
    // All or nothing: a database without an admin would be of no use to anybody.
    store
        .write(move |conn| -> Result<(), FoundError> {
            if store::setting::find(conn)?.is_some() {
                return Err(OpenError::from(Misconfigured(
                    "the database holds a node already: give another --database, or copy that node's data folder to \
                     run a second server on it"
                        .to_owned(),
                ))
                .into());
            }
            store::company::insert(conn, &company)?;
            store::setting::insert(conn, &setting)?;
            for key in &keys {
                store::keyring::insert(conn, key)?;
            }
            store::user::insert(conn, &admin)?;
            Ok(())
        })
        .await?;
    let policies = Policies { passwords: founding.policy, ..Policies::default() };
    Ok(assemble(store, root_key, founding.role, policies, clock, random).await?)
}

/// First entries of the rings, wrapped.
pub(super) fn key_rows(
    root_key: &RootKey,
    secrets: Vec<RingSecret>,
    now: Timestamp,
    random: &Random,
) -> Vec<KeyRow> {
    secrets
        .into_iter()
        .map(|(id, purpose, secret)| KeyRow {
            state: "active".to_owned(),
            activated_at: Some(now),
            ..rings::row(root_key, id, purpose, &secret, now, random)
        })
        .collect()
}
