//! What a secondary calls at a primary.

use actix_web::http::Method;
use serde_json::json;

use super::operation::{Empty, NDJSON, Operation, Resource};
use crate::node::permission::Action;
use crate::wire::grain::Grain;
use crate::wire::subscription::Subscription;
use crate::wire::sync::WantedGrains;

const SYNC: Resource = Resource("Sync");

pub(super) fn operations() -> Vec<Operation> {
    vec![
        SYNC.may(
            Action::OpenSyncSocket,
            "openSyncSocket",
            (Method::GET, "/v1/sync"),
            "Answer 200 and nothing else",
        )
        .about("For clients of the reference."),
        SYNC.may(
            Action::ListOffers,
            "listOffers",
            (Method::GET, "/v1/sync/subs"),
            "List what the caller's company may sync",
        )
        .about("Its subscriptions, active or not, each with its slice, closed or not. The list has no pages.")
        .answers_list::<Subscription>(Empty::Null),
        SYNC.may(
            Action::ReadFeed,
            "listGrainsToSync",
            (Method::GET, "/v1/sync/slice/{slice_id}"),
            "Read every grain of the published version",
        )
        .about("How receivers of the reference sync. 409 while the slice is closed for sync.")
        .flag("brief", "`yes`: with empty payloads.")
        .answers_list::<Grain>(Empty::Null)
        .refuses(&[409]),
        SYNC.may(
            Action::ReadFeed,
            "readFeed",
            (Method::GET, "/v1/sync/slices/{slice_id}/feed"),
            "sync-2: read a version of a slice, or what changed since another",
        )
        .about(
            "Lines of JSON: a header, then one object with one member a line, `\"end\"` at the end. What comes depends on what \
             the caller says that it has: docs/api.md says how, under sync-2. 409 while the slice is closed for sync.",
        )
        .id("epoch", "The epoch of the version that the caller has; with none of these three: it has nothing.")
        .number("from", "The number of that version.", 0)
        .text("digest", "The digest of that version.", "9f86d081")
        .number("version", "The version to read: the published one if it is not said.", 0)
        .text("after", "The last `mark` of a feed that broke off: the answer is what is behind it.", "grain.f1792957-e143-478d-bae8-4b64e957feca")
        .answers_text(NDJSON, "{\"mode\":\"full\"}\n\"end\"\n")
        .refuses(&[409, 410]),
        SYNC.may(
            Action::ReadFeed,
            "readGrains",
            (Method::POST, "/v1/sync/slices/{slice_id}/grains"),
            "sync-2: read some grains of a version",
        )
        .about("Lines of JSON: one `grain` a line, `\"end\"` at the end. 409 while the slice is closed for sync.")
        .takes::<WantedGrains>(json!({ "version": 1, "ids": ["f1792957-e143-478d-bae8-4b64e957feca"] }))
        .answers_text(NDJSON, "\"end\"\n")
        .refuses(&[409]),
        SYNC.may(
            Action::ReadFeed,
            "readPayloadPiece",
            (Method::GET, "/v1/sync/slices/{slice_id}/grains/{grain_id}/payload"),
            "sync-2: read a piece of a payload that is too long for a line",
        )
        .about(
            "1 MiB of the payload text, or what is left of it, under its `Content-Digest` (RFC 9530). 409 while the slice is closed \
             for sync.",
        )
        .number("version", "The version that the grain belongs to; the current one if absent.", 0)
        .number("offset", "Where the piece begins: a multiple of 1048576; 0 if absent.", 0)
        .answers_text("application/octet-stream", "H4sIAAAAAAAC")
        .refuses(&[409]),
    ]
}
