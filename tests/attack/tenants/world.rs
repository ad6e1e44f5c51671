//! One server with two companies that compete, and the people and machines of both.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use serde_json::{Value, json};
use shared::clock::Random;
use shared::store::Store;
use shared::wire::Id;
use shared::wire::server::ServerRole;
use shared::wire::user::Role;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::seed::Draw;
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::rows::{Rows, normal};
use crate::Caller;

/// Access tokens live a quarter of an hour, which a long run outlives.
const RENEWED_AFTER: Duration = Duration::from_mins(5);

/// An answer as it came: status, headers but for those that always differ, and the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Status, headers, an empty line, the body.
    pub text: String,
}

impl Answer {
    pub fn body(&self) -> Value {
        let body = self.text.split_once("\n\n").map_or("", |(_head, body)| body);
        serde_json::from_str(body).unwrap_or(Value::Null)
    }
}

pub async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let mut head: Vec<String> = response
        .headers()
        .iter()
        .filter(|(name, _value)| !["date", "x-request-id"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    head.sort();
    let body = response.text().await.unwrap();
    Answer { status, text: format!("{status}\n{}\n\n{body}", head.join("\n")) }
}

/// Somebody of a company.
pub struct Seat {
    pub role: Role,
    pub username: String,
    pub id: i64,
    pub token: String,
    pub refresh: String,
    /// When it got its token.
    since: Instant,
    /// Tokens of logins that are over.
    pub dead: Vec<String>,
}

/// One company, and what is its own.
pub struct Side {
    pub company: String,
    /// Stands in all its texts, and in nothing else.
    pub mark: String,
    http: reqwest::Client,
    pub seats: Vec<Seat>,
    /// What was answered to it and must come to nobody else: keys, tokens, cursors.
    pub told: Vec<String>,
    /// What it has written itself.
    pub written: BTreeSet<String>,
    /// The api-key that is good now; empty on a secondary.
    pub key: String,
}

pub struct World {
    pub role: ServerRole,
    pub url: String,
    pub sides: [Side; 2],
    pub store: Store,
    staff: Caller,
    count: RefCell<u32>,
    _primaries: Vec<TestPrimary>,
    _secondary: Option<TestSecondary>,
}

/// From addresses of their own, so that these tell whose they are.
fn client(side: usize, mark: &str) -> reqwest::Client {
    // Nothing is pooled: on a busy machine a server closes a connection just when it is used again.
    let builder = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
    let builder = builder.user_agent(format!("{mark} agent"));
    if cfg!(target_os = "linux") {
        builder.local_address(std::net::IpAddr::from([127, 0, 0, [211, 212][side]]))
    } else {
        builder
    }
    .build()
    .unwrap()
}

impl World {
    pub async fn on_primary(database: TestDatabase, draw: &mut Draw) -> Self {
        let primary = TestPrimary::start_on(database, None).await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let mut sides = Vec::new();
        for (index, name) in ["anna0", "bert0"].into_iter().enumerate() {
            let mark = format!("{name}{:08x}", draw.random::<u32>());
            let company = primary.add_company(&format!("Parts of {mark}"), &format!("{mark}boss")).await;
            let metadata = json!({ format!("{mark}-key"): format!("{mark} value") });
            for kind in ["line", "closed"] {
                let slice =
                    primary.add_slice(&format!("{mark} {kind}"), "pies-items", &metadata, company).await;
                for n in 0..3 {
                    primary
                        .add_grain(slice, &format!("{mark}-{kind}-{n}"), &format!("{mark} payload {n}"))
                        .await;
                }
                primary.refresh(slice).await;
                primary.add_grain(slice, &format!("{mark}-draft"), &format!("{mark} draft")).await;
                if kind == "closed" {
                    let sub = staff.get(&format!("/v1/companies/{company}/subs/{slice}")).await.1;
                    let path = format!("/v1/subs/{}", sub["id"].as_str().unwrap());
                    let off = staff.call("PATCH", &path, Some(json!({ "active": false }))).await;
                    assert_eq!(off.0, 200, "{}", off.1);
                }
            }
            sides.push((company, mark, index));
        }
        // Both have this one.
        let both = primary.add_slice("for both", "pies-items", &json!({ "k": "v" }), sides[0].0).await;
        primary.subscribe(&sides[1].1, both, sides[1].0).await;
        primary.add_grain(both, "shared", "for both").await;
        primary.refresh(both).await;
        let (url, store) = (primary.url.clone(), primary.node.store.clone());
        let world = (ServerRole::Primary, url, store, staff);
        Self::peopled(world, sides, vec![primary], None).await
    }

    /// Two primaries, each of which is a company here.
    pub async fn on_secondary(database: TestDatabase, draw: &mut Draw) -> Self {
        let secondary = TestSecondary::start_on(database).await;
        let staff = Caller::password(&secondary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let (mut sides, mut primaries) = (Vec::new(), Vec::new());
        for (index, name) in ["anna0", "bert0"].into_iter().enumerate() {
            let mark = format!("{name}{:08x}", draw.random::<u32>());
            let id = Random::System.id();
            let primary = TestPrimary::start_as(TestDatabase::sqlite(), id, &format!("{mark} Brakes")).await;
            let company = primary.add_company("Retail Parts", "companyadmin").await;
            let metadata = json!({ format!("{mark}-key"): format!("{mark} value") });
            let slice = primary.add_slice(&format!("{mark} line"), "pies-items", &metadata, company).await;
            for n in 0..3 {
                primary.add_grain(slice, &format!("{mark}-{n}"), &format!("{mark} payload {n}")).await;
            }
            primary.refresh(slice).await;
            secondary.connect(&primary.url, "companyadmin").await;
            secondary.sync(id).await.unwrap().into_result().unwrap();
            let boss = new_user(&id.to_string(), &format!("{mark}boss"), Role::CompanyAdmin);
            let robot = new_user(&id.to_string(), &format!("{mark}robot"), Role::Sync);
            for user in [boss, robot] {
                assert_eq!(staff.call("POST", "/v1/users", Some(user)).await.0, 201);
            }
            sides.push((id, mark, index));
            primaries.push(primary);
        }
        let (url, store) = (secondary.url.clone(), secondary.secondary.node.store.clone());
        let world = (ServerRole::Secondary, url, store, staff);
        Self::peopled(world, sides, primaries, Some(secondary)).await
    }

    async fn peopled(
        (role, url, store, staff): (ServerRole, String, Store, Caller),
        sides: Vec<(Id, String, usize)>,
        primaries: Vec<TestPrimary>,
        secondary: Option<TestSecondary>,
    ) -> Self {
        let of = |(company, mark, index): (Id, String, usize)| {
            let seat = |name: &str, role| Seat {
                role,
                username: format!("{mark}{name}"),
                id: 0,
                token: String::new(),
                refresh: String::new(),
                since: Instant::now(),
                dead: Vec::new(),
            };
            Side {
                company: company.to_string(),
                http: client(index, &mark),
                seats: vec![
                    seat("boss", Role::CompanyAdmin),
                    seat("deputy", Role::CompanyAdmin),
                    seat("robot", Role::Sync),
                    seat("person", Role::User),
                ],
                mark,
                told: Vec::new(),
                written: BTreeSet::new(),
                key: String::new(),
            }
        };
        let sides: Vec<Side> = sides.into_iter().map(of).collect();
        let sides = sides.try_into().unwrap_or_else(|_| panic!("two sides"));
        let mut world = Self {
            role,
            url,
            sides,
            store,
            staff,
            count: RefCell::new(0),
            _primaries: primaries,
            _secondary: secondary,
        };
        for side in 0..2 {
            world.seat_everybody(side).await;
            let Side { company, mark, .. } = &world.sides[side];
            let record = json!({ "company_id": company, "message": format!("{mark} log"), "error": mark });
            let tag = json!({ "name": format!("{mark}-tag"), "description": format!("{mark} tag") });
            for (path, body) in [("/v1/activity", record), ("/v1/tags", tag)] {
                assert_eq!(world.staff.call("POST", path, Some(body)).await.0, 201, "{path}");
            }
        }
        world
    }

    /// A number that was not used before.
    pub fn next(&self) -> u32 {
        *self.count.borrow_mut() += 1;
        *self.count.borrow()
    }

    pub async fn rows(&self) -> Rows {
        Rows::of(&self.store).await
    }

    pub fn request(&self, side: usize, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.sides[side].http.request(method, format!("{}{path}", self.url))
    }

    pub async fn is_alive(&self, side: usize, seat: usize) -> bool {
        let token = &self.sides[side].seats[seat].token;
        send(self.request(side, "GET", "/me").bearer_auth(token)).await.status == 200
    }

    /// Whoever cannot call any more, since his company has ended his login, logs in again; who is gone is made anew.
    pub async fn seat_everybody(&mut self, side: usize) {
        for seat in 0..self.sides[side].seats.len() {
            let is_alive = self.is_alive(side, seat).await;
            if is_alive && self.sides[side].seats[seat].since.elapsed() > RENEWED_AFTER {
                let token = std::mem::take(&mut self.sides[side].seats[seat].token);
                let logout = self.request(side, "POST", "/logout").bearer_auth(&token);
                if send(logout).await.status == 200 {
                    self.sides[side].seats[seat].dead.push(token);
                }
                self.log_in(side, seat).await;
            } else if !is_alive {
                self.log_in(side, seat).await;
            }
        }
    }

    pub async fn log_in(&mut self, side: usize, seat: usize) {
        let Seat { role, username, .. } = &self.sides[side].seats[seat];
        let (role, username) = (*role, username.clone());
        let with_key = role == Role::Sync && self.role == ServerRole::Primary;
        let by_name = json!({ "username": username, "password": COMPANY_ADMIN_PASSWORD });
        let mut body = if with_key { json!({ "sync-api-key": self.sides[side].key }) } else { by_name };
        if !with_key {
            let known = self.staff.get(&format!("/v1/users?filter=username:{username}")).await.1;
            if known["paging"]["items_total"] == 0 {
                let user = new_user(&self.sides[side].company, &username, role);
                let (status, made) = self.staff.call("POST", "/v1/users", Some(user)).await;
                assert_eq!(status, 201, "{made}");
            }
        }
        let mut answer = send(self.request(side, "POST", "/login").json(&body)).await;
        if answer.status != 200 && with_key {
            let boss = &self.sides[side].seats[0].token;
            let minted = send(self.request(side, "POST", "/v1/apikey").bearer_auth(boss)).await.body();
            let key = minted["sync_api_key"].as_str().unwrap_or_else(|| panic!("{minted}")).to_owned();
            self.told(side, &key);
            body = json!({ "sync-api-key": key });
            self.sides[side].key = key;
            answer = send(self.request(side, "POST", "/login").json(&body)).await;
        }
        assert_eq!(answer.status, 200, "{username}: {answer:?}");
        self.take_login(side, seat, &answer.body());
        let token = &self.sides[side].seats[seat].token;
        let me = send(self.request(side, "GET", "/me").bearer_auth(token)).await.body();
        self.sides[side].seats[seat].id = me["id"].as_i64().unwrap();
    }

    /// What a login answers is the company's own.
    pub fn take_login(&mut self, side: usize, seat: usize, answer: &Value) {
        let [token, refresh] =
            ["token", "refresh_token"].map(|name| answer[name].as_str().unwrap_or_default().to_owned());
        self.told(side, &token);
        self.told(side, &refresh);
        let seat = &mut self.sides[side].seats[seat];
        seat.since = Instant::now();
        let old = std::mem::replace(&mut seat.token, token);
        if !old.is_empty() {
            seat.dead.push(old);
        }
        if !refresh.is_empty() {
            seat.refresh = refresh;
        }
    }

    pub fn told(&mut self, side: usize, text: &str) {
        if text.len() >= 16 {
            self.sides[side].told.push(normal(text));
        }
    }
}

pub fn new_user(company: &str, username: &str, role: Role) -> Value {
    json!({
        "first_name": format!("{username} first"), "last_name": format!("{username} last"), "username": username,
        "email": format!("{username}@example.com"), "phone": format!("{username} phone"), "company_id": company,
        "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD, "role": role.number(),
    })
}
