//! The node that an import makes: planned from the source, written in one transaction, finished once all is there.

use std::collections::HashMap;

use super::company::{self, Companies};
use super::report::{Notes, Report};
use super::slice::{self, Slices};
use super::tag::{self, Tags};
use super::user::{self, Users};
use super::{ImportError, Installation, Snapshot, Target};
use crate::clock::Random;
use crate::crypto::keyring::unwrap;
use crate::crypto::root_key::PARTNER_KEYS;
use crate::node::found::key_rows;
use crate::node::service::version;
use crate::server::data_dir::Misconfigured;
use crate::store::api_key::ApiKeyRow;
use crate::store::import::{Numbered, reserve_ids};
use crate::store::keyring::KeyRow;
use crate::store::setting::SettingRow;
use crate::store::{self, StoreError};
use crate::wire::server::ServerRole;
use crate::wire::{Id, Timestamp};

/// What is in the target already.
pub(super) enum State {
    /// Nothing.
    Absent,
    /// An import of the same installation that did not come to its end.
    Begun {
        /// Of the source when it began.
        source_sha256: Vec<u8>,
        /// When that was.
        at: Timestamp,
    },
    /// A finished import of the same installation.
    Finished(Box<Report>),
}

/// Looks at the target.
///
/// # Errors
/// [`Misconfigured`] for anything but nothing or an import of this installation, with these secrets and this root key.
pub(super) async fn state(target: &Target, installation: &Installation) -> Result<State, ImportError> {
    let (setting, import, keys) = target
        .store
        .read(|conn| -> Result<_, StoreError> {
            Ok((store::setting::find(conn)?, store::import::find(conn)?, store::keyring::list(conn)?))
        })
        .await?;
    let Some(setting) = setting else { return Ok(State::Absent) };
    let other = "import into an empty folder and database";
    if setting.root_key_check != target.root_key.check() {
        return Err(Misconfigured(format!(
            "the root key does not belong to this database: restore root.key of this node, or {other}"
        ))
        .into());
    }
    let Some(import) = import else {
        return Err(Misconfigured(format!("this node was made by `init`: {other}")).into());
    };
    if (setting.server_id, setting.server_role.as_str())
        != (installation.server_id, installation.role.as_str())
    {
        return Err(Misconfigured(format!(
            "this is the {} {}, and the source is the {} {}: {other}",
            setting.server_role, setting.server_id, installation.role, installation.server_id
        ))
        .into());
    }
    refuse_other_secrets(target, &keys)?;
    match (import.finished_at, import.report) {
        (Some(_at), Some(report)) => {
            let mut report: Report = serde_json::from_str(&report)
                .map_err(|error| StoreError::Internal(format!("the import's report is damaged: {error}")))?;
            report.already = true;
            Ok(State::Finished(Box::new(report)))
        }
        _ => Ok(State::Begun { source_sha256: import.source_sha256, at: import.started_at }),
    }
}

fn refuse_other_secrets(target: &Target, keys: &[KeyRow]) -> Result<(), Misconfigured> {
    for (_id, purpose, secret) in &target.secrets {
        let is_known = keys.iter().filter(|row| row.purpose == purpose.as_str()).any(|row| {
            unwrap(&target.root_key, &row.id, *purpose, &row.wrapped).is_some_and(|own| own == *secret)
        });
        if !is_known {
            return Err(Misconfigured(
                "the import into this node began with another APIKEY_SECRET or JWT_SECRET: set those of the reference's \
                 settings, or import into an empty folder and database"
                    .to_owned(),
            ));
        }
    }
    Ok(())
}

/// What the small tables become.
pub(super) struct Plan {
    pub companies: Companies,
    pub users: Users,
    pub slices: Slices,
    pub tags: Tags,
}

