//! The walk over all permissions: every operation of the contract, as every role, on own and on foreign rows, on both
//! servers, against the matrix.

use std::collections::HashMap;

use serde_json::{Value, json};
use shared::node::contract::{Access, Operation, operations};
use shared::node::permission::{Action, MATRIX, Own, Reach};
use shared::node::service::mint::{Mint, mint_for};
use shared::wire::Id;
use shared::wire::server::ServerRole;
use shared::wire::user::Role;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::Caller;

/// Weakest first: what a strong one removes, a weak one has already been refused.
const ROLES: [Role; 5] = [Role::User, Role::Sync, Role::CompanyAdmin, Role::Admin, Role::SuperAdmin];

/// These end what others log in with, so they come last, and machines log in anew for each.
const LAST: [&str; 4] = ["mintApiKey", "mintApiKeyAtRoot", "revokeApiKeys", "revokeApiKeysAtRoot"];

/// Statuses of what was allowed, but cannot succeed here: another server would be needed, or there is nothing to do.
const NEEDS_MORE: [&str; 6] =
    ["connectToPrimary", "rotateApiKey", "runSync", "runSyncAtRoot", "createSettings", "rollbackSlice"];

/// Whether an operation is allowed and cannot succeed here. What a primary offers still, nobody removes on a secondary.
fn needs_more(world: &World, operation: &Operation) -> bool {
    NEEDS_MORE.contains(&operation.id) || world.role == ServerRole::Secondary && operation.id == "deleteSlice"
}

/// Rows of one company.
struct Side {
    company: Id,
    /// Shows in names and payloads of its rows.
    mark: &'static str,
    slice: String,
    slice_name: String,
    grain: String,
    sub: String,
    sub_name: String,
    /// An ordinary user of it.
    user: String,
    /// On a secondary: a run with it.
    run: String,
}

