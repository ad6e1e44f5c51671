//! `runs`, `schedule`, and `sync --all` over several primaries.

use std::fs;

use serde_json::json;

use super::{PASSWORD, Served, Server, programs, run_with};

#[test]
fn runs_are_listed_shown_and_asked_to_stop() {
    let served = Served::new();
    assert!(served.secondary(&["runs"]).ok().out.contains("no runs yet"));
    served.add("a", "raw", "1");
    served.refresh();
    served.secondary(&["sync", "--all"]).ok();
    served.secondary(&["sync", "Better Brakes"]).ok();
    let runs = served.secondary(&["runs", "--json"]).json();
    let ids: Vec<&str> = runs.as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect();
    assert_eq!(
        (ids.len(), &runs[1]["slices_changed"], &runs[0]["slices_changed"]),
        (2, &json!(1), &json!(0))
    );
    assert_eq!((&runs[0]["asked_by"], &runs[0]["state"]), (&json!("command line"), &json!("success")));
    let text = served.secondary(&["runs", "-n", "1", "--primary", "better brakes"]).ok().out;
    assert!(text.contains(ids[0]) && !text.contains(ids[1]) && text.contains("Better Brakes"), "{text}");
    assert!(served.secondary(&["runs", "--state", "failed"]).ok().out.contains("no runs yet"));
    let shown = served.secondary(&["runs", "show", ids[1], "--json"]).json();
    assert_eq!(
        (&shown["slices"][0]["slice"], &shown["slices"][0]["outcome"]),
        (&json!("items"), &json!("changed"))
    );
    let text = served.secondary(&["runs", "show", ids[1]]).ok().out;
    assert!(text.contains("items: changed") && text.contains("1 of 1 slice(s), 1 of 1 grain(s)"), "{text}");
    let cancelled = served.secondary(&["runs", "cancel", ids[1]]).ok().out;
    assert!(cancelled.contains("is over already: success"), "{cancelled}");
    let unknown = "2bea8308-1840-4802-ad38-72b53e31594c";
    for verb in ["show", "cancel"] {
        served.secondary(&["runs", verb, unknown]).fails_with(1, "there is no run");
    }
    assert_eq!(served.secondary(&["runs", "show", "nonsense"]).code, 2);
    served.secondary(&["runs", "--primary", "Nobody"]).fails_with(1, "there is no primary \"Nobody\"");
}

#[test]
fn a_schedule_is_set_listed_paused_and_removed_and_a_server_keeps_it() {
    let served = Served::new();
    assert!(served.secondary(&["schedule", "list"]).ok().out.contains("no schedules yet"));
    let set = ["schedule", "set", "Better Brakes"];
    let cron = [&set[..], &["--cron", "15 2 * * *", "--zone", "Europe/Berlin", "--jitter", "10m"]].concat();
    let text = served.secondary(&cron).ok().out;
    assert!(text.contains("15 2 * * * (Europe/Berlin), up to 10m later, next at "), "{text}");
    let list = served.secondary(&["schedule", "list", "--json"]).json();
    assert_eq!((&list[0]["cron"], &list[0]["jitter_seconds"]), (&json!("15 2 * * *"), &json!(600)));
    for (args, words) in [
        (&["--cron", "15 2 * *"][..], "five fields"),
        (&["--cron", "@daily", "--zone", "Berlin"], "Europe/Berlin"),
        (&["--every", "10s"], "60 to 31622400"),
    ] {
        served.secondary(&[&set[..], args].concat()).fails_with(2, words);
    }
    for args in [&["--every", "6"][..], &[], &["--every", "1h", "--cron", "@daily"]] {
        assert_eq!(served.secondary(&[&set[..], args].concat()).code, 2, "{args:?}");
    }
    let paused = served.secondary(&["schedule", "pause", "better brakes", "--json"]).json();
    assert_eq!(paused["paused"], true);
    assert!(served.secondary(&["schedule", "list"]).ok().out.contains("paused"));
    assert_eq!(served.secondary(&["schedule", "resume", "Better Brakes", "--json"]).json()["paused"], false);
    let removed = served.secondary(&["schedule", "remove", "Better Brakes", "--json"]).json();
    assert_eq!((&removed["primary"], &removed["removed"]), (&json!("Better Brakes"), &json!(true)));
    for verb in ["pause", "resume", "remove"] {
        served.secondary(&["schedule", verb, "Better Brakes"]).fails_with(1, "has no schedule");
    }
    // `serve` runs what is due.
    served.add("a", "raw", "1");
    served.refresh();
    served.secondary(&[&set[..], &["--every", "1h"]].concat()).ok();
    let s = served.folders.secondary();
    let server = Server::start(&programs().secondary, &s, &[], &served.folders.path("secondary-log"));
    let ran = async || served.secondary(&["runs", "--state", "success", "--json"]).json() != json!([]);
    served.runtime.block_on(tests::wait_until("the server runs it", ran));
    let runs = served.secondary(&["runs", "--json"]).json();
    assert_eq!((&runs[0]["asked_by"], &runs[0]["grains_added"]), (&json!("schedule"), &json!(1)));
    drop(server);
    // What it had to do next stands in the database.
    let list = served.secondary(&["schedule", "list", "--json"]).json();
    assert_eq!((&list[0]["failures"], &list[0]["last_run_id"]), (&json!(0), &runs[0]["id"]));
}

