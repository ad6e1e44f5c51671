//! What ends credentials, and people and machines that hold one of each kind.

use reqwest::Method;
use serde_json::{Value, json};
use shared::crypto::keyring::Purpose;
use shared::node::permission::By;
use shared::node::service::keyring;
use shared::wire::keyring::RingKey;
use tests::TestPrimary;
use tests::node::COMPANY_ADMIN_PASSWORD as PASSWORD;

use super::sql;

const NEW_PASSWORD: &str = "walnut-comet-fjord-9";

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    LogsOut,
    EndsHisOtherLogin,
    StaffEndsOneLogin,
    ChangesHisPassword,
    StaffSetsHisPassword,
    IsSwitchedOff,
    IsDeleted,
    ShowsASpentToken,
    IsDemoted,
    CompanyIsSwitchedOff,
    KeyIsRevoked,
    KeyIsSuperseded,
    KeyIsRevokedByTheCommandLine,
    MachineIsSwitchedOff,
    MachineIsDeleted,
    SealKeyIsRetired,
    TokenKeyIsRetired,
}

/// Access token and refresh token of a login.
#[derive(Clone, Default)]
pub struct Login {
    pub access: String,
    pub refresh: String,
}

impl Login {
    fn of(answer: &Value) -> Self {
        let [access, refresh] =
            ["token", "refresh_token"].map(|name| answer[name].as_str().unwrap().to_owned());
        Self { access, refresh }
    }
}

/// A person with two logins, and the machine of his company.
pub struct Party {
    pub username: String,
    pub logins: [Login; 2],
    pub machine: Login,
    pub key: Value,
}

/// Servers of one database.
pub struct Servers {
    http: reqwest::Client,
    pub all: Vec<TestPrimary>,
    /// Of this row's staff.
    pub staff: String,
}

impl Servers {
    pub fn of(all: Vec<TestPrimary>) -> Self {
        let http = tests::stranger();
        Self { http, all, staff: String::new() }
    }

    /// At the `number`-th of them, and the first again behind the last.
    fn at(&self, number: usize) -> &TestPrimary {
        &self.all[number % self.all.len()]
    }

    pub async fn call(
        &self,
        server: usize,
        method: Method,
        path: &str,
        token: &str,
        body: Value,
    ) -> (u16, Value) {
        self.ask(&self.at(server).url, method, path, token, body).await
    }

