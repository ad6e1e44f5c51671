//! Partners are competitors: neither sees nor changes what is the other's.

use serde_json::{Value, json};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary};

use super::Caller;

struct World {
    primary: TestPrimary,
    staff: Caller,
    anna: Caller,
    machine: Caller,
    /// Of the other company: company, user, slice, grain, subscription.
    theirs: Vec<(&'static str, String)>,
    own_slice: String,
    own_company: String,
}

async fn world(database: TestDatabase) -> World {
    let primary = TestPrimary::start_on(database, None).await;
    let own = primary.add_company("Anna's Parts", "anna").await;
    let other = primary.add_company("Bert's Parts", "bert").await;
    let own_slice = primary.add_slice("annas", "pies-items", &json!({ "k": "v" }), own).await;
    primary.add_grain(own_slice, "a", "annas payload").await;
    primary.refresh(own_slice).await;
    let their_slice = primary
        .add_slice("berts-secret-line", "pies-items", &json!({ "k": "berts-secret-value" }), other)
        .await;
    let grain = primary.add_grain(their_slice, "berts-secret-key", "berts-secret-payload").await;
    primary.refresh(their_slice).await;
    let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    let anna = Caller::password(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
    let bert = Caller::password(&primary.url, "bert", COMPANY_ADMIN_PASSWORD).await;
    bert.call("POST", "/v1/apikey", None).await;
    let key = anna.call("POST", "/v1/apikey", None).await.1;
    let machine = Caller::login(&primary.url, &json!({ "sync-api-key": key["sync_api_key"] })).await;
    let users = staff.get("/v1/users").await.1;
    let user =
        users["data"].as_array().unwrap().iter().find(|user| user["username"] == "bert").unwrap()["id"]
            .to_string();
    let subs = staff.get("/v1/subs").await.1;
    let sub = subs["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|sub| sub["company_id"] == other.to_string())
        .unwrap()["id"]
        .clone();
    World {
        theirs: vec![
            ("company", other.to_string()),
            ("user", user),
            ("slice", their_slice.to_string()),
            ("grain", grain.to_string()),
            ("sub", sub.as_str().unwrap().to_owned()),
        ],
        own_slice: own_slice.to_string(),
        own_company: own.to_string(),
        primary,
        staff,
        anna,
        machine,
    }
}

const READS: [&str; 16] = [
    "/v1/companies/{company}",
    "/v1/companies/{company}/subs",
    "/v1/companies/{company}/subs/{slice}",
    "/v1/users/{user}",
    "/v1/slices/{slice}",
    "/v1/slices/name/berts-secret-line",
    "/v1/slices/metadata/{slice}",
    "/v1/grains/{grain}",
    "/v1/grains/slice/{slice}",
    "/v1/grains/{slice}/berts-secret-key",
    "/v1/subs/{sub}",
    "/v1/sync/slice/{slice}",
    "/v1/sync/slice/{slice}?brief=yes",
    "/v1/sync/slices/{slice}/feed",
    "/v1/servers",
    "/v1/activity",
];

const LISTS: [&str; 8] = [
    "/v1/companies?pagesize=250",
    "/v1/users?pagesize=250",
    "/v1/slices?pagesize=250",
    "/v1/grains?payload=yes&pagesize=250",
    "/v1/subs?pagesize=250",
    "/v1/sync/subs",
    "/v1/apikey",
    "/me",
];

#[tokio::test]
async fn nothing_of_another_company_can_be_read() {
    for database in TestDatabase::each("nothing_of_another_company") {
        let world = world(database).await;
        let fill = |path: &str| {
            world
                .theirs
                .iter()
                .fold(path.to_owned(), |path, (name, id)| path.replace(&format!("{{{name}}}"), id))
        };
        for caller in [&world.anna, &world.machine] {
            for path in READS.map(fill) {
                let (status, body) = caller.get(&path).await;
                // By name it is as if there were none.
                let expected = if path.contains("/name/") { 404 } else { 403 };
                assert_eq!(status, expected, "{path}: {body}");
            }
            for path in LISTS {
                let (status, body) = caller.get(path).await;
                assert!(status == 200 || status == 403, "{path}: {status}");
                let text = body.to_string().to_lowercase();
                assert!(!text.contains("bert"), "{path}: {text}");
                for (name, id) in world.theirs.iter().filter(|(name, _id)| *name != "user") {
                    assert!(!text.contains(id.as_str()), "{path} shows their {name}: {text}");
                }
            }
            // What is its own, it sees.
            assert_eq!(caller.get(&format!("/v1/slices/{}", world.own_slice)).await.0, 200);
            assert_eq!(
                caller.get(&format!("/v1/sync/slice/{}", world.own_slice)).await.1[0]["payload"],
                "annas payload"
            );
        }
        let wanted = json!({ "version": 1, "ids": [world.theirs[3].1] });
        let own = world
            .machine
            .call("POST", &format!("/v1/sync/slices/{}/grains", world.own_slice), Some(wanted.clone()))
            .await;
        assert!(!own.1.to_string().contains("berts"), "{own:?}");
        let theirs = world
            .machine
            .call("POST", &format!("/v1/sync/slices/{}/grains", world.theirs[2].1), Some(wanted))
            .await;
        assert_eq!(theirs.0, 403);
    }
}

#[tokio::test]
async fn nothing_can_be_changed_beyond_ones_rights() {
    for database in TestDatabase::each("nothing_can_be_changed") {
        let world = world(database).await;
        let before = snapshot(&world).await;
        let [company, user, slice, grain, sub] = [0, 1, 2, 3, 4].map(|n| world.theirs[n].1.clone());
        let own_company = world.own_company.clone();
        let new_user = |company: &str, role: i64| {
            json!({
                "first_name": "Eve", "last_name": "Evil", "username": "eve", "email": "eve@example.com",
                "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD, "company_id": company, "role": role,
            })
        };
        let writes: Vec<(&str, String, Option<Value>)> = vec![
            ("PATCH", format!("/v1/companies/{company}"), Some(json!({ "name": "Mine now" }))),
            ("PATCH", format!("/v1/companies/{own_company}"), Some(json!({ "sync_user_id": 1 }))),
            (
                "PATCH",
                format!("/v1/companies/{own_company}"),
                Some(json!({ "SYNC_USER_ID": 1, "name": "Anna's Parts" })),
            ),
            ("PATCH", format!("/v1/companies/{own_company}"), Some(json!({ "active": false }))),
            ("PATCH", format!("/v1/companies/{own_company}"), Some(json!({ "sync_api_key": "aa" }))),
            ("POST", "/v1/companies".to_owned(), Some(json!({ "name": "Third Parts" }))),
            ("DELETE", format!("/v1/companies/{company}"), None),
            ("POST", "/v1/users".to_owned(), Some(new_user(&company, 200))),
            ("POST", "/v1/users".to_owned(), Some(new_user(&own_company, 120))),
            ("POST", "/v1/users".to_owned(), Some(new_user(&own_company, 100))),
            ("PATCH", format!("/v1/users/{user}"), Some(json!({ "first_name": "Mallory" }))),
            ("PATCH", format!("/v1/users/{user}"), Some(json!({ "role": 100 }))),
            ("DELETE", format!("/v1/users/{user}"), None),
            ("DELETE", "/v1/users/1".to_owned(), None),
            ("POST", "/v1/slices".to_owned(), Some(json!({ "name": "Mine", "slice_type": "aces-file" }))),
            ("PUT", format!("/v1/slices/lock/{slice}"), None),
            ("PUT", format!("/v1/slices/unlock/{slice}"), None),
            ("POST", format!("/v1/slices/refresh/{slice}"), None),
            (
                "POST",
                "/v1/grains".to_owned(),
                Some(json!({ "slice_id": slice, "grain_key": "x", "encoding": "raw", "payload": "x" })),
            ),
            ("DELETE", format!("/v1/grains/{grain}"), None),
            (
                "POST",
                "/v1/subs".to_owned(),
                Some(json!({ "slice_id": slice, "company_id": own_company, "name": "mine", "active": true })),
            ),
            ("DELETE", format!("/v1/subs/{sub}"), None),
            (
                "POST",
                "/v1/activity".to_owned(),
                Some(json!({ "company_id": company, "success": true, "message": "forged" })),
            ),
            (
                "POST",
                "/v1/activity".to_owned(),
                Some(
                    json!({ "company_id": own_company, "sub_id": sub, "success": true, "message": "forged" }),
                ),
            ),
            (
                "POST",
                "/v1/servers".to_owned(),
                Some(json!({ "url": "http://127.0.0.1:1", "username": "a", "password": "b" })),
            ),
            ("POST", format!("/v1/sync/{company}"), None),
        ];
        for (method, path, body) in writes {
            for caller in [&world.anna, &world.machine] {
                let (status, answer) = caller.call(method, &path, body.clone()).await;
                assert_eq!(status, 403, "{method} {path} {body:?}: {answer}");
            }
        }
        for (method, path, body) in [
            ("POST", "/v1/apikey", None),
            ("DELETE", "/v1/apikey", None),
            ("PATCH", "/v1/users/2", Some(json!({ "first_name": "Robot" }))),
            ("GET", "/v1/companies", None),
            ("GET", "/v1/grains", None),
        ] {
            assert_eq!(world.machine.call(method, path, body).await.0, 403, "{method} {path}");
        }
        assert_eq!(snapshot(&world).await, before);
        // What a company admin may do, he can.
        let (status, body) = world
            .anna
            .call(
                "PATCH",
                &format!("/v1/companies/{own_company}"),
                Some(json!({ "name": "Anna's New Parts" })),
            )
            .await;
        assert_eq!((status, body["name"].as_str()), (200, Some("Anna's New Parts")));
        let report = json!({ "company_id": own_company, "success": false, "message": "Slice \"annas\"", "duration": 0 });
        assert_eq!(world.machine.call("POST", "/v1/activity", Some(report)).await.0, 201, "gap B6");
    }
}

/// Everything that staff can see, but for what reading itself changes.
async fn snapshot(world: &World) -> Vec<Value> {
    let mut seen = Vec::new();
    for path in
        ["/v1/companies", "/v1/users", "/v1/slices", "/v1/grains?payload=yes", "/v1/subs", "/v1/activity"]
    {
        let mut body = world.staff.get(path).await.1;
        for row in body["data"].as_array_mut().into_iter().flatten() {
            row.as_object_mut().unwrap().remove("last_login");
        }
        seen.push(body);
    }
    seen
}

#[tokio::test]
async fn a_draft_is_the_publishers_and_a_lock_or_an_inactive_subscription_closes_at_once() {
    let world = world(TestDatabase::sqlite()).await;
    let slice = &world.own_slice;
    let id = slice.parse().unwrap();
    let draft = world.primary.add_grain(id, "draft", "unpublished").await;
    for caller in [&world.anna, &world.machine] {
        assert_eq!(caller.get(&format!("/v1/grains/{draft}")).await.0, 403, "as one that there is not");
        assert!(!caller.get(&format!("/v1/sync/slice/{slice}")).await.1.to_string().contains("unpublished"));
        let wanted = json!({ "version": 2, "ids": [draft] });
        let (status, body) =
            caller.call("POST", &format!("/v1/sync/slices/{slice}/grains"), Some(wanted)).await;
        assert!(status == 404 && !body.to_string().contains("unpublished"), "{body}");
        assert_eq!(caller.get(&format!("/v1/sync/slices/{slice}/feed?version=2")).await.0, 404);
    }
    assert_eq!(world.staff.get(&format!("/v1/grains/{draft}")).await.1["payload"], "unpublished");
    world.staff.call("PUT", &format!("/v1/slices/lock/{slice}"), None).await;
    assert_eq!(world.machine.get(&format!("/v1/sync/slices/{slice}/feed")).await.0, 409);
    assert_eq!(world.machine.get(&format!("/v1/sync/slice/{slice}")).await.0, 409);
    world.staff.call("PUT", &format!("/v1/slices/unlock/{slice}"), None).await;
    assert_eq!(world.machine.get(&format!("/v1/sync/slice/{slice}")).await.0, 200);
    let subs = world.anna.get("/v1/subs").await.1;
    let sub = subs["data"][0]["id"].as_str().unwrap().parse().unwrap();
    world
        .primary
        .node
        .store
        .write(move |conn| {
            shared::store::subscription::set_active(conn, sub, false, shared::clock::Clock::System.now())
        })
        .await
        .unwrap();
    for path in [
        format!("/v1/sync/slice/{slice}"),
        format!("/v1/slices/{slice}"),
        format!("/v1/grains/slice/{slice}"),
    ] {
        assert_eq!(world.anna.get(&path).await.0, 403, "{path}");
    }
    for path in [format!("/v1/subs/{sub}"), "/v1/subs".to_owned()] {
        assert!(world.staff.get(&path).await.1.to_string().contains("content_hash"), "{path}");
        assert!(!world.anna.get(&path).await.1.to_string().contains("content_hash"), "{path}");
    }
    assert_eq!(world.anna.get("/v1/tags").await.0, 403, "they are the staff's own words for its customers");
}
