//! Companies of the source, and on a secondary the keys kept for primaries.

use std::collections::{HashMap, HashSet};

use super::names::{Addresses, Names};
use super::report::{Finding, Notes, Table, named};
use super::{Installation, Snapshot};
use crate::crypto::Secret;
use crate::store::company::{CompanyRow, name_key};
use crate::store::reference::Company;
use crate::wire::Id;
use crate::wire::server::ServerRole;

/// Longest api-key that is stored; see the secondary's `partner`.
const MAX_KEY: usize = 4_096;

/// What companies become.
#[derive(Default)]
pub(super) struct Companies {
    /// The owner first, then the oldest.
    pub rows: Vec<CompanyRow>,
    /// On a secondary: the key for each primary.
    pub keys: Vec<(Id, Secret)>,
}

/// Plans the companies.
pub(super) fn plan(snapshot: &Snapshot, installation: &Installation, notes: &mut Notes) -> Companies {
    let mut plan = Companies::default();
    let (mut ids, mut names, mut addresses) = (HashSet::new(), Names::default(), Addresses::default());
    let role_200 = sync_users(snapshot);
    notes.read(Table::Companies, super::length(snapshot.companies.len()));
    let is_owner = |company: &&Company| company.id == installation.server_id;
    let owner_first = snapshot.companies.iter().filter(is_owner);
    for company in owner_first.chain(snapshot.companies.iter().filter(|company| !is_owner(company))) {
        let is_owner = is_owner(&company);
        let row = || named(company.id, &company.name);
        if !ids.insert(company.id) {
            notes.add(Table::Companies, Finding::IdTwice, row());
            refuse_key(company, notes);
            continue;
        }
        let name = names.fit(&company.name, &company.id.to_string());
        if name != company.name {
            notes.add(Table::Companies, Finding::Renamed, format!("{} is now {name:?}", row()));
        }
        let (sync_addr, address_changed) = addresses.fit(&company.sync_addr);
        if address_changed {
            let now = sync_addr.as_deref().unwrap_or("none");
            let line = format!("{}: {:?} is now {now}", row(), without_secrets(&company.sync_addr));
            notes.add(Table::Companies, Finding::Address, line);
        }
        if !company.active {
            let finding = if is_owner { Finding::OwnerActivated } else { Finding::CompanyInactive };
            notes.add(Table::Companies, finding, row());
        }
        if let Some(user) = company.sync_user_id.filter(|user| !role_200.contains(&(company.id, *user))) {
            let line = format!("{} names user {user}", row());
            notes.add(Table::Companies, Finding::ForeignSyncUser, line);
        }
        plan.rows.push(CompanyRow {
            id: company.id,
            name_key: name_key(&name),
            name,
            sync_addr,
            active: company.active || is_owner,
            key_generation: 0,
            created_at: notes.time_or_zero(Table::Companies, company.created_at, row),
            updated_at: notes.time_or_zero(Table::Companies, company.updated_at, row),
        });
        let key = company.sync_api_key.trim();
        if key.is_empty() {
            continue;
        }
        if installation.role == ServerRole::Secondary && !is_owner && key.len() <= MAX_KEY {
            notes.read(Table::ApiKeys, 1);
            plan.keys.push((company.id, Secret::from(key)));
        } else {
            refuse_key(company, notes);
        }
    }
    plan
}

fn refuse_key(company: &Company, notes: &mut Notes) {
    if !company.sync_api_key.trim().is_empty() {
        notes.read(Table::ApiKeys, 1);
        notes.add(Table::ApiKeys, Finding::UselessKey, named(company.id, &company.name));
    }
}

/// (company, user) of every sync user.
fn sync_users(snapshot: &Snapshot) -> HashSet<(Id, i64)> {
    snapshot
        .users
        .iter()
        .filter(|user| user.role == 200)
        .filter_map(|user| Some((user.company_id?, user.id)))
        .collect()
}

/// An address may hold a password, and a report is shown around.
fn without_secrets(address: &str) -> String {
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _rest)), Some((_secret, host))) => format!("{scheme}://…@{host}"),
        _ => address.to_owned(),
    }
}

/// Companies by id, for those who refer to them.
pub(super) fn by_id(companies: &Companies) -> HashMap<Id, &CompanyRow> {
    companies.rows.iter().map(|row| (row.id, row)).collect()
}
