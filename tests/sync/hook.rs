//! Whoever is told of a sync that changed something.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use actix_web::HttpResponse;
use secondary::Settings;
use secondary::service::hook::Hook;
use serde_json::{Value, json};
use shared::client::HookUrl;
use shared::crypto::Secret;
use shared::crypto::signature::signature;
use shared::server::config::ConfigFile;
use tests::fake::{Asked, Fake};
use tests::{Pair, TestDatabase, TestPrimary, TestSecondary, wait_until};

const SECRET: &str = "otter-marble-violet-4711";

/// A pair whose secondary has a hook, and a slice with something new.
struct Hooked {
    pair: Pair,
    slice: shared::wire::Id,
}

impl Hooked {
    async fn start(hook: Hook) -> Self {
        Self::start_on(TestDatabase::sqlite(), hook).await
    }

    async fn start_on(database: TestDatabase, hook: Hook) -> Self {
        let primary = TestPrimary::start().await;
        let settings = Settings { hook, ..Settings::default() };
        let secondary = TestSecondary::start_with(database, settings).await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let slice = primary.add_slice("items", "pies-items", &json!({}), company).await;
        primary.add_grain(slice, "a", "1").await;
        primary.refresh(slice).await;
        secondary.connect(&primary.url, "companyadmin").await;
        Self { pair: Pair { primary, secondary, company }, slice }
    }

    /// Over HTTP: the answer does not wait for the hook.
    async fn sync(&self) {
        let path = format!("/v1/sync/{}", self.pair.primary.server_id);
        self.pair.secondary.admin.call(reqwest::Method::POST, &path).await.unwrap();
    }

    async fn last_run(&self) -> Value {
        let runs: Value = self.pair.secondary.admin.get("/v1/sync/runs?pagesize=1").await.unwrap();
        runs["data"][0].clone()
    }

    /// Waits for why the hook failed.
    async fn hook_error(&self) -> String {
        wait_until("the failure is noted", async || self.last_run().await["hook_error"] != "").await;
        let run = self.last_run().await;
        assert_eq!(run["state"], "success", "the run is good all the same: {run}");
        run["hook_error"].as_str().unwrap().to_owned()
    }
}

fn command(words: &[&str]) -> Hook {
    Hook {
        command: words.iter().map(|word| (*word).to_owned()).collect(),
        limit: Duration::from_secs(20),
        url: None,
    }
}

fn posting(url: &str) -> Hook {
    Hook { url: Some((HookUrl::new(url).unwrap(), Secret::from(SECRET))), ..Hook::default() }
}

#[tokio::test]
async fn a_command_gets_the_report_on_its_input_and_only_of_what_changed() {
    for database in TestDatabase::each("a_command_gets_the_report") {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        let script = format!("cat > {0}.part && mv {0}.part {0}", told.display());
        let hooked = Hooked::start_on(database, command(&["/bin/sh", "-c", &script])).await;
        hooked.sync().await;
        wait_until("the command was run", async || told.exists()).await;
        let report: Value = serde_json::from_slice(&std::fs::read(&told).unwrap()).unwrap();
        assert_eq!((&report["event"], &report["primary"]), (&json!("synced"), &json!("Better Brakes")));
        assert_eq!(report["primary_id"], hooked.pair.primary.server_id.to_string());
        let slice = &report["slices"][0];
        assert_eq!((&slice["outcome"], &slice["grains_added"]), (&json!("changed"), &json!(1)));
        assert_eq!(slice["slice_id"], hooked.slice.to_string());
        assert_eq!(report["run_id"], hooked.last_run().await["id"]);
        // The harness's way to sync waits for the hook, as the command line does.
        std::fs::remove_file(&told).unwrap();
        hooked.pair.sync().await;
        assert!(!told.exists(), "nothing changed");
        hooked.pair.primary.add_grain(hooked.slice, "b", "2").await;
        hooked.pair.primary.refresh(hooked.slice).await;
        hooked.pair.sync().await;
        assert!(told.exists());
        assert_eq!(hooked.last_run().await["hook_error"], "");
    }
}

