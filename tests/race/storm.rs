//! Everything at once: two primaries on one database, the command line beside them, and a receiver.

use std::sync::Mutex;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, join_all};
use reqwest::Method;
use serde_json::{Value, json};
use shared::node::Error;
use shared::store;
use shared::wire::Id;
use tests::node::published_grains;
use tests::{ADMIN, TestDatabase, TestPrimary, TestSecondary};

use super::process::{build, command, programs};
use super::{Http, on_each, text};

/// A company whose keys are fought over.
struct Partner {
    id: Id,
    name: String,
    /// The access token of its admin.
    admin: String,
    /// Acknowledged mints: generation and key.
    minted: Mutex<Vec<(i64, String)>>,
}

struct Storm {
    nodes: [TestPrimary; 2],
    secondary: TestSecondary,
    http: Http,
    staff: [String; 2],
    partners: Vec<Partner>,
    /// Its content is one file.
    file: Id,
    /// Its content is grains, published without locks and under locks.
    items: Id,
    locked: Id,
    /// The command line's data folder.
    folder: tempfile::TempDir,
    /// Acknowledged versions of `file`, and grains of the others.
    versions: Mutex<Vec<i64>>,
    grains: Mutex<Vec<(Id, String)>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_of_mints_switches_publishes_and_syncs_nothing_fails_and_nothing_is_lost() {
    build().await;
    on_each("in_a_storm", |database| async move {
        let storm = Storm::start(database).await;
        let mut actors: Vec<LocalBoxFuture<'_, ()>> = Vec::new();
        for partner in &storm.partners {
            for n in 0..2 {
                actors.push(storm.mint(partner, n).boxed_local());
                actors.push(storm.log_in(partner, n).boxed_local());
            }
            actors.push(storm.revoke(partner).boxed_local());
            actors.push(storm.switch(partner).boxed_local());
            actors.push(storm.mint_by_command(partner).boxed_local());
        }
        for n in 0..2 {
            actors.push(storm.publish_files(n).boxed_local());
            actors.push(storm.publish_items(n, "one").boxed_local());
            actors.push(storm.publish_items(n, "two").boxed_local());
            actors.push(storm.publish_under_locks(n).boxed_local());
        }
        actors.push(storm.publish_files_by_command().boxed_local());
        actors.push(storm.sync().boxed_local());
        actors.push(storm.sync_over_http().boxed_local());
        join_all(actors).await;
        storm.assert_content().await;
        for partner in &storm.partners {
            storm.assert_keys(partner).await;
        }
    })
    .await;
}

impl Storm {
    async fn start(database: TestDatabase) -> Self {
        let second = match database.url() {
            store::DatabaseUrl::Sqlite(_) => TestDatabase::sqlite(),
            store::DatabaseUrl::Postgres(_) => TestDatabase::postgres("in_a_storm").unwrap(),
        };
        let here = TestPrimary::start_on(database, None).await;
        let there = here.beside().await;
        let (http, secondary) = (Http::new(), TestSecondary::start_on(second).await);
        let receiver = here.add_company("Receiver", "companyadmin").await;
        secondary.connect(&here.url, "companyadmin").await;
        let mut slices = Vec::new();
        for (name, kind) in [("file", "aces-file"), ("items", "pies-items"), ("locked", "pies-items")] {
            slices.push(here.add_slice(name, kind, &json!({}), receiver).await);
        }
        let mut partners = Vec::new();
        for n in 0..3 {
            let (name, admin) = (format!("Partner {n}"), format!("partner{n}"));
            let id = here.add_company(&name, &admin).await;
            let admin = http.person(&here.url, &admin).await;
            partners.push(Partner { id, name, admin, minted: Mutex::default() });
        }
        let rival = json!({
            "first_name": "Rival", "last_name": "Admin", "username": "rival", "email": "rival@example.com",
            "password": ADMIN.1, "password_confirm": ADMIN.1, "company_id": here.server_id, "role": 110, "active": true,
        });
        let _rival: Value = here.admin.post("/v1/users", &rival).await.unwrap();
        let staff = [http.staff(&here.url, ADMIN.0).await, http.staff(&there.url, "rival").await];
        let folder = here.data_dir();
        Self {
            nodes: [here, there],
            secondary,
            http,
            staff,
            partners,
            file: slices[0],
            items: slices[1],
            locked: slices[2],
            folder,
            versions: Mutex::default(),
            grains: Mutex::default(),
        }
    }

