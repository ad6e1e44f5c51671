//! Tags: how staff groups slices, on both servers.

use serde_json::{Value, json};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{Pair, TestDatabase, TestPrimary};

use super::{Caller, ids};

#[tokio::test]
async fn staff_makes_renames_puts_on_takes_off_and_removes_tags() {
    for database in TestDatabase::each("staff_makes_renames") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let mut slices = Vec::new();
        for name in ["brakes", "rotors", "wipers"] {
            slices.push(
                primary.add_slice(name, "pies-items", &json!({ "k": name }), company).await.to_string(),
            );
        }
        let (status, tag) = staff
            .call("POST", "/v1/tags", Some(json!({ "name": "Hot, 'Items\"", "description": "d" })))
            .await;
        assert_eq!(
            (status, tag["name"].as_str(), tag["description"].as_str()),
            (201, Some("hot__items"), Some("d"))
        );
        let hot = tag["id"].as_i64().unwrap();
        for (body, status) in [
            (json!({ "name": "hot__ITEMS" }), 409),
            (json!({ "name": "\"'" }), 400),
            (json!({ "name": "" }), 400),
            (json!({}), 400),
            (json!({ "name": "x".repeat(256) }), 400),
            (json!({ "name": "a\u{0}" }), 400),
            (json!({ "name": 1 }), 400),
        ] {
            let (got, answer) = staff.call("POST", "/v1/tags", Some(body)).await;
            assert_eq!(got, status, "{answer}");
        }
        let new =
            staff.call("POST", "/v1/tags", Some(json!({ "name": "new" }))).await.1["id"].as_i64().unwrap();
        let on = |tag: i64, slice: &str| format!("/v1/tags/{tag}/slices/{slice}");
        for (tag, slice) in [(hot, 0), (hot, 1), (new, 1), (new, 2)] {
            for _again in 0..2 {
                assert_eq!(staff.call("POST", &on(tag, &slices[slice]), None).await, (200, Value::Null));
            }
        }
        let none = "00000000-0000-4000-8000-00000000dead";
        for (path, status) in [
            (on(hot, none), 404),
            (on(999, &slices[0]), 404),
            (on(hot, "abc"), 400),
            (format!("/v1/tags/abc/slices/{}", slices[0]), 400),
        ] {
            assert_eq!(staff.call("POST", &path, None).await.0, status, "{path}");
            assert_eq!(staff.call("DELETE", &path, None).await.0, status, "{path}");
        }
        let named = |query: &'static str| {
            let (staff, slices) = (&staff, &slices);
            async move {
                let (status, list) = staff.get(&format!("/v1/slices?{query}")).await;
                assert_eq!(status, 200, "{query}: {list}");
                let found = ids(&list["data"]);
                assert_eq!(list["paging"]["items_total"], found.len(), "{query}");
                found.iter().map(|id| slices.iter().position(|own| own == id).unwrap()).collect::<Vec<_>>()
            }
        };
        assert_eq!(named("tags=hot__items,new").await, [0, 1, 2]);
        assert_eq!(named("tags=HOT__items").await, [0, 1]);
        assert_eq!(named("tags-all=hot__items,new").await, [1]);
        assert_eq!(named("tags-all=new,other").await, [0_usize; 0]);
        assert_eq!(named("tags=other").await, [0_usize; 0]);
        assert_eq!(named("tags=new&tags-all=hot__items").await, [1]);
        assert_eq!(named("tags=").await, [0, 1, 2], "no tag is named");
        let list = staff.get("/v1/slices?tags=hot__items&pagesize=1&page=2").await.1;
        assert_eq!(
            (ids(&list["data"]), &list["paging"]["items_total"]),
            (vec![slices[1].clone()], &json!(2))
        );
        assert_eq!(list["data"][0]["metadata"], json!({ "k": "rotors" }));
        let many = "x,".repeat(51);
        assert_eq!(staff.get(&format!("/v1/slices?tags={many}")).await.0, 400);
        assert_eq!(staff.get("/v1/subs?tags=new").await.0, 400, "only slices have tags");

        let view = staff.get(&format!("/v1/tags/{hot}")).await.1;
        assert_eq!(ids(&view["slices"]), slices[..2]);
        let path = format!("/v1/tags/{hot}");
        let (status, tag) = staff.call("PATCH", &path, Some(json!({ "name": "Cold Items", "id": 7 }))).await;
        assert_eq!(
            (status, tag["name"].as_str(), tag["description"].as_str()),
            (200, Some("cold_items"), Some("d"))
        );
        let tag = staff.call("PATCH", &path, Some(json!({ "description": null }))).await.1;
        assert_eq!((tag["name"].as_str(), tag["description"].as_str()), (Some("cold_items"), Some("")));
        for (body, status) in [
            (json!({ "name": null }), 400),
            (json!({ "name": "\"" }), 400),
            (json!({ "name": "NEW" }), 409),
            (json!({ "name": "cold items" }), 200),
        ] {
            assert_eq!(staff.call("PATCH", &path, Some(body)).await.0, status);
        }
        assert_eq!(named("tags=cold_items").await, [0, 1]);
        assert_eq!(staff.call("DELETE", &on(hot, &slices[0]), None).await.0, 200);
        assert_eq!(staff.call("DELETE", &on(hot, &slices[0]), None).await.0, 404, "it is off already");
        assert_eq!(named("tags=cold_items").await, [1]);
        assert_eq!(staff.call("DELETE", &path, None).await, (200, Value::Null));
        for (method, path) in [("DELETE", path.clone()), ("GET", path.clone()), ("PATCH", path)] {
            assert_eq!(staff.call(method, &path, Some(json!({}))).await.0, 404, "{method}");
        }
        assert_eq!(named("tags=cold_items").await, [0_usize; 0], "a removed tag is on nothing");
        assert_eq!(named("tags=new").await, [1, 2]);
        assert_eq!(staff.get("/v1/slices").await.1["data"].as_array().unwrap().len(), 3, "the slices stay");

        let anna = Caller::password(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        for (method, path) in [
            ("GET", "/v1/tags".to_owned()),
            ("POST", "/v1/tags".to_owned()),
            ("GET", format!("/v1/tags/{new}")),
            ("PATCH", format!("/v1/tags/{new}")),
            ("DELETE", format!("/v1/tags/{new}")),
            ("POST", on(new, &slices[0])),
            ("DELETE", on(new, &slices[1])),
            ("GET", "/v1/slices?tags=new".to_owned()),
            ("GET", "/v1/slices?tags-all=new".to_owned()),
        ] {
            let body = (method != "GET").then(|| json!({ "name": "mine" }));
            assert_eq!(anna.call(method, &path, body).await.0, 403, "{method} {path}");
        }
        primary.stop().await;
    }
}

