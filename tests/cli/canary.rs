//! No secret reaches a log at trace level, an answer, or a database file.

use std::fs;

use serde_json::{Value, json};

use super::{Folders, Server, primary, programs, run_with, secondary};

const CANARY_PASSWORD: &str = "canary-otter-marble-9431";

/// Each in the forms in which it could leak.
fn forms(secret: &str) -> Vec<String> {
    vec![
        secret.to_owned(),
        secret.to_uppercase(),
        data_encoding::HEXLOWER.encode(secret.as_bytes()),
        data_encoding::BASE64.encode(secret.as_bytes()),
        format!("{:?}", secret.as_bytes()),
    ]
}

fn assert_absent(place: &str, text: &[u8], secrets: &[(&str, String)]) {
    for (name, secret) in secrets {
        for form in forms(secret) {
            let found = text.windows(form.len()).any(|window| window == form.as_bytes());
            assert!(!found, "{name} is readable in {place}");
        }
    }
}

#[test]
fn no_secret_reaches_a_log_an_answer_or_a_database_file() {
    let folders = Folders::new();
    let (p, s) = (folders.primary(), folders.secondary());
    let trace =
        [("SANDPIPER_LOG", "trace,diesel=trace,hyper=trace,actix_http=trace,reqwest=trace,rustls=trace")];
    let (first_log, second_log) = (folders.path("p.log"), folders.path("s.log"));
    let publisher = Server::start(&programs().primary, &p, &trace, &first_log);
    let receiver = Server::start(&programs().secondary, &s, &trace, &second_log);
    primary(&["company", "add", "Retail Parts", "--data-dir", &p]).ok();
    let account = [
        "account",
        "create",
        "-u",
        "anna",
        "--company",
        "Retail Parts",
        "--password-stdin",
        "--data-dir",
        &p,
    ];
    let created = run_with(&programs().primary, &account, CANARY_PASSWORD, &trace);
    assert_eq!(created.code, 0, "{created:?}");
    primary(&["slice", "add", "brake-pads", "--data-dir", &p]).ok();
    primary(&["sub", "add", "--company", "Retail Parts", "--slice", "brake-pads", "--data-dir", &p]).ok();
    let file = folders.path("a.xml");
    fs::write(&file, "<ACES/>").unwrap();
    primary(&["add", "--slice", "brake-pads", file.to_str().unwrap(), "--data-dir", &p]).ok();

    let mut secrets: Vec<(&str, String)> = vec![("the password", CANARY_PASSWORD.to_owned())];
    let mut answers = String::new();
    let mut keep =
        |name: &'static str, value: &Value| secrets.push((name, value.as_str().unwrap().to_owned()));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let http = reqwest::Client::new();
        let post = async |url: String, token: &str, body: Value| -> Value {
            http.post(url).bearer_auth(token).json(&body).send().await.unwrap().json().await.unwrap()
        };
        let person = post(
            format!("{}/login", publisher.url),
            "",
            json!({ "username": "anna", "password": CANARY_PASSWORD }),
        )
        .await;
        keep("the access token", &person["token"]);
        keep("the refresh token", &person["refresh_token"]);
        let token = person["token"].as_str().unwrap();
        let minted = post(format!("{}/v1/apikey", publisher.url), token, json!({})).await;
        keep("the api-key", &minted["sync_api_key"]);
        let machine =
            post(format!("{}/login", publisher.url), "", json!({ "sync-api-key": minted["sync_api_key"] }))
                .await;
        keep("the machine's access token", &machine["token"]);
        keep("the machine's refresh token", &machine["refresh_token"]);
        // Refresh, rightly, wrongly written and mistyped: the path holds the token.
        let refresh = person["refresh_token"].as_str().unwrap();
        for path in ["/refresh/", "/%72efresh/", "/v1/refresh/", "//refresh/", "/nowhere/"] {
            http.get(format!("{}{path}{refresh}", publisher.url)).send().await.unwrap();
        }
        // Refused logins and malformed bodies hold secrets too.
        for body in [
            json!({ "username": CANARY_PASSWORD, "password": CANARY_PASSWORD }),
            json!({ "sync-api-key": format!("{}00", minted["sync_api_key"].as_str().unwrap()) }),
            json!({ "username": "anna", "password": { "x": CANARY_PASSWORD } }),
        ] {
            let answer = http.post(format!("{}/login", publisher.url)).json(&body).send().await.unwrap();
            answers.push_str(&answer.text().await.unwrap());
        }
        // The receiver stores the key, and is asked everything about it.
        let admin = post(
            format!("{}/login", receiver.url),
            "",
            json!({ "username": "admin", "password": super::PASSWORD }),
        )
        .await;
        let token = admin["token"].as_str().unwrap();
        let connect = json!({ "url": publisher.url, "username": "anna", "password": CANARY_PASSWORD });
        let connected = post(format!("{}/v1/servers", receiver.url), token, connect).await;
        answers.push_str(&connected.to_string());
        let id = connected["id"].as_str().unwrap();
        // The key that is now stored is known to nobody but the two: mint one that we know, and store it by hand.
        let again =
            post(format!("{}/v1/apikey", publisher.url), person["token"].as_str().unwrap(), json!({})).await;
        keep("the stored api-key", &again["sync_api_key"]);
        let patched = http
            .patch(format!("{}/v1/companies/{id}", receiver.url))
            .bearer_auth(token)
            .json(&json!({ "sync_api_key": again["sync_api_key"] }))
            .send()
            .await
            .unwrap();
        answers.push_str(&patched.text().await.unwrap());
        let synced =
            http.post(format!("{}/v1/sync/{id}", receiver.url)).bearer_auth(token).send().await.unwrap();
        assert_eq!(synced.status(), 200);
        for path in [
            "/v1/companies",
            &format!("/v1/companies/{id}"),
            "/v1/servers",
            &format!("/v1/servers/{id}"),
            "/v1/activity",
            "/v1/users",
            "/v1/slices",
            "/v1/subs",
        ] {
            let answer = http.get(format!("{}{path}", receiver.url)).bearer_auth(token).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            answers.push_str(&answer.text().await.unwrap());
        }
    });
    let by_command = run_with(&programs().secondary, &["sync", "--all", "--data-dir", &s], "", &trace);
    assert_eq!(by_command.code, 0, "{by_command:?}");
    answers.push_str(&primary(&["apikey", "list", "--data-dir", &p]).ok().out);
    answers.push_str(&secondary(&["primaries", "--json", "--data-dir", &s]).ok().out);
    drop((publisher, receiver));
    for (dir, name) in [("primary", "the primary's root key"), ("secondary", "the secondary's root key")] {
        let key = fs::read_to_string(folders.path(dir).join("root.key")).unwrap();
        secrets.push((name, key.trim().to_owned()));
    }
    assert_absent("answers", answers.as_bytes(), &secrets);
    for ended in [&created, &by_command] {
        assert_absent("a command's log", ended.err.as_bytes(), &secrets);
        assert_absent("a command's output", ended.out.as_bytes(), &secrets);
    }
    for log in [&first_log, &second_log] {
        let text = fs::read(log).unwrap();
        let shown = String::from_utf8_lossy(&text);
        assert!(shown.contains("path=\"/login\""), "requests are logged: {shown}");
        assert_absent(&log.display().to_string(), &text, &secrets);
    }
    for dir in ["primary", "secondary"] {
        for entry in fs::read_dir(folders.path(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name.to_str().unwrap().starts_with("sandpiper.db")) {
                assert_absent(&path.display().to_string(), &fs::read(&path).unwrap(), &secrets);
            }
        }
    }
}
