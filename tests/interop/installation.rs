//! The recorded installation, built on our servers: what was there before the first recorded exchange.

use serde_json::{Value, json};
use shared::store::{self, StoreError};
use shared::wire::Id;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{ADMIN, TestDatabase, TestPrimary, TestSecondary};

use super::recording::exchanges;

/// The primary's company.
const BETTER_BRAKES: &str = "10000000-0000-0000-0000-000000000000";
/// The secondary's company.
pub const RETAIL_PARTS: &str = "20000000-0000-0000-0000-000000000000";
/// A partner that the recorded exchanges add on both servers.
pub const COMPANY_ONE: &str = "21000000-0000-0000-0000-000000000000";
/// The slice to which the recorded secondary subscribed, with that subscription.
const BENCH: (&str, &str) = ("f1792957-e143-478d-bae8-4b64e957feca", "19c3b5bc-4337-4ac1-b39e-9b9de682c9a7");

async fn post(server: &TestPrimary, path: &str, body: &Value) {
    let _created: Value = server.admin.post(path, body).await.unwrap();
}

/// As the first admin.
async fn patch(url: &str, path: &str, body: &Value) {
    let http = reqwest::Client::new();
    let credentials = json!({ "username": ADMIN.0, "password": ADMIN.1 });
    let login = http.post(format!("{url}/login")).json(&credentials).send().await.unwrap();
    let login: Value = login.json().await.unwrap();
    let request = http.patch(format!("{url}{path}")).bearer_auth(login["token"].as_str().unwrap());
    request.json(body).send().await.unwrap().error_for_status().unwrap();
}

/// The recorded admin, whose id is that of the first user.
async fn name_the_admin(url: &str) {
    let names = json!({ "first_name": "Sandpiper", "last_name": "Admin", "email": "admin@mail.com" });
    patch(url, "/v1/users/1", &names).await;
}

async fn add_retail_parts(server: &TestPrimary) {
    let company = json!({ "id": RETAIL_PARTS, "name": "Retail Parts", "sync_addr": "none2", "active": true });
    post(server, "/v1/companies", &company).await;
    let user = json!({
        "first_name": "Co", "last_name": "Admin", "username": "companyadmin", "email": "a@b.co", "role": 120,
        "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD, "company_id": RETAIL_PARTS,
        "active": true,
    });
    post(server, "/v1/users", &user).await;
    let retail_parts: Id = RETAIL_PARTS.parse().unwrap();
    shared::node::service::mint::mint_for(
        &server.node,
        retail_parts,
        "test",
        shared::node::service::mint::Mint::default(),
    )
    .await
    .unwrap();
}

/// The file that the recorded clients sent, encoded.
fn recorded_file() -> String {
    let exchanges = exchanges(include_str!("../fixtures/sandpiper/client-secondary.jsonl"));
    let payloads = exchanges.iter().filter_map(|exchange| exchange.answer["payload"].as_str());
    payloads.max_by_key(|payload| payload.len()).unwrap().to_owned()
}

/// The recorded primary. Of the recorded slices with thousands of grains it has a few, with ids of their own.
pub async fn primary(database: TestDatabase) -> TestPrimary {
    let server = TestPrimary::start_as(database, BETTER_BRAKES.parse().unwrap(), "Better Brakes").await;
    name_the_admin(&server.url).await;
    add_retail_parts(&server).await;
    let file = "2bea8308-1840-4802-ad38-72b53e31594c";
    let slice = json!({
        "id": file, "name": "aap-brake-pads", "slice_type": "aces-file", "allow_sync": true,
        "metadata": { "vcdb-version": "2019-09-27", "pcdb-version": "2019-09-27" },
    });
    post(&server, "/v1/slices", &slice).await;
    let grain = json!({
        "id": "33786834-3e33-40b2-b365-094539837c88", "slice_id": file, "grain_key": "level-1",
        "source": "aces-file.xml", "encoding": "z64", "payload": recorded_file(),
    });
    post(&server, "/v1/grains", &grain).await;
    server.refresh(file.parse().unwrap()).await;
    for (id, name) in [(BENCH.0, "bench10000"), ("e4c2360c-516c-47b8-aed4-845040060b93", "bench1000")] {
        let slice = json!({
            "id": id, "name": format!("{name}{id}"), "slice_type": "pies-items", "allow_sync": true,
        });
        post(&server, "/v1/slices", &slice).await;
        for n in 11..14 {
            server.add_grain(id.parse().unwrap(), &format!("k{n}"), "bench").await;
        }
        server.refresh(id.parse().unwrap()).await;
    }
    let sub = json!({
        "id": BENCH.1, "slice_id": BENCH.0, "company_id": RETAIL_PARTS, "name": format!("s{}", BENCH.0),
        "description": "d", "active": true,
    });
    post(&server, "/v1/subs", &sub).await;
    let activity = json!({
        "company_id": RETAIL_PARTS, "sub_id": BENCH.1, "success": true, "message": "Slice \"bench10000\"",
        "duration": 400,
    });
    post(&server, "/v1/activity", &activity).await;
    server
}

