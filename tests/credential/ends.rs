//! What ends which credential: every event against every kind of credential, on three servers of one database, at once
//! when the event is answered.

use reqwest::Method;
use serde_json::{Value, json};
use shared::crypto::keyring::Purpose;
use shared::node::permission::By;
use shared::node::service::keyring;
use tests::node::COMPANY_ADMIN_PASSWORD as PASSWORD;
use tests::{ADMIN, TestDatabase, TestPrimary};

use super::sql;

const NEW_PASSWORD: &str = "walnut-comet-fjord-9";

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Event {
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

/// `.` is accepted afterwards, `x` is refused. For whom it is about: access token, `GET /refresh/:token` and `POST
/// /refresh` of the login that acts or is meant; the same of his other login; login with his password; access token,
/// both refreshes and login of his company's machine. For his colleague and for a partner's person, with that
/// partner's machine: the same.
#[rustfmt::skip]
const TABLE: [(Event, &str, &str, &str); 17] = {
    use Event as E;
    const ALL: &str = "... ... . ....";
    [
        // event                       whom it is about  his colleague     a competitor
        (E::LogsOut,                      "xxx ... . ....", ALL,              ALL),
        (E::EndsHisOtherLogin,            "... xxx . ....", ALL,              ALL),
        (E::StaffEndsOneLogin,            "xxx ... . ....", ALL,              ALL),
        (E::ChangesHisPassword,           "... xxx x ....", ALL,              ALL),
        (E::StaffSetsHisPassword,         "xxx xxx x ....", ALL,              ALL),
        (E::IsSwitchedOff,                "xxx xxx x ....", ALL,              ALL),
        (E::IsDeleted,                    "xxx xxx x ....", ALL,              ALL),
        (E::ShowsASpentToken,             "xxx ... . ....", ALL,              ALL),
        // He is still there, with the rights that he has now.
        (E::IsDemoted,                    "... ... . ....", ALL,              ALL),
        (E::CompanyIsSwitchedOff,         "xxx xxx x xxxx", "xxx xxx x xxxx", ALL),
        (E::KeyIsRevoked,                 "... ... . xxxx", "... ... . xxxx", ALL),
        (E::KeyIsSuperseded,              "... ... . xxxx", "... ... . xxxx", ALL),
        (E::KeyIsRevokedByTheCommandLine, "... ... . xxxx", "... ... . xxxx", ALL),
        (E::MachineIsSwitchedOff,         "... ... . xxxx", "... ... . xxxx", ALL),
        (E::MachineIsDeleted,             "... ... . xxxx", "... ... . xxxx", ALL),
        // A key of a ring is everybody's. Refresh tokens of people are looked up, not signed.
        (E::SealKeyIsRetired,             "... ... . ...x", "... ... . ...x", "... ... . ...x"),
        (E::TokenKeyIsRetired,            "x.. x.. . xxx.", "x.. x.. . xxx.", "x.. x.. . xxx."),
    ]
};

/// Access token and refresh token of a login.
#[derive(Clone, Default)]
struct Login {
    access: String,
    refresh: String,
}

impl Login {
    fn of(answer: &Value) -> Self {
        let [access, refresh] =
            ["token", "refresh_token"].map(|name| answer[name].as_str().unwrap().to_owned());
        Self { access, refresh }
    }
}

/// A person with two logins, and the machine of his company.
struct Party {
    username: String,
    logins: [Login; 2],
    machine: Login,
    key: Value,
}

struct Servers {
    http: reqwest::Client,
    all: [TestPrimary; 3],
    /// Of this row's staff.
    staff: String,
}

impl Servers {
    async fn start(database: TestDatabase) -> Self {
        let first = TestPrimary::start_on(database, None).await;
        let (second, third) = (first.beside().await, first.beside().await);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, all: [first, second, third], staff: String::new() }
    }

    async fn call(
        &self,
        server: usize,
        method: Method,
        path: &str,
        token: &str,
        body: Value,
    ) -> (u16, Value) {
        let request = self.http.request(method, format!("{}{path}", self.all[server].url)).bearer_auth(token);
        let request = if body.is_null() { request } else { request.json(&body) };
        let response = request.send().await.unwrap();
        let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// What must go well, at the server whose turn it is.
    async fn must(&self, server: usize, method: Method, path: &str, token: &str, body: Value) -> Value {
        let (status, answer) = self.call(server, method.clone(), path, token, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    async fn log_in(&self, server: usize, body: Value) -> Login {
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
    async fn parties(&self, names: &[String]) -> (Value, Vec<Party>) {
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
    async fn accepts(&self, server: usize, party: &mut Party) -> String {
        let mut text = String::new();
        let mut note = |status: u16| {
            assert!(matches!(status, 200 | 401), "{status}");
            text.push(if status == 200 { '.' } else { 'x' });
        };
        for login in &mut party.logins {
            for status in self.of_login(server, login).await {
                note(status);
            }
        }
        let by_password = json!({ "username": party.username, "password": PASSWORD });
        note(self.call(server, Method::POST, "/login", "", by_password).await.0);
        for status in self.of_login(server, &mut party.machine).await {
            note(status);
        }
        let by_key = json!({ "sync-api-key": party.key["sync_api_key"] });
        note(self.call(server, Method::POST, "/login", "", by_key).await.0);
        format!("{} {} {} {}", &text[..3], &text[3..6], &text[6..7], &text[7..])
    }

    /// Access token, renewal, exchange. Who gets another refresh token goes on with that one.
    async fn of_login(&self, server: usize, login: &mut Login) -> [u16; 3] {
        let me = self.call(server, Method::GET, "/me", &login.access, Value::Null).await.0;
        let renew = format!("/refresh/{}", login.refresh);
        let renewed = self.call(server, Method::GET, &renew, "", Value::Null).await.0;
        let body = json!({ "refresh_token": login.refresh });
        let (exchanged, answer) = self.call(server, Method::POST, "/refresh", "", body).await;
        if exchanged == 200 {
            login.refresh = Login::of(&answer).refresh;
        }
        [me, renewed, exchanged]
    }

    /// Lets it happen at one server.
    async fn happen(&self, event: Event, at: usize, company: &Value, anna: &Party) {
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
                    self.of_login(at, &mut copy).await;
                }
                let spent = json!({ "refresh_token": anna.logins[0].refresh });
                assert_eq!(self.call(at, Method::POST, "/refresh", "", spent).await.0, 401);
                Value::Null
            }
            Event::IsDemoted => {
                // By no request: the API changes no role.
                sql(&self.all[at], format!("UPDATE users SET role = 300 WHERE id = {me}")).await;
                Value::Null
            }
            Event::CompanyIsSwitchedOff => {
                self.must(at, Method::PATCH, &format!("/v1/companies/{company}"), staff, off).await
            }
            Event::KeyIsRevoked => self.must(at, Method::DELETE, "/v1/apikey", own, none).await,
            Event::KeyIsSuperseded => self.must(at, Method::POST, "/v1/apikey", own, none).await,
            Event::KeyIsRevokedByTheCommandLine => {
                let company = company.parse().unwrap();
                let node = &self.all[at].node;
                let ended = shared::node::service::api_key::revoke_for(node, company, "operator").await;
                json!(ended.unwrap())
            }
            Event::MachineIsSwitchedOff => {
                self.must(at, Method::PATCH, &format!("/v1/users/{machine}"), staff, off).await
            }
            Event::MachineIsDeleted => {
                self.must(at, Method::DELETE, &format!("/v1/users/{machine}"), own, none).await
            }
            Event::SealKeyIsRetired => self.retire(at, Purpose::Seal, "r0").await,
            Event::TokenKeyIsRetired => self.retire(at, Purpose::Jwt, "j0").await,
        };
    }

    async fn retire(&self, at: usize, purpose: Purpose, id: &str) -> Value {
        keyring::rotate(&self.all[(at + 1) % 3].node, By::Operator, purpose).await.unwrap();
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

#[tokio::test]
async fn whatever_ends_a_credential_ends_it_on_every_server_before_it_is_answered_and_ends_no_other() {
    for database in TestDatabase::each("whatever_ends_a_credential") {
        let mut servers = Servers::start(database).await;
        let mut wrong = Vec::new();
        for (number, (event, annas, colleagues, competitors)) in TABLE.into_iter().enumerate() {
            servers.staff =
                servers.log_in(0, json!({ "username": ADMIN.0, "password": ADMIN.1 })).await.access;
            let name = |who: &str| format!("{who}{number}");
            let (company, mut own) = servers.parties(&[name("anna"), name("adam")]).await;
            let (_other, mut others) = servers.parties(&[name("otto")]).await;
            let mut parties = [own.remove(0), own.remove(0), others.remove(0)];
            for party in &mut parties {
                let before = servers.accepts(number % 3, party).await;
                assert_eq!(before, "... ... . ....", "{} before {event:?}", party.username);
            }
            servers.happen(event, (number + 1) % 3, &company, &parties[0]).await;
            for (party, expected) in parties.iter_mut().zip([annas, colleagues, competitors]) {
                for server in 0..3 {
                    let after = servers.accepts(server, party).await;
                    if after != expected {
                        wrong.push(format!(
                            "{event:?}: {} at {server}: {after}, not {expected}",
                            party.username
                        ));
                    }
                }
            }
            if matches!(event, Event::IsDemoted) {
                for server in 0..3 {
                    for login in &parties[0].logins {
                        let asked =
                            servers.call(server, Method::GET, "/v1/users", &login.access, Value::Null);
                        assert_eq!(asked.await.0, 403, "a company admin's right, at {server}");
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
