//! What a server has read of a credential, for as long as the database says that nothing has changed which decides who is
//! let in (decision 0018).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use diesel::prelude::*;

use super::schema::credential_stamp;
use super::{Connection, Store, StoreError, on_backend};
use crate::wire::Id;

/// Answers that let somebody in, by what was looked up, each with the stamp that the database had before it was read.
pub struct Remembered<K, V>(Mutex<HashMap<K, (Id, V)>>);

/// Then all are forgotten: a bound for memory, which few nodes reach within the minute after which a use is read anew.
const MOST: usize = 4096;

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> Remembered<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// What `read` tells of `name`, or what it told before, if `lets_in` says yes to that and the database has the same stamp
    /// still. So what is remembered can only say yes: whoever is refused was looked up for that.
    ///
    /// # Errors
    /// As [`Store::read_current`].
    pub async fn find(
        &self,
        store: &Store,
        name: K,
        lets_in: impl Fn(&V) -> bool,
        read: impl FnOnce(&mut Connection, &K) -> Result<V, StoreError> + Send + 'static,
    ) -> Result<V, StoreError> {
        let known = self.lock().get(&name).filter(|(_stamp, value)| lets_in(value)).cloned();
        let of = name.clone();
        let (read_at, value) = store
            .read_current(move |conn| -> Result<_, StoreError> {
                // Before the row: what is read after it is as new as the stamp, or newer.
                let now = stamp(conn)?;
                match known {
                    Some((then, value)) if then == now => Ok((None, value)),
                    _ => Ok((Some(now), read(conn, &of)?)),
                }
            })
            .await?;
        if let Some(stamp) = read_at
            && lets_in(&value)
        {
            let mut known = self.lock();
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(name, (stamp, value.clone()));
        }
        Ok(value)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (Id, V)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Another one after each transaction that changed something of a user, company, session, api-key or of the key rings that
/// matters to who is let in.
///
/// # Errors
/// What SQL reports.
pub fn stamp(conn: &mut Connection) -> Result<Id, StoreError> {
    Ok(on_backend!(conn, |conn| credential_stamp::table.select(credential_stamp::stamp).first(conn))?)
}
