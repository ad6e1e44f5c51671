//! Taking over an installation of the reference: its PostgreSQL database becomes a node of ours (docs/decisions/0010).
//!
//! 1. *Read* what is small, in one snapshot, and *plan*: what each row becomes, what is changed, what is refused and why.
//! 2. *Found* the node: settings, keys, companies, users, api-keys, slices (still empty) and subscriptions, in one
//!    transaction. From then on the node is there, but serves nobody.
//! 3. *Copy* the grains, slice by slice. A slice is published once it is whole; what a dead import left of one goes first.
//! 4. *Copy* the sync log, and write down that the import is done.
//!
//! The plan depends on nothing but the source, so an import that goes on where another died comes to the same end; a
//! source that has changed meanwhile is refused. A dry run is the same without steps that write.

mod activity;
mod company;
mod founding;
mod grain;
mod names;
pub mod report;
mod slice;
mod tag;
mod user;

use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::clock::{Clock, Random};
use crate::crypto::root_key::RootKey;
use crate::failpoint::{Failpoint, reach};
use crate::node::found::RingSecret;
use crate::server::data_dir::Misconfigured;
use crate::store::reference::{
    Company, GrainCount, Pair, ReferenceError, Slice, SliceTag, Source, Subscription, Tag, User,
};
use crate::store::version::VersionRow;
use crate::store::{self, RunLock, Store, StoreError};
use crate::wire::server::ServerRole;
use crate::wire::{Id, Timestamp};
use founding::{Plan, State};
use grain::{Content, Stream, VERSION};
use report::{Finding, Notes, Report, Table, named};
use slice::Planned;

/// Rows undone in one transaction.
const UNDO_ROWS: i64 = 2_000;
/// Grains without a slice that are named.
const NAMED_ORPHANS: i64 = 10_000;

/// Why an import ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Our own database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source and this node do not fit together.
    #[error(transparent)]
    Misconfigured(#[from] Misconfigured),
    /// Another process does the same.
    #[error("another import into this node is under way: wait for it")]
    Running,
}

/// How far an import is.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// So many grains and records are to come.
    Planned(i64),
    /// So many more were read.
    Read(i64),
}

/// Where events go.
pub type Progress = Arc<dyn Fn(Event) + Send + Sync>;

/// The source, as async code reads it: one query at a time, off the async threads.
#[derive(Clone)]
struct Reader(Arc<Mutex<Source>>);

impl Reader {
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Source) -> Result<T, ReferenceError> + Send + 'static,
    ) -> Result<T, ImportError> {
        let source = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || {
            query(&mut source.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await
        .map_err(|error| ReferenceError::Failed(error.to_string()))?;
        Ok(read?)
    }
}

/// Who the source is.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Primary or secondary.
    pub role: ServerRole,
    /// The company that owns it.
    pub server_id: Id,
    /// That company's name.
    pub name: String,
    /// Where it is, without the password.
    pub shown: String,
}

/// What is small enough to be read whole.
struct Snapshot {
    companies: Vec<Company>,
    users: Vec<User>,
    slices: Vec<Slice>,
    metadata: Vec<Pair>,
    subscriptions: Vec<Subscription>,
    grains: Vec<GrainCount>,
    tags: Vec<Tag>,
    slice_tags: Vec<SliceTag>,
    activity: i64,
}

/// An installation of the reference, opened for an import.
pub struct Import {
    reader: Reader,
    installation: Installation,
    snapshot: Snapshot,
    clock: Clock,
    random: Random,
    progress: Progress,
}

/// Where an import goes.
pub struct Target {
    /// Its database.
    pub store: Store,
    /// Wraps its keys.
    pub root_key: RootKey,
    /// First entries of its rings: the reference's secrets.
    pub secrets: Vec<RingSecret>,
}

