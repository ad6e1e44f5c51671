//! Real servers in this process, on free loopback ports, reached through the real client.

use std::sync::Arc;

use secondary::Secondary;
use secondary::sync::{Progress, Report};
use serde_json::{Value, json};
use shared::client::{Client, Http};
use shared::clock::{Clock, Random};
use shared::crypto::Secret;
use shared::crypto::keyring::{Purpose, fresh_jwt_secret, fresh_seal_secret, import};
use shared::crypto::password::Policy;
use shared::crypto::root_key::RootKey;
use shared::node::found::{Founding, found};
use shared::node::service::publish::Published;
use shared::node::service::publish_file;
use shared::node::{Error, Node, Policies};
use shared::server::serve::{Running, ServeOptions};
use shared::server::tls;
use shared::store::{self, Store};
use shared::wire::Id;
use shared::wire::server::ServerRole;

use crate::TestDatabase;

/// User name and password of every test server's admin.
pub const ADMIN: (&str, &str) = ("admin", "violet-otter-marble-42");
/// Password of every company admin that the harness makes.
pub const COMPANY_ADMIN_PASSWORD: &str = "granite-lemon-tulip-7";
/// Quick to hash: tests are about rules, not about cost.
pub(crate) const POLICY: Policy = Policy { cost: 4, min_score: 2 };

/// Settings of every test server that has none of its own.
pub fn quick() -> Policies {
    Policies { passwords: POLICY, ..Policies::default() }
}

async fn found_node(
    database: &TestDatabase,
    role: ServerRole,
    id: Option<Id>,
    name: &str,
    secrets: Option<(&str, &str)>,
    clock: Clock,
) -> (Node, RootKey) {
    tls::install_provider();
    let random = Random::System;
    let root_key = RootKey::fresh(&random);
    let (seal, jwt) = match secrets {
        Some((seal, jwt)) => (seal.to_owned(), jwt.to_owned()),
        None => (fresh_seal_secret(&random).to_string(), fresh_jwt_secret(&random).to_string()),
    };
    let mut ring = vec![("j0", Purpose::Jwt, import(Purpose::Jwt, &jwt).expect("a strong secret"))];
    if role == ServerRole::Primary {
        ring.push(("r0", Purpose::Seal, import(Purpose::Seal, &seal).expect("a strong secret")));
    }
    let founding = Founding {
        role,
        id,
        name: name.to_owned(),
        public_url: None,
        admin_username: ADMIN.0.to_owned(),
        admin_password: ADMIN.1.into(),
        secrets: ring,
        policy: POLICY,
    };
    let store: Store = database.store();
    let node = found(store, &root_key, founding, clock, random).await.expect("a new node");
    (node, root_key)
}

pub(crate) async fn another_node(database: &TestDatabase, root_key: &RootKey, policies: Policies) -> Node {
    shared::node::open::assemble(
        database.store(),
        root_key,
        ServerRole::Primary,
        policies,
        Clock::System,
        Random::System,
    )
    .await
    .expect("a second node on the same database")
}

/// A running primary.
pub struct TestPrimary {
    /// Base URL.
    pub url: String,
    /// Its company.
    pub server_id: Id,
    /// Logged in as its admin.
    pub admin: Client,
    /// A second node on the same database: what the command line would be.
    pub node: Node,
    pub(crate) root_key: RootKey,
    pub(crate) running: Running,
    pub(crate) database: TestDatabase,
}

impl TestPrimary {
    /// On SQLite.
    pub async fn start() -> Self {
        Self::start_on(TestDatabase::sqlite(), None).await
    }

