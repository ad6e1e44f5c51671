//! What an import found: how many rows of each table there were, what was not taken and what was changed, and what to
//! do about it.

use serde::{Deserialize, Serialize};

use crate::store::reference::Moment;
use crate::wire::server::ServerRole;
use crate::wire::{Id, Timestamp};

/// Rows of one kind that are named; the others are only counted.
const NAMED_ROWS: usize = 10_000;
/// Characters of a name in a report.
const NAME_CHARS: usize = 80;

/// What a row belongs to. Api-keys have no table of their own in the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// Trading partners, and the owner.
    Companies,
    /// Logins.
    Users,
    /// On a primary what its sync users log in with, on a secondary the key kept for each primary.
    ApiKeys,
    /// Slices.
    Slices,
    /// Their metadata.
    Metadata,
    /// Subscriptions.
    Subscriptions,
    /// Grains.
    Grains,
    /// Tags.
    Tags,
    /// Which slice has which tag.
    SliceTags,
    /// The sync log.
    Activity,
}

impl Table {
    /// In the order of a report.
    const ALL: [Self; 10] = [
        Self::Companies,
        Self::Users,
        Self::ApiKeys,
        Self::Slices,
        Self::Metadata,
        Self::Subscriptions,
        Self::Grains,
        Self::Tags,
        Self::SliceTags,
        Self::Activity,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Companies => "companies",
            Self::Users => "users",
            Self::ApiKeys => "api-keys",
            Self::Slices => "slices",
            Self::Metadata => "metadata",
            Self::Subscriptions => "subscriptions",
            Self::Grains => "grains",
            Self::Tags => "tags",
            Self::SliceTags => "slice tags",
            Self::Activity => "activity",
        }
    }
}

/// What can be said of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// Another row has its id.
    IdTwice,
    /// What it belongs to is not there, or was refused.
    Orphan,
    /// Its name could not stay.
    Renamed,
    /// A time is none that both our databases can keep.
    Time,
    /// The address of a company is none.
    Address,
    /// A company is switched off.
    CompanyInactive,
    /// The owner is switched off.
    OwnerActivated,
    /// A company names somebody else's user as its sync user.
    ForeignSyncUser,
    /// A key that no login can be made with.
    UselessKey,
    /// Two users have the same key id.
    KeyTwice,
    /// One of several keys of a company.
    SpareKey,
    /// The sync user has no key.
    SyncUserWithoutKey,
    /// A second sync user without a key.
    SecondSyncUser,
    /// A user without a user name.
    NoUsername,
    /// A number that is no role.
    UnknownRole,
    /// A person with the name of a machine.
    Rekeyed,
    /// No hash that a login can be checked against.
    NoPassword,
    /// An e-mail address that another user has.
    SharedEmail,
    /// Staff rights of a partner's user.
    StaffOfPartner,
    /// Nobody could administer the node.
    NoSuperAdmin,
    /// A refresh token.
    RefreshToken,
    /// A slice-type that nobody knows.
    UnknownType,
    /// On a secondary: a slice that came from nobody.
    Ownerless,
    /// The stored hash was not that of the content.
    StaleHash,
    /// The stored hash is that of another order of the metadata.
    Collation,
    /// The slice stays closed, since it is not whole.
    Incomplete,
    /// On a secondary: a sync was cut off.
    CutOff,
    /// A metadata key that is too long or there twice.
    MetadataKey,
    /// A second subscription of the same company to the same slice, or the same tag on a slice once more.
    PairTwice,
    /// On a secondary: a slice can come from one primary only.
    OtherPrimary,
    /// Another grain of the slice has the key.
    GrainKeyTwice,
    /// The key is too long.
    GrainKeyTooLong,
    /// No encoding, or an unknown one.
    UnknownEncoding,
    /// The payload is too large.
    TooLarge,
    /// The payload is not what its encoding says.
    Undecodable,
}

