//! Somebody who reads all the time, also while a server dies: every look must show a whole version.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use shared::store::Store;
use shared::wire::Id;
use tokio::task::JoinHandle;

use crate::content::{Content, Grain, History};
use crate::observe;
use crate::pair::Pair;
use crate::session::{Answer, Session};

/// Between two looks: a reader that never rests would be most of the load.
const REST: Duration = Duration::from_millis(20);

/// Where to look.
pub enum Window {
    /// Into the database, by a process that nobody kills.
    Database(Store),
    /// Over HTTP, while somebody answers.
    Http(Arc<Session>),
}

/// A task that looks until it is told to stop.
pub struct Reader {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Reader {
    pub fn start(pair: &Pair, window: Window) -> Self {
        let stop: Arc<AtomicBool> = Arc::default();
        let (stopped, history) = (Arc::clone(&stop), pair.history.clone());
        let slices: Vec<Id> = pair.slices.iter().map(|slice| slice.id).collect();
        let task = tokio::spawn(async move {
            let mut looks = 0;
            while !stopped.load(Ordering::Relaxed) {
                for slice in &slices {
                    looks += u64::from(look(&window, &history, *slice).await);
                }
                tokio::time::sleep(REST).await;
            }
            looks
        });
        Self { stop, task }
    }

    /// How often it saw something.
    pub async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("a reader saw what was never published")
    }
}

/// Looks into a secondary's database; `false` if there was nothing to see.
pub async fn look_into(secondary: &Store, history: &History, slice: Id) -> bool {
    let Some(shown) = observe::shown(secondary, slice).await else { return false };
    let source = shown.row.source_version;
    let known = source
        .map_or(shown.content == Content::default(), |version| history.is(slice, version, &shown.content));
    assert!(known, "not what version {source:?} of {slice} holds: {:?}", shown.content);
    true
}

/// `false` if there was nothing to see.
async fn look(window: &Window, history: &History, slice: Id) -> bool {
    match window {
        Window::Database(store) => look_into(store, history, slice).await,
        Window::Http(admin) => {
            let path = format!("/v1/grains/slice/{slice}?payload=yes&pagesize=250");
            match admin.call(Method::GET, &path, None).await {
                Answer::Whole(StatusCode::OK, page) => {
                    let content = content_of(&page);
                    let total = page["paging"]["items_total"].as_u64().unwrap();
                    assert_eq!(total, u64::try_from(content.grains.len()).unwrap());
                    assert!(history.has_grains(slice, &content), "no version of {slice}: {content:?}");
                    true
                }
                Answer::Whole(status, body) => panic!("{path}: {status} {body}"),
                Answer::Cut(_) => false,
            }
        }
    }
}

fn content_of(page: &Value) -> Content {
    let mut content = Content::default();
    for grain in page["data"].as_array().into_iter().flatten() {
        let text = |name: &str| grain[name].as_str().unwrap().to_owned();
        let (key, source, encoding, payload) =
            (text("grain_key"), text("source"), text("encoding"), text("payload"));
        content.grains.insert(text("id").parse().unwrap(), Grain { key, source, encoding, payload });
    }
    content
}