impl Import {
    /// Opens the source at `url`, which must be a server of `role`, and reads what is small.
    ///
    /// # Errors
    /// [`ImportError::Reference`]; [`ImportError::Misconfigured`] when the source is no such server.
    pub async fn open(
        url: String,
        role: ServerRole,
        clock: Clock,
        random: Random,
        progress: Progress,
    ) -> Result<Self, ImportError> {
        let opened = tokio::task::spawn_blocking(move || Source::open(&url))
            .await
            .map_err(|error| ReferenceError::Failed(error.to_string()))?;
        let source = opened?;
        let shown = source.to_string();
        let reader = Reader(Arc::new(Mutex::new(source)));
        let (installation, snapshot) = reader
            .read(move |source| {
                let settings = source.settings()?;
                let snapshot = Snapshot {
                    companies: source.companies()?,
                    users: source.users()?,
                    slices: source.slices()?,
                    metadata: source.metadata()?,
                    subscriptions: source.subscriptions()?,
                    grains: source.grain_counts()?,
                    tags: source.tags()?,
                    slice_tags: source.slice_tags()?,
                    activity: source.count_activity()?,
                };
                let found = settings.first().and_then(|row| Some((row.server_role.clone(), row.server_id?)));
                let owner = found.and_then(|(said, id)| {
                    let owner = snapshot.companies.iter().find(|company| company.id == id)?;
                    Some((said, id, owner.name.clone()))
                });
                Ok((owner, snapshot))
            })
            .await?;
        let (said, server_id, name) = installation.ok_or_else(|| {
            Misconfigured(format!(
                "{shown} was never set up: its table settings names no company; run the reference's `init` on it, or \
                 ours for a new node"
            ))
        })?;
        if said != role.as_str() {
            return Err(Misconfigured(format!(
                "{shown} is the database of a {said}: use `sandpiper-{said} import`"
            ))
            .into());
        }
        let installation = Installation { role, server_id, name, shown };
        Ok(Self { reader, installation, snapshot, clock, random, progress })
    }

    /// Who the source is.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Founds the node in `target`, or finds the one that an earlier import founded there. Without a target everything is
    /// read and nothing written.
    ///
    /// # Errors
    /// [`ImportError`].
    pub async fn begin(self, target: Option<Target>) -> Result<Begun, ImportError> {
        let turn = match &target {
            Some(target) => {
                let lock = target.store.try_run_lock(self.installation.server_id).await?;
                Some(lock.ok_or(ImportError::Running)?)
            }
            None => None,
        };
        let state = match &target {
            Some(target) => founding::state(target, &self.installation).await?,
            None => State::Absent,
        };
        // An import that goes on counts its times from when it began.
        let began = match &state {
            State::Finished(report) => return Ok(Begun::Finished(report.clone())),
            State::Begun { at, .. } => *at,
            State::Absent => self.clock.now(),
        };
        let fingerprint = self.fingerprint();
        let mut notes = Notes::default();
        let plan = founding::plan(&self.snapshot, &self.installation, began, &self.random, &mut notes);
        match (state, &target) {
            (State::Begun { source_sha256, .. }, _) if source_sha256 != fingerprint => {
                return Err(self.has_changed(&self.installation.shown));
            }
            (State::Absent, Some(target)) => {
                founding::found(target, &self.installation, &plan, &fingerprint, began, &self.random).await?;
                reach(Failpoint::ImportFounded);
            }
            _ => {}
        }
        Ok(Begun::Founded(Box::new(Copying { import: self, target, plan, notes, began, _turn: turn })))
    }

    fn has_changed(&self, what: &str) -> ImportError {
        let shown = &self.installation.shown;
        Misconfigured(format!(
            "{what} has changed since this import began: stop the server of the reference at {shown}, and import into an \
             empty folder and database"
        ))
        .into()
    }

    /// SHA-256 over what the source holds, but for what a login changes there.
    fn fingerprint(&self) -> Vec<u8> {
        let mut hash = Sha256::new();
        let mut line = |text: String| {
            hash.update(length(text.len()).to_be_bytes());
            hash.update(text.as_bytes());
        };
        let snapshot = &self.snapshot;
        line(format!("{:?}", (self.installation.server_id, self.installation.role)));
        for row in &snapshot.companies {
            let Company { id, name, sync_addr, sync_api_key, sync_user_id, active, .. } = row;
            line(format!("{:?}", (id, name, sync_addr, sync_api_key, sync_user_id, active)));
        }
        for row in &snapshot.users {
            let User { id, username, password, email, role, company_id, active, .. } = row;
            line(format!("{:?}", (id, username, password, email, role, company_id, active)));
        }
        for row in &snapshot.slices {
            let Slice { id, name, slice_type, content_hash, content_count, allow_sync, .. } = row;
            line(format!("{:?}", (id, name, slice_type, content_hash, content_count, allow_sync)));
        }
        for row in &snapshot.metadata {
            line(format!("{:?}", (row.slice_id, &row.key, &row.value)));
        }
        for row in &snapshot.subscriptions {
            line(format!("{:?}", (row.id, row.slice_id, row.company_id, &row.name, row.active)));
        }
        for row in &snapshot.grains {
            line(format!("{:?}", (row.slice_id, row.grains)));
        }
        for row in &snapshot.tags {
            line(format!("{:?}", (row.id, &row.name, &row.description)));
        }
        for row in &snapshot.slice_tags {
            line(format!("{:?}", (row.tag_id, row.slice_id)));
        }
        hash.finalize().to_vec()
    }