impl Finding {
    /// Whether the row was taken, why something is said of it, and what to do.
    #[allow(clippy::too_many_lines, reason = "one table, each line of it read by an operator")]
    fn text(self) -> (bool, &'static str, &'static str) {
        match self {
            Self::IdTwice => (
                false,
                "the id is there twice; the first row was taken",
                "give the row another id in the source",
            ),
            Self::Orphan => (
                false,
                "what it belongs to is not there, or was refused",
                "mend it in the source, or leave it: the reference did not serve it either",
            ),
            Self::Renamed => (
                true,
                "the name is taken ignoring case, empty, longer than 200 characters or holds control characters: it got \
                 another",
                "nothing, or rename it",
            ),
            Self::Time => (
                true,
                "a time before the year 1, after the year 9999 or infinite: \"never\" was taken",
                "nothing",
            ),
            Self::Address => (
                true,
                "the address is no http or https URL, belongs to another company too, or has a path, which the reference \
                 never used: what is left of it was taken",
                "where a server stands, set it: PATCH /v1/companies/:id {\"sync_addr\": …}",
            ),
            Self::CompanyInactive => (
                true,
                "switched off: the reference never looked at that, here nobody of it logs in and nothing is synced with it",
                "if it is a partner, switch it on: PATCH /v1/companies/:id {\"active\": true}",
            ),
            Self::OwnerActivated => {
                (true, "the owner of the server was switched off: it was switched on", "nothing")
            }
            Self::ForeignSyncUser => (
                true,
                "its sync_user_id names a user that is not its sync user: no key was made of that",
                "ask who set it: the reference let every partner point it anywhere, also at an admin",
            ),
            Self::UselessKey => (
                false,
                "an api-key that nobody could log in with: on a primary, of the own company, of a refused one, or too long",
                "nothing; if a primary's key is meant, run `connect`",
            ),
            Self::KeyTwice => (false, "another user has the same key id", "the partner connects again"),
            Self::SpareKey => (
                true,
                "the company had several sync users: this one's key is good for 30 days, or until a newer one logs in",
                "if it is the key that the partner uses, let him connect again within 30 days",
            ),
            Self::SyncUserWithoutKey => (
                true,
                "the sync user was not made by a mint: it logs in by name and password, there is no api-key",
                "the partner connects, if he wants a key",
            ),
            Self::SecondSyncUser => (
                false,
                "a company has one sync user, and this one has no api-key",
                "the partner connects, or uses the other one",
            ),
            Self::NoUsername => {
                (false, "the user name is empty or longer than 1,000 bytes", "add the user: `account create`")
            }
            Self::UnknownRole => {
                (false, "the role is none of 100, 110, 120 and 200", "add the user: `account create`")
            }
            Self::Rekeyed => (
                true,
                "a person with the name of a machine: in the reference somebody minted a key over this user",
                "nobody knows its password: delete it and make another by `account create`",
            ),
            Self::NoPassword => (
                true,
                "there is no bcrypt hash of cost 16 or less: the user cannot log in",
                "delete it and make it again: `account create`",
            ),
            Self::SharedEmail => (
                true,
                "another user has the same e-mail address, or it is too long to be compared",
                "nothing",
            ),
            Self::StaffOfPartner => (
                true,
                "a user of a partner with the rights of staff: it can see and change everything",
                "ask whether that is meant; if not, delete the user",
            ),
            Self::NoSuperAdmin => (
                true,
                "no active super admin with a password is left",
                "make one: `account create --role super-admin`",
            ),
            Self::RefreshToken => (
                true,
                "a refresh token was left out: the reference's never expire",
                "nothing: who was logged in logs in again",
            ),
            Self::UnknownType => (
                false,
                "the slice-type is unknown",
                "give the slice one of the eight known types in the source",
            ),
            Self::Ownerless => (
                false,
                "no subscription says which primary the slice came from",
                "nothing: if a primary offers it, the next sync fetches it",
            ),
            Self::StaleHash => (
                true,
                "the stored hash or count is not that of the content (somebody changed it without a refresh): the true one \
                 was taken",
                "nothing: receivers notice at their next sync",
            ),
            Self::Collation => (
                true,
                "the stored hash orders the metadata as the source's collation does: it was made anew in the order of bytes",
                "nothing: receivers notice at their next sync",
            ),
            Self::Incomplete => (
                true,
                "some of it was refused: the slice is locked, so that no receiver removes what is missing here",
                "add what is missing, publish, and open it: `slice unlock`",
            ),
            Self::CutOff => (
                true,
                "a sync was cut off in the middle: the status is \"error\"",
                "nothing: the next sync mends it",
            ),
            Self::MetadataKey => (
                false,
                "the key is longer than 1,000 bytes or there twice",
                "give it a shorter key in the source, or leave it out",
            ),
            Self::PairTwice => {
                (false, "the company subscribes to the slice already, or the slice has the tag", "nothing")
            }
            Self::OtherPrimary => (
                false,
                "the slice comes from another primary, or the subscription names the server's own company",
                "ask both publishers: an id of a slice belongs to one of them",
            ),
            Self::GrainKeyTwice => {
                (false, "another grain of the slice has the same key", "remove one of them in the source")
            }
            Self::GrainKeyTooLong => {
                (false, "the key is longer than 1,000 bytes", "add the grain again under a shorter key")
            }
            Self::UnknownEncoding => (
                false,
                "the encoding is none of raw, b64, z64, a85 and z85",
                "add the grain again with the encoding it has",
            ),
            Self::TooLarge => {
                (false, "the payload's text is longer than 64 MiB", "split the content into several grains")
            }
            Self::Undecodable => (
                true,
                "the payload is not what its encoding says, or unpacks to more than 256 MiB: it was taken as it is",
                "publish it again, if anybody needs it",
            ),
        }
    }

