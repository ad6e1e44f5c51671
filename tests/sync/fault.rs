//! Faults and lies: the old version stays, nothing half is seen, the next good sync repairs.

use std::sync::{Arc, Mutex};

use secondary::sync::Outcome;
use serde_json::{Value, json};
use shared::node::Error;
use shared::store;
use tests::liar::{Liar, Lie};
use tests::{Pair, TestSecondary};

use super::{change, is_unchanged};

#[tokio::test]
async fn what_a_cut_off_run_left_is_never_seen_and_the_next_run_clears_it() {
    let pair = Pair::start().await;
    let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
    for key in ["a", "b", "c"] {
        pair.primary.add_grain(slice, key, key).await;
    }
    pair.primary.refresh(slice).await;
    pair.sync().await;
    let before = pair.grains(slice).await.1;
    // As kill -9 leaves it: half a stage of version 2.
    pair.secondary
        .secondary
        .node
        .store
        .write(move |conn| -> Result<(), store::StoreError> {
            let rows = store::grain::page(conn, slice, 1, None, 10)?;
            store::grain::remove(conn, slice, 2, &[rows[0].id, rows[1].id])?;
            let stray = store::grain::NewGrain {
                slice_id: slice,
                id: shared::clock::Random::System.id(),
                // In the place of one that is gone from the stage.
                grain_key: rows[0].grain_key.clone(),
                source: String::new(),
                encoding: "raw".to_owned(),
                payload: "half".to_owned(),
                digest: vec![0; 32],
                added_in: 2,
                created_at: shared::clock::Clock::System.now(),
            };
            store::grain::insert(conn, &[stray])?;
            store::slice::set_sync_status(conn, slice, "updating", shared::clock::Clock::System.now())
        })
        .await
        .unwrap();
    assert_eq!(pair.grains(slice).await.1, before, "readers still see the whole old version");
    let listed: Value = pair.secondary.admin.get("/v1/grains?payload=yes").await.unwrap();
    assert_eq!(listed["paging"]["items_total"], 3);
    pair.primary.add_grain(slice, "b", "new").await;
    pair.primary.refresh(slice).await;
    assert_eq!(change(&pair.sync().await).grains_added, 1);
    let (ours, theirs) = pair.grains(slice).await;
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn an_unreachable_primary_and_a_refused_key_are_told_apart() {
    let pair = Pair::start().await;
    let id = pair.primary.server_id;
    // Somebody else mints: our key is dead.
    let admin =
        tests::node::login(&pair.primary.url, "companyadmin", tests::node::COMPANY_ADMIN_PASSWORD).await;
    admin.mint(0).await.unwrap();
    match pair.secondary.sync(id).await {
        Err(Error::Upstream(text)) => assert!(text.contains("refused our api-key"), "{text}"),
        other => panic!("{other:?}"),
    }
    pair.secondary.connect(&pair.primary.url, "companyadmin").await;
    pair.sync().await;
    let Pair { primary, secondary, .. } = pair;
    primary.stop().await;
    match secondary.sync(id).await {
        Err(Error::Unreachable(text)) => assert!(text.contains("cannot be reached"), "{text}"),
        other => panic!("{other:?}"),
    }
    let log: Value = secondary.admin.get("/v1/activity").await.unwrap();
    assert_eq!(log["data"][0]["success"], false);
    assert!(log["data"][0]["error"].as_str().unwrap().contains("cannot be reached"));
}

#[tokio::test]
async fn a_bad_key_brought_by_hand_does_not_cost_the_good_one() {
    let pair = Pair::start().await;
    let path = format!("/v1/companies/{}", pair.primary.server_id);
    let http = reqwest::Client::new();
    let login: Value = pair
        .secondary
        .admin
        .post("/login", &json!({ "username": tests::ADMIN.0, "password": tests::ADMIN.1 }))
        .await
        .unwrap();
    let answer = http
        .patch(format!("{}{path}", pair.secondary.url))
        .bearer_auth(login["token"].as_str().unwrap())
        .json(&json!({ "sync_api_key": "aabbccdd-canary" }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.text().await.unwrap().contains("canary"), "a stored key is never shown");
    pair.sync().await;
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_lying_or_breaking_primary_never_replaces_the_good_version() {
    let lies: Vec<(&str, Lie)> = vec![
        (
            "a changed payload",
            Arc::new(|_path, body| Some(text(body).replace("version two", "version 2wo").into_bytes())),
        ),
        (
            "a changed payload of the same length under its own digest",
            Arc::new(|path, body| {
                let body = text(body);
                if !path.ends_with("/feed") {
                    return Some(body.into_bytes());
                }
                let lines: Vec<String> = body
                    .lines()
                    .map(|line| {
                        let mut value: Value = serde_json::from_str(line).unwrap();
                        if let Some(grain) = value.get_mut("grain") {
                            grain["payload"] = json!("forged");
                            let id = grain["id"].as_str().unwrap().parse().unwrap();
                            let field = |name: &str| grain[name].as_str().unwrap().to_owned();
                            let digest = shared::crypto::set_hash::grain_digest(
                                id,
                                &field("grain_key"),
                                &field("encoding"),
                                &field("source"),
                                "forged",
                            );
                            grain["digest"] = json!(data_encoding::HEXLOWER.encode(&digest));
                        }
                        value.to_string()
                    })
                    .collect();
                Some((lines.join("\n") + "\n").into_bytes())
            }),
        ),
        (
            "a missing grain",
            Arc::new(|path, body| {
                if !path.ends_with("/feed") {
                    return Some(body);
                }
                let body = text(body);
                let mut lines: Vec<&str> = body.lines().collect();
                let at = lines.iter().position(|line| line.contains("\"grain\"")).unwrap();
                lines.remove(at);
                Some((lines.join("\n") + "\n").into_bytes())
            }),
        ),
        (
            "a grain twice",
            Arc::new(|path, body| {
                if !path.ends_with("/feed") {
                    return Some(body);
                }
                let body = text(body);
                let mut lines: Vec<&str> = body.lines().collect();
                let at = lines.iter().position(|line| line.contains("\"grain\"")).unwrap();
                lines.insert(at, lines[at]);
                Some((lines.join("\n") + "\n").into_bytes())
            }),
        ),
        (
            "more grains than announced",
            Arc::new(|path, body| {
                if !path.ends_with("/feed") {
                    return Some(body);
                }
                let body = text(body);
                let (head, _end) = body.rsplit_once("\"end\"").unwrap();
                let extra: Vec<String> = (0..50)
                    .map(|n| {
                        let id = shared::clock::Random::System.id();
                        let key = format!("extra-{n}");
                        let digest = shared::crypto::set_hash::grain_digest(id, &key, "raw", "", "x");
                        let grain = json!({ "grain": {
                            "id": id, "grain_key": key, "source": "", "encoding": "raw",
                            "digest": data_encoding::HEXLOWER.encode(&digest), "payload": "x",
                        }});
                        format!("{grain}\n")
                    })
                    .collect();
                Some(format!("{head}{}\"end\"\n", extra.concat()).into_bytes())
            }),
        ),
        (
            "metadata twice",
            Arc::new(|_path, body| {
                let pair = "{\"key\":\"vcdb\",\"val\":\"2026-11-30\"}";
                Some(text(body).replace(pair, &format!("{pair},{pair}")).into_bytes())
            }),
        ),
        (
            "a name that clears the screen",
            Arc::new(|_path, body| {
                Some(
                    text(body)
                        .replace("\"slice_name\":\"items\"", "\"slice_name\":\"\\u001b[2J\"")
                        .into_bytes(),
                )
            }),
        ),
        (
            "an end too early",
            Arc::new(|path, body| {
                if !path.ends_with("/feed") {
                    return Some(body);
                }
                let body = text(body);
                let first = body.lines().next().unwrap();
                Some(format!("{first}\n\"end\"\n").into_bytes())
            }),
        ),
        ("no end", Arc::new(|_path, body| Some(text(body).replace("\"end\"\n", "").into_bytes()))),
        ("a cut stream", Arc::new(|path, body| if path.ends_with("/feed") { None } else { Some(body) })),
        (
            "other metadata",
            Arc::new(|_path, body| Some(text(body).replace("2026-11-30", "2026-11-29").into_bytes())),
        ),
        (
            "the feed of another slice",
            Arc::new(|path, body| {
                if !path.ends_with("/feed") {
                    return Some(body);
                }
                let body = text(body);
                let (first, rest) = body.split_once('\n').unwrap();
                let mut header: Value = serde_json::from_str(first).unwrap();
                header["slice_id"] = json!("00000000-0000-4000-8000-000000000001");
                Some(format!("{header}\n{rest}").into_bytes())
            }),
        ),
        (
            "nonsense",
            Arc::new(|path, body| Some(if path.ends_with("/feed") { b"{\"x\":1}\n".to_vec() } else { body })),
        ),
        (
            "another server's id",
            Arc::new(|path, body| {
                Some(if path == "/server" {
                    json!({ "server-id": "00000000-0000-4000-8000-000000000001", "server-role": "primary", "features": ["sync-2"] }).to_string().into_bytes()
                } else {
                    body
                })
            }),
        ),
        (
            "no sync-2 any more",
            Arc::new(|path, body| {
                Some(if path == "/server" {
                    text(body).replace("sync-2", "sync-0").into_bytes()
                } else {
                    body
                })
            }),
        ),
    ];
    let pair = Pair::start().await;
    let slice =
        pair.primary.add_slice("items", "pies-items", &json!({ "vcdb": "2026-11-30" }), pair.company).await;
    pair.primary.add_grain(slice, "a", "version one").await;
    pair.primary.add_grain(slice, "b", "stays").await;
    pair.primary.refresh(slice).await;
    let current: Arc<Mutex<Lie>> = Arc::new(Mutex::new(Arc::new(|_path, body| Some(body))));
    let told = Arc::clone(&current);
    let liar = Liar::start(
        pair.primary.url.clone(),
        Arc::new(move |path, body| {
            let lie = Arc::clone(&told.lock().unwrap());
            lie(path, body)
        }),
    );
    let secondary = TestSecondary::start().await;
    secondary.connect(&liar.url, "companyadmin").await;
    secondary.sync(pair.primary.server_id).await.unwrap().into_result().unwrap();
    let good = tests::node::all_grains(&secondary.admin, slice).await;
    assert_eq!(good.len(), 2);
    pair.primary.add_grain(slice, "a", "version two").await;
    pair.primary.add_grain(slice, "c", "version two too").await;
    pair.primary.refresh(slice).await;
    for (name, lie) in lies {
        *current.lock().unwrap() = lie;
        let failed = match secondary.sync(pair.primary.server_id).await {
            Err(error) => error.to_string(),
            Ok(report) => match &report.slices[0].outcome {
                Outcome::Failed { error, .. } => error.clone(),
                other => panic!("{name}: {other:?}"),
            },
        };
        assert!(!failed.is_empty(), "{name}");
        assert_eq!(tests::node::all_grains(&secondary.admin, slice).await, good, "{name}: {failed}");
    }
    *current.lock().unwrap() = Arc::new(|_path, body| Some(body));
    let report = secondary.sync(pair.primary.server_id).await.unwrap().into_result().unwrap();
    assert_eq!(change(&report).grains_added, 2);
    assert_eq!(
        tests::node::all_grains(&secondary.admin, slice).await,
        tests::node::all_grains(&pair.primary.admin, slice).await
    );
    assert!(is_unchanged(&secondary.sync(pair.primary.server_id).await.unwrap()));
    liar.stop().await;
}
