//! What a secondary calls at a primary, and what makes it do so.

use actix_web::http::Method;
use serde_json::json;

use super::operation::{Empty, NDJSON, Operation, Resource};
use crate::node::permission::Action;
use crate::wire::grain::Grain;
use crate::wire::subscription::Subscription;
use crate::wire::sync::WantedGrains;

const SYNC: Resource = Resource("Sync");

pub(super) fn operations() -> Vec<Operation> {
    let run = SYNC
        .may(Action::RunSync, "runSync", (Method::POST, "/v1/sync/{company_id}"), "Sync with a primary")
        .about(
            "Answers when it is done: 200 only if every active slice that the primary offers is now equal. It goes on \
             if the caller hangs up.",
        )
        .refuses(&[409, 502]);
    let at_root = run.also("runSyncAtRoot", "/sync/{company_id}");
    vec![
        SYNC.may(
            Action::OpenSyncSocket,
            "openSyncSocket",
            (Method::GET, "/v1/sync"),
            "Nothing, as with the reference",
        ),
        SYNC.may(
            Action::ListOffers,
            "listOffers",
            (Method::GET, "/v1/sync/subs"),
            "What the caller's company may pull",
        )
        .about("Its subscriptions, active or not, each with its slice.")
        .answers_list::<Subscription>(Empty::Null),
        SYNC.may(
            Action::ReadFeed,
            "listGrainsToSync",
            (Method::GET, "/v1/sync/slice/{slice_id}"),
            "Every grain of the published version",
        )
        .flag("brief", "With empty payloads.")
        .answers_list::<Grain>(Empty::Null)
        .refuses(&[409]),
        SYNC.may(
            Action::ReadFeed,
            "readFeed",
            (Method::GET, "/v1/sync/slices/{slice_id}/feed"),
            "sync-2: a version of a slice, or the way to it",
        )
        .about(
            "Lines of JSON: a header, then one member a line, `\"end\"` at the end. See docs/api.md, sync-2.",
        )
        .id("epoch", "Of the version that the caller has.")
        .number("from", "The number of that version.", 0)
        .text("digest", "The digest of that version.", "9f86d081")
        .number("version", "Another than the published version.", 0)
        .answers_text(NDJSON, "{\"mode\":\"full\"}\n\"end\"\n")
        .refuses(&[409]),
        SYNC.may(
            Action::ReadFeed,
            "readGrains",
            (Method::POST, "/v1/sync/slices/{slice_id}/grains"),
            "sync-2: some grains of a version",
        )
        .takes::<WantedGrains>(json!({ "version": 1, "ids": ["f1792957-e143-478d-bae8-4b64e957feca"] }))
        .answers_text(NDJSON, "\"end\"\n")
        .refuses(&[409]),
        run,
        at_root,
    ]
}
