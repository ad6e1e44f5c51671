//! Two primaries of one secondary: synced at once, and one of them naming what is the other's.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secondary::sync::{Outcome, Report};
use serde_json::{Value, json};
use shared::wire::Id;
use tests::fake::{Fake, Upstream, passed_on};
use tests::node::all_grains;
use tests::{TestDatabase, TestPrimary, TestSecondary};
use tokio::sync::Barrier;

use super::rows_of;

/// A primary with one slice, behind a proxy.
struct Site {
    primary: TestPrimary,
    slice: Id,
    proxy: Fake,
}

/// Where both runs have to be at the same time.
struct Meeting {
    on: AtomicBool,
    places: [(&'static str, Barrier); 4],
}

impl Meeting {
    fn new() -> Arc<Self> {
        let place = |end| (end, Barrier::new(2));
        let places = [place("/login"), place("/server"), place("/v1/sync/subs"), place("/feed")];
        Arc::new(Self { on: AtomicBool::new(false), places })
    }

    /// Waits for the other run, but not for one that has failed.
    async fn at(&self, path: &str) {
        if let Some((_end, barrier)) = self.places.iter().find(|(end, _barrier)| path.ends_with(end))
            && self.on.load(Ordering::SeqCst)
        {
            drop(tokio::time::timeout(Duration::from_secs(5), barrier.wait()).await);
        }
    }
}

impl Site {
    async fn start(meeting: &Arc<Meeting>, name: &str) -> Self {
        let primary = TestPrimary::start().await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let slice = primary.add_slice(name, "pies-items", &json!({}), company).await;
        let (upstream, meeting) = (Upstream::new(&primary.url), Arc::clone(meeting));
        let proxy = Fake::start(Arc::new(move |asked| {
            let (upstream, meeting) = (upstream.clone(), Arc::clone(&meeting));
            Box::pin(async move {
                let (status, body) = upstream.ask(&asked).await;
                meeting.at(&asked.path).await;
                passed_on(status, body)
            })
        }));
        Self { primary, slice, proxy }
    }

    async fn publish(&self, text: &str) {
        for key in ["a", "b", text] {
            self.primary.add_grain(self.slice, key, &format!("{key} {text}")).await;
        }
        self.primary.refresh(self.slice).await;
    }

    /// Tokens and login bodies that came here, and the slices that were asked for.
    fn seen(&self) -> (HashSet<String>, HashSet<String>) {
        let (mut credentials, mut paths) = (HashSet::new(), HashSet::new());
        for asked in self.proxy.seen.lock().unwrap().iter() {
            credentials.insert(asked.authorization.clone());
            if asked.path == "/login" {
                credentials.insert(String::from_utf8_lossy(&asked.body).into_owned());
            }
            if asked.path.contains("/slices/") {
                paths.insert(asked.path.clone());
            }
        }
        credentials.remove("");
        (credentials, paths)
    }
}

fn changed(report: &Report) -> bool {
    matches!(report.slices.as_slice(), [only] if matches!(only.outcome, Outcome::Changed(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_primaries_synced_at_once_step_by_step_never_mix() {
    for database in TestDatabase::each("two_primaries_synced_at_once") {
        let meeting = Meeting::new();
        let sites = [Site::start(&meeting, "items").await, Site::start(&meeting, "prices").await];
        let secondary = TestSecondary::start_on(database).await;
        for site in &sites {
            secondary.connect(&site.proxy.url, "companyadmin").await;
            // The company admin's password, which is the same at both, is no part of the sync.
            site.proxy.seen.lock().unwrap().clear();
        }
        meeting.on.store(true, Ordering::SeqCst);
        for round in 0..5 {
            for (number, site) in sites.iter().enumerate() {
                site.publish(&format!("primary {number} round {round}")).await;
            }
            let [one, two] = &sites;
            let (first, second) =
                tokio::join!(secondary.sync(one.primary.server_id), secondary.sync(two.primary.server_id));
            for report in [first, second] {
                let report = report.unwrap().into_result().unwrap();
                assert!(changed(&report), "round {round}: {report:?}");
            }
            for site in &sites {
                assert_eq!(
                    all_grains(&secondary.admin, site.slice).await,
                    all_grains(&site.primary.admin, site.slice).await,
                    "round {round}"
                );
            }
        }
        let [(keys, paths), (other_keys, other_paths)] = sites.each_ref().map(Site::seen);
        assert!(keys.is_disjoint(&other_keys), "a credential of one came to the other");
        for (site, paths) in sites.iter().zip([paths, other_paths]) {
            assert!(!paths.is_empty() && paths.iter().all(|path| path.contains(&site.slice.to_string())));
        }
    }
}

/// Names are made different where they clash, also when both come at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_primaries_with_slices_of_one_name_synced_at_once_for_the_first_time_both_arrive() {
    for database in TestDatabase::each("two_primaries_with_slices_of_one_name") {
        let meeting = Meeting::new();
        let secondary = TestSecondary::start_on(database).await;
        let mut sites = Vec::new();
        for _ in 0..2 {
            let site = Site::start(&meeting, "items").await;
            site.publish("first").await;
            secondary.connect(&site.proxy.url, "companyadmin").await;
            sites.push(site);
        }
        meeting.on.store(true, Ordering::SeqCst);
        let ids = [sites[0].primary.server_id, sites[1].primary.server_id];
        let (first, second) = tokio::join!(secondary.sync(ids[0]), secondary.sync(ids[1]));
        for report in [first, second] {
            let report = report.unwrap();
            assert!(changed(&report), "{report:?}");
        }
    }
}

/// The first grain, the subscription and the slice of an honest primary.
struct Honest {
    primary: TestPrimary,
    slices: [Id; 2],
    subs: [Id; 2],
    grains: Vec<Id>,
}

async fn honest() -> Honest {
    let primary = TestPrimary::start().await;
    let company = primary.add_company("Retail Parts", "companyadmin").await;
    let (mut slices, mut grains) = ([Id::NIL; 2], Vec::new());
    for (slice, name) in slices.iter_mut().zip(["items", "prices"]) {
        *slice = primary.add_slice(name, "pies-items", &json!({ "k": name }), company).await;
        for key in ["a", "b", "c"] {
            grains.push(primary.add_grain(*slice, key, &format!("honest {name} {key}")).await);
        }
        primary.refresh(*slice).await;
    }
    let list: Value = primary.admin.get("/v1/subs").await.unwrap();
    let sub_of = |slice: Id| -> Id {
        let rows = list["data"].as_array().unwrap();
        let row = rows.iter().find(|row| row["slice_id"] == slice.to_string()).unwrap();
        row["id"].as_str().unwrap().parse().unwrap()
    };
    let subs = slices.map(sub_of);
    Honest { primary, slices, subs, grains }
}

#[tokio::test]
async fn a_primary_that_names_anothers_ids_changes_no_bit_of_the_others_rows() {
    for database in TestDatabase::each("a_primary_that_names_anothers_ids") {
        let honest = honest().await;
        let secondary = TestSecondary::start_on(database).await;
        secondary.connect(&honest.primary.url, "companyadmin").await;
        secondary.sync(honest.primary.server_id).await.unwrap().into_result().unwrap();
        let mut before = Vec::new();
        for slice in honest.slices {
            before.push(rows_of(&secondary, slice).await);
        }

        let evil = TestPrimary::start().await;
        let company = evil.add_company("Retail Parts", "companyadmin").await;
        let slice = |id: Id, name: &str| json!({ "id": id, "name": name, "slice_type": "aces-items", "allow_sync": true, "metadata": { "k": "evil" } });
        let sub = |id: Id, slice: Id, active: bool| json!({ "id": id, "slice_id": slice, "company_id": company, "name": format!("sub {slice}"), "active": active });
        let fresh = || shared::clock::Random::System.id();
        // His slice: by its id.
        let (own, switch, quiet) = (fresh(), fresh(), fresh());
        for (id, name) in
            [(honest.slices[0], "mine now"), (own, "items"), (switch, "switch"), (quiet, "quiet")]
        {
            let _slice: Value = evil.admin.post("/v1/slices", &slice(id, name)).await.unwrap();
            evil.add_grain(id, "a", "evil").await;
        }
        // His subscriptions: one to take over, one to switch off.
        for body in [
            sub(fresh(), honest.slices[0], true),
            sub(fresh(), own, true),
            sub(honest.subs[0], switch, true),
            sub(honest.subs[1], quiet, false),
        ] {
            let _sub: Value = evil.admin.post("/v1/subs", &body).await.unwrap();
        }
        // His grains, in a slice of one's own.
        for (id, key) in honest.grains.iter().zip(["x", "y", "z", "u", "v", "w"]) {
            let body = json!({
                "id": id, "slice_id": own, "grain_key": key, "source": "", "encoding": "raw", "payload": "evil",
            });
            let _grain: Value = evil.admin.post("/v1/grains", &body).await.unwrap();
        }
        for id in [honest.slices[0], own, switch, quiet] {
            evil.refresh(id).await;
        }
        // Later he also asks for the removal of what is not in his slice.
        let removing = Arc::new(Mutex::new(Vec::<Id>::new()));
        let (upstream, told) = (Upstream::new(&evil.url), Arc::clone(&removing));
        let proxy = Fake::start(Arc::new(move |asked| {
            let (upstream, removing) = (upstream.clone(), told.lock().unwrap().clone());
            Box::pin(async move {
                let (status, body) = upstream.ask(&asked).await;
                if !asked.path.ends_with("/feed") || removing.is_empty() {
                    return passed_on(status, body);
                }
                let text = String::from_utf8(body).unwrap();
                let (header, rest) = text.split_once('\n').unwrap();
                let mut lines = vec![header.to_owned()];
                lines.extend(removing.iter().map(|id| json!({ "remove": id }).to_string()));
                lines.push(rest.to_owned());
                passed_on(status, lines.join("\n").into_bytes())
            })
        }));
        secondary.connect(&proxy.url, "companyadmin").await;
        let mut failures = Vec::new();
        for round in 0..2 {
            let report = secondary.sync(evil.server_id).await.unwrap();
            failures.push(report.failures().join("\n"));
            for (slice, before) in honest.slices.iter().zip(&before) {
                assert_eq!(&rows_of(&secondary, *slice).await, before, "round {round}: {failures:?}");
            }
            evil.add_grain(own, "a", "evil again").await;
            evil.refresh(own).await;
            *removing.lock().unwrap() = honest.grains[3..].to_vec();
        }
        assert!(failures[0].contains("belongs to another primary"), "{failures:?}");
        let report = secondary.sync(honest.primary.server_id).await.unwrap().into_result().unwrap();
        assert!(
            report.slices.len() == 2
                && report.slices.iter().all(|slice| matches!(slice.outcome, Outcome::Unchanged)),
            "{report:?}"
        );
        for slice in honest.slices {
            let (theirs, ours) =
                (all_grains(&honest.primary.admin, slice).await, all_grains(&secondary.admin, slice).await);
            assert!(ours.len() == 3 && ours == theirs);
        }
    }
}