    /// On `database`, with the reference's `APIKEY_SECRET` and `JWT_SECRET` if given.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_on(database: TestDatabase, secrets: Option<(&str, &str)>) -> Self {
        Self::found(database, None, "Better Brakes", secrets).await
    }

    /// On `database`, with a server id and a name that somebody recorded.
    pub async fn start_as(database: TestDatabase, id: Id, name: &str) -> Self {
        Self::found(database, Some(id), name, None).await
    }

    async fn found(
        database: TestDatabase,
        id: Option<Id>,
        name: &str,
        secrets: Option<(&str, &str)>,
    ) -> Self {
        let (node, root_key) =
            found_node(&database, ServerRole::Primary, id, name, secrets, Clock::System).await;
        let cli = another_node(&database, &root_key, quick()).await;
        let server_id = node.server_id();
        let running = primary::start(node, ServeOptions::loopback()).expect("a free port");
        let url = running.url();
        let admin = login(&url, ADMIN.0, ADMIN.1).await;
        Self { url, server_id, admin, node: cli, root_key, running, database }
    }

    /// Starts another server on the same database and keys; `policies` are its own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_twin(&self, policies: Policies) -> Running {
        let node = another_node(&self.database, &self.root_key, policies).await;
        primary::start(node, ServeOptions::loopback()).expect("a free port")
    }

    /// Adds an active company with an admin named `username`.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn add_company(&self, name: &str, username: &str) -> Id {
        let company: Value = self
            .admin
            .post("/v1/companies", &json!({ "name": name, "sync_addr": "", "active": true }))
            .await
            .expect("a new company");
        let id: Id = company["id"].as_str().expect("an id").parse().expect("an id");
        let user = json!({
            "first_name": "Carla", "last_name": "Admin", "username": username, "email": format!("{username}@example.com"),
            "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD,
            "company_id": id, "role": 120, "active": true,
        });
        let _user: Value = self.admin.post("/v1/users", &user).await.expect("a new user");
        id
    }

    /// Adds an open slice to which `company` subscribes.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn add_slice(&self, name: &str, slice_type: &str, metadata: &Value, company: Id) -> Id {
        let slice: Value = self
            .admin
            .post(
                "/v1/slices",
                &json!({ "name": name, "slice_type": slice_type, "allow_sync": true, "metadata": metadata }),
            )
            .await
            .expect("a new slice");
        let id: Id = slice["id"].as_str().expect("an id").parse().expect("an id");
        self.subscribe(name, id, company).await;
        id
    }

    /// Subscribes `company` to a slice.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn subscribe(&self, name: &str, slice: Id, company: Id) -> Id {
        self.subscribe_as(Id::NIL, name, slice, company).await
    }

    /// The same under an id of one's own: a primary of the reference gives a subscription that is made again another one.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn subscribe_as(&self, id: Id, name: &str, slice: Id, company: Id) -> Id {
        let sub: Value = self
            .admin
            .post(
                "/v1/subs",
                &json!({
                    "id": id, "slice_id": slice, "company_id": company, "name": format!("{name} for {company}"),
                    "active": true,
                }),
            )
            .await
            .expect("a new subscription");
        sub["id"].as_str().expect("an id").parse().expect("an id")
    }

    /// Publishes a file, as `add` does.
    ///
    /// # Errors
    /// The service's.
    pub async fn publish_file(&self, slice: Id, source: &str, bytes: Vec<u8>) -> Result<Published, Error> {
        let content = futures_util::stream::iter([Ok(bytes::Bytes::from(bytes))]);
        publish_file::file(&self.node, "test", slice, source.to_owned(), content).await
    }

    /// Adds a grain to the draft and returns its id.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn add_grain(&self, slice: Id, key: &str, payload: &str) -> Id {
        let body = json!({
            "slice_id": slice, "grain_key": key, "source": "test", "encoding": "raw", "payload": payload,
        });
        let grain: Value = self.admin.post("/v1/grains?replace=yes", &body).await.expect("a new grain");
        grain["id"].as_str().expect("an id").parse().expect("an id")
    }

    /// Publishes the draft.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn refresh(&self, slice: Id) {
        self.admin
            .call(reqwest::Method::POST, &format!("/v1/slices/refresh/{slice}"))
            .await
            .expect("a published draft");
    }

    /// Stops serving; the port refuses connections afterwards.
    pub async fn stop(self) {
        self.running.stop().await;
    }

    /// The same; its database stays.
    pub(crate) async fn stop_and_keep(self) -> TestDatabase {
        self.running.stop().await;
        self.database
    }
}

/// A running secondary.
pub struct TestSecondary {
    /// Base URL.
    pub url: String,
    /// Logged in as its admin.
    pub admin: Client,
    /// For runs without HTTP.
    pub secondary: Arc<Secondary>,
    running: Running,
    root_key: RootKey,
    database: TestDatabase,
}

impl TestSecondary {
    /// On SQLite.
    pub async fn start() -> Self {
        Self::start_on(TestDatabase::sqlite()).await
    }