#[tokio::test]
async fn a_command_that_fails_is_not_there_or_takes_too_long_is_noted_and_fails_nothing() {
    let hooked = Hooked::start(command(&["/bin/sh", "-c", "exit 3"])).await;
    hooked.sync().await;
    assert!(hooked.hook_error().await.contains("exit status: 3"));
    let hooked = Hooked::start(command(&["/no/such/program"])).await;
    hooked.sync().await;
    assert!(hooked.hook_error().await.contains("cannot be run"));
    let slow = Hook { limit: Duration::from_secs(1), ..command(&["/bin/sh", "-c", "sleep 600"]) };
    let hooked = Hooked::start(slow).await;
    hooked.sync().await;
    assert!(hooked.hook_error().await.contains("took longer than 1 s"));
}

#[tokio::test]
async fn an_address_gets_the_same_under_a_signature_and_is_asked_again_after_a_failure() {
    let failures = Arc::new(Mutex::new(1));
    let left = Arc::clone(&failures);
    let receiver = Fake::start(Arc::new(move |_asked: Asked| {
        let mut left = left.lock().unwrap();
        let fails = *left > 0;
        *left -= i32::from(fails);
        Box::pin(async move {
            if fails { HttpResponse::BadGateway().finish() } else { HttpResponse::NoContent().finish() }
        })
    }));
    let hooked = Hooked::start(posting(&format!("{}/synced?key=s3cr3t", receiver.url))).await;
    hooked.pair.sync().await;
    let seen = receiver.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2, "{seen:?}");
    for asked in &seen {
        assert_eq!((asked.method.as_str(), asked.uri.as_str()), ("POST", "/synced?key=s3cr3t"));
        assert_eq!((asked.content_type.as_str(), asked.authorization.as_str()), ("application/json", ""));
        // As a receiver checks it.
        let (time, _rest) = asked.signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let time: i64 = time.parse().unwrap();
        assert_eq!(asked.signature, signature(&Secret::from(SECRET), time, &asked.body));
        assert_ne!(asked.signature, signature(&Secret::from("another"), time, &asked.body));
        assert!((hooked.pair.secondary.secondary.node.clock.now().unix() - time).abs() < 60);
        let report: Value = serde_json::from_slice(&asked.body).unwrap();
        assert_eq!(report["slices"][0]["outcome"], "changed");
    }
    assert_eq!(hooked.last_run().await["hook_error"], "");
}

#[tokio::test]
async fn an_address_that_refuses_or_sends_elsewhere_is_noted_without_what_is_secret_in_it() {
    let elsewhere = Fake::start(Arc::new(|_asked| Box::pin(async { HttpResponse::Ok().finish() })));
    let target = elsewhere.url.clone();
    let receiver = Fake::start(Arc::new(move |_asked: Asked| {
        let target = target.clone();
        Box::pin(
            async move { HttpResponse::TemporaryRedirect().insert_header(("location", target)).finish() },
        )
    }));
    let hooked = Hooked::start(posting(&format!("{}/synced?key=s3cr3t", receiver.url))).await;
    hooked.sync().await;
    let error = hooked.hook_error().await;
    assert!(error.starts_with("hook_url: ") && error.contains("307"), "{error}");
    assert!(!error.contains("s3cr3t") && !error.contains(SECRET), "{error}");
    assert_eq!((receiver.seen.lock().unwrap().len(), elsewhere.seen.lock().unwrap().len()), (1, 0));
    let shown = format!("{:?}", hooked.pair.secondary.secondary.settings);
    assert!(!shown.contains("s3cr3t") && !shown.contains(SECRET), "{shown}");
}

#[test]
fn settings_of_hooks_that_cannot_be_are_told() {
    let told = |text: &str| Settings::of(&ConfigFile::parse(text).unwrap()).unwrap_err().to_string();
    assert!(told("hook_url = \"https://a.example/\"").contains("hook_secret"));
    let secret = format!("hook_secret = \"{SECRET}\"\n");
    for url in ["ftp://a.example/", "http://a.example/", "nonsense", "https://u:p@a.example/"] {
        let told = told(&format!("{secret}hook_url = \"{url}\""));
        assert!(told.starts_with("hook_url ") && !told.contains(SECRET), "{url}: {told}");
    }
    assert!(told("hook_secret = \"short\"\nhook_url = \"https://a.example/\"").contains("16 characters"));
    let fine = ConfigFile::parse(&format!("{secret}hook_url = \"http://127.0.0.1:1/x\"")).unwrap();
    assert!(Settings::of(&fine).unwrap().hook.url.is_some());
    // A settings file that is written anew does not hold it.
    assert!(!serde_json::to_string(&fine).unwrap().contains(SECRET));
}
