//! Who renews a login: whoever has its refresh token, whatever his role, and nobody by any other text. These operations
//! ask for no access token, so the walk over all permissions does not come to them.

use serde_json::{Value, json};
use shared::wire::user::Role;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::{Caller, send};

const ROLES: [Role; 5] = [Role::SuperAdmin, Role::Admin, Role::CompanyAdmin, Role::Sync, Role::User];

/// A login of somebody of each role, all of one company: his name, access token and refresh token.
async fn logins(url: &str) -> Vec<[String; 3]> {
    let staff = Caller::password(url, tests::ADMIN.0, tests::ADMIN.1).await;
    let company = json!({ "name": "Retail Parts of all roles", "active": true });
    let company = staff.call("POST", "/v1/companies", Some(company)).await.1["id"].clone();
    let mut logins = Vec::new();
    for role in ROLES {
        let (name, password) = if role == Role::SuperAdmin {
            (tests::ADMIN.0.to_owned(), tests::ADMIN.1)
        } else {
            let name = format!("role{}", role.number());
            let user = json!({
                "first_name": "Some", "last_name": "Body", "username": name, "role": role.number(),
                "email": format!("{name}@example.com"), "password": COMPANY_ADMIN_PASSWORD,
                "password_confirm": COMPANY_ADMIN_PASSWORD, "company_id": company,
            });
            let (status, made) = staff.call("POST", "/v1/users", Some(user)).await;
            assert_eq!(status, 201, "{made}");
            (name, COMPANY_ADMIN_PASSWORD)
        };
        let body = json!({ "username": name, "password": password });
        let login = send(reqwest::Client::new().post(format!("{url}/login")).json(&body)).await.1;
        let text = |member: &str| login[member].as_str().unwrap().to_owned();
        logins.push([name, text("token"), text("refresh_token")]);
    }
    logins
}

/// `GET /refresh/:token` and `POST /refresh`, with an access token or without one.
async fn renew(url: &str, by: Option<&str>, refresh_token: &str) -> [(u16, Value); 2] {
    let http = reqwest::Client::new();
    let get = http.get(format!("{url}/refresh/{refresh_token}"));
    let post = http.post(format!("{url}/refresh")).json(&json!({ "refresh_token": refresh_token }));
    let [get, post] = [get, post].map(|request| match by {
        Some(token) => request.bearer_auth(token),
        None => request,
    });
    [send(get).await, send(post).await]
}

async fn walk(url: &str) {
    let logins = logins(url).await;
    let staff = Caller::password(url, tests::ADMIN.0, tests::ADMIN.1).await;
    for (index, [name, access, refresh]) in logins.iter().enumerate() {
        let sessions = staff.get("/v1/sessions?pagesize=250").await.1;
        let sessions = sessions["data"].as_array().unwrap();
        let session = sessions.iter().find(|row| row["username"] == name.as_str()).unwrap();
        let session = session["id"].as_str().unwrap().to_owned();
        // What others are shown of a login, and its access token, renew nothing, whoever asks.
        let other = logins[(index + 1) % logins.len()][1].as_str();
        for by in [None, Some(access.as_str()), Some(other)] {
            for text in [&session, &session.replace('-', "").repeat(2), access] {
                for (status, answer) in renew(url, by, text).await {
                    assert_eq!((status, answer["code"].as_str()), (401, Some("login_refused")), "{name}");
                }
            }
        }
        // Who has it renews it: the login stays that of its owner, also if somebody else's access token comes along.
        for (status, answer) in renew(url, Some(other), refresh).await {
            assert_eq!(status, 200, "{name}: {answer}");
            let token = answer["token"].as_str().unwrap().to_owned();
            let renewed = Caller { token, ..staff.clone() };
            assert_eq!(renewed.get("/me").await.1["username"], name.as_str());
        }
    }
}

#[tokio::test]
async fn every_role_renews_its_own_login_and_nobody_renews_one_by_what_he_is_shown_of_it() {
    for database in TestDatabase::each("every_role_renews_its_own_login") {
        walk(&TestPrimary::start_on(database, None).await.url).await;
    }
    for database in TestDatabase::each("every_role_renews_its_own_login") {
        walk(&TestSecondary::start_on(database).await.url).await;
    }
}
