//! Changing and removing slices.

use serde_json::{Value, json};
use shared::store::{self, StoreError};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{Pair, TestDatabase, TestPrimary};

use super::{Caller, ids};

#[tokio::test]
async fn staff_changes_name_type_and_metadata_of_a_slice_and_nothing_that_is_computed() {
    for database in TestDatabase::each("staff_changes_name_type") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let anna = Caller::password(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let slice = primary.add_slice("brakes", "pies-items", &json!({ "a": "1", "b": "2" }), company).await;
        primary.add_slice("rotors", "pies-items", &json!({}), company).await;
        primary.add_grain(slice, "k", "x").await;
        primary.refresh(slice).await;
        let path = format!("/v1/slices/{slice}");
        let before = anna.get(&path).await.1;
        let (status, changed) = staff
            .call("PATCH", &path, Some(json!({ "name": " Brake Pads ", "slice_type": "aces-items" })))
            .await;
        assert_eq!(status, 200, "{changed}");
        assert_eq!(
            (changed["slice_name"].as_str(), changed["slice_type"].as_str()),
            (Some("Brake Pads"), Some("aces-items"))
        );
        assert_eq!(changed["metadata"], json!({ "a": "1", "b": "2" }), "what is absent stays");
        assert_eq!(ids(&changed["companies"]), [company.to_string()]);
        assert_eq!(staff.get("/v1/slices/name/brake%20pads").await.1["id"], slice.to_string());
        for (body, status, code) in [
            (json!({ "name": "ROTORS" }), 409, "conflict"),
            (json!({ "name": "ro" }), 400, "invalid"),
            (json!({ "name": "" }), 400, "invalid"),
            (json!({ "name": null }), 400, "invalid"),
            (json!({ "name": "a\u{0}bc" }), 400, "invalid"),
            (json!({ "slice_type": null }), 400, "invalid"),
            (json!({ "slice_type": "nope" }), 400, "bad_request"),
            (json!({ "slice_type": "" }), 400, "bad_request"),
            (json!({ "allow_sync": null }), 400, "invalid"),
            (json!({ "metadata": { "k": null } }), 400, "bad_request"),
            (json!({ "metadata": { "k": "\u{0}" } }), 400, "bad_request"),
            (json!({ "metadata": { "k".repeat(1001): "v" } }), 400, "bad_request"),
            (json!({ "content_hash": "" }), 403, "forbidden_member"),
            (json!({ "content_count": 0 }), 403, "forbidden_member"),
            (json!({ "content_date": null }), 403, "forbidden_member"),
        ] {
            let (got, answer) = staff.call("PATCH", &path, Some(body.clone())).await;
            assert_eq!((got, answer["code"].as_str()), (status, Some(code)), "{body}: {answer}");
        }
        assert_eq!(
            staff.call("PATCH", &path, Some(json!({ "name": "BRAKE pads" }))).await.0,
            200,
            "its own name"
        );

        // Metadata wait in the draft.
        let changed = staff.call("PATCH", &path, Some(json!({ "metadata": { "b": "3", "c": "4" } }))).await.1;
        assert_eq!(changed["metadata"], json!({ "b": "3", "c": "4" }), "the whole map");
        assert_eq!(changed["content_hash"], before["content_hash"]);
        assert_eq!(anna.get(&path).await.1["metadata"], before["metadata"], "not published yet");
        primary.refresh(slice).await;
        let published = anna.get(&path).await.1;
        assert_eq!(published["metadata"], json!({ "b": "3", "c": "4" }));
        assert_ne!(published["content_hash"], before["content_hash"]);
        // There and back within one draft is no change.
        staff.call("PATCH", &path, Some(json!({ "metadata": null }))).await;
        assert_eq!(staff.get(&path).await.1.get("metadata"), None);
        staff.call("PATCH", &path, Some(json!({ "metadata": { "b": "3", "c": "4" } }))).await;
        primary.refresh(slice).await;
        assert_eq!(anna.get(&path).await.1["version"], published["version"]);
        staff.call("PATCH", &path, Some(json!({ "metadata": {} }))).await;
        primary.refresh(slice).await;
        assert_eq!(anna.get(&path).await.1.get("metadata"), None);

        assert_eq!(anna.call("PATCH", &path, Some(json!({ "name": "mine" }))).await.0, 403);
        let none = "/v1/slices/00000000-0000-4000-8000-00000000dead";
        assert_eq!(staff.call("PATCH", none, Some(json!({ "name": "none" }))).await.0, 404);
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_slice_is_opened_and_closed_and_what_somebody_else_has_locked_is_left_alone() {
    for database in TestDatabase::each("a_slice_is_opened_and_closed") {
        let primary = TestPrimary::start_on(database, None).await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let body = json!({
            "first_name": "Bea", "last_name": "Boss", "username": "bea", "email": "bea@example.com", "role": 110,
            "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD,
            "company_id": primary.server_id,
        });
        assert_eq!(staff.call("POST", "/v1/users", Some(body)).await.0, 201);
        let bea = Caller::password(&primary.url, "bea", COMPANY_ADMIN_PASSWORD).await;
        let body = json!({ "name": "brakes", "slice_type": "pies-items", "allow_sync": true });
        let id = staff.call("POST", "/v1/slices", Some(body)).await.1["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/slices/{id}");
        let is_open = || async { staff.get(&path).await.1["allow_sync"].as_bool().unwrap() };
        assert_eq!(bea.call("PATCH", &path, Some(json!({ "allow_sync": false }))).await.0, 200);
        assert!(!is_open().await);
        assert_eq!(
            staff.call("PATCH", &path, Some(json!({ "allow_sync": true }))).await.0,
            200,
            "nobody's lock"
        );
        assert!(is_open().await);
        assert_eq!(bea.call("PUT", &format!("/v1/slices/lock/{id}"), None).await.0, 200);
        for (method, body) in [("PATCH", Some(json!({ "name": "mine now" }))), ("DELETE", None)] {
            let (status, answer) = staff.call(method, &path, body).await;
            assert_eq!((status, answer["code"].as_str()), (409, Some("locked")), "{method}");
        }
        assert_eq!(
            bea.call("PATCH", &path, Some(json!({ "allow_sync": false, "name": "pads" }))).await.0,
            200
        );
        assert_eq!(
            staff.call("PATCH", &path, Some(json!({ "name": "mine now" }))).await.0,
            409,
            "the lock was kept"
        );
        assert_eq!(bea.call("PATCH", &path, Some(json!({ "allow_sync": true }))).await.0, 200);
        assert!(is_open().await);
        assert_eq!(staff.call("DELETE", &path, None).await.0, 200);
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_slice_goes_with_all_it_holds_once_nobody_subscribes_to_it() {
    for database in TestDatabase::each("a_slice_goes_with_all") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let anna = Caller::password(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let slice = primary.add_slice("brakes", "pies-items", &json!({ "k": "v" }), company).await;
        let kept = primary.add_slice("rotors", "pies-items", &json!({}), company).await;
        let stays = primary.add_grain(kept, "a", "stays").await;
        let long = "x".repeat(3 * 1024 * 1024);
        let grain = primary.add_grain(slice, "old", &long).await;
        primary.refresh(slice).await;
        // More than goes in one step: a removed one, published ones and a draft, some of them large.
        store_many(&primary, slice, 4_500).await;
        for key in ["old", "b", "c"] {
            primary.add_grain(slice, key, &long).await;
        }
        let path = format!("/v1/slices/{slice}");
        assert_eq!(anna.call("DELETE", &path, None).await.0, 403);
        let (status, answer) = staff.call("DELETE", &path, None).await;
        assert_eq!((status, answer["code"].as_str()), (409, Some("conflict")), "{answer}");
        let subs = staff.get("/v1/subs").await.1;
        let sub =
            subs["data"].as_array().unwrap().iter().find(|sub| sub["slice_id"] == slice.to_string()).unwrap();
        assert_eq!(
            staff.call("DELETE", &format!("/v1/subs/{}", sub["id"].as_str().unwrap()), None).await.0,
            200
        );
        assert_eq!(staff.call("DELETE", &path, None).await, (200, Value::Null));
        for gone in [path.clone(), "/v1/slices/name/brakes".to_owned(), format!("/v1/grains/{grain}")] {
            assert_eq!(staff.get(&gone).await.0, 404, "{gone}");
        }
        assert_eq!(staff.call("DELETE", &path, None).await.0, 404);
        assert_eq!(ids(&staff.get("/v1/slices").await.1["data"]), [kept.to_string()]);
        assert_eq!(ids(&staff.get("/v1/grains").await.1["data"]), [stays.to_string()]);
        let left = primary.node.store.read(store::slice::retired).await.unwrap();
        assert_eq!(left, []);
        // Its id, its name and the ids of its grains are free.
        let again = json!({ "id": slice, "name": "brakes", "slice_type": "pies-items" });
        assert_eq!(staff.call("POST", "/v1/slices", Some(again)).await.0, 201);
        let grain =
            json!({ "id": grain, "slice_id": slice, "grain_key": "a", "encoding": "raw", "payload": "x" });
        assert_eq!(staff.call("POST", "/v1/grains", Some(grain)).await.0, 201);
        primary.stop().await;
    }
}

/// As a server that was killed leaves it: out of sight, with all it holds.
#[tokio::test]
async fn nobody_sees_half_a_slice_and_asking_again_removes_the_rest() {
    for database in TestDatabase::each("nobody_sees_half_a_slice") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let body = json!({ "name": "brakes", "slice_type": "pies-items", "metadata": { "k": "v" } });
        let id =
            staff.call("POST", "/v1/slices", Some(body.clone())).await.1["id"].as_str().unwrap().to_owned();
        let slice = id.parse().unwrap();
        staff.call("POST", "/v1/tags", Some(json!({ "name": "hot" }))).await;
        staff.call("POST", &format!("/v1/tags/1/slices/{id}"), None).await;
        let grain = primary.add_grain(slice, "a", "x").await;
        primary.refresh(slice).await;
        primary.add_grain(slice, "b", "y").await;
        let now = primary.node.clock.now();
        primary.node.store.write(move |conn| store::slice::retire(conn, slice, now)).await.unwrap();
        let path = format!("/v1/slices/{id}");
        for (method, path, body, status) in [
            ("GET", path.clone(), None, 404),
            ("GET", "/v1/slices/name/brakes".to_owned(), None, 404),
            ("GET", format!("/v1/slices/metadata/{id}"), None, 404),
            ("GET", format!("/v1/grains/{grain}"), None, 404),
            ("GET", format!("/v1/grains/slice/{id}"), None, 404),
            ("PATCH", path.clone(), Some(json!({ "name": "back again" })), 404),
            ("PUT", format!("/v1/slices/lock/{id}"), None, 404),
            ("PUT", format!("/v1/slices/unlock/{id}"), None, 404),
            ("POST", format!("/v1/slices/refresh/{id}"), None, 404),
            ("DELETE", format!("/v1/grains/{grain}"), None, 404),
            ("POST", format!("/v1/tags/1/slices/{id}"), None, 404),
            (
                "POST",
                "/v1/grains".to_owned(),
                Some(json!({ "slice_id": id, "grain_key": "c", "encoding": "raw", "payload": "z" })),
                404,
            ),
            (
                "POST",
                "/v1/subs".to_owned(),
                Some(json!({ "slice_id": id, "company_id": company, "name": "late", "active": true })),
                404,
            ),
        ] {
            let (got, answer) = staff.call(method, &path, body).await;
            assert_eq!(got, status, "{method} {path}: {answer}");
        }
        for list in ["/v1/slices", "/v1/grains", "/v1/slices?tags=hot"] {
            let list = staff.get(list).await.1;
            assert_eq!((ids(&list["data"]).len(), &list["paging"]["items_total"]), (0, &json!(0)), "{list}");
        }
        assert_eq!(staff.get("/v1/tags/1").await.1.get("slices"), None);
        assert_eq!(staff.call("POST", "/v1/slices", Some(body)).await.0, 201, "its name is free");
        // Two ask at once; one of them may come when it is gone.
        let (one, two) = tokio::join!(staff.call("DELETE", &path, None), staff.call("DELETE", &path, None));
        assert!([one.0, two.0].iter().all(|status| matches!(status, 200 | 404)), "{one:?} {two:?}");
        assert!(one.0 == 200 || two.0 == 200);
        assert_eq!(primary.node.store.read(store::slice::retired).await.unwrap(), []);
        primary.stop().await;
    }
}

/// A subscription made while the slice goes is made before or not at all.
#[tokio::test]
async fn a_slice_and_a_new_subscription_to_it_do_not_pass_each_other() {
    for database in TestDatabase::each("a_slice_and_a_new_subscription") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        for round in 0..tests::times(30) {
            let body = json!({ "name": format!("slice-{round}"), "slice_type": "pies-items" });
            let slice =
                staff.call("POST", "/v1/slices", Some(body)).await.1["id"].as_str().unwrap().to_owned();
            let path = format!("/v1/slices/{slice}");
            let sub = json!({ "slice_id": slice, "company_id": company, "name": format!("sub-{round}") });
            let (gone, made) =
                tokio::join!(staff.call("DELETE", &path, None), staff.call("POST", "/v1/subs", Some(sub)));
            assert!(matches!((gone.0, made.0), (200, 404) | (409, 201)), "{gone:?} {made:?}");
        }
        assert_eq!(primary.node.store.read(store::slice::retired).await.unwrap(), []);
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_copy_is_not_changed_and_is_deleted_only_when_its_primary_no_longer_offers_it() {
    let pair = Pair::start().await;
    let slice = pair.primary.add_slice("brakes", "pies-items", &json!({}), pair.company).await;
    pair.primary.refresh(slice).await;
    pair.sync().await;
    let here = Caller::password(&pair.secondary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    let path = format!("/v1/slices/{slice}");
    let (status, answer) = here.call("PATCH", &path, Some(json!({ "name": "mine" }))).await;
    assert_eq!((status, answer["code"].as_str()), (403, Some("wrong_server_role")));
    let still_offered = async || {
        let (status, answer) = here.call("DELETE", &path, None).await;
        assert_eq!((status, answer["code"].as_str()), (409, Some("conflict")), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("still offers"), "{answer}");
    };
    still_offered().await;
    // A new name and type arrive with the next sync.
    let there = Caller::password(&pair.primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    there.call("PATCH", &path, Some(json!({ "name": "Brake Pads", "slice_type": "aces-items" }))).await;
    pair.sync().await;
    let copy = here.get(&path).await.1;
    assert_eq!(
        (copy["slice_name"].as_str(), copy["slice_type"].as_str()),
        (Some("Brake Pads"), Some("aces-items"))
    );
    // Switched off on either side, it may come back: it is offered.
    let sub = &there.get("/v1/subs").await.1["data"][0]["id"];
    let sub = format!("/v1/subs/{}", sub.as_str().unwrap());
    here.call("PATCH", &sub, Some(json!({ "active": false }))).await;
    there.call("PATCH", &sub, Some(json!({ "active": false }))).await;
    pair.sync().await;
    still_offered().await;
    // The publisher ends it: the copy stays, and can be read, until staff remove it.
    assert_eq!(there.call("DELETE", &sub, None).await.0, 200);
    still_offered().await;
    pair.sync().await;
    assert_eq!(here.get(&path).await.0, 200);
    assert_eq!(here.call("DELETE", &path, None).await.0, 200);
    assert_eq!((here.get(&path).await.0, here.get(&sub).await.0), (404, 404));
    assert_eq!(here.call("DELETE", &path, None).await.0, 404);
    // Offered again, it comes anew.
    pair.primary.subscribe("again", slice, pair.company).await;
    pair.sync().await;
    assert_eq!(here.get(&path).await.0, 200);
    // Nothing comes from a company that is switched off, so what it sent may go.
    let company = format!("/v1/companies/{}", pair.primary.server_id);
    still_offered().await;
    here.call("PATCH", &company, Some(json!({ "active": false }))).await;
    assert_eq!(here.call("DELETE", &path, None).await.0, 200);
    assert_eq!(here.call("DELETE", &company, None).await.0, 200, "and then the company itself");
}

/// Grains in the draft, faster than by requests.
async fn store_many(primary: &TestPrimary, slice: shared::wire::Id, count: usize) {
    use shared::crypto::set_hash::grain_digest;
    let (random, now) = (primary.node.random.clone(), primary.node.clock.now());
    primary
        .node
        .store
        .write(move |conn| {
            let draft = store::slice::find(conn, slice)?.unwrap().current_version + 1;
            let grains: Vec<_> = (0..count)
                .map(|n| {
                    let (id, key) = (random.id(), format!("many-{n}"));
                    store::grain::NewGrain {
                        slice_id: slice,
                        id,
                        digest: grain_digest(id, &key, "raw", "", "x").to_vec(),
                        grain_key: key,
                        source: String::new(),
                        encoding: "raw".to_owned(),
                        payload: "x".to_owned(),
                        added_in: draft,
                        created_at: now,
                    }
                })
                .collect();
            store::grain::insert(conn, &grains)
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_lock_that_runs_out_opens_only_what_was_open_before_it() {
    for database in TestDatabase::each("a_lock_that_runs_out") {
        let primary = TestPrimary::start_on(database, None).await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        // What staff does, and whether the slice is open once the lock has run out.
        let stories = [
            (true, vec!["lock"], true),
            (false, vec!["lock"], false),
            (true, vec!["lock", "close"], false),
            (false, vec!["lock", "lock"], false),
            (false, vec!["lock", "unlock"], true),
        ];
        for (number, (is_open, steps, opens)) in stories.into_iter().enumerate() {
            let body = json!({ "name": format!("slice {number}"), "slice_type": "aces-file", "allow_sync": is_open });
            let id = staff.call("POST", "/v1/slices", Some(body)).await.1["id"].as_str().unwrap().to_owned();
            let path = format!("/v1/slices/{id}");
            for step in steps {
                let (status, answer) = if step == "close" {
                    staff.call("PATCH", &path, Some(json!({ "allow_sync": false }))).await
                } else {
                    staff.call("PUT", &format!("/v1/slices/{step}/{id}"), None).await
                };
                assert_eq!(status, 200, "{answer}");
                let shown = staff.get(&path).await.1["allow_sync"].as_bool().unwrap();
                assert_eq!(shown, step == "unlock", "{number}: closed while it is locked");
            }
            let slice = id.parse().unwrap();
            let run_out = primary.node.store.write(move |conn| -> Result<(), StoreError> {
                let row = store::slice::find(conn, slice)?.unwrap();
                let lock = row.lock_owner.as_deref().map(|owner| (owner, row.created_at));
                store::slice::set_lock(conn, slice, row.allow_sync, lock, row.updated_at)
            });
            run_out.await.unwrap();
            assert_eq!(staff.get(&path).await.1["allow_sync"], opens, "{number}");
        }
        primary.stop().await;
    }
}