/// The recorded secondary with the primaries that it receives from.
///
/// In the recording slices, grains and subscriptions of "Company One" are written on the secondary. Ours takes such
/// things from a primary only, so "Company One" has one: what the recording writes is written there.
pub struct Receiver {
    pub secondary: TestSecondary,
    better_brakes: TestPrimary,
    company_one: TestPrimary,
}

impl Receiver {
    /// Connected to "Better Brakes" and synced with it.
    pub async fn start(database: TestDatabase) -> Self {
        let better_brakes = primary(TestDatabase::sqlite()).await;
        let id: Id = COMPANY_ONE.parse().unwrap();
        let company_one = TestPrimary::start_as(TestDatabase::sqlite(), id, "Company One").await;
        add_retail_parts(&company_one).await;
        let secondary = TestSecondary::start_as(database, RETAIL_PARTS.parse().unwrap()).await;
        name_the_admin(&secondary.url).await;
        secondary.connect(&better_brakes.url, "companyadmin").await;
        secondary.sync(better_brakes.server_id).await.unwrap().into_result().unwrap();
        Self { secondary, better_brakes, company_one }
    }

    /// Once the recording has added the company: gets a key from its primary.
    pub async fn connect_company_one(&self) {
        let body = json!({
            "url": self.company_one.url, "username": "companyadmin", "password": COMPANY_ADMIN_PASSWORD, "moved": true,
        });
        let _connected: Value = self.secondary.admin.post("/v1/servers", &body).await.unwrap();
        self.give_address("https://one.example").await;
    }

    async fn give_address(&self, address: &str) {
        let path = format!("/v1/companies/{COMPANY_ONE}");
        patch(&self.secondary.url, &path, &json!({ "sync_addr": address })).await;
    }

    /// Makes a recorded write at the primary, and syncs. The company keeps the address that the recording gave it.
    pub async fn write_upstream(&self, method: &str, path: &str, body: &Value) {
        let mut body = body.clone();
        if path == "/v1/subs" {
            body["company_id"] = json!(RETAIL_PARTS);
        }
        if body["encoding"] == "z64" {
            // The recorded one is damaged, and so refused.
            body["payload"] = json!(recorded_file());
        }
        if method == "POST" && !body.is_null() {
            post(&self.company_one, path, &body).await;
        } else {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            self.company_one.admin.call(method, path).await.unwrap();
        }
        if path == "/v1/slices" {
            let slice: Id = body["id"].as_str().unwrap().parse().unwrap();
            // A receiver gets metadata with the first publication, the recorded slices have theirs from the beginning.
            self.company_one.refresh(slice).await;
            if body["name"] == "Rotors" {
                // The recording subscribes nobody to it; without a subscription no secondary has a slice.
                let company: Id = RETAIL_PARTS.parse().unwrap();
                self.company_one.subscribe("Rotors", slice, company).await;
            }
        }
        self.give_address(&self.company_one.url).await;
        // Slices that are locked fail, as they should.
        self.secondary.sync(self.company_one.server_id).await.unwrap();
        self.give_address("https://one.example").await;
    }

    /// The recorded company has no key when the recording asks for a sync with it.
    pub async fn forget_the_key(&self) {
        self.secondary
            .secondary
            .node
            .store
            .write(|conn| -> Result<(), StoreError> {
                let sql = "UPDATE partners SET api_key = NULL, candidate_key = NULL";
                store::on_backend!(conn, |c| diesel::RunQueryDsl::execute(diesel::sql_query(sql), c))?;
                Ok(())
            })
            .await
            .unwrap();
    }

    pub async fn stop(self) {
        self.secondary.stop().await;
        self.better_brakes.stop().await;
        self.company_one.stop().await;
    }
}