/// One server with two companies' rows.
struct World {
    role: ServerRole,
    url: String,
    server_id: Id,
    staff: Caller,
    sides: [Side; 2],
    activity: String,
    tag: String,
    counter: std::cell::Cell<u32>,
    /// Those who are logged in, by role.
    callers: std::cell::RefCell<HashMap<i64, (Caller, String)>>,
    primary: TestPrimary,
    _others: Vec<TestPrimary>,
    _secondary: Option<TestSecondary>,
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl World {
    /// A number that was not used before.
    fn next(&self) -> u32 {
        self.counter.set(self.counter.get() + 1);
        self.counter.get()
    }

    async fn make(&self, path: &str, body: Value) -> Value {
        let (status, made) = self.staff.call("POST", path, Some(body.clone())).await;
        assert_eq!(status, 201, "{path} {body}: {made}");
        made
    }

    async fn add_user(&self, company: Id, role: Role, username: &str) -> String {
        let body = json!({
            "first_name": "Some", "last_name": "Body", "username": username, "role": role.number(),
            "email": format!("{username}@example.com"), "password": COMPANY_ADMIN_PASSWORD,
            "password_confirm": COMPANY_ADMIN_PASSWORD, "company_id": company,
        });
        text(&self.make("/v1/users", body).await["id"])
    }

    async fn on_primary(database: TestDatabase) -> Self {
        let primary = TestPrimary::start_on(database, None).await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let mut sides = Vec::new();
        for (name, mark) in [("Own Parts", "ownmark"), ("Foreign Parts", "foreignmark")] {
            let company = primary.add_company(&format!("{name} {mark}"), mark).await;
            let slice = primary.add_slice(mark, "pies-items", &json!({ "m": mark }), company).await;
            let grain = primary.add_grain(slice, mark, mark).await;
            primary.refresh(slice).await;
            let sub_name = format!("{mark} for {company}");
            let sub = staff.get(&format!("/v1/companies/{company}/subs/{slice}")).await.1["id"].clone();
            sides.push(Side {
                company,
                mark,
                slice: slice.to_string(),
                slice_name: mark.to_owned(),
                grain: grain.to_string(),
                sub: text(&sub),
                sub_name,
                user: String::new(),
                run: Id::NIL.to_string(),
            });
        }
        let sides: [Side; 2] = sides.try_into().unwrap_or_else(|_| panic!("two sides"));
        Self::with_people(ServerRole::Primary, primary.url.clone(), staff, sides, primary, Vec::new(), None)
            .await
    }

    /// Two primaries, each of which is a company here.
    async fn on_secondary(database: TestDatabase) -> Self {
        let secondary = TestSecondary::start_on(database).await;
        let staff = Caller::password(&secondary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let (mut sides, mut primaries) = (Vec::new(), Vec::new());
        for mark in ["ownmark", "foreignmark"] {
            let id = shared::clock::Random::System.id();
            let primary = TestPrimary::start_as(TestDatabase::sqlite(), id, &format!("{mark} Brakes")).await;
            let company = primary.add_company("Retail Parts", "companyadmin").await;
            let slice = primary.add_slice(mark, "pies-items", &json!({ "m": mark }), company).await;
            let grain = primary.add_grain(slice, mark, mark).await;
            primary.refresh(slice).await;
            secondary.connect(&primary.url, "companyadmin").await;
            secondary.sync(id).await.unwrap().into_result().unwrap();
            let sub = staff.get(&format!("/v1/companies/{id}/subs/{slice}")).await.1;
            sides.push(Side {
                company: id,
                mark,
                slice: slice.to_string(),
                slice_name: mark.to_owned(),
                grain: grain.to_string(),
                sub: text(&sub["id"]),
                sub_name: text(&sub["name"]),
                user: String::new(),
                run: text(
                    &staff.get(&format!("/v1/sync/runs?filter=primary_id:{id}")).await.1["data"][0]["id"],
                ),
            });
            primaries.push(primary);
        }
        let sides: [Side; 2] = sides.try_into().unwrap_or_else(|_| panic!("two sides"));
        let (url, first) = (secondary.url.clone(), primaries.remove(0));
        Self::with_people(ServerRole::Secondary, url, staff, sides, first, primaries, Some(secondary)).await
    }

    async fn with_people(
        role: ServerRole,
        url: String,
        staff: Caller,
        sides: [Side; 2],
        primary: TestPrimary,
        others: Vec<TestPrimary>,
        secondary: Option<TestSecondary>,
    ) -> Self {
        let server: Value = staff.get("/server").await.1;
        let mut world = Self {
            role,
            url,
            server_id: server["server-id"].as_str().unwrap().parse().unwrap(),
            staff,
            sides,
            activity: String::new(),
            tag: String::new(),
            counter: std::cell::Cell::new(0),
            callers: std::cell::RefCell::default(),
            primary,
            _others: others,
            _secondary: secondary,
        };
        for index in 0..2 {
            let company = world.sides[index].company;
            let name = format!("{}-user", world.sides[index].mark);
            world.sides[index].user = world.add_user(company, Role::User, &name).await;
            // A login and a key that others must not be shown.
            Caller::password(&world.url, &name, COMPANY_ADMIN_PASSWORD).await;
            if role == ServerRole::Primary && index == 1 {
                let by = world.sides[index].mark;
                mint_for(&world.primary.node, company, by, Mint::default()).await.unwrap();
            }
        }
        let own = world.sides[0].company;
        world.add_user(own, Role::CompanyAdmin, "boss").await;
        world.add_user(own, Role::Sync, "machine").await;
        world.add_user(world.server_id, Role::Admin, "helper").await;
        let record =
            json!({ "company_id": world.sides[1].company, "message": "foreignmark", "success": true });
        world.activity = text(&world.make("/v1/activity", record).await["id"]);
        // To activate the active key, and to retire a retired one, changes nothing.
        let spare = world.make("/v1/keyring", json!({ "purpose": "jwt" })).await;
        let retire = format!("/v1/keyring/{}/retire", text(&spare["id"]));
        world.staff.call("POST", &retire, None).await;
        world.tag = text(&world.make("/v1/tags", json!({ "name": "walked" })).await["id"]);
        world
    }

    /// Somebody of that role, with his number.
    async fn caller(&self, role: Role, operation: &Operation) -> (Caller, String) {
        if role == Role::Sync && LAST.contains(&operation.id) && self.role == ServerRole::Primary {
            let key =
                mint_for(&self.primary.node, self.sides[0].company, "test", Mint::default()).await.unwrap();
            let caller = Caller::login(&self.url, &json!({ "sync-api-key": key.sync_api_key })).await;
            return (caller, String::new());
        }
        if operation.id == "logout" {
            // Of a login that nobody else needs.
            let (_caller, id) = self.known(role).await;
            return (self.log_in(&id).await, id);
        }
        self.known(role).await
    }

    /// Logs in as a user once more.
    async fn log_in(&self, id: &str) -> Caller {
        let name = text(&self.staff.get(&format!("/v1/users/{id}")).await.1["username"]);
        let password = if name == tests::ADMIN.0 { tests::ADMIN.1 } else { COMPANY_ADMIN_PASSWORD };
        Caller::password(&self.url, &name, password).await
    }

    /// Somebody of that role who stays logged in, with his number.
    async fn known(&self, role: Role) -> (Caller, String) {
        if role == Role::SuperAdmin {
            // The one whose session a change of his password keeps.
            return (self.staff.clone(), text(&self.staff.get("/me").await.1["id"]));
        }
        let known = self.callers.borrow().get(&role.number()).cloned();
        if let Some(known) = known {
            return known;
        }
        let (name, password) = match role {
            Role::SuperAdmin | Role::Admin => ("helper", COMPANY_ADMIN_PASSWORD),
            Role::CompanyAdmin => ("boss", COMPANY_ADMIN_PASSWORD),
            Role::User => ("ownmark-user", COMPANY_ADMIN_PASSWORD),
            Role::Sync => ("machine", COMPANY_ADMIN_PASSWORD),
        };
        let caller = Caller::password(&self.url, name, password).await;
        let id = text(&caller.get("/me").await.1["id"]);
        self.callers.borrow_mut().insert(role.number(), (caller.clone(), id.clone()));
        (caller, id)
    }

    /// Path and body of an operation on a row of `side`. What it removes or uses up is made for it.
    async fn request(&self, operation: &Operation, side: &Side, self_id: &str) -> (String, Option<Value>) {
        let n = self.next();
        let own_path = |path: &str| self.fill(path, side, self_id);
        let path = own_path(operation.path);
        let user = |id: &str| operation.path.replace("{user_id}", id);
        let body = match operation.id {
            "login" | "syncLogin" => {
                json!({ "username": "ownmark-user", "password": COMPANY_ADMIN_PASSWORD })
            }
            "mintApiKey" | "mintApiKeyAtRoot" => json!({ "overlap_seconds": 60 }),
            "createCompany" => json!({ "name": format!("Company {n}") }),
            "updateCompany" => json!({ "name": format!("Company {n} {}", side.mark) }),
            "deleteCompany" => {
                let made = self.make("/v1/companies", json!({ "name": format!("Company {n}") })).await;
                return (operation.path.replace("{company_id}", &text(&made["id"])), None);
            }
            "connectToPrimary" => json!({ "url": "http://127.0.0.1:1", "username": "a", "password": "b" }),
            "createUser" => json!({
                "first_name": "Some", "last_name": "Body", "username": format!("u{n}"), "role": 300,
                "email": format!("u{n}@example.com"), "password": COMPANY_ADMIN_PASSWORD,
                "password_confirm": COMPANY_ADMIN_PASSWORD, "company_id": side.company,
            }),
            "updateUser" => json!({ "phone": format!("{n}") }),
            "deleteUser" => {
                let id = self.add_user(side.company, Role::User, &format!("gone{n}")).await;
                return (user(&id), None);
            }
            "changePassword" => {
                // Of a user whom nobody else needs, but where it must be the caller's own.
                let (path, old) = match side.mark {
                    "ownmark" if self_id == "1" => (path, tests::ADMIN.1),
                    "ownmark" => (path, COMPANY_ADMIN_PASSWORD),
                    _ => {
                        let id = self.add_user(side.company, Role::User, &format!("change{n}")).await;
                        (user(&id), COMPANY_ADMIN_PASSWORD)
                    }
                };
                let body = json!({ "old_password": old, "new_password": old, "new_password_confirm": old });
                return (path, Some(body));
            }
            "resetPassword" => {
                let id = self.add_user(side.company, Role::User, &format!("reset{n}")).await;
                return (user(&id), Some(json!({})));
            }
            "endSession" => {
                let own = std::ptr::eq(side, &raw const self.sides[0]);
                let user = if own { self_id } else { &side.user };
                self.log_in(user).await;
                let newest = self.staff.get(&format!("/v1/sessions?filter=user_id:{user}")).await.1;
                let id = text(&newest["data"][0]["id"]);
                return (operation.path.replace("{session_id}", &id), None);
            }
            "prepareRingKey" => json!({ "purpose": "jwt" }),
            "activateRingKey" => return (path.replace("{ring_key}", "j0"), None),
            "retireRingKey" => return (path.replace("{ring_key}", "j1"), None),
            "createSettings" | "replaceSettings" | "replaceSettingsAtV1" => {
                json!({ "server_role": self.role.as_str(), "server_id": self.server_id })
            }
            "createSlice" => json!({ "name": format!("slice {n}"), "slice_type": "pies-items" }),
            "updateSlice" => json!({ "slice_type": "pies-items" }),
            "deleteSlice" | "lockSlice" if self.role == ServerRole::Primary => {
                let body = json!({ "name": format!("slice {n}"), "slice_type": "pies-items" });
                let made = self.make("/v1/slices", body).await;
                return (operation.path.replace("{slice_id}", &text(&made["id"])), None);
            }
            "rollbackSlice" => json!({ "version": 1 }),
            "createGrain" => json!({
                "slice_id": side.slice, "grain_key": format!("k{n}"), "encoding": "raw", "payload": "x",
            }),
            "deleteGrain" if self.role == ServerRole::Primary => {
                let body = json!({
                    "slice_id": side.slice, "grain_key": format!("k{n}"), "encoding": "raw", "payload": "x",
                });
                let made = self.make("/v1/grains", body).await;
                return (operation.path.replace("{grain_id}", &text(&made["id"])), None);
            }
            "createSubscription" => {
                let slice = if self.role == ServerRole::Primary {
                    let body = json!({ "name": format!("slice {n}"), "slice_type": "pies-items" });
                    text(&self.make("/v1/slices", body).await["id"])
                } else {
                    side.slice.clone()
                };
                json!({ "slice_id": slice, "company_id": side.company, "name": format!("sub {n}") })
            }
            "replaceSubscription" => json!({
                "sub_id": side.sub, "slice_id": side.slice, "company_id": side.company, "active": true,
            }),
            "updateSubscription" => json!({ "active": true }),
            "deleteSubscription" if self.role == ServerRole::Primary => {
                let body = json!({ "name": format!("slice {n}"), "slice_type": "pies-items" });
                let slice = self.make("/v1/slices", body).await["id"].clone();
                let body =
                    json!({ "slice_id": slice, "company_id": side.company, "name": format!("sub {n}") });
                let made = self.make("/v1/subs", body).await;
                return (operation.path.replace("{subscription_id}", &text(&made["id"])), None);
            }
            "recordActivity" => json!({ "company_id": side.company, "message": side.mark, "success": true }),
            "deleteActivity" => {
                let body = json!({ "company_id": side.company, "message": "gone", "success": true });
                let made = self.make("/v1/activity", body).await;
                return (operation.path.replace("{activity_id}", &text(&made["id"])), None);
            }
            "createTag" => json!({ "name": format!("tag{n}") }),
            "updateTag" => json!({ "description": format!("{n}") }),
            "deleteTag" => {
                let made = self.make("/v1/tags", json!({ "name": format!("tag{n}") })).await;
                return (operation.path.replace("{tag_id}", &text(&made["id"])), None);
            }
            "unassignTag" => {
                let assigned = self.staff.call("POST", &path, None).await;
                assert_eq!(assigned.0, 200, "{path}: {}", assigned.1);
                return (path, None);
            }
            "setSchedule" => json!({ "cron": "@daily", "zone": "Europe/Berlin" }),
            "viewSchedule" | "removeSchedule" | "pauseSchedule" | "resumeSchedule"
                if self.role == ServerRole::Secondary =>
            {
                let schedule = format!("/v1/sync/schedules/{}", side.company);
                let set = self.staff.call("PUT", &schedule, Some(json!({ "period_seconds": 86_400 }))).await;
                assert_eq!(set.0, 200, "{schedule}: {}", set.1);
                return (path, None);
            }
            "readGrains" => json!({ "version": 1, "ids": [side.grain] }),
            _ => return (path, None),
        };
        (path, Some(body))
    }

    fn fill(&self, path: &str, side: &Side, self_id: &str) -> String {
        let company = side.company.to_string();
        let own = std::ptr::eq(side, &raw const self.sides[0]);
        let names: HashMap<&str, &str> = HashMap::from([
            ("{company_id}", company.as_str()),
            ("{user_id}", if own { self_id } else { side.user.as_str() }),
            ("{slice_id}", side.slice.as_str()),
            ("{grain_id}", side.grain.as_str()),
            ("{grain_key}", side.mark),
            ("{subscription_id}", side.sub.as_str()),
            ("{activity_id}", self.activity.as_str()),
            ("{tag_id}", self.tag.as_str()),
            ("{run_id}", side.run.as_str()),
            ("{token}", "0"),
            (
                "{name}",
                if path.contains("/subs/") { side.sub_name.as_str() } else { side.slice_name.as_str() },
            ),
        ]);
        path.split('/')
            .map(|part| names.get(part).map_or_else(|| part.to_owned(), |text| text.replace(' ', "%20")))
            .collect::<Vec<_>>()
            .join("/")
    }
}

/// Calls as a role, and says what is not as the matrix says.
async fn cell(
    world: &World,
    operation: &Operation,
    action: Action,
    role: Role,
    foreign: bool,
    succeeded: &mut bool,
) -> Option<String> {
    let rule = action.rule();
    let (caller, self_id) = world.caller(role, operation).await;
    let side = &world.sides[usize::from(foreign)];
    let (path, body) = world.request(operation, side, &self_id).await;
    let query = match operation.id {
        "mintApiKey" | "mintApiKeyAtRoot" => "",
        "compareVersions" => "?from=1",
        "publishContent" => "?source=walk.xml",
        _ if operation.method == "GET" => "?pagesize=250",
        _ => "",
    };
    let method = reqwest::Method::from_bytes(operation.method.as_str().as_bytes()).unwrap();
    let mut request =
        caller.http.request(method, format!("{}{path}{query}", world.url)).bearer_auth(&caller.token);
    if operation.id.starts_with("mintApiKey") {
        request = request.header("Idempotency-Key", format!("walk-{}", world.next()));
    }
    if let Some(body) = &body {
        request = request.json(body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let answer = response.text().await.unwrap();
    *succeeded |= (200..300).contains(&status);
    let reach = if rule.on.offers(world.role) { rule.reach(role) } else { Reach::No };
    // What names no row of anybody reaches the caller's own, whatever stands in the path.
    let names_a_row = operation.path.contains('{')
        || body
            .as_ref()
            .is_some_and(|body| body.get("company_id").is_some() || body.get("slice_id").is_some());
    // Staff belong to the server's own company, whose rows neither side's are.
    let is_foreign = foreign || role.is_staff() && rule.own != Own::Himself;
    let is_right = match reach {
        Reach::No => status == 403,
        Reach::Own if is_foreign && names_a_row => matches!(status, 403 | 404),
        // Himself: another one's row is foreign even in his own company.
        Reach::Own | Reach::All => {
            (200..300).contains(&status) || needs_more(world, operation) && status != 403
        }
    };
    // A request that names a foreign row may be told its name.
    let may_name_it = reach != Reach::Own || rule.own == Own::Nothing || foreign && names_a_row;
    let keeps_secrets = may_name_it || !answer.contains("foreignmark");
    if is_right && keeps_secrets && status != 500 && status != 401 {
        return None;
    }
    let server = world.role;
    let whose = if foreign { "foreign" } else { "own" };
    Some(format!(
        "{server} {} {path} as {role:?} on {whose} rows: {reach:?}, but {status} {answer}",
        operation.id
    ))
}

async fn walk(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut all = operations();
    all.sort_by_key(|operation| LAST.iter().position(|id| *id == operation.id).map_or(0, |place| place + 1));
    for operation in &all {
        let Access::Login(action) = operation.access else { continue };
        let (path, body) = world.request(operation, &world.sides[0], "1").await;
        let method = operation.method.as_str();
        let stranger =
            Caller { http: reqwest::Client::new(), url: world.url.clone(), token: "none".to_owned() };
        let (status, answer) = stranger.call(method, &path, body).await;
        if status != 401 || !answer.is_null() {
            wrong.push(format!("{} without a token: {status} {answer}", operation.id));
        }
        let mut succeeded = false;
        for role in ROLES {
            for foreign in [false, true] {
                wrong.extend(cell(world, operation, action, role, foreign, &mut succeeded).await);
            }
        }
        if !succeeded && action.rule().on.offers(world.role) && !needs_more(world, operation) {
            wrong.push(format!("{} succeeded for nobody", operation.id));
        }
    }
    wrong
}

#[tokio::test]
async fn every_operation_on_a_primary_is_allowed_to_whom_the_matrix_says() {
    for database in TestDatabase::each("walk_primary") {
        let wrong = walk(&World::on_primary(database).await).await;
        assert!(wrong.is_empty(), "{} cells differ:\n{}", wrong.len(), wrong.join("\n"));
    }
}

#[tokio::test]
async fn every_operation_on_a_secondary_is_allowed_to_whom_the_matrix_says() {
    for database in TestDatabase::each("walk_secondary") {
        let wrong = walk(&World::on_secondary(database).await).await;
        assert!(wrong.is_empty(), "{} cells differ:\n{}", wrong.len(), wrong.join("\n"));
    }
}

#[test]
fn every_action_of_the_matrix_is_that_of_an_operation_or_of_a_member() {
    // Members of a body that not everybody who may send the body may set: tested by name below and in `tenant`.
    let used: Vec<Action> = operations()
        .iter()
        .filter_map(|operation| match operation.access {
            Access::Login(action) => Some(action),
            Access::Public => None,
        })
        .chain(MATRIX.iter().map(|rule| rule.action).filter(|action| action.part().is_some()))
        .collect();
    let unused: Vec<_> =
        MATRIX.iter().map(|rule| rule.action).filter(|action| !used.contains(action)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

const API: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
const MARKS: [&str; 2] = ["<!-- permissions -->\n", "<!-- /permissions -->"];

/// The matrix as docs/api.md prints it: a row for each action, with the operations that it stands behind.
fn table() -> String {
    let mut text = String::from(
        "\n| to do what | by which request | at which server | super admin | admin | company admin | machine user | ordinary user | remark |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for rule in MATRIX {
        let all = operations();
        let operations: Vec<_> =
            all.iter().filter(|operation| operation.access == Access::Login(rule.action)).collect();
        let mut words: Vec<&str> = operations.iter().map(|operation| operation.summary).collect();
        // One that stands at two paths says the same twice.
        words.dedup();
        let mut requests: Vec<String> =
            operations.iter().map(|operation| format!("`{} {}`", operation.method, operation.path)).collect();
        if let Some((what, place)) = rule.action.part() {
            words.push(what);
            requests.push(place.to_owned());
        }
        let reach = rule.reach.map(|reach| match reach {
            Reach::No => "–",
            Reach::Own => rule.own.as_str(),
            Reach::All => "yes",
        });
        text = format!(
            "{text}| {} | {} | {} | {} | {} |\n",
            words.join("; "),
            requests.join(", "),
            rule.on,
            reach.join(" | "),
            rule.note
        );
    }
    text.push('\n');
    text
}

#[test]
fn the_printed_matrix_is_the_one_that_the_servers_ask() {
    let text = std::fs::read_to_string(API).unwrap();
    let (before, rest) = text.split_once(MARKS[0]).unwrap();
    let (printed, after) = rest.split_once(MARKS[1]).unwrap();
    let table = table();
    if std::env::var_os("SANDPIPER_TEST_BLESS").is_some() {
        std::fs::write(API, format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1])).unwrap();
        return;
    }
    assert!(
        printed == table,
        "the table in docs/api.md is stale: write it anew with SANDPIPER_TEST_BLESS=1 cargo test -p tests --test api printed"
    );
}
