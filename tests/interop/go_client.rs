//! Programs of the reference against our servers, recorded run by run and replayed: its command line with both of our
//! servers, its secondary server with our primary. What they were answered then they must be answered now.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::likeness::unlike;
use super::recording::{Exchange, exchange, send};
use super::shape;

const SEEDS: &str = include_str!("../fixtures/go_clients/seeds.json");
const COMMAND_TO_PRIMARY: &str = include_str!("../fixtures/go_clients/command-primary.jsonl");
const COMMAND_TO_SECONDARY: &str = include_str!("../fixtures/go_clients/command-secondary.jsonl");
const SECONDARY_SERVER: &str = include_str!("../fixtures/go_clients/secondary-server.jsonl");
/// How the fixtures write our primary's address, and the key that it minted.
const PRIMARY: &str = "http://primary.example";
const KEY: &str = "(key)";

/// One run of a program.
struct Run {
    name: String,
    /// What was done to the primary before it.
    before: Vec<Value>,
    exchanges: Vec<Exchange>,
}

impl Run {
    /// Whether it needs, and leaves, another world than the seeds.
    fn is_alone(&self) -> bool {
        let is_write = |exchange: &Exchange| exchange.method != "GET" && exchange.path != "/login";
        !self.before.is_empty() || self.exchanges.iter().any(is_write)
    }
}

/// The runs of a recording in their order, with texts of ours in place of recorded ones.
fn runs(text: &str, ours: &[(&str, &str)]) -> Vec<Run> {
    let text = ours.iter().fold(text.to_owned(), |text, (recorded, own)| text.replace(recorded, own));
    text.lines()
        .map(|line| {
            let mut run: Value = serde_json::from_str(line).unwrap();
            let mut list = |name: &str| run[name].as_array_mut().map(std::mem::take).unwrap();
            let (before, exchanges) = (list("before"), list("exchanges"));
            Run {
                name: run["name"].as_str().unwrap().to_owned(),
                before,
                exchanges: exchanges.into_iter().map(exchange).collect(),
            }
        })
        .collect()
}

fn seeds() -> Value {
    serde_json::from_str(SEEDS).unwrap()
}

/// Rows of one kind.
fn rows(name: &str) -> Vec<Value> {
    seeds()[name].as_array().unwrap().clone()
}

/// Does something as a seeded user.
async fn act(url: &str, step: &Value) -> Value {
    let http = reqwest::Client::new();
    let user = rows("users").into_iter().find(|user| user["username"] == step["as"]).unwrap();
    let credentials = json!({ "username": user["username"], "password": user["password"] });
    let login = http.post(format!("{url}/login")).json(&credentials).send().await.unwrap();
    let login: Value = login.json().await.unwrap();
    let method = Method::from_bytes(step["method"].as_str().unwrap().as_bytes()).unwrap();
    let path = step["path"].as_str().unwrap();
    let mut request =
        http.request(method, format!("{url}{path}")).bearer_auth(login["token"].as_str().unwrap());
    if !step["body"].is_null() {
        request = request.json(&step["body"]);
    }
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{step}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// Our primary with the seeds.
async fn seeded(database: TestDatabase) -> TestPrimary {
    let server = &seeds()["server"];
    let id = server["id"].as_str().unwrap().parse().unwrap();
    let primary = TestPrimary::start_as(database, id, server["name"].as_str().unwrap()).await;
    let post = async |path: &str, body: &Value| {
        let _created: Value = primary.admin.post(path, body).await.unwrap();
    };
    for company in rows("companies") {
        post("/v1/companies", &company).await;
    }
    for mut user in rows("users") {
        let username = user["username"].as_str().unwrap().to_owned();
        if username == tests::ADMIN.0 {
            assert_eq!(user["password"], tests::ADMIN.1);
            continue;
        }
        user["first_name"] = json!(username);
        user["last_name"] = json!("x");
        user["email"] = json!(format!("{username}@example.org"));
        user["password_confirm"] = user["password"].clone();
        user["active"] = json!(true);
        post("/v1/users", &user).await;
    }
    for mut slice in rows("slices") {
        slice["allow_sync"] = json!(true);
        post("/v1/slices", &slice).await;
    }
    for grain in rows("grains") {
        post("/v1/grains", &grain).await;
    }
    for slice in rows("slices") {
        if rows("grains").iter().any(|grain| grain["slice_id"] == slice["id"]) {
            primary.refresh(slice["id"].as_str().unwrap().parse().unwrap()).await;
        }
    }
    for sub in rows("subscriptions") {
        post("/v1/subs", &sub).await;
    }
    primary
}

/// A key as the receiver's admin gets one.
async fn mint(primary: &TestPrimary) -> String {
    let step = json!({ "as": "companyadmin", "method": "POST", "path": "/v1/apikey" });
    act(&primary.url, &step).await["sync_api_key"].as_str().unwrap().to_owned()
}

/// Asks what was asked, with the token of its own login, and says what is answered otherwise.
async fn replay(url: &str, run: &Run) -> Vec<String> {
    let http = reqwest::Client::new();
    let (mut token, mut complaints): (Option<String>, _) = (None, Vec::new());
    for exchange in &run.exchanges {
        let answer = send(&http, url, exchange, &exchange.path, token.as_deref(), &exchange.body).await;
        if exchange.path == "/login" {
            token = answer.body["token"].as_str().map(str::to_owned);
        }
        let mut found = unlike(&exchange.answer, &answer.body);
        if (answer.status, answer.is_json) != (exchange.status, exchange.is_json) {
            let recorded = (exchange.status, exchange.is_json);
            found.push(format!("{:?}, recorded {recorded:?}", (answer.status, answer.is_json)));
        }
        if shape::shows_a_key(&answer.body) {
            found.push("a stored key is shown".to_owned());
        }
        let asked = format!("{}: {} {}", run.name, exchange.method, exchange.path);
        complaints.extend(found.into_iter().map(|what| format!("{asked}: {what}; here {}", answer.body)));
    }
    complaints
}

fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{}:\n{}", complaints.len(), complaints.join("\n"));
}

