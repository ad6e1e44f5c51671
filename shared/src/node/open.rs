//! Opening a node: data folder, root key, database, settings and rings become a [`Node`].

use crate::clock::{Clock, Random};
use crate::crypto::keyring::{Purpose, SealRing, unwrap};
use crate::crypto::password::{Passwords, Policy};
use crate::crypto::root_key::RootKey;
use crate::crypto::sealed::SealKey;
use crate::crypto::token::{TokenKey, TokenRing};
use crate::node::Node;
use crate::server::config::ConfigFile;
use crate::server::data_dir::{DataDir, Misconfigured};
use crate::store::keyring::KeyRow;
use crate::store::setting::SettingRow;
use crate::store::{self, Store, StoreError};
use crate::wire::server::{SYNC_2, Server, ServerRole};

/// A node and what only its own server needs.
pub struct Opened {
    /// What routes and commands work with.
    pub node: Node,
    /// For what this server wraps itself.
    pub root_key: RootKey,
    /// The settings.
    pub config: ConfigFile,
    /// Where it lives.
    pub data_dir: DataDir,
}

/// Why a node does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Something is missing or contradicts itself.
    #[error(transparent)]
    Misconfigured(#[from] Misconfigured),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens an initialised data folder for a server of `role`; `database` is the flag or environment.
///
/// # Errors
/// [`OpenError`].
pub async fn open(data_dir: DataDir, database: Option<&str>, role: ServerRole) -> Result<Opened, OpenError> {
    let config = data_dir.config()?;
    let root_key = data_dir.root_key()?;
    let url = data_dir.database(database, &config)?;
    let store = tokio::task::spawn_blocking(move || Store::open(url))
        .await
        .map_err(|error| StoreError::Internal(error.to_string()))??;
    let node =
        assemble(store, &root_key, role, config.password_policy(), Clock::System, Random::System).await?;
    refuse_foreign_secrets(&node, &root_key).await?;
    Ok(Opened { node, root_key, config, data_dir })
}

/// Puts a node together from an open, initialised store.
///
/// # Errors
/// [`OpenError`].
pub async fn assemble(
    store: Store,
    root_key: &RootKey,
    role: ServerRole,
    policy: Policy,
    clock: Clock,
    random: Random,
) -> Result<Node, OpenError> {
    let (setting, company, keys, import) = store
        .read(|conn| -> Result<_, StoreError> {
            let setting = store::setting::find(conn)?;
            let company = match &setting {
                Some(setting) => store::company::find(conn, setting.server_id)?,
                None => None,
            };
            Ok((setting, company, store::keyring::list(conn)?, store::import::find(conn)?))
        })
        .await?;
    let setting =
        setting.ok_or_else(|| Misconfigured("the database holds no node: run `init` first".to_owned()))?;
    check_role(&setting, role)?;
    if setting.root_key_check != root_key.check() {
        return Err(Misconfigured(
            "the root key does not belong to this database: restore root.key of this node (or SANDPIPER_ROOT_KEY)"
                .to_owned(),
        )
        .into());
    }
    if import.is_some_and(|import| import.finished_at.is_none()) {
        return Err(Misconfigured(
            "an import into this node is under way or was cut off: run `import --from …` again, it goes on where it \
             stopped"
                .to_owned(),
        )
        .into());
    }
    let is_primary = role == ServerRole::Primary;
    let seals = if is_primary { Some(seal_ring(root_key, &keys)?) } else { None };
    Ok(Node {
        server: Server {
            server_id: setting.server_id,
            server_role: role,
            server_name: company.map(|company| company.name).unwrap_or_default(),
            features: if is_primary { vec![SYNC_2.to_owned()] } else { Vec::new() },
        },
        tokens: token_ring(root_key, &keys)?,
        seals,
        retries: root_key.derive("sandpiper mint retry v1"),
        passwords: Passwords::new(policy),
        store,
        clock,
        random,
    })
}

fn check_role(setting: &SettingRow, role: ServerRole) -> Result<(), Misconfigured> {
    if setting.server_role == role.as_str() {
        return Ok(());
    }
    Err(Misconfigured(format!(
        "this data belongs to a {} server: use sandpiper-{}",
        setting.server_role, setting.server_role
    )))
}

/// Id and bytes of each key of a ring, newest first.
type Secrets = Vec<(String, zeroize::Zeroizing<Vec<u8>>)>;

fn secrets(
    root_key: &RootKey,
    keys: &[KeyRow],
    purpose: Purpose,
) -> Result<(Secrets, String), Misconfigured> {
    let rows = || keys.iter().filter(|row| row.purpose == purpose.as_str());
    let damaged = |id: &str| Misconfigured(format!("key {id} in the database is damaged: restore a backup"));
    let secrets = rows()
        .map(|row| {
            let secret = unwrap(root_key, &row.id, purpose, &row.wrapped).ok_or_else(|| damaged(&row.id))?;
            Ok((row.id.clone(), secret))
        })
        .collect::<Result<Vec<_>, Misconfigured>>()?;
    let active = rows().find(|row| row.state == "active").ok_or_else(|| {
        Misconfigured(format!("the database has no active {} key: restore a backup", purpose.as_str()))
    })?;
    Ok((secrets, active.id.clone()))
}

fn seal_ring(root_key: &RootKey, keys: &[KeyRow]) -> Result<SealRing, Misconfigured> {
    let (secrets, active) = secrets(root_key, keys, Purpose::Seal)?;
    let broken = || Misconfigured("a seal key in the database is not 32 bytes: restore a backup".to_owned());
    let keys = secrets
        .into_iter()
        .map(|(id, secret)| Ok((id, SealKey::new(secret.as_slice().try_into().map_err(|_length| broken())?))))
        .collect::<Result<Vec<_>, Misconfigured>>()?;
    SealRing::new(keys, &active).ok_or_else(broken)
}

fn token_ring(root_key: &RootKey, keys: &[KeyRow]) -> Result<TokenRing, Misconfigured> {
    let (secrets, active) = secrets(root_key, keys, Purpose::Jwt)?;
    let keys = secrets.into_iter().map(|(id, secret)| TokenKey::new(id, &secret)).collect();
    TokenRing::new(keys, &active).ok_or_else(|| Misconfigured("the active token key is missing".to_owned()))
}

/// `APIKEY_SECRET` and `JWT_SECRET` are imported by `init`. Set at another time to something else, they would be
/// ignored, and every partner's key with them: better to say so.
async fn refuse_foreign_secrets(node: &Node, root_key: &RootKey) -> Result<(), OpenError> {
    let rows = node.store.read(store::keyring::list).await?;
    for (variable, purpose) in [("APIKEY_SECRET", Purpose::Seal), ("JWT_SECRET", Purpose::Jwt)] {
        let applies = purpose == Purpose::Jwt || node.seals.is_some();
        let Ok(text) = std::env::var(variable) else { continue };
        let secret =
            crate::crypto::keyring::import(purpose, &text).map_err(|weak| Misconfigured(weak.to_string()))?;
        let known = rows
            .iter()
            .filter(|row| row.purpose == purpose.as_str())
            .any(|row| unwrap(root_key, &row.id, purpose, &row.wrapped).is_some_and(|own| own == secret));
        if applies && !known {
            return Err(Misconfigured(format!(
                "{variable} is set, but this node was initialised with another secret: unset it (the node keeps its own \
                 keys in its database), or `init` a new data folder with it"
            ))
            .into());
        }
    }
    Ok(())
}