    /// Whether the row was not taken.
    pub fn is_refusal(self) -> bool {
        !self.text().0
    }
}

/// Rows of one table of which the same can be said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    /// Whose rows.
    pub table: Table,
    /// What is said.
    pub finding: Finding,
    /// Whether they were taken.
    pub taken: bool,
    /// Why it is said.
    pub why: String,
    /// What to do about it.
    pub remedy: String,
    /// How many.
    pub count: i64,
    /// Which: the first 10,000.
    pub rows: Vec<String>,
}

/// The rows of one table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tally {
    /// Whose rows.
    pub table: Table,
    /// How many the source has.
    pub read: i64,
    /// How many of them are here now.
    pub taken: i64,
    /// How many are not.
    pub refused: i64,
}

/// What an import did, or with `dry_run` would do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Where it was read, without the password.
    pub source: String,
    /// The company that owns the node.
    pub server_id: Id,
    /// Primary or secondary.
    pub server_role: ServerRole,
    /// The company's name.
    pub name: String,
    /// Nothing was written.
    pub dry_run: bool,
    /// An earlier import did all this; nothing was written now.
    pub already: bool,
    /// Rows by table.
    pub tables: Vec<Tally>,
    /// What was refused, then what was changed.
    pub found: Vec<Found>,
}

impl Report {
    /// Rows that were not taken.
    pub fn refused(&self) -> i64 {
        self.tables.iter().map(|tally| tally.refused).sum()
    }
}

/// Collects what a report says.
#[derive(Default)]
pub struct Notes {
    read: Vec<(Table, i64)>,
    found: Vec<Found>,
}

impl Notes {
    /// The source has so many more rows of `table`.
    pub fn read(&mut self, table: Table, rows: i64) {
        self.read.push((table, rows));
    }

    /// One row.
    pub fn add(&mut self, table: Table, finding: Finding, row: String) {
        self.add_many(table, finding, 1, row);
    }

    /// So many rows that have one name.
    pub fn add_many(&mut self, table: Table, finding: Finding, count: i64, row: String) {
        let known = self.found.iter_mut().find(|found| (found.table, found.finding) == (table, finding));
        if let Some(found) = known {
            found.count += count;
            if found.rows.len() < NAMED_ROWS {
                found.rows.push(row);
            }
            return;
        }
        let (taken, why, remedy) = finding.text();
        self.found.push(Found {
            table,
            finding,
            taken,
            why: why.to_owned(),
            remedy: remedy.to_owned(),
            count,
            rows: vec![row],
        });
    }

    /// A time of the source, if it is one.
    pub fn time(&mut self, table: Table, moment: Moment, row: impl FnOnce() -> String) -> Option<Timestamp> {
        match moment {
            Moment::Never => None,
            Moment::At(time) => Some(time),
            Moment::Beyond => {
                self.add(table, Finding::Time, row());
                None
            }
        }
    }

    /// The same for a column that must have one: the year 1 is what the reference shows for it.
    pub fn time_or_zero(&mut self, table: Table, moment: Moment, row: impl FnOnce() -> String) -> Timestamp {
        self.time(table, moment, row).unwrap_or_else(zero)
    }

    /// Adds up.
    pub fn tables(&self) -> Vec<Tally> {
        Table::ALL
            .into_iter()
            .map(|table| {
                let read: i64 =
                    self.read.iter().filter(|(of, _rows)| *of == table).map(|(_of, rows)| rows).sum();
                let refused: i64 = self
                    .found
                    .iter()
                    .filter(|found| found.table == table && !found.taken)
                    .map(|found| found.count)
                    .sum();
                Tally { table, read, taken: read - refused, refused }
            })
            .collect()
    }

    /// What was refused, then what was changed, each by table.
    pub fn into_found(mut self) -> Vec<Found> {
        self.found.sort_by_key(|found| (found.taken, found.table));
        self.found
    }
}

/// 0001-01-01T00:00:00Z.
fn zero() -> Timestamp {
    // Always parses.
    Timestamp::parse("0001-01-01T00:00:00Z").unwrap_or(Timestamp::new(chrono::DateTime::UNIX_EPOCH))
}

/// A row as a report names it: its id, and as much of its name as fits.
pub fn named(id: impl std::fmt::Display, name: &str) -> String {
    let mut short: String = name.chars().take(NAME_CHARS).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    format!("{id} {short:?}")
}
