//! What a data folder remembers of what ended in its database, outside of it (decision 0017).

use serde_json::json;
use tests::TestDatabase;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::restore::Home;

use super::{get, id_of, key_login, mint, post, token_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_without_the_file_begins_with_what_the_database_says() {
    for database in TestDatabase::each("a_folder_without_the_file") {
        let home = Home::found(database).await;
        let file = home.folder().join("high-water");
        let primary = home.serve().await;
        primary.add_company("Retail Parts", "anna").await;
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        mint(&primary.url, &anna).await;
        primary.stop().await;
        let written = std::fs::read_to_string(&file).unwrap();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions()) & 0o777,
            0o600
        );
        std::fs::remove_file(&file).unwrap();
        home.node().await.store.require_current().unwrap();
        let begun = std::fs::read_to_string(&file).unwrap();
        assert_eq!(begun.lines().next(), written.lines().next());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_folder_cannot_remember_nothing_ends() {
    for database in TestDatabase::each("where_the_folder_cannot_remember") {
        let home = Home::found(database).await;
        let file = home.folder().join("high-water");
        let primary = home.serve().await;
        primary.add_company("Retail Parts", "anna").await;
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let key = mint(&primary.url, &anna).await;
        let aside = home.folder().join("aside");
        std::fs::rename(&file, &aside).unwrap();
        std::os::unix::fs::symlink("/dev/full", &file).unwrap();
        let revoke =
            || reqwest::Client::new().delete(format!("{}/v1/apikey", primary.url)).bearer_auth(&anna);
        assert_eq!(revoke().send().await.unwrap().status(), 507);
        assert_eq!(key_login(&primary.url, &key).await.status, 200, "it was not ended");
        std::fs::remove_file(&file).unwrap();
        std::fs::rename(&aside, &file).unwrap();
        assert_eq!(revoke().send().await.unwrap().status(), 200);
        assert_eq!(key_login(&primary.url, &key).await.status, 401);
        primary.stop().await;
        home.node().await.store.require_current().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_that_end_something_at_once_write_every_line_once() {
    for database in TestDatabase::each("many_that_end_something") {
        let home = Home::found(database).await;
        let servers = [home.serve().await, home.serve().await];
        let mut tokens = Vec::new();
        for number in 0..12 {
            let name = format!("anna{number}");
            servers[0].add_company(&format!("Parts {number}"), &name).await;
            let token = token_of(&servers[0].url, &name, COMPANY_ADMIN_PASSWORD).await;
            let key = mint(&servers[0].url, &token).await;
            tokens.push((token, id_of(&key["key_id"])));
        }
        let mut ends = Vec::new();
        for (number, (token, _key)) in tokens.iter().enumerate() {
            let url = servers[number % 2].url.clone();
            let ended = reqwest::Client::new().delete(format!("{url}/v1/apikey")).bearer_auth(token).send();
            ends.push(tokio::spawn(ended));
        }
        for ended in ends {
            assert_eq!(ended.await.unwrap().unwrap().status(), 200);
        }
        let text = std::fs::read_to_string(home.folder().join("high-water")).unwrap();
        for (_token, key) in &tokens {
            let id = key.to_string().replace('-', "");
            assert_eq!(
                text.lines().filter(|line| line.ends_with(&format!(" api_key {id}"))).count(),
                1,
                "{text}"
            );
        }
        let mut revisions: Vec<i64> =
            text.lines().skip(1).map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
        let lines = revisions.len();
        revisions.dedup();
        assert_eq!((revisions.len(), revisions.is_sorted()), (lines, true), "{text}");
        let [one, other] = servers;
        one.stop().await;
        other.stop().await;
        home.node().await.store.require_current().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_nothing_leaves_the_number_as_it_is() {
    for database in TestDatabase::each("what_ends_nothing") {
        let home = Home::found(database).await;
        let primary = home.serve().await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let slice = primary.add_slice("items", "pies-items", &json!({}), company).await;
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let key = mint(&primary.url, &anna).await;
        let remembered = async || {
            home.node().await;
            std::fs::read_to_string(home.folder().join("high-water")).unwrap()
        };
        let before = remembered().await;
        let body = json!({ "username": "anna", "password": COMPANY_ADMIN_PASSWORD });
        let login = post(&primary.url, "/login", &body).await.body;
        let refresh = login["refresh_token"].as_str().unwrap();
        assert_eq!(get(&primary.url, &format!("/refresh/{refresh}"), "").await.status, 200);
        assert_eq!(post(&primary.url, "/refresh", &json!({ "refresh_token": refresh })).await.status, 200);
        let wrong = json!({ "username": "anna", "password": "not this one" });
        assert_eq!(post(&primary.url, "/login", &wrong).await.status, 401);
        let machine = key_login(&primary.url, &key).await.body;
        assert_eq!(get(&primary.url, "/me", machine["token"].as_str().unwrap()).await.status, 200);
        primary.add_grain(slice, "a", "draft").await;
        // His password is hashed anew, since it now costs more.
        let mut policies = tests::node::quick();
        policies.passwords.cost += 1;
        let dearer = primary.start_twin(policies).await;
        let hash = async || {
            let anna = primary.node.store.read(|conn| shared::store::user::find_by_username(conn, "anna"));
            anna.await.unwrap().unwrap().password_hash
        };
        let cheap = hash().await;
        token_of(&dearer.url(), "anna", COMPANY_ADMIN_PASSWORD).await;
        assert_ne!(hash().await, cheap);
        dearer.stop().await;
        assert_eq!(remembered().await, before);
        // And what ends something does not.
        primary.refresh(slice).await;
        assert_ne!(remembered().await, before);
        primary.stop().await;
    }
}
