//! `slice receivers|versions|compare|rollback`.

use serde_json::json;

use super::Served;

#[test]
fn a_publisher_sees_versions_and_receivers_and_brings_a_version_back() {
    let served = Served::new();
    assert!(served.primary(&["slice", "versions", "items"]).ok().out.contains("nothing was published"));
    for key in ["a", "b\u{1b}[31m"] {
        served.add(key, "raw", "first");
    }
    served.refresh();
    served.secondary(&["sync"]).ok();
    let receivers = served.primary(&["slice", "receivers", "ITEMS", "--json"]).json();
    assert_eq!(
        (&receivers[0]["company_name"], &receivers[0]["version"]),
        (&json!("Retail Parts"), &json!(1))
    );
    assert!(served.primary(&["slice", "receivers", "items"]).ok().out.contains("1 (current)"));
    for n in 0..30 {
        served.add(&format!("item-{n}"), "raw", "x");
    }
    served.add("a", "raw", "second");
    served.refresh();
    let versions = served.primary(&["slice", "versions", "items", "--json"]).json();
    assert_eq!(
        (&versions[0]["number"], &versions[0]["current"], &versions[0]["content_count"]),
        (&json!(2), &json!(true), &json!(32))
    );
    assert_eq!((&versions[1]["number"], &versions[1]["current"]), (&json!(1), &json!(false)));
    assert!(served.primary(&["slice", "versions", "items"]).ok().out.contains("current"));

    let text = served.primary(&["slice", "compare", "items", "1", "2"]).ok().out;
    assert!(text.contains("30 added, 0 removed, 1 replaced") && text.contains("and 10 more"), "{text}");
    let back = served.primary(&["slice", "compare", "items", "2", "1"]).ok().out;
    assert!(back.contains("0 added, 30 removed, 1 replaced"), "{back}");
    let all = served.primary(&["slice", "compare", "items", "1", "--json"]).json();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 31, "complete");
    assert_eq!(
        all.iter().filter(|change| change["change"] == "added" && change["from"].is_null()).count(),
        30
    );
    assert_eq!(served.primary(&["slice", "compare", "items", "2", "2", "--json"]).json(), json!([]));
    served
        .primary(&["slice", "compare", "items", "1", "7"])
        .fails_with(1, "slice versions \"items\"` lists them");

    // A draft and somebody's lock come first.
    served.add("draft", "raw", "x");
    served.primary(&["slice", "rollback", "items", "1"]).fails_with(1, "unpublished changes");
    served.refresh();
    served.secondary(&["sync"]).ok();
    let lock = format!("/v1/slices/lock/{}", served.slice);
    served.runtime.block_on(served.admin.call(reqwest::Method::PUT, &lock)).unwrap();
    served.primary(&["slice", "rollback", "items", "1"]).fails_with(75, "locked by admin");
    served.primary(&["slice", "unlock", "items"]).ok();
    served
        .primary(&["slice", "rollback", "items", "9"])
        .fails_with(1, "slice versions \"items\"` lists them");
    served.primary(&["slice", "rollback", "nothing", "1"]).fails_with(1, "there is no slice \"nothing\"");
    let done = served.primary(&["slice", "rollback", "items", "1", "--json"]).json();
    assert_eq!(
        (&done["version"], &done["changed"], &done["content_count"]),
        (&json!(4), &json!(true), &json!(2))
    );
    assert!(served.primary(&["slice", "rollback", "items", "1"]).ok().out.contains("nothing published"));
    let report = served.secondary(&["sync", "--json"]).json();
    assert_eq!(report[0]["slices"][0]["outcome"], "changed");
    let listed = served.secondary(&["list", "-s", "items", "--full"]).ok().out;
    assert!(
        listed.contains("first") && listed.contains("b\\u{1b}[31m") && !listed.contains('\u{1b}'),
        "{listed}"
    );
    let receivers = served.primary(&["slice", "receivers", "items", "--json"]).json();
    assert_eq!((&receivers[0]["version"], &receivers[0]["current"]), (&json!(4), &json!(true)));
}
