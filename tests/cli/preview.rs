//! `sync` as the reference's command is called: `--partner`, `--list`, and `--noupdate`, which changes nothing.

use serde_json::{Value, json};

use super::Served;

fn would(served: &Served) -> Value {
    served.secondary(&["sync", "--noupdate", "--json"]).json()[0]["slices"].clone()
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let served = Served::new();
    for key in ["a", "b"] {
        served.add(key, "raw", "1");
    }
    served.refresh();
    // What a sync would leave: rows of slices, of the run, of the log on both sides, and of the key's login.
    let traces = || {
        (
            served.secondary(&["list", "--full", "--json"]).json(),
            served.secondary(&["primaries", "--json"]).json(),
            served.primary(&["slice", "receivers", "items", "--json"]).json()[0]["version"].clone(),
            served.runtime.block_on(served.admin.get::<Value>("/v1/activity")).unwrap(),
        )
    };
    let before = traces();
    assert_eq!(before.0, json!([]));
    let first = would(&served);
    assert_eq!((&first[0]["would"], &first[0]["grains_added"]), (&json!("change"), &json!(2)));
    let text = served.secondary(&["sync", "--dry-run", "--all"]).ok().out;
    assert!(text.contains("items: would change: 2 grain(s) in, 0 out"), "{text}");
    assert_eq!(traces(), before);

    served.secondary(&["sync", "-p", "Better Brakes"]).ok();
    let before = traces();
    assert_eq!(would(&served)[0]["would"], "nothing");
    served.add("a", "raw", "2");
    served.add("c", "raw", "1");
    served.refresh();
    let change = would(&served);
    assert_eq!((&change[0]["grains_added"], &change[0]["grains_removed"]), (&json!(2), &json!(1)));
    served.primary(&["slice", "lock", "items"]).ok();
    let locked = would(&served);
    assert_eq!(locked[0]["would"], "fail");
    assert!(locked[0]["error"].as_str().unwrap().contains("locked"), "{locked}");
    served.primary(&["slice", "unlock", "items"]).ok();
    assert_eq!(traces(), before);
    // It was right.
    let report = served.secondary(&["sync", "--json"]).json();
    let slice = &report[0]["slices"][0];
    assert_eq!((&slice["grains_added"], &slice["grains_removed"]), (&json!(2), &json!(1)));
    served.primary(&["apikey", "revoke", "--company", "Retail Parts"]).ok();
    served.secondary(&["sync", "--noupdate"]).fails_with(1, "refused our api-key");
}

#[test]
fn primaries_are_named_by_option_or_argument_and_listed() {
    let served = Served::new();
    let list = served.secondary(&["sync", "--list", "--json"]).json();
    assert_eq!(list, served.secondary(&["primaries", "--json"]).json());
    let id = list[0]["id"].as_str().unwrap().to_owned();
    for args in [
        &["sync", "--partner", id.as_str()][..],
        &["sync", "-p", "better brakes"],
        &["sync", id.as_str()],
        &["sync"],
    ] {
        assert!(served.secondary(args).ok().out.contains("Better Brakes"), "{args:?}");
    }
    served.secondary(&["sync", "-p", "Nobody"]).fails_with(1, "there is no primary \"Nobody\"");
    assert_eq!(served.secondary(&["sync", "-p", &id, "--all"]).code, 2);
    let Served { folders, server, .. } = served;
    drop(server);
    super::secondary(&["sync", "--noupdate", "--data-dir", &folders.secondary()])
        .fails_with(75, "cannot be reached");
}
