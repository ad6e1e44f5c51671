//! `list`: what receivers see, in full or in short, and nothing that a terminal would act on.

use serde_json::{Value, json};
use shared::store::{self, StoreError};

use super::Served;

#[test]
fn slices_and_grains_are_listed_on_both_sides_and_no_draft_is() {
    let served = Served::new();
    let id = served.slice;
    let line = format!("items ({id}) \"aces-file\" Grains: 0\n");
    assert_eq!(served.primary(&["list"]).ok().out, line);
    served.add("text", "raw", "one\ttwo\r\nthree \u{1b}[2J\u{9b}");
    served.add("binary", "b64", "AP8=");
    served.add("large", "raw", &"x".repeat(1_100_000));
    // 4 MB in 4 KB.
    let zeros = shared::payload::Encoding::Z64.encode(&vec![b'0'; 4_000_000]).unwrap();
    served.add("unpacks", "z64", &zeros);
    assert_eq!(served.primary(&["list"]).ok().out, line, "a draft is nobody's but the editor's");
    served.refresh();
    served.secondary(&["sync", "--all"]).ok();
    for side in [Served::primary, Served::secondary] {
        assert_eq!(side(&served, &["list"]).ok().out, format!("items ({id}) \"aces-file\" Grains: 4\n"));
        let short = side(&served, &["list", "-s", "ITEMS"]).ok().out;
        assert!(short.lines().count() == 4 && !short.contains("three"), "{short}");
        let full = side(&served, &["list", "--slice", &id.to_string(), "--full"]).ok().out;
        assert!(full.contains("one\\ttwo") && full.contains("three \\u{1b}[2J"), "{full}");
        assert!(!full.contains(['\u{1b}', '\r']) && full.len() < 2_000, "{}", full.len());
        assert!(
            full.contains("(not text; in base64) AP8=") && full.matches("too long").count() == 2,
            "{full}"
        );
        let rows = side(&served, &["list", "-s", "items", "--full", "--json"]).json();
        let row = |key: &str| -> Value {
            rows.as_array().unwrap().iter().find(|row| row["grain_key"] == key).unwrap().clone()
        };
        assert_eq!(row("text")["payload"], "one\ttwo\r\nthree \u{1b}[2J\u{9b}");
        assert_eq!(
            (&row("binary")["payload_base64"], &row("large")["payload_omitted"]),
            (&json!("AP8="), &json!(true))
        );
        let slices = side(&served, &["list", "--full", "--json"]).json();
        assert_eq!(slices[0]["content_count"], 4);
        assert_eq!(slices[0]["subscriptions"].as_array().unwrap().len(), 1);
        assert_eq!(slices[0]["content_hash"].as_str().unwrap().len(), 40);
        let full = side(&served, &["list", "--full"]).ok().out;
        assert!(full.contains("  hash: ") && full.contains("  subscription: "), "{full}");
        side(&served, &["list", "-s", "nothing"]).fails_with(1, "there is no slice \"nothing\"");
    }
}

#[test]
fn names_cannot_act_on_the_terminal_and_many_slices_come_page_by_page() {
    let served = Served::new();
    let names: Vec<String> = (0..260).map(|n| format!("slice-{n:03}")).collect();
    served.runtime.block_on(async {
        for name in names.iter().map(String::as_str).chain(["zz hostile", "zz\u{202e}txt"]) {
            let body =
                json!({ "name": name, "slice_type": "aces-file", "metadata": { "k\u{1b}": "v\u{9b}" } });
            let _slice: Value = served.admin.post("/v1/slices", &body).await.unwrap();
        }
        // As a database of the reference could hold it: the API takes no such name.
        let primary = served.store();
        let renamed = primary.write(|conn| -> Result<(), StoreError> {
            let slice = store::slice::find_by_name(conn, "zz hostile")?.unwrap();
            let (name, now) = ("zz\u{1b}]0;owned\u{7}\nfake ()", slice.updated_at);
            store::slice::rename(conn, slice.id, name, &slice.slice_type, now)
        });
        renamed.await.unwrap();
    });
    let out = served.primary(&["list", "--full"]).ok().out;
    assert!(!out.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}']), "escaped");
    let lines = out.lines().filter(|line| line.contains("Grains: ")).count();
    assert_eq!(lines, 263, "a name is one line");
    let rows = served.primary(&["list", "--json"]).json();
    assert_eq!(rows.as_array().unwrap().len(), 263);
    assert!(rows.as_array().unwrap().iter().any(|row| row["slice_name"] == "zz\u{202e}txt"));
}

#[test]
fn a_payload_that_cannot_be_unpacked_is_told_and_the_rest_is_listed() {
    let served = Served::new();
    served.add("good", "raw", "fine");
    served.slip_in("bad", "z64", "this is no gzip");
    served.refresh();
    let ended = served.primary(&["list", "-s", "items", "--full"]);
    ended.fails_with(1, "1 payload(s)");
    assert!(ended.out.contains("fine") && ended.out.contains("cannot be unpacked"), "{ended:?}");
    let ended = served.primary(&["list", "-s", "items", "--full", "--json"]);
    assert_eq!(ended.code, 1);
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap().as_array().unwrap().len(), 2);
    served.primary(&["list", "-s", "items"]).ok();
}
