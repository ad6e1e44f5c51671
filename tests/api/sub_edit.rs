//! Changing subscriptions: the publisher decides who gets what, the receiver what it takes.

use serde_json::{Value, json};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{Pair, TestDatabase, TestPrimary};

use super::Caller;

#[tokio::test]
async fn staff_of_a_primary_changes_name_description_and_whether_it_is_active() {
    for database in TestDatabase::each("staff_of_a_primary_changes") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let other = primary.add_company("Bert's Parts", "bert").await;
        let slice = primary.add_slice("brakes", "pies-items", &json!({}), company).await;
        let taken = primary.add_slice("rotors", "pies-items", &json!({}), company).await;
        primary.refresh(slice).await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let anna = Caller::password(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let subs = staff.get("/v1/subs").await.1["data"].clone();
        let of = |slice: &str| {
            let found = subs.as_array().unwrap().iter().find(|sub| sub["slice_id"] == slice).unwrap();
            found["id"].as_str().unwrap().to_owned()
        };
        let (id, rival) = (of(&slice.to_string()), of(&taken.to_string()));
        let path = format!("/v1/subs/{id}");
        let full = |more: Value| {
            let mut body = json!({ "sub_id": id, "slice_id": slice, "company_id": company });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let (status, sub) = staff
            .call("PUT", &path, Some(full(json!({ "name": "Weekly", "description": "d", "active": false }))))
            .await;
        assert_eq!(status, 200, "{sub}");
        assert_eq!(
            (&sub["name"], &sub["description"], &sub["active"]),
            (&json!("Weekly"), &json!("d"), &json!(false))
        );
        assert_eq!((&sub["company"]["id"], &sub["slice"]["id"]), (&json!(company), &json!(slice)));
        assert_eq!(anna.get(&format!("/v1/slices/{slice}")).await.0, 403, "inactive ones grant nothing");
        let sub = staff.call("PUT", &path, Some(full(json!({})))).await.1;
        assert_eq!(
            (&sub["name"], &sub["active"]),
            (&json!("Weekly"), &json!(false)),
            "what is not named stays"
        );
        for (body, status) in [
            (json!({ "name": "Weekly", "slice_id": slice, "company_id": company }), 400),
            (json!({ "sub_id": id, "company_id": company }), 400),
            (json!({ "sub_id": id, "slice_id": slice }), 400),
            (full(json!({ "name": "ab" })), 400),
            (full(json!({ "active": "yes" })), 400),
            (full(json!({ "sub_id": rival })), 409),
            (full(json!({ "slice_id": taken })), 409),
            (full(json!({ "company_id": other })), 409),
        ] {
            let (got, answer) = staff.call("PUT", &path, Some(body.clone())).await;
            assert_eq!(got, status, "{body}: {answer}");
        }
        let sub = staff.call("PATCH", &path, Some(json!({ "active": true }))).await.1;
        assert_eq!(
            (&sub["name"], &sub["description"], &sub["active"]),
            (&json!("Weekly"), &json!("d"), &json!(true))
        );
        let sub = staff.call("PATCH", &path, Some(json!({ "description": null, "sub_id": id }))).await.1;
        assert_eq!(sub["description"], "");
        for (body, status) in [
            (json!({ "name": null }), 400),
            (json!({ "name": "" }), 400),
            (json!({ "active": null }), 400),
            (json!({ "slice_id": null }), 400),
            (json!({ "name": format!("rotors for {company}") }), 409),
            (json!({ "slice_id": taken }), 409),
            (json!({ "name": "WEEKLY" }), 200),
        ] {
            let (got, answer) = staff.call("PATCH", &path, Some(body.clone())).await;
            assert_eq!(got, status, "{body}: {answer}");
        }
        // A partner switches neither on nor off what the publisher decides.
        staff.call("PATCH", &path, Some(json!({ "active": false }))).await;
        for active in [true, false] {
            assert_eq!(anna.call("PUT", &path, Some(full(json!({ "active": active })))).await.0, 403);
            assert_eq!(anna.call("PATCH", &path, Some(json!({ "active": active }))).await.0, 403);
        }
        assert_eq!(staff.get(&path).await.1["active"], false);
        let none = "/v1/subs/00000000-0000-4000-8000-00000000dead";
        assert_eq!(staff.call("PATCH", none, Some(json!({}))).await.0, 404);
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_receiver_switches_off_and_on_what_it_takes_and_changes_nothing_else() {
    let pair = Pair::start().await;
    let slice = pair.primary.add_slice("brakes", "pies-items", &json!({}), pair.company).await;
    pair.primary.add_grain(slice, "a", "x").await;
    pair.primary.refresh(slice).await;
    pair.sync().await;
    let there = Caller::password(&pair.primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    let here = Caller::password(&pair.secondary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    let sub = here.get("/v1/subs").await.1["data"][0].clone();
    let path = format!("/v1/subs/{}", sub["id"].as_str().unwrap());
    for (body, code) in [
        (json!({ "name": "mine" }), "forbidden_member"),
        (json!({ "description": "mine" }), "forbidden_member"),
    ] {
        let (status, answer) = here.call("PATCH", &path, Some(body)).await;
        assert_eq!((status, answer["code"].as_str()), (403, Some(code)), "{answer}");
    }
    let same = json!({
        "sub_id": sub["id"], "slice_id": slice, "company_id": sub["company_id"], "name": sub["name"], "active": false,
    });
    assert_eq!(here.call("PUT", &path, Some(same)).await.1["active"], false);
    pair.primary.add_grain(slice, "b", "y").await;
    pair.primary.refresh(slice).await;
    pair.sync().await;
    assert_eq!(
        here.get(&format!("/v1/slices/{slice}")).await.1["content_count"],
        1,
        "switched off, it is not synced"
    );
    assert_eq!(here.call("PATCH", &path, Some(json!({ "active": true }))).await.1["active"], true);
    pair.sync().await;
    assert_eq!(here.get(&format!("/v1/slices/{slice}")).await.1["content_count"], 2);
    // Its own switch does not overrule the publisher's.
    there.call("PATCH", &path, Some(json!({ "active": false }))).await;
    pair.sync().await;
    assert_eq!(here.call("PATCH", &path, Some(json!({ "active": true }))).await.1["active"], false);
    there.call("PATCH", &path, Some(json!({ "active": true }))).await;
    pair.sync().await;
    assert_eq!(here.get(&path).await.1["active"], true);
    // What nobody offers any more is no longer reported once it is switched off; the last copy stays.
    assert_eq!(there.call("DELETE", &path, None).await.0, 200);
    assert_eq!(pair.sync().await.slices.len(), 1, "reported as gone");
    here.call("PATCH", &path, Some(json!({ "active": false }))).await;
    assert_eq!(pair.sync().await.slices.len(), 0);
    assert_eq!(here.get(&format!("/v1/slices/{slice}")).await.1["content_count"], 2);
}

/// A receiver of the reference keeps the id of a subscription for ever, and stumbles over another one for the same
/// slice.
#[tokio::test]
async fn a_subscription_that_is_removed_and_made_again_has_the_id_it_had() {
    for database in TestDatabase::each("a_subscription_that_is_removed") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let slice = primary.add_slice("brakes", "pies-items", &json!({}), company).await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let first = staff.get("/v1/subs").await.1["data"][0]["id"].clone();
        let path = format!("/v1/subs/{}", first.as_str().unwrap());
        assert_eq!(staff.call("DELETE", &path, None).await.0, 200);
        let again = json!({ "slice_id": slice, "company_id": company, "name": "again" });
        assert_eq!(staff.call("POST", "/v1/subs", Some(again.clone())).await.1["id"], first);
        let nobody = "/v1/companies/00000000-0000-4000-8000-00000000abcd/subs";
        assert_eq!(staff.get(nobody).await.0, 404, "not a list of none");
        assert_eq!(staff.get(&format!("/v1/companies/{company}/subs")).await.1["paging"]["items_total"], 1);
        // Somebody else has taken the id meanwhile.
        assert_eq!(staff.call("DELETE", &path, None).await.0, 200);
        let other = primary.add_company("Other Parts", "olaf").await;
        let taken = json!({ "id": first, "slice_id": slice, "company_id": other, "name": "taken" });
        assert_eq!(staff.call("POST", "/v1/subs", Some(taken)).await.0, 201);
        let (status, made) = staff.call("POST", "/v1/subs", Some(again)).await;
        assert!(status == 201 && made["id"] != first, "{made}");
        primary.stop().await;
    }
}