    /// On `database`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_on(database: TestDatabase) -> Self {
        Self::found(database, None, None, secondary::Settings::default(), Clock::System).await
    }

    /// On `database`, with a server id that somebody recorded.
    pub async fn start_as(database: TestDatabase, id: Id) -> Self {
        Self::found(database, Some(id), None, secondary::Settings::default(), Clock::System).await
    }

    /// On `database`, with the reference's `APIKEY_SECRET`, which a secondary has no use for, and `JWT_SECRET`.
    pub async fn start_with_secrets(database: TestDatabase, secrets: (&str, &str)) -> Self {
        Self::found(database, None, Some(secrets), secondary::Settings::default(), Clock::System).await
    }

    /// On `database`, with settings.
    pub async fn start_with(database: TestDatabase, settings: secondary::Settings) -> Self {
        Self::found(database, None, None, settings, Clock::System).await
    }

    /// On `database`, with a clock that the test moves.
    pub async fn start_at(database: TestDatabase, clock: Clock) -> Self {
        Self::found(database, None, None, secondary::Settings::default(), clock).await
    }

    /// What another process on the same database would be, with a clock of its own.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn another(&self, clock: Clock) -> Arc<Secondary> {
        let node = shared::node::open::assemble(
            self.database.store(),
            &self.root_key,
            ServerRole::Secondary,
            quick(),
            clock,
            Random::System,
        )
        .await
        .expect("a second node on the same database");
        let settings = self.secondary.settings.clone();
        Arc::new(Secondary::new(node, &self.root_key, settings).expect("a client"))
    }

    async fn found(
        database: TestDatabase,
        id: Option<Id>,
        secrets: Option<(&str, &str)>,
        settings: secondary::Settings,
        clock: Clock,
    ) -> Self {
        let (node, root_key) =
            found_node(&database, ServerRole::Secondary, id, "Retail Parts", secrets, clock).await;
        let secondary = Arc::new(Secondary::new(node, &root_key, settings).expect("a client"));
        let running =
            secondary::start(Arc::clone(&secondary), ServeOptions::loopback()).expect("a free port");
        let url = running.url();
        let admin = login(&url, ADMIN.0, ADMIN.1).await;
        Self { url, admin, secondary, running, root_key, database }
    }

    /// Connects to a primary as one of its company admins.
    ///
    /// # Panics
    /// When either refuses.
    pub async fn connect(&self, url: &str, username: &str) -> Value {
        self.admin
            .post(
                "/v1/servers",
                &json!({ "url": url, "username": username, "password": COMPANY_ADMIN_PASSWORD }),
            )
            .await
            .expect("a connection")
    }

    /// One run.
    ///
    /// # Errors
    /// What kept it from starting.
    pub async fn sync(&self, primary: Id) -> Result<Report, Error> {
        // Boxed: the future of a run is several KiB, and tests join two of them.
        Box::pin(secondary::sync::run(Arc::clone(&self.secondary), primary, Progress::silent())).await
    }

    /// Stops serving.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// A primary with one partner, and that partner's secondary, connected.
pub struct Pair {
    /// Publishes.
    pub primary: TestPrimary,
    /// Receives.
    pub secondary: TestSecondary,
    /// The partner's company at the primary.
    pub company: Id,
}

impl Pair {
    /// On SQLite.
    pub async fn start() -> Self {
        Self::start_on(TestDatabase::sqlite(), TestDatabase::sqlite()).await
    }

    /// On two databases.
    pub async fn start_on(first: TestDatabase, second: TestDatabase) -> Self {
        let primary = TestPrimary::start_on(first, None).await;
        let secondary = TestSecondary::start_on(second).await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        secondary.connect(&primary.url, "companyadmin").await;
        Self { primary, secondary, company }
    }

    /// One run that must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub async fn sync(&self) -> Report {
        self.secondary.sync(self.primary.server_id).await.and_then(Report::into_result).expect("a good sync")
    }

    /// What readers see of a slice on both sides, (primary, secondary), by id: read from the databases, since a slice
    /// of 10,000 grains takes its time by pages over HTTP.
    ///
    /// # Panics
    /// When either cannot be read.
    pub async fn grains(&self, slice: Id) -> (Vec<Value>, Vec<Value>) {
        (
            published_grains(&self.primary.node.store, slice).await,
            published_grains(&self.secondary.secondary.node.store, slice).await,
        )
    }
}

/// What readers of a database see of a slice, by id.
///
/// # Panics
/// When it cannot be read, or there is no such slice.
pub async fn published_grains(store: &Store, slice: Id) -> Vec<Value> {
    store
        .read(move |conn| -> Result<Vec<Value>, store::StoreError> {
            let version = store::slice::find(conn, slice)?.expect("the slice").current_version;
            let (mut grains, mut after) = (Vec::new(), None);
            loop {
                let rows = store::grain::page(conn, slice, version, after, 1_000)?;
                let Some(last) = rows.last() else { return Ok(grains) };
                after = Some(last.id);
                for (row, payload) in store::payload::of_rows(conn, rows)? {
                    grains.push(json!({
                        "id": row.id, "slice_id": row.slice_id, "grain_key": row.grain_key, "source": row.source,
                        "encoding": row.encoding, "payload_len": row.payload_len, "payload": payload,
                    }));
                }
            }
        })
        .await
        .expect("readable grains")
}

/// Every grain of a slice with its payload, by id, without the times that each side keeps for itself.
///
/// # Panics
/// When the server refuses.
pub async fn all_grains(client: &Client, slice: Id) -> Vec<Value> {
    let mut grains = Vec::new();
    for page in 1.. {
        let path = format!("/v1/grains/slice/{slice}?payload=yes&pagesize=250&page={page}");
        let mut answer: Value = client.get(&path).await.expect("a page of grains");
        let Some(rows) = answer["data"].as_array_mut() else { break };
        for grain in rows.iter_mut().filter_map(Value::as_object_mut) {
            grain.remove("created_at");
        }
        grains.append(rows);
    }
    grains
}

/// A client that is logged in.
///
/// # Panics
/// When the server refuses.
pub async fn login(url: &str, username: &str, password: &str) -> Client {
    let mut client = Client::new(&Http::new().expect("TLS"), url, false).expect("a loopback URL");
    client.login(username, &Secret::from(password)).await.expect("a good login");
    client
}
