//! Opening a node: data folder, root key, database, settings and rings become a [`Node`].

use std::sync::Arc;

use crate::clock::{Clock, Random};
use crate::crypto::keyring::{Purpose, unwrap};
use crate::crypto::password::Passwords;
use crate::crypto::root_key::RootKey;
use crate::node::service::login::{Decoy, LOGIN_TURNS};
use crate::node::{Node, Policies, Rings};
use crate::server::config::ConfigFile;
use crate::server::data_dir::{DataDir, Misconfigured};
use crate::store::setting::SettingRow;
use crate::store::{self, Remembered, Store, StoreError};
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
    let node = assemble(store, &root_key, role, config.policies(), Clock::System, Random::System).await?;
    node.store.remember_in(data_dir.path(), node.server_id()).await?;
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
    policies: Policies,
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
    Ok(Node {
        server: Server {
            server_id: setting.server_id,
            server_role: role,
            server_name: company.map(|company| company.name).unwrap_or_default(),
            features: if is_primary { vec![SYNC_2.to_owned()] } else { Vec::new() },
        },
        rings: Arc::new(Rings::new(root_key.clone(), is_primary, setting.ring_epoch, &keys)?),
        retries: root_key.derive("sandpiper mint retry v1"),
        passwords: Passwords::new(policies.passwords),
        known_keys: Remembered::default(),
        known_sessions: Remembered::default(),
        login_turns: tokio::sync::Semaphore::new(LOGIN_TURNS),
        decoy: Decoy::default(),
        sessions: policies.sessions,
        throttle: root_key.derive_mac("sandpiper login throttle v1"),
        proxies: policies.proxies,
        retention: policies.retention,
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

/// `APIKEY_SECRET` and `JWT_SECRET` are imported by `init`. Set at another time to something else, they would be
/// ignored, and every partner's key with them: better to say so.
async fn refuse_foreign_secrets(node: &Node, root_key: &RootKey) -> Result<(), OpenError> {
    let rows = node.store.read(store::keyring::list).await?;
    for (variable, purpose) in [("APIKEY_SECRET", Purpose::Seal), ("JWT_SECRET", Purpose::Jwt)] {
        let applies = purpose == Purpose::Jwt || node.server.server_role == ServerRole::Primary;
        let Ok(text) = std::env::var(variable) else { continue };
        let secret =
            crate::crypto::keyring::import(purpose, &text).map_err(|weak| Misconfigured(weak.to_string()))?;
        let known = rows
            .iter()
            .filter(|row| row.purpose == purpose.as_str())
            .any(|row| unwrap(root_key, &row.id, purpose, &row.wrapped).is_some_and(|own| own == secret));
        if applies && !known {
            return Err(Misconfigured(format!(
                "{variable} is set, but this node was initialised with another secret or has retired it: unset it (the \
                 node keeps its own keys in its database), or `init` a new data folder with it"
            ))
            .into());
        }
    }
    Ok(())
}
