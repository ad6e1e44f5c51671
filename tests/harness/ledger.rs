//! A slice as its publisher knows it, every version of it that was ever published, and what readers see of it: compared by
//! digests that are made from every byte anew.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use shared::client::Client;
use shared::clock::Random;
use shared::crypto::set_hash::{SetHash, grain_digest};
use shared::store::slice::SliceRow;
use shared::store::version::VersionRow;
use shared::store::{self, Store, StoreError};
use shared::wire::Id;
use tokio::task::JoinHandle;

use crate::TestPrimary;
use crate::node::all_grains;

/// What readers of a database see of a slice.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The slice.
    pub slice: SliceRow,
    /// Its current version.
    pub row: VersionRow,
    /// Its grains, by id, with their payloads.
    pub grains: Vec<Value>,
    /// Its metadata.
    pub metadata: Vec<(String, String)>,
    /// Rows of a version that nobody reads yet.
    pub staged: usize,
}

impl Shown {
    /// Reads all of it, in one transaction.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn of(store: &Store, slice: Id) -> Option<Self> {
        store
            .read(move |conn| -> Result<_, StoreError> {
                let Some(slice) = store::slice::find(conn, slice)? else { return Ok(None) };
                let row = store::version::find(conn, slice.id, slice.current_version)?.expect("its version");
                let rows = store::grain::page(conn, slice.id, row.version, None, 200_000)?;
                let next = store::grain::page(conn, slice.id, row.version + 1, None, 200_000)?;
                let kept: HashSet<i64> = rows.iter().map(|row| row.row_id).collect();
                let staged = next.iter().filter(|row| !kept.contains(&row.row_id)).count();
                let gone = rows.len() + staged - next.len();
                let metadata = store::metadata::at(conn, slice.id, row.version)?;
                let grains = store::payload::of_rows(conn, rows)?.into_iter().map(|(row, payload)| {
                    json!({
                        "id": row.id, "grain_key": row.grain_key, "source": row.source,
                        "encoding": row.encoding, "payload": payload,
                    })
                });
                Ok(Some(Self { slice, row, grains: grains.collect(), metadata, staged: staged + gone }))
            })
            .await
            .expect("a readable database")
    }

    /// Of all of it.
    pub fn digest(&self) -> String {
        let mut hash = grains_hash(&self.grains);
        for (key, value) in &self.metadata {
            hash.add_pair(key, value);
        }
        data_encoding::HEXLOWER.encode(&hash.digest())
    }

    /// What it says of itself is true.
    ///
    /// # Panics
    /// When it is not.
    pub fn assert_sound(&self) {
        let said = data_encoding::HEXLOWER.encode(&self.row.digest);
        assert_eq!(said, self.digest(), "the digest of slice {} is not that of its bytes", self.slice.id);
        assert_eq!(self.row.grain_count, i64::try_from(self.grains.len()).expect("a count"));
    }
}

fn grains_hash(grains: &[Value]) -> SetHash {
    let mut hash = SetHash::default();
    for grain in grains {
        let text = |name: &str| grain[name].as_str().expect("a text");
        let id = text("id").parse().expect("an id");
        hash.add_grain(&grain_digest(
            id,
            text("grain_key"),
            text("encoding"),
            text("source"),
            text("payload"),
        ));
    }
    hash
}

/// Every version that was published, or is about to be: a receiver may see it before its publisher hears of it.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    /// By slice: digests of versions.
    whole: HashSet<(Id, String)>,
    /// The same without metadata: all that a list of grains shows.
    grains: HashSet<(Id, String)>,
}

impl Ledger {
    fn add(&self, slice: Id, shown: &[Value], metadata: &BTreeMap<String, String>) -> String {
        let mut hash = grains_hash(shown);
        let grains = data_encoding::HEXLOWER.encode(&hash.digest());
        for (key, value) in metadata {
            hash.add_pair(key, value);
        }
        let whole = data_encoding::HEXLOWER.encode(&hash.digest());
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.whole.insert((slice, whole.clone()));
        entries.grains.insert((slice, grains));
        whole
    }

    fn knows(&self, slice: Id, digest: String) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).whole.contains(&(slice, digest))
    }

    fn knows_grains(&self, slice: Id, grains: &[Value]) -> bool {
        let digest = data_encoding::HEXLOWER.encode(&grains_hash(grains).digest());
        grains.is_empty()
            || self.0.lock().unwrap_or_else(PoisonError::into_inner).grains.contains(&(slice, digest))
    }

    /// Exactly one published version is shown, or none yet; `None` without the slice.
    ///
    /// # Panics
    /// When it is something else.
    pub async fn assert_published(&self, store: &Store, slice: Id) -> Option<Shown> {
        let shown = Shown::of(store, slice).await?;
        shown.assert_sound();
        let is_empty = shown.row.version == 0 && shown.grains.is_empty() && shown.metadata.is_empty();
        assert!(
            is_empty || self.knows(slice, shown.digest()),
            "slice {slice} shows what was never published: version {:?}, {} grains, {:?}",
            shown.row.source_version,
            shown.grains.len(),
            shown.metadata
        );
        Some(shown)
    }
}

