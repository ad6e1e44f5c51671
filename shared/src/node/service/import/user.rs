//! Users of the source, and on a primary the api-keys that its sync users stand for.
//!
//! The reference has one sync user a company, and name and password of that row are the company's key. Whoever minted
//! for the first time twice at once got several (gap S6), each with a key that works: which of them the partner uses
//! nobody knows, so all of them go on.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::Duration;

use super::report::{Finding, Notes, Table, named};
use super::{Installation, Snapshot, length};
use crate::crypto::api_key::key_id;
use crate::crypto::password::is_usable_hash;
use crate::node::body::MAX_KEY_BYTES;
use crate::store::api_key::ApiKeyRow;
use crate::store::company::CompanyRow;
use crate::store::reference::{Moment, User};
use crate::store::user::{UserRow, login_key};
use crate::wire::api_key::MAX_OVERLAP_SECONDS;
use crate::wire::server::ServerRole;
use crate::wire::user::Role;
use crate::wire::{Id, Timestamp};

/// Who made what no person made.
const BY: &str = "import";

/// What users become.
#[derive(Default)]
pub(super) struct Users {
    /// With the ids they had.
    pub rows: Vec<UserRow>,
    /// On a primary: what sync users log in with.
    pub keys: Vec<ApiKeyRow>,
    /// Highest id in the source, taken or not.
    pub last_id: i64,
}

struct Planner<'a> {
    installation: &'a Installation,
    now: Timestamp,
    notes: &'a mut Notes,
    names: HashSet<String>,
    emails: HashSet<String>,
    key_ids: HashSet<Id>,
    plan: Users,
}

/// Plans the users; `companies` are those that were taken. `now` is when keys that are not the newest begin to end.
pub(super) fn plan(
    snapshot: &Snapshot,
    installation: &Installation,
    companies: &HashMap<Id, &CompanyRow>,
    now: Timestamp,
    notes: &mut Notes,
) -> Users {
    let mut planner = Planner {
        installation,
        now,
        notes,
        names: HashSet::new(),
        emails: HashSet::new(),
        key_ids: HashSet::new(),
        plan: Users::default(),
    };
    planner.notes.read(Table::Users, length(snapshot.users.len()));
    let mut ids = HashSet::new();
    let mut machines: BTreeMap<Id, Vec<&User>> = BTreeMap::new();
    for user in &snapshot.users {
        planner.plan.last_id = planner.plan.last_id.max(user.id);
        if user.has_token {
            planner.notes.add(Table::Users, Finding::RefreshToken, named(user.id, &user.username));
        }
        if !ids.insert(user.id) {
            planner.refuse(user, Finding::IdTwice);
            continue;
        }
        let Some(company) = user.company_id.filter(|id| companies.contains_key(id)) else {
            planner.refuse(user, Finding::Orphan);
            continue;
        };
        match Role::from_number(user.role) {
            None => planner.refuse(user, Finding::UnknownRole),
            Some(Role::Sync) => machines.entry(company).or_default().push(user),
            Some(role) => planner.person(user, company, role),
        }
    }
    for (company, users) in machines {
        let named = snapshot.companies.iter().find(|row| row.id == company).and_then(|row| row.sync_user_id);
        planner.machine(company, users, named);
    }
    let Planner { plan, notes, .. } = planner;
    let can_administer = |row: &&UserRow| {
        row.role == Role::SuperAdmin.number()
            && row.active
            && row.password_hash.is_some()
            && companies.get(&row.company_id).is_some_and(|company| company.active)
    };
    if !plan.rows.iter().any(|row| can_administer(&row)) {
        notes.add(Table::Users, Finding::NoSuperAdmin, "the node".to_owned());
    }
    plan
}