#[test]
fn all_primaries_are_synced_at_once_and_one_line_sums_up() {
    let served = Served::new();
    served.add("a", "raw", "1");
    served.refresh();
    let s = served.folders.secondary();
    // Companies brought by hand, of whom one cannot be reached and one has no key.
    let own = Server::start(&programs().secondary, &s, &[], &served.folders.path("secondary-log"));
    served.runtime.block_on(async {
        let admin = tests::node::login(&own.url, "admin", PASSWORD).await;
        for (name, port) in [("Away", 1), ("Far Away", 2)] {
            let body =
                json!({ "name": name, "sync_addr": format!("http://127.0.0.1:{port}"), "active": true });
            let company: serde_json::Value = admin.post("/v1/companies", &body).await.unwrap();
            let path = format!("{}/v1/companies/{}", own.url, company["id"].as_str().unwrap());
            let login = json!({ "username": "admin", "password": PASSWORD });
            let http = tests::stranger();
            let token = http.post(format!("{}/login", own.url)).json(&login).send().await.unwrap();
            let token =
                token.json::<serde_json::Value>().await.unwrap()["token"].as_str().unwrap().to_owned();
            let key = json!({ "sync_api_key": "a key" });
            let stored = http.patch(path).bearer_auth(token).json(&key).send().await.unwrap();
            assert_eq!(stored.status(), 200);
        }
    });
    for (args, code) in [
        (&["sync", "--all"][..], 75),
        (&["sync", "--all", "--jobs", "1"], 75),
        (&["sync", "-p", "Better Brakes"], 0),
    ] {
        let ended = served.secondary(args);
        assert_eq!(ended.code, code, "{ended:?}");
        let is_first = args.len() == 2;
        if code == 75 {
            let line = ended.out.lines().last().unwrap();
            let words = format!(
                "3 primaries: {} with changes, 2 failed; {} grain(s) in",
                i32::from(is_first),
                i32::from(is_first)
            );
            assert!(line.starts_with(&words), "{ended:?}");
            assert!(ended.err.contains("2 of 3 syncs failed"), "{ended:?}");
        } else {
            assert!(!ended.out.contains("primaries:"), "{ended:?}");
        }
    }
    let ended = served.secondary(&["sync", "--all", "--json"]);
    assert_eq!(ended.code, 75);
    let all: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let names: Vec<&str> =
        all.as_array().unwrap().iter().map(|one| one["primary"].as_str().unwrap()).collect();
    assert_eq!(names, ["Away", "Better Brakes", "Far Away"], "in their order");
    // A failure that waiting does not mend makes all of it 1.
    served.primary(&["apikey", "revoke", "--company", "Retail Parts"]).ok();
    assert_eq!(served.secondary(&["sync", "--all"]).code, 1);
    for jobs in ["0", "65", "many"] {
        assert_eq!(served.secondary(&["sync", "--all", "--jobs", jobs]).code, 2);
    }
}

#[test]
fn a_command_hook_is_run_without_the_secrets_of_the_node() {
    let served = Served::new();
    served.add("a", "raw", "1");
    served.refresh();
    let told = served.folders.path("told");
    let config = served.folders.path("secondary").join("config.toml");
    let script = format!("cat > {0}; env > {0}.env", told.display());
    let text = format!(
        "{}\nhook_command = [\"/bin/sh\", \"-c\", {script:?}]\n",
        fs::read_to_string(&config).unwrap()
    );
    fs::write(&config, text).unwrap();
    let s = served.folders.secondary();
    let secret = "hook-canary-4711-0815";
    let environment = [("SANDPIPER_HOOK_SECRET", secret), ("SANDPIPER_LOG", "debug")];
    let ended = run_with(&programs().secondary, &["sync", "--all", "--data-dir", &s], "", &environment);
    assert_eq!(ended.code, 0, "{ended:?}");
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&told).unwrap()).unwrap();
    assert_eq!((&report["event"], &report["slices"][0]["outcome"]), (&json!("synced"), &json!("changed")));
    let inherited = fs::read_to_string(told.with_extension("env")).unwrap();
    assert!(
        inherited.contains("PATH=") && !inherited.contains("SANDPIPER") && !inherited.contains(secret),
        "{inherited}"
    );
    assert!(!format!("{ended:?}").contains(secret));
    // An address without a secret to sign with is no setting.
    let text =
        format!("{}\nhook_url = \"https://hooks.example/synced\"\n", fs::read_to_string(&config).unwrap());
    fs::write(&config, text).unwrap();
    served.secondary(&["sync", "--all"]).fails_with(78, "hook_secret");
    let short = run_with(
        &programs().secondary,
        &["sync", "--all", "--data-dir", &s],
        "",
        &[("SANDPIPER_HOOK_SECRET", "short-4711")],
    );
    short.fails_with(78, "16 characters");
    assert!(!short.err.contains("short-4711"), "{short:?}");
}