#[tokio::test]
async fn the_command_line_of_the_reference_is_answered_by_a_primary_as_recorded() {
    let kinds: [fn(&str) -> Option<TestDatabase>; 2] =
        [|_test| Some(TestDatabase::sqlite()), TestDatabase::postgres];
    for fresh in kinds {
        let (mut complaints, mut unchanged) = (Vec::new(), None);
        for run in runs(COMMAND_TO_PRIMARY, &[]) {
            let at_hand = if run.is_alone() { None } else { unchanged.take() };
            let primary = match at_hand {
                Some(primary) => primary,
                None => match fresh("the_command_line_of_the_reference_is_answered_by_a_primary") {
                    Some(database) => seeded(database).await,
                    None => break,
                },
            };
            for step in &run.before {
                act(&primary.url, step).await;
            }
            complaints.extend(replay(&primary.url, &run).await);
            if run.is_alone() {
                primary.stop().await;
            } else {
                unchanged = Some(primary);
            }
        }
        none(&complaints);
        if let Some(primary) = unchanged {
            primary.stop().await;
        }
    }
}

#[tokio::test]
async fn a_secondary_server_of_the_reference_is_answered_by_a_primary_as_recorded() {
    for database in TestDatabase::each("a_secondary_server_of_the_reference") {
        let primary = seeded(database).await;
        let key = mint(&primary).await;
        let mut complaints = Vec::new();
        for run in runs(SECONDARY_SERVER, &[(KEY, &key)]) {
            for step in &run.before {
                act(&primary.url, step).await;
            }
            complaints.extend(replay(&primary.url, &run).await);
        }
        none(&complaints);
        primary.stop().await;
    }
}

#[tokio::test]
async fn the_command_line_of_the_reference_is_answered_by_a_secondary_as_recorded() {
    for database in TestDatabase::each("the_command_line_of_the_reference_is_answered_by_a_secondary") {
        let primary = seeded(TestDatabase::sqlite()).await;
        // It was recorded after the secondary server's run in which something had changed.
        for run in
            runs(SECONDARY_SERVER, &[]).iter().filter(|run| ["draft", "changed"].contains(&run.name.as_str()))
        {
            for step in &run.before {
                act(&primary.url, step).await;
            }
        }
        let company = &rows("companies")[0]["id"];
        let secondary = TestSecondary::start_as(database, company.as_str().unwrap().parse().unwrap()).await;
        let publisher = json!({
            "id": seeds()["server"]["id"], "name": seeds()["server"]["name"], "sync_addr": primary.url, "active": true,
        });
        let _company: Value = secondary.admin.post("/v1/companies", &publisher).await.unwrap();
        let mut complaints = Vec::new();
        for run in runs(COMMAND_TO_SECONDARY, &[(PRIMARY, &primary.url)]) {
            for step in &run.before {
                act(&primary.url, step).await;
            }
            complaints.extend(replay(&secondary.url, &run).await);
            if run.name == "sync_no_key" {
                let path = format!("/v1/companies/{}", primary.server_id);
                let body = json!({ "sync_api_key": mint(&primary).await });
                act(&secondary.url, &json!({ "as": "admin", "method": "PATCH", "path": path, "body": body }))
                    .await;
            }
        }
        none(&complaints);
        secondary.stop().await;
        primary.stop().await;
    }
}

/// Its run ends at the first slice that fails (gap B3), and a closed one fails.
#[tokio::test]
async fn a_closed_slice_does_not_keep_the_others_from_a_receiver_of_the_reference() {
    for database in TestDatabase::each("a_closed_slice_does_not_keep_the_others") {
        let primary = seeded(database).await;
        let key = mint(&primary).await;
        let path = format!("/v1/slices/lock/{}", rows("slices")[0]["id"].as_str().unwrap());
        act(&primary.url, &json!({ "as": "admin", "method": "PUT", "path": path })).await;
        for (agent, order) in [
            ("Sandpiper", ["sub 1", "sub 2", "sub 3", "sub 0"]),
            ("other", ["sub 0", "sub 1", "sub 2", "sub 3"]),
        ] {
            let http = reqwest::Client::builder().user_agent(agent).build().unwrap();
            let credentials = json!({ "sync-api-key": key });
            let login = http.post(format!("{}/login", primary.url)).json(&credentials).send().await.unwrap();
            let login: Value = login.json().await.unwrap();
            let request = http.get(format!("{}/v1/sync/subs", primary.url));
            let subs = request.bearer_auth(login["token"].as_str().unwrap()).send().await.unwrap();
            let subs: Vec<Value> = subs.json().await.unwrap();
            let names: Vec<&str> = subs.iter().map(|sub| sub["name"].as_str().unwrap()).collect();
            assert_eq!(names, order, "{agent}");
        }
        primary.stop().await;
    }
}