/// Somebody who publishes a slice.
pub struct Publisher {
    /// The slice.
    pub slice: Id,
    /// By key.
    draft: BTreeMap<String, Value>,
    metadata: BTreeMap<String, String>,
    ledger: Ledger,
    /// Digest of the version that was published last.
    pub published: String,
}

impl Publisher {
    /// Of a slice without grains, which has `metadata` in its draft.
    ///
    /// # Panics
    /// If a value of `metadata` is no text.
    pub fn of(slice: Id, metadata: &Value, ledger: &Ledger) -> Self {
        let metadata = serde_json::from_value(metadata.clone()).expect("names and texts");
        Self { slice, draft: BTreeMap::new(), metadata, ledger: ledger.clone(), published: String::new() }
    }

    /// How many grains the draft has.
    pub fn count(&self) -> usize {
        self.draft.len()
    }

    /// Keys of the draft.
    pub fn keys(&self) -> Vec<String> {
        self.draft.keys().cloned().collect()
    }

    /// A grain of the draft.
    ///
    /// # Panics
    /// Without it.
    pub fn grain(&self, key: &str) -> &Value {
        &self.draft[key]
    }

    /// Puts a grain into the draft, in the place of the one with its key.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn put(&mut self, primary: &TestPrimary, key: &str, encoding: &str, payload: &str) -> Id {
        let id = Random::System.id();
        let grain = json!({
            "id": id, "slice_id": self.slice, "grain_key": key, "source": format!("{key}.xml"),
            "encoding": encoding, "payload": payload,
        });
        let _answer: Value = primary.admin.post("/v1/grains?replace=yes", &grain).await.expect("a new grain");
        self.draft.insert(key.to_owned(), grain);
        id
    }

    /// Takes a grain out of the draft.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn remove(&mut self, primary: &TestPrimary, key: &str) {
        let grain = self.draft.remove(key).expect("a grain of the draft");
        let path = format!("/v1/grains/{}", grain["id"].as_str().expect("an id"));
        primary.admin.call(reqwest::Method::DELETE, &path).await.expect("a removal");
    }

    /// Gives the draft other metadata.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn set_metadata(&mut self, primary: &TestPrimary, metadata: &Value) {
        self.metadata = serde_json::from_value(metadata.clone()).expect("names and texts");
        let (slice, pairs) = (self.slice, self.metadata.clone().into_iter().collect::<Vec<_>>());
        let write = move |conn: &mut store::Connection| -> Result<(), StoreError> {
            let row = store::slice::find(conn, slice)?.expect("the slice");
            store::metadata::replace(conn, slice, row.current_version + 1, &pairs)
        };
        primary.node.store.write(write).await.expect("other metadata");
    }

    /// Publishes the draft.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn publish(&mut self, primary: &TestPrimary) {
        let grains: Vec<Value> = self.draft.values().cloned().collect();
        self.published = self.ledger.add(self.slice, &grains, &self.metadata);
        primary.refresh(self.slice).await;
    }
}

/// Looks at slices, as fast as it can, over HTTP and in the database, until it is told to stop.
pub struct Reader {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Reader {
    /// Of a secondary; its slices have at most 250 grains.
    ///
    /// # Panics
    /// In its task, when it sees anything but a version that was published.
    pub fn start(store: Store, admin: Client, slices: Vec<Id>, ledger: Ledger) -> Self {
        let stop: Arc<AtomicBool> = Arc::default();
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut looks = 0;
            while !stopped.load(Ordering::Relaxed) {
                for slice in &slices {
                    if ledger.assert_published(&store, *slice).await.is_some() {
                        // One page: several of them are several moments.
                        let grains = all_grains(&admin, *slice).await;
                        assert!(
                            ledger.knows_grains(*slice, &grains),
                            "a reader saw {} grains of no version",
                            grains.len()
                        );
                        looks += 1;
                    }
                }
                // The others want a turn too.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            looks
        });
        Self { stop, task }
    }

    /// How often it saw something.
    ///
    /// # Panics
    /// When it saw what was never published.
    pub async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("readers only see what was published")
    }
}