    /// One request by one of two staff members, at the node of the same number.
    async fn staff(&self, n: usize, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.0.request(method, format!("{}{path}", self.nodes[n].url));
        Http::send(request.bearer_auth(&self.staff[n]).json(body)).await
    }

    /// A real command; its answer in JSON.
    async fn primary(&self, args: &[&str]) -> Value {
        let mut command = command(&programs().primary, self.folder.path(), args);
        let output =
            tokio::task::spawn_blocking(move || command.arg("--json").output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    async fn mint(&self, partner: &Partner, n: usize) {
        for _ in 0..12 {
            let (status, key) = self.http.mint(&self.nodes[n].url, &partner.admin).await;
            // 401: the company is off just now.
            assert!([200, 401].contains(&status), "{status}: {key}");
            if status == 200 {
                partner.keep(&key);
            }
        }
    }

    async fn mint_by_command(&self, partner: &Partner) {
        for _ in 0..2 {
            partner.keep(&self.primary(&["apikey", "mint", "--company", &partner.name]).await);
        }
        self.primary(&["apikey", "revoke", "--company", &partner.name]).await;
        partner.keep(&self.primary(&["apikey", "mint", "--company", &partner.name]).await);
    }

    async fn revoke(&self, partner: &Partner) {
        for n in 0..4 {
            let request = self.http.0.delete(format!("{}/v1/apikey", self.nodes[n % 2].url));
            let (status, body) = Http::send(request.bearer_auth(&partner.admin)).await;
            assert!([200, 401].contains(&status), "{status}: {body}");
        }
    }

    async fn log_in(&self, partner: &Partner, n: usize) {
        for _ in 0..20 {
            let newest = partner.minted.lock().unwrap().last().map(|(_generation, key)| key.clone());
            let key = newest.unwrap_or_else(|| "00".to_owned());
            // Good or not: the next mint may be on its way. Anything else than 200 and 401 ends the test.
            if let Some(token) = self.http.login(&self.nodes[n].url, &key).await {
                self.http.is_live(&self.nodes[1 - n].url, &token).await;
            }
        }
    }

    async fn switch(&self, partner: &Partner) {
        let path = format!("/v1/companies/{}", partner.id);
        for n in 0..8 {
            let (status, body) =
                self.staff(n % 2, Method::PATCH, &path, &json!({ "active": n % 2 == 1 })).await;
            assert_eq!(status, 200, "{body}");
            assert_eq!(body["active"], n % 2 == 1);
        }
    }

    async fn publish_files(&self, n: usize) {
        for round in 0..12 {
            let bytes = format!("<ACES>{n} {round}</ACES>").into_bytes();
            let published = self.nodes[n].publish_file(self.file, "aces.xml", bytes).await.unwrap();
            assert!(published.changed);
            self.versions.lock().unwrap().push(published.version);
        }
    }

    async fn publish_files_by_command(&self) {
        for round in 0..3 {
            let path = self.folder.path().join(format!("{round}.xml"));
            std::fs::write(&path, format!("<ACES>command {round}</ACES>")).unwrap();
            let published = self.primary(&["add", "--slice", "file", path.to_str().unwrap()]).await;
            assert_eq!(published["changed"], true);
            self.versions.lock().unwrap().push(published["version"].as_i64().unwrap());
        }
    }

    async fn publish_items(&self, n: usize, who: &str) {
        let refresh = format!("/v1/slices/refresh/{}", self.items);
        for round in 0..10 {
            assert_eq!(self.add(n, self.items, &format!("{who}-{n}-{round}")).await, 201);
            let (status, body) = self.staff(n, Method::POST, &refresh, &Value::Null).await;
            assert_eq!(status, 200, "{body}");
        }
    }

    /// Both editors lock, edit, publish and unlock; each step may be refused while the other holds the lock.
    async fn publish_under_locks(&self, n: usize) {
        for round in 0..8 {
            for (method, verb) in [
                (Method::PUT, "lock"),
                (Method::POST, ""),
                (Method::POST, "refresh"),
                (Method::PUT, "unlock"),
            ] {
                if verb.is_empty() {
                    let status = self.add(n, self.locked, &format!("locked-{n}-{round}")).await;
                    assert!([201, 409].contains(&status), "{status}");
                    continue;
                }
                let path = format!("/v1/slices/{verb}/{}", self.locked);
                let (status, body) = self.staff(n, method, &path, &Value::Null).await;
                assert!(status == 200 || body["code"] == "locked", "{verb}: {status}: {body}");
            }
        }
    }

    async fn add(&self, n: usize, slice: Id, key: &str) -> u16 {
        let body = json!({
            "slice_id": slice, "grain_key": key, "source": "test", "encoding": "raw", "payload": key,
        });
        let (status, body) = self.staff(n, Method::POST, "/v1/grains", &body).await;
        assert!(status == 201 || body["code"] == "locked", "{status}: {body}");
        if status == 201 {
            self.grains.lock().unwrap().push((slice, key.to_owned()));
        }
        status
    }

    async fn sync(&self) {
        for _ in 0..8 {
            match self.secondary.sync(self.nodes[0].server_id).await {
                Ok(report) => {
                    let failures = report.failures();
                    assert!(failures.iter().all(|failure| failure.contains("slice locked")), "{failures:?}");
                }
                Err(error) => assert!(matches!(error, Error::SyncRunning), "{error}"),
            }
        }
    }

    async fn sync_over_http(&self) {
        let token = self.http.staff(&self.secondary.url, ADMIN.0).await;
        let path = format!("{}/v1/sync/{}", self.secondary.url, self.nodes[0].server_id);
        for _ in 0..8 {
            let (status, body) = Http::send(self.http.0.post(&path).bearer_auth(&token)).await;
            match (status, body["code"].as_str()) {
                (200, None) | (409, Some("sync_running")) => {}
                (502, Some("slices_failed")) => assert!(body.to_string().contains("slice locked"), "{body}"),
                _ => panic!("{status}: {body}"),
            }
        }
    }

    /// What was acknowledged is there, no more and no less, and one sync brings it over.
    async fn assert_content(&self) {
        let [here, _there] = &self.nodes;
        here.admin.call(Method::PUT, &format!("/v1/slices/unlock/{}", self.locked)).await.unwrap();
        for slice in [self.items, self.locked] {
            here.refresh(slice).await;
        }
        let mut versions = std::mem::take(&mut *self.versions.lock().unwrap());
        versions.sort_unstable();
        assert_eq!(versions, (1..=27).collect::<Vec<i64>>(), "one after the other, each to one publisher");
        let current = move |slice: Id| here.node.store.read(move |conn| store::slice::find(conn, slice));
        assert_eq!(current(self.file).await.unwrap().unwrap().current_version, 27);
        let mut acknowledged = std::mem::take(&mut *self.grains.lock().unwrap());
        acknowledged.sort();
        let mut published = Vec::new();
        for slice in [self.items, self.locked] {
            let grains = published_grains(&here.node.store, slice).await;
            published.extend(grains.iter().map(|grain| (slice, text(&grain["grain_key"]))));
        }
        published.sort();
        assert_eq!(published, acknowledged);
        self.secondary.sync(here.server_id).await.unwrap().into_result().unwrap();
        for slice in [self.file, self.items, self.locked] {
            let copied = published_grains(&self.secondary.secondary.node.store, slice).await;
            assert_eq!(copied, published_grains(&here.node.store, slice).await);
        }
    }

    /// At most one key is active, it is the newest, and it alone logs in, on both nodes.
    async fn assert_keys(&self, partner: &Partner) {
        let id = partner.id;
        let rows =
            self.nodes[0].node.store.read(move |conn| store::api_key::list(conn, Some(id))).await.unwrap();
        let mut minted = partner.minted.lock().unwrap().clone();
        minted.sort();
        let acknowledged: Vec<i64> = minted.iter().map(|key| key.0).collect();
        let newest = i64::try_from(rows.len()).unwrap();
        assert_eq!(acknowledged, (1..=newest).collect::<Vec<_>>(), "every mint has its generation");
        let active: Vec<i64> =
            rows.iter().filter(|row| row.state == "active").map(|row| row.generation).collect();
        assert!(active.is_empty() || active == [newest], "{active:?}");
        for (generation, key) in minted {
            for node in &self.nodes {
                let works = self.http.login(&node.url, &key).await.is_some();
                assert_eq!(works, active.contains(&generation), "generation {generation} of {newest}");
            }
        }
    }
}

impl Partner {
    fn keep(&self, key: &Value) {
        let minted = (key["generation"].as_i64().unwrap(), text(&key["sync_api_key"]));
        self.minted.lock().unwrap().push(minted);
    }
}