/// Plans everything but grains and the sync log.
pub(super) fn plan(
    snapshot: &Snapshot,
    installation: &Installation,
    now: Timestamp,
    random: &Random,
    notes: &mut Notes,
) -> Plan {
    let mut companies = company::plan(snapshot, installation, notes);
    let by_id = company::by_id(&companies);
    let users = user::plan(snapshot, installation, &by_id, now, notes);
    let slices = slice::plan(snapshot, installation, &by_id, random, notes);
    let tags = tag::plan(snapshot, &slices.slices, notes);
    let mut generations: HashMap<Id, i64> = HashMap::new();
    for ApiKeyRow { company_id, generation, .. } in &users.keys {
        let newest = generations.entry(*company_id).or_default();
        *newest = (*newest).max(*generation);
    }
    for row in &mut companies.rows {
        row.key_generation = generations.get(&row.id).copied().unwrap_or_default();
    }
    Plan { companies, users, slices, tags }
}

/// Writes the node: all of it, or nothing.
///
/// # Errors
/// What the store reports.
pub(super) async fn found(
    target: &Target,
    installation: &Installation,
    plan: &Plan,
    fingerprint: &[u8],
    now: Timestamp,
    random: &Random,
) -> Result<(), ImportError> {
    let setting = SettingRow {
        id: 1,
        server_role: installation.role.as_str().to_owned(),
        server_id: installation.server_id,
        root_key_check: target.root_key.check(),
        created_at: now,
        updated_at: now,
        ring_epoch: 0,
    };
    let ring = key_rows(&target.root_key, target.secrets.clone(), now, random);
    let vault = target.root_key.derive(PARTNER_KEYS);
    let partner_keys: Vec<(Id, Vec<u8>)> = plan
        .companies
        .keys
        .iter()
        .map(|(id, key)| (*id, vault.seal(key.expose().as_bytes(), id.as_bytes(), random)))
        .collect();
    let (companies, users, keys) =
        (plan.companies.rows.clone(), plan.users.rows.clone(), plan.users.keys.clone());
    let last_user = plan.users.last_id;
    let slices: Vec<_> = plan.slices.slices.iter().map(|slice| slice.row.clone()).collect();
    let subscriptions = plan.slices.subscriptions.clone();
    let (tags, on_slices, last_tag) =
        (plan.tags.rows.clone(), plan.tags.on_slices.clone(), plan.tags.last_id);
    let fingerprint = fingerprint.to_vec();
    debug_assert!(installation.role == ServerRole::Primary || keys.is_empty(), "a secondary mints no keys");
    target
        .store
        .write(move |conn| -> Result<(), StoreError> {
            for row in &companies {
                store::company::insert(conn, row)?;
            }
            store::setting::insert(conn, &setting)?;
            store::import::begin(conn, &fingerprint, now)?;
            for row in &ring {
                store::keyring::insert(conn, row)?;
            }
            for row in &users {
                store::import::insert_user(conn, row)?;
            }
            reserve_ids(conn, Numbered::Users, last_user)?;
            for row in &keys {
                store::api_key::insert(conn, row)?;
            }
            for (id, sealed) in &partner_keys {
                store::partner::set_candidate(conn, *id, sealed, now)?;
            }
            for row in &slices {
                store::slice::insert(conn, row)?;
                store::version::insert(conn, &version::empty(row.id, now))?;
            }
            for row in &subscriptions {
                store::subscription::insert(conn, row)?;
            }
            for row in &tags {
                store::import::insert_tag(conn, row)?;
            }
            reserve_ids(conn, Numbered::Tags, last_tag)?;
            for (tag, slice) in on_slices {
                store::tag::assign(conn, tag, slice)?;
            }
            Ok(())
        })
        .await?;
    Ok(())
}

/// Writes that all is there: from now on the node serves.
///
/// # Errors
/// What the store reports.
pub(super) async fn finish(target: &Target, report: &Report, now: Timestamp) -> Result<(), ImportError> {
    let text = serde_json::to_string(report).map_err(|error| StoreError::Internal(error.to_string()))?;
    target
        .store
        .write(move |conn| -> Result<(), StoreError> { store::import::finish(conn, &text, now) })
        .await?;
    Ok(())
}