    /// Grains of slices that are not there at all.
    async fn name_orphans(&self, notes: &mut Notes) -> Result<(), ImportError> {
        let known = |id: Option<Id>| id.is_some_and(|id| self.snapshot.slices.iter().any(|row| row.id == id));
        let total: i64 =
            self.snapshot.grains.iter().filter(|row| !known(row.slice_id)).map(|row| row.grains).sum();
        if total == 0 {
            return Ok(());
        }
        let orphans = self.reader.read(|source| source.orphans(NAMED_ORPHANS)).await?;
        for orphan in &orphans {
            notes.add(Table::Grains, Finding::Orphan, named(orphan.id, &orphan.grain_key));
        }
        let unnamed = total - length(orphans.len());
        if unnamed > 0 {
            notes.add_many(Table::Grains, Finding::Orphan, unnamed, format!("{unnamed} more"));
        }
        Ok(())
    }

    async fn copy_slice(
        &self,
        target: Option<&Target>,
        slice: &Planned,
        began: Timestamp,
        notes: &mut Notes,
    ) -> Result<(), ImportError> {
        let slice_id = slice.row.id;
        let mut store = target.map(|target| &target.store);
        let mut there: Option<VersionRow> = None;
        if let Some(own) = store {
            there = own.read(move |conn| store::version::find(conn, slice_id, VERSION)).await?;
            if there.is_some() {
                // Published by an import that died later: read again, for what there is to say of it.
                store = None;
            } else {
                undo(own, slice_id).await?;
            }
        }
        let mut stream = Stream::begin(self.reader.clone(), slice).await?;
        let mut batch = stream.next(notes).await?;
        while !batch.is_empty() {
            let count = length(batch.len());
            // While one batch is written the next is read.
            let write = async {
                match store {
                    Some(store) => {
                        store
                            .write(move |conn| -> Result<(), StoreError> {
                                store::grain::insert(conn, &batch)
                            })
                            .await
                    }
                    None => Ok(()),
                }
            };
            let (written, next) = tokio::join!(write, stream.next(notes));
            written?;
            if store.is_some() {
                reach(Failpoint::ImportGrainsWritten);
            }
            batch = next?;
            (self.progress)(Event::Read(count));
        }
        let row = self.judge(slice, stream.content, began, notes);
        match (there, store) {
            (Some(there), _) => {
                // The same content, or it is not the source that it was.
                if row.is_none_or(|(row, _is_open)| row.digest != there.digest) {
                    return Err(self.has_changed(&format!("slice {}", named(slice_id, &slice.row.name))));
                }
            }
            (None, Some(store)) => {
                publish(store, slice, row).await?;
                reach(Failpoint::ImportSlicePublished);
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// The version that a slice's content makes, and whether it may be synced; `None` for a slice that was never
    /// published.
    fn judge(
        &self,
        slice: &Planned,
        content: Content,
        began: Timestamp,
        notes: &mut Notes,
    ) -> Option<(VersionRow, bool)> {
        let is_primary = self.installation.role == ServerRole::Primary;
        let was_published = if is_primary { slice.said.date.is_some() } else { slice.said.was_synced };
        if content.is_incomplete && is_primary {
            notes.add(Table::Slices, Finding::Incomplete, named(slice.row.id, &slice.row.name));
        }
        if content.grains == 0 && !was_published {
            return None;
        }
        let mut sorted = slice.pairs.clone();
        sorted.sort_unstable();
        let finish = |pairs: &[(String, String)]| {
            content.ids.clone().finish(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())))
        };
        let (ids_hash, content_hash) = finish(&sorted);
        let mut date = slice.said.date;
        let is_said = content_hash == slice.said.hash && content.grains == slice.said.count;
        if !is_said && !content.is_incomplete {
            let by_collation =
                finish(&slice.pairs).1 == slice.said.hash && content.grains == slice.said.count;
            let finding = if by_collation { Finding::Collation } else { Finding::StaleHash };
            let line = format!(
                "{}: {} ({} grains) was {} ({})",
                named(slice.row.id, &slice.row.name),
                content_hash,
                content.grains,
                if slice.said.hash.is_empty() { "none" } else { &slice.said.hash },
                slice.said.count,
            );
            notes.add(Table::Slices, finding, line);
            // It is published now.
            date = None;
        }
        let mut set = content.set;
        for (key, value) in &sorted {
            set.add_pair(key, value);
        }
        let row = VersionRow {
            slice_id: slice.row.id,
            version: VERSION,
            grain_count: content.grains,
            payload_bytes: content.payload_bytes,
            content_hash,
            ids_hash,
            digest: set.digest().to_vec(),
            set_hash: set.to_bytes(),
            content_date: Some(date.unwrap_or(began)),
            source_epoch: None,
            source_version: None,
            created_at: began,
        };
        Some((row, slice.row.allow_sync && !(content.is_incomplete && is_primary)))
    }
}

/// The second half of an import: the node is founded, grains and sync log are to come.
pub struct Copying {
    import: Import,
    target: Option<Target>,
    plan: Plan,
    notes: Notes,
    began: Timestamp,
    _turn: Option<RunLock>,
}

/// What an import begins with.
pub enum Begun {
    /// A finished one was found; there is nothing to do.
    Finished(Box<Report>),
    /// The node is there and serves nobody yet.
    Founded(Box<Copying>),
}

impl Copying {
    /// Copies what is large, and writes down that the import is done.
    ///
    /// # Errors
    /// [`ImportError`]. What was committed until then stays, and the next import goes on from there.
    pub async fn run(self) -> Result<Report, ImportError> {
        let Self { import, target, plan, mut notes, began, _turn } = self;
        let (slices, target) = (&plan.slices.slices, target.as_ref());
        let grains: i64 = slices.iter().map(|slice| slice.grains).sum();
        (import.progress)(Event::Planned(grains + import.snapshot.activity));
        import.name_orphans(&mut notes).await?;
        for slice in slices {
            import.copy_slice(target, slice, began, &mut notes).await?;
        }
        import.copy_activity(target, &mut notes).await?;
        let report = Report {
            source: import.installation.shown.clone(),
            server_id: import.installation.server_id,
            server_role: import.installation.role,
            name: import.installation.name.clone(),
            dry_run: target.is_none(),
            already: false,
            tables: notes.tables(),
            found: notes.into_found(),
        };
        if let Some(target) = target {
            founding::finish(target, &report, import.clock.now()).await?;
        }
        Ok(report)
    }
}

/// Makes version 1 the published one. A slice that was never published keeps its metadata for the first time.
async fn publish(
    store: &Store,
    slice: &Planned,
    version: Option<(VersionRow, bool)>,
) -> Result<(), ImportError> {
    let (row, pairs) = (slice.row.clone(), slice.pairs.clone());
    store
        .write(move |conn| -> Result<(), StoreError> {
            store::metadata::undo(conn, row.id, VERSION)?;
            store::metadata::replace(conn, row.id, VERSION, &pairs)?;
            let Some((version, is_open)) = version else { return Ok(()) };
            store::version::insert(conn, &version)?;
            if is_open != row.allow_sync {
                store::slice::set_lock(conn, row.id, is_open, None, row.updated_at)?;
            }
            store::slice::switch(conn, row.id, 0, VERSION, row.updated_at)?;
            Ok(())
        })
        .await?;
    Ok(())
}

/// Takes back what a dead import left of a slice.
async fn undo(store: &Store, slice_id: Id) -> Result<(), ImportError> {
    loop {
        let touched: usize = store
            .write(move |conn| -> Result<usize, StoreError> {
                store::grain::undo(conn, slice_id, VERSION, UNDO_ROWS)
            })
            .await?;
        if touched == 0 {
            return Ok(());
        }
    }
}

/// Rows and bytes are counted in 64 bits everywhere.
fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