impl Planner<'_> {
    fn refuse(&mut self, user: &User, finding: Finding) {
        self.notes.add(Table::Users, finding, row(user));
    }

    fn person(&mut self, user: &User, company: Id, role: Role) {
        let Some(username) = self.username(user) else { return };
        if key_id(&user.username).is_some() {
            self.notes.add(Table::Users, Finding::Rekeyed, row(user));
        }
        if role.is_staff() && company != self.installation.server_id {
            self.notes.add(Table::Users, Finding::StaffOfPartner, row(user));
        }
        let password_hash = is_usable_hash(&user.password).then(|| user.password.clone());
        if password_hash.is_none() {
            self.notes.add(Table::Users, Finding::NoPassword, row(user));
        }
        let email_key = self.email_key(user);
        let new = self.row(user, company, username, password_hash, email_key);
        self.plan.rows.push(new);
    }

    /// The one sync user of a company, and its keys.
    fn machine(&mut self, company: Id, users: Vec<&User>, named_user: Option<i64>) {
        let is_primary = self.installation.role == ServerRole::Primary;
        let (mut minted, mut by_hand) = (Vec::new(), Vec::new());
        for user in users {
            let key = key_id(&user.username).filter(|_id| is_primary && is_usable_hash(&user.password));
            match key {
                Some(key) if self.key_ids.insert(key) => minted.push((key, user)),
                Some(_) => {
                    self.refuse(user, Finding::KeyTwice);
                    self.notes.read(Table::ApiKeys, 1);
                    self.notes.add(Table::ApiKeys, Finding::KeyTwice, row(user));
                }
                None => by_hand.push(user),
            }
        }
        // The key that was used last is probably the one that is used; the others follow in their order.
        minted.sort_by_key(|(_key, user)| {
            let used = match user.last_login {
                Moment::At(time) => Some(time),
                Moment::Never | Moment::Beyond => None,
            };
            (user.active, used, named_user == Some(user.id), user.id)
        });
        let Some((_key, main)) = minted.last().copied() else {
            self.machine_by_hand(company, by_hand);
            return;
        };
        let Some(username) = self.username(main) else { return };
        let machine = self.row(main, company, username, None, None);
        self.plan.rows.push(machine);
        let newest = length(minted.len());
        for ((key, user), generation) in minted.into_iter().zip(1..) {
            let new = self.key(key, user, company, main.id, generation == newest, generation);
            self.plan.keys.push(new);
        }
        for user in by_hand {
            self.refuse(user, Finding::SecondSyncUser);
        }
    }

    fn machine_by_hand(&mut self, company: Id, mut users: Vec<&User>) {
        users.sort_by_key(|user| (!user.active, user.id));
        let mut users = users.into_iter();
        if let Some(first) = users.next()
            && let Some(username) = self.username(first)
        {
            self.notes.add(Table::Users, Finding::SyncUserWithoutKey, row(first));
            let password_hash = is_usable_hash(&first.password).then(|| first.password.clone());
            let machine = self.row(first, company, username, password_hash, None);
            self.plan.rows.push(machine);
        }
        for user in users {
            self.refuse(user, Finding::SecondSyncUser);
        }
    }

    fn key(
        &mut self,
        key_id: Id,
        user: &User,
        company_id: Id,
        user_id: i64,
        is_newest: bool,
        generation: i64,
    ) -> ApiKeyRow {
        self.notes.read(Table::ApiKeys, 1);
        if !is_newest {
            self.notes.add(Table::ApiKeys, Finding::SpareKey, row(user));
        }
        let now = self.now;
        let used = self.notes.time(Table::ApiKeys, user.last_login, || row(user)).map(|time| time.min(now));
        // Of an inactive user beside the active one the key was dead.
        let (state, revoked) = match (is_newest, user.active) {
            (true, _) => ("active", false),
            (false, true) => ("overlap", false),
            (false, false) => ("revoked", true),
        };
        let minted_at = match user.password_changed {
            Moment::At(_) => user.password_changed,
            Moment::Never | Moment::Beyond => user.created_at,
        };
        ApiKeyRow {
            legacy_bcrypt: Some(user.password.clone()),
            state: state.to_owned(),
            created_at: self.notes.time_or_zero(Table::ApiKeys, minted_at, || row(user)),
            first_used_at: used,
            last_used_at: used,
            valid_until: (state == "overlap")
                .then(|| now.plus(Duration::seconds(i64::from(MAX_OVERLAP_SECONDS)))),
            revoked_at: revoked.then_some(now),
            revoked_by: revoked.then(|| BY.to_owned()),
            revoked_why: revoked.then(|| "revoked".to_owned()),
            seal_key: "r0".to_owned(),
            ..ApiKeyRow::new(key_id, (company_id, user_id), generation, BY, now)
        }
    }

    /// A name that nobody has ignoring case; `None` (and the user refused) without any.
    fn username(&mut self, user: &User) -> Option<String> {
        let name = &user.username;
        if login_key(name).is_empty() || name.len() > MAX_KEY_BYTES {
            self.refuse(user, Finding::NoUsername);
            return None;
        }
        let mut fit = name.clone();
        let mut round = 1;
        while !self.names.insert(login_key(&fit)) {
            fit = if round == 1 {
                format!("{name}-{}", user.id)
            } else {
                format!("{name}-{}-{round}", user.id)
            };
            round += 1;
        }
        if fit != *name {
            self.notes.add(Table::Users, Finding::Renamed, format!("{} is now {fit:?}", row(user)));
        }
        Some(fit)
    }

    fn email_key(&mut self, user: &User) -> Option<String> {
        let key = login_key(&user.email);
        if key.is_empty() {
            return None;
        }
        if key.len() <= MAX_KEY_BYTES && self.emails.insert(key.clone()) {
            return Some(key);
        }
        self.notes.add(Table::Users, Finding::SharedEmail, row(user));
        None
    }

    fn row(
        &mut self,
        user: &User,
        company_id: Id,
        username: String,
        password_hash: Option<String>,
        email_key: Option<String>,
    ) -> UserRow {
        let notes = &mut *self.notes;
        let line = || row(user);
        UserRow {
            id: user.id,
            company_id,
            username_key: login_key(&username),
            username,
            password_hash,
            email: user.email.clone(),
            email_key,
            first_name: user.first_name.clone(),
            last_name: user.last_name.clone(),
            phone: user.phone.clone(),
            active: user.active,
            role: user.role,
            generation: 0,
            last_login: notes.time(Table::Users, user.last_login, line),
            password_changed: notes.time(Table::Users, user.password_changed, line),
            created_at: notes.time_or_zero(Table::Users, user.created_at, line),
            updated_at: notes.time_or_zero(Table::Users, user.updated_at, line),
            display_name: String::new(),
            deleted_at: None,
        }
    }
}

fn row(user: &User) -> String {
    named(user.id, &user.username)
}