#[tokio::test]
async fn each_node_has_its_own_tags_and_a_receiver_tags_its_copies() {
    let pair = Pair::start().await;
    let slice = pair.primary.add_slice("brakes", "pies-items", &json!({}), pair.company).await;
    pair.primary.add_grain(slice, "a", "x").await;
    pair.primary.refresh(slice).await;
    let there = Caller::password(&pair.primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    let here = Caller::password(&pair.secondary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    there.call("POST", "/v1/tags", Some(json!({ "name": "theirs" }))).await;
    there.call("POST", &format!("/v1/tags/1/slices/{slice}"), None).await;
    pair.sync().await;
    assert_eq!(here.get("/v1/tags").await.1["data"], Value::Null, "tags are not synced");
    assert_eq!(here.call("POST", "/v1/tags", Some(json!({ "name": "ours" }))).await.0, 201);
    assert_eq!(here.call("POST", &format!("/v1/tags/1/slices/{slice}"), None).await.0, 200);
    pair.primary.add_grain(slice, "b", "y").await;
    pair.primary.refresh(slice).await;
    pair.sync().await;
    assert_eq!(ids(&here.get("/v1/slices?tags=ours").await.1["data"]), [slice.to_string()]);
    assert_eq!(here.get("/v1/slices?tags=theirs").await.1["data"], json!([]));
}

/// Many at once: each either found the slice or did not.
#[tokio::test]
async fn a_tag_may_be_put_on_a_slice_while_that_is_deleted() {
    for database in TestDatabase::each("a_tag_may_be_put_on_a_slice") {
        let primary = TestPrimary::start_on(database, None).await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        staff.call("POST", "/v1/tags", Some(json!({ "name": "hot" }))).await;
        for round in 0..tests::times(30) {
            let body = json!({ "name": format!("slice-{round}"), "slice_type": "pies-items" });
            let slice =
                staff.call("POST", "/v1/slices", Some(body)).await.1["id"].as_str().unwrap().to_owned();
            let (tag, path) = (format!("/v1/tags/1/slices/{slice}"), format!("/v1/slices/{slice}"));
            let (one, two, gone) = tokio::join!(
                staff.call("POST", &tag, None),
                staff.call("POST", &tag, None),
                staff.call("DELETE", &path, None)
            );
            assert_eq!(gone, (200, Value::Null));
            for tagged in [one, two] {
                assert!(matches!(tagged.0, 200 | 404), "{tagged:?}");
            }
        }
        assert_eq!(staff.get("/v1/slices?tags=hot").await.1["data"], json!([]));
        assert_eq!(staff.get("/v1/tags/1").await.1.get("slices"), None);
        primary.stop().await;
    }
}