    pub async fn ask(&self, url: &str, method: Method, path: &str, token: &str, body: Value) -> (u16, Value) {
        let request = self.http.request(method, format!("{url}{path}")).bearer_auth(token);
        let request = if body.is_null() { request } else { request.json(&body) };
        let response = request.send().await.unwrap();
        let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// What must go well, at the server whose turn it is.
    pub async fn must(&self, server: usize, method: Method, path: &str, token: &str, body: Value) -> Value {
        let (status, answer) = self.call(server, method.clone(), path, token, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    pub async fn log_in(&self, server: usize, body: Value) -> Login {
        Login::of(&self.must(server, Method::POST, "/login", "", body).await)
    }

    async fn add_person(&self, company: &Value, username: &str) {
        let body = json!({
            "first_name": "Some", "last_name": "Body", "username": username, "role": 120, "company_id": company,
            "email": format!("{username}@example.com"), "password": PASSWORD, "password_confirm": PASSWORD,
        });
        self.must(0, Method::POST, "/v1/users", &self.staff, body).await;
    }

    async fn two_logins(&self, username: &str) -> [Login; 2] {
        let body = json!({ "username": username, "password": PASSWORD });
        [self.log_in(0, body.clone()).await, self.log_in(1, body).await]
    }

    /// A new company with people of these names, who share its machine.
    pub async fn parties(&self, names: &[String]) -> (Value, Vec<Party>) {
        let body = json!({ "name": format!("Parts of {}", names[0]), "active": true });
        let company = self.must(0, Method::POST, "/v1/companies", &self.staff, body).await["id"].clone();
        for name in names {
            self.add_person(&company, name).await;
        }
        let first = self.two_logins(&names[0]).await;
        let key = self.must(1, Method::POST, "/v1/apikey", &first[0].access, Value::Null).await;
        let machine = self.log_in(2, json!({ "sync-api-key": key["sync_api_key"] })).await;
        let mut parties = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let logins = if index == 0 { first.clone() } else { self.two_logins(name).await };
            let (machine, key) = (machine.clone(), key.clone());
            parties.push(Party { username: name.clone(), logins, machine, key });
        }
        (company, parties)
    }

    /// Whether a server accepts each credential of a party, as the table writes it.
    pub async fn accepts(&self, server: usize, party: &mut Party) -> String {
        let text: Vec<u8> = self
            .statuses(&self.at(server).url, party)
            .await
            .into_iter()
            .map(|status| {
                assert!(matches!(status, 200 | 401), "{status}");
                if status == 200 { b'.' } else { b'x' }
            })
            .collect();
        let text = String::from_utf8(text).unwrap();
        format!("{} {} {} {}", &text[..3], &text[3..6], &text[6..7], &text[7..])
    }

    /// What each credential of a party is answered, in the order of the table.
    pub async fn statuses(&self, url: &str, party: &mut Party) -> Vec<u16> {
        let mut statuses = Vec::new();
        for login in &mut party.logins {
            statuses.extend(self.of_login(url, login).await);
        }
        let by_password = json!({ "username": party.username, "password": PASSWORD });
        statuses.push(self.ask(url, Method::POST, "/login", "", by_password).await.0);
        statuses.extend(self.of_login(url, &mut party.machine).await);
        let by_key = json!({ "sync-api-key": party.key["sync_api_key"] });
        statuses.push(self.ask(url, Method::POST, "/login", "", by_key).await.0);
        statuses
    }

    /// Access token, renewal, exchange. Who gets another refresh token goes on with that one.
    async fn of_login(&self, url: &str, login: &mut Login) -> [u16; 3] {
        let me = self.ask(url, Method::GET, "/me", &login.access, Value::Null).await.0;
        let renew = format!("/refresh/{}", login.refresh);
        let renewed = self.ask(url, Method::GET, &renew, "", Value::Null).await.0;
        let body = json!({ "refresh_token": login.refresh });
        let (exchanged, answer) = self.ask(url, Method::POST, "/refresh", "", body).await;
        if exchanged == 200 {
            login.refresh = Login::of(&answer).refresh;
        }
        [me, renewed, exchanged]
    }

    /// Lets it happen at one server.
    pub async fn happen(&self, event: Event, at: usize, company: &Value, anna: &Party) {
        let staff = self.staff.as_str();
        let own = anna.logins[0].access.as_str();
        let none = Value::Null;
        let company = company.as_str().unwrap();
        let me = self.must(at, Method::GET, "/me", own, none.clone()).await["id"].to_string();
        let user = format!("/v1/users/{me}");
        let machine =
            self.must(at, Method::GET, "/me", &anna.machine.access, none.clone()).await["id"].clone();
        let off = json!({ "active": false });
        match event {
            Event::LogsOut => self.must(at, Method::POST, "/logout", own, none).await,
            Event::EndsHisOtherLogin | Event::StaffEndsOneLogin => {
                let is_own = matches!(event, Event::EndsHisOtherLogin);
                let by = if is_own { own } else { staff };
                let list = self.must(at, Method::GET, "/v1/sessions?pagesize=250", own, none.clone()).await;
                let wanted = |row: &&Value| row["current"] == json!(!is_own);
                // His first two logins; the later ones are those that his password was tried with.
                let rows = list["data"].as_array().unwrap();
                let other = session_of(&anna.logins[1]);
                let found = rows.iter().filter(wanted).find(|row| !is_own || row["id"] == other).unwrap();
                let path = format!("/v1/sessions/{}", found["id"].as_str().unwrap());
                self.must(at, Method::DELETE, &path, by, none).await
            }
            Event::ChangesHisPassword => {
                let body = json!({
                    "old_password": PASSWORD, "new_password": NEW_PASSWORD, "new_password_confirm": NEW_PASSWORD,
                });
                self.must(at, Method::PATCH, &format!("/v1/password/{me}"), own, body).await
            }
            Event::StaffSetsHisPassword => {
                let body = json!({ "new_password": NEW_PASSWORD });
                self.must(at, Method::POST, &format!("{user}/password"), staff, body).await
            }
            Event::IsSwitchedOff => self.must(at, Method::PATCH, &user, staff, off).await,
            Event::IsDeleted => self.must(at, Method::DELETE, &user, staff, none).await,
            Event::ShowsASpentToken => {
                let mut copy = anna.logins[0].clone();
                for _ in 0..2 {
                    self.of_login(&self.at(at).url, &mut copy).await;
                }
                let spent = json!({ "refresh_token": anna.logins[0].refresh });
                assert_eq!(self.call(at, Method::POST, "/refresh", "", spent).await.0, 401);
                Value::Null
            }
            Event::IsDemoted => {
                // By no request: the API changes no role.
                sql(self.at(at), format!("UPDATE users SET role = 300 WHERE id = {me}")).await;
                Value::Null
            }
            Event::CompanyIsSwitchedOff => {
                self.must(at, Method::PATCH, &format!("/v1/companies/{company}"), staff, off).await
            }
            Event::KeyIsRevoked => self.must(at, Method::DELETE, "/v1/apikey", own, none).await,
            Event::KeyIsSuperseded => self.must(at, Method::POST, "/v1/apikey", own, none).await,
            Event::KeyIsRevokedByTheCommandLine => {
                let company = company.parse().unwrap();
                let node = &self.at(at).node;
                let ended = shared::node::service::api_key::revoke_for(node, company, "operator").await;
                json!(ended.unwrap())
            }
            Event::MachineIsSwitchedOff => {
                self.must(at, Method::PATCH, &format!("/v1/users/{machine}"), staff, off).await
            }
            Event::MachineIsDeleted => {
                self.must(at, Method::DELETE, &format!("/v1/users/{machine}"), own, none).await
            }
            Event::SealKeyIsRetired => self.retire(at, Purpose::Seal).await,
            Event::TokenKeyIsRetired => self.retire(at, Purpose::Jwt).await,
        };
    }

    /// Retires the active key of a ring.
    async fn retire(&self, at: usize, purpose: Purpose) -> Value {
        let node = &self.at(at + 1).node;
        let keys = keyring::list(node, By::Operator).await.unwrap();
        let is_active = |key: &&RingKey| key.state == "active" && key.purpose == purpose.as_str();
        let id = keys.iter().find(is_active).unwrap().id.clone();
        keyring::rotate(node, By::Operator, purpose).await.unwrap();
        let path = format!("/v1/keyring/{id}/retire");
        self.must(at, Method::POST, &path, &self.staff, json!({ "force": true })).await
    }
}

/// The id of a login, out of its access token.
fn session_of(login: &Login) -> String {
    let claims = login.access.split('.').nth(1).unwrap();
    let claims = data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["sid"].as_str().unwrap().to_owned()
}
