//! The key rings of a running server. Every read behind a request tells the epoch of the rings; a server whose rings are
//! older reads them anew before it answers. So a change by any process holds on every server at once, and no request
//! fails for it (decision 0012).

use std::sync::{Arc, PoisonError, RwLock};

use crate::clock::Random;
use crate::crypto::keyring::{Purpose, SealRing, is_published, unwrap, wrap};
use crate::crypto::root_key::RootKey;
use crate::crypto::sealed::SealKey;
use crate::crypto::token::{TokenKey, TokenRing};
use crate::server::data_dir::Misconfigured;
use crate::store::keyring::KeyRow;
use crate::store::{self, Connection, Store, StoreError};
use crate::wire::Timestamp;

/// How many changes of the rings one request bears before it is told to come again.
pub const CHANGES: u32 = 100;

/// The rings as they were at one epoch.
pub struct Loaded {
    /// Which state of the rings this is.
    pub epoch: i64,
    /// Keys of access and refresh tokens.
    pub tokens: TokenRing,
    /// Keys of api-keys; a secondary has none.
    pub seals: Option<SealRing>,
}

/// The rings of a node.
pub struct Rings {
    root_key: RootKey,
    is_primary: bool,
    loaded: RwLock<Arc<Loaded>>,
    /// One reads, the others wait for what it read.
    reading: tokio::sync::Mutex<()>,
}

impl Rings {
    /// From the database's rows and their epoch.
    ///
    /// # Errors
    /// [`Misconfigured`] when a key is damaged, weak or missing.
    pub fn new(
        root_key: RootKey,
        is_primary: bool,
        epoch: i64,
        rows: &[KeyRow],
    ) -> Result<Self, Misconfigured> {
        let loaded = RwLock::new(Arc::new(load(&root_key, is_primary, epoch, rows)?));
        Ok(Self { root_key, is_primary, loaded, reading: tokio::sync::Mutex::default() })
    }

    /// The rings as this server knows them.
    pub fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The rings of the database's epoch, read anew if it is another than this server's.
    ///
    /// # Errors
    /// What the store reports; [`StoreError::Internal`] for rings that cannot be used.
    pub async fn newest(&self, store: &Store) -> Result<Arc<Loaded>, StoreError> {
        let epoch = store.read_current(store::setting::ring_epoch).await?;
        self.at(store, epoch).await
    }

    /// The rings of `epoch` or a newer one.
    ///
    /// # Errors
    /// As [`Self::newest`].
    pub async fn at(&self, store: &Store, epoch: i64) -> Result<Arc<Loaded>, StoreError> {
        if self.current().epoch >= epoch {
            return Ok(self.current());
        }
        let _turn = self.reading.lock().await;
        if self.current().epoch >= epoch {
            return Ok(self.current());
        }
        // In one transaction, so that epoch and rows belong together.
        let (epoch, rows) = store
            .write(|conn: &mut Connection| -> Result<_, StoreError> {
                Ok((store::setting::hold_rings(conn)?, store::keyring::list(conn)?))
            })
            .await?;
        let newer = load(&self.root_key, self.is_primary, epoch, &rows)
            .map(Arc::new)
            .map_err(|error| StoreError::Internal(error.to_string()))?;
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&newer);
        Ok(newer)
    }

    /// A key as the database keeps it.
    pub fn row(&self, id: &str, purpose: Purpose, secret: &[u8], now: Timestamp, random: &Random) -> KeyRow {
        row(&self.root_key, id, purpose, secret, now, random)
    }
}

/// A key as the database keeps it: wrapped, and not in use yet.
pub(super) fn row(
    root_key: &RootKey,
    id: &str,
    purpose: Purpose,
    secret: &[u8],
    now: Timestamp,
    random: &Random,
) -> KeyRow {
    KeyRow {
        id: id.to_owned(),
        purpose: purpose.as_str().to_owned(),
        state: "prepared".to_owned(),
        wrapped: wrap(root_key, id, purpose, secret, random),
        seals: 0,
        created_at: now,
        activated_at: None,
        retired_at: None,
        superseded_at: None,
    }
}

/// Id and bytes of each key of a ring, newest first.
type Secrets = Vec<(String, zeroize::Zeroizing<Vec<u8>>)>;

fn load(root_key: &RootKey, is_primary: bool, epoch: i64, rows: &[KeyRow]) -> Result<Loaded, Misconfigured> {
    Ok(Loaded {
        epoch,
        tokens: token_ring(root_key, rows)?,
        seals: if is_primary { Some(seal_ring(root_key, rows)?) } else { None },
    })
}

fn secrets(
    root_key: &RootKey,
    keys: &[KeyRow],
    purpose: Purpose,
) -> Result<(Secrets, String), Misconfigured> {
    let rows = || keys.iter().filter(|row| row.purpose == purpose.as_str());
    let secrets = rows()
        .map(|row| {
            let secret = unwrap(root_key, &row.id, purpose, &row.wrapped).ok_or_else(|| {
                Misconfigured(format!("key {} in the database is damaged: restore a backup", row.id))
            })?;
            if is_published(purpose, &secret) {
                return Err(Misconfigured(format!(
                    "key {} is a sample that anybody can read, or repeats itself: found the node anew with secrets of \
                     its own",
                    row.id
                )));
            }
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
