//! Rotating the key of a primary without a person (design D3).
//!
//! A crash or a lost answer at any point leaves a key that works: what is to be asked for is stored before it is asked,
//! so it can be asked again; the primary keeps the old key until the new one logs in; and the new one is a candidate
//! until it has.

use shared::client::ClientError;
use shared::crypto::Secret;
use shared::failpoint::{Failpoint, reach};
use shared::node::Error;
use shared::store::{self, Connection};
use shared::wire::Id;
use shared::wire::api_key::{ApiKey, MAX_OVERLAP_SECONDS};
use shared::wire::connection::Rotated;

use super::partner::{self, Session};
use crate::Secondary;
use crate::sync::outbox;

/// Asks the primary for a new key with the old one, stores it, proves it by logging in with it; the old one is dead then.
///
/// # Errors
/// [`Error::SyncRunning`] while a run of this primary lasts; as [`partner::login`]; [`Error::Upstream`] when the
/// primary does not let machines mint.
pub async fn rotate(secondary: &Secondary, primary_id: Id) -> Result<Rotated, Error> {
    let name = partner::load(secondary, primary_id).await?.0.name;
    let node = &secondary.node;
    let lock = node.store.try_run_lock(primary_id).await?.ok_or(Error::SyncRunning)?;
    let now = node.clock.now();
    let fence = node.store.write(move |conn| store::partner::raise_fence(conn, primary_id, now)).await?;
    let turn = Turn { secondary, primary_id, fence };
    let session = partner::login(secondary, primary_id).await?;
    let asked = turn.intent().await?;
    let asked = asked.unwrap_or_else(|| fresh(secondary));
    let (minted, session) = turn.exchange(&session, asked).await?;
    outbox::deliver_late(secondary, primary_id, &session.client).await;
    drop(lock);
    Ok(Rotated { id: primary_id, name, key_id: minted.key_id, generation: minted.generation })
}

/// Ends a rotation that a crash or a lost answer cut off, or begins one that is due, under the lock and fence of a run.
/// What cannot be done now waits for the next run: `session` is good until then.
pub async fn when_due(secondary: &Secondary, primary_id: Id, fence: i64, session: Session) -> Session {
    let turn = Turn { secondary, primary_id, fence };
    let rotated = match turn.intent().await {
        Ok(None) if !is_due(secondary, &session) => return session,
        Ok(asked) => turn.exchange(&session, asked.unwrap_or_else(|| fresh(secondary))).await,
        Err(error) => Err(error),
    };
    match rotated {
        Ok((minted, session)) => {
            tracing::info!(primary = %primary_id, generation = minted.generation, "the api-key was replaced");
            session
        }
        Err(error) => {
            let detail = error.private_text().unwrap_or_else(|| error.to_string());
            tracing::warn!(primary = %primary_id, error = %detail, "the api-key could not be replaced");
            session
        }
    }
}

/// Whether the key is older than the settings want. How old one of the reference is, nobody says.
fn is_due(secondary: &Secondary, session: &Session) -> bool {
    let due = secondary.settings.rotate_every.zip(session.key_life.created_at);
    due.is_some_and(|(every, created_at)| created_at.plus(every) <= secondary.node.clock.now())
}

/// 256 random bits: whoever guessed it could fetch the key with a stolen token.
fn fresh(secondary: &Secondary) -> Secret {
    data_encoding::HEXLOWER.encode(&secondary.node.random.bytes::<32>()).into()
}

/// One rotation under the run lock.
struct Turn<'a> {
    secondary: &'a Secondary,
    primary_id: Id,
    fence: i64,
}

impl Turn<'_> {
    /// The Idempotency-Key of a rotation that was begun and not ended.
    async fn intent(&self) -> Result<Option<Secret>, Error> {
        let primary_id = self.primary_id;
        let row = self.secondary.node.store.read(move |conn| store::partner::find(conn, primary_id)).await?;
        row.and_then(|row| row.rotation_key)
            .map(|sealed| partner::open(self.secondary, primary_id, &sealed))
            .transpose()
    }

    async fn exchange(&self, session: &Session, asked: Secret) -> Result<(ApiKey, Session), Error> {
        self.intend(Some(&asked)).await?;
        reach(Failpoint::RotateIntended);
        let minted = match session.client.rotate(&asked, MAX_OVERLAP_SECONDS).await {
            Err(error) if is_spent(&error) => {
                // That key came, and went: begin anew.
                let asked = fresh(self.secondary);
                self.intend(Some(&asked)).await?;
                session.client.rotate(&asked, MAX_OVERLAP_SECONDS).await
            }
            other => other,
        };
        let minted = match minted {
            Ok(minted) => minted,
            Err(error) => {
                // No machine may mint there: nothing ever was. After anything else we do not know, not even after another
                // refusal: an earlier request may have minted, and only this Idempotency-Key can ask for that key.
                if error.is_status(403) {
                    self.intend(None).await?;
                }
                return Err(refused(error));
            }
        };
        reach(Failpoint::RotateAnswered);
        if minted.primary_id != self.primary_id {
            return Err(Error::Upstream(format!("the primary minted a key for {}", minted.primary_id)));
        }
        let primary_id = self.primary_id;
        let sealed = partner::seal(self.secondary, primary_id, &Secret::from(minted.sync_api_key.as_str()));
        let (now, key) = (self.secondary.node.clock.now(), sealed.clone());
        self.write(move |conn| Ok(store::partner::set_minted(conn, primary_id, &key, now)?)).await?;
        reach(Failpoint::RotateStored);
        let session = partner::login(self.secondary, primary_id).await?;
        if session.sealed_key != sealed {
            // Refused for a moment, perhaps: until the new key has logged in, it can be asked for again.
            return Err(Error::Upstream(
                "the primary minted a key and refused it; the one before still logs in: run it again"
                    .to_owned(),
            ));
        }
        self.intend(None).await?;
        Ok((minted, session))
    }

    async fn intend(&self, asked: Option<&Secret>) -> Result<(), Error> {
        let primary_id = self.primary_id;
        let sealed = asked.map(|asked| partner::seal(self.secondary, primary_id, asked));
        self.write(move |conn| Ok(store::partner::set_rotation(conn, primary_id, sealed.as_deref())?)).await
    }

    /// A write that only the newest run of this primary can do.
    async fn write(
        &self,
        change: impl FnOnce(&mut Connection) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        partner::write_fenced(self.secondary, self.primary_id, self.fence, change).await
    }
}

/// The Idempotency-Key stands for a key that was used or superseded since, or for another request.
fn is_spent(error: &ClientError) -> bool {
    error.is_status(409) || error.is_status(422)
}

fn refused(error: ClientError) -> Error {
    if error.is_status(403) {
        return Error::Upstream(
            "this primary does not let a machine renew its own key: run `sandpiper-secondary connect` with the login \
             of your company's admin there"
                .to_owned(),
        );
    }
    error.into()
}
