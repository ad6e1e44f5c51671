//! Slices, grains, subscriptions and the log.

use actix_web::http::Method;
use serde_json::json;

use super::operation::{Empty, Operation, Resource};
use crate::node::permission::Action;
use crate::node::service;
use crate::node::service::publish::{Publication, Published};
use crate::wire::activity::{Activity, CreateActivity};
use crate::wire::grain::{CreateGrain, Grain};
use crate::wire::history::{Comparison, Rollback, Version};
use crate::wire::receiver::Receiver;
use crate::wire::slice::{CreateSlice, MetadataPair, Slice, UpdateSlice};
use crate::wire::subscription::{CreateSubscription, PutSubscription, Subscription, UpdateSubscription};
use crate::wire::tag::{CreateTag, Tag, UpdateTag};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = slices();
    all.extend(history());
    all.extend(grains());
    all.extend(subscriptions());
    all.extend(activity());
    all.extend(tags());
    all
}

const SLICES: Resource = Resource("Slices");

fn slices() -> Vec<Operation> {
    vec![
        SLICES
            .may(Action::ListSlices, "listSlices", (Method::GET, "/v1/slices"), "List slices")
            .about("All of them at once if the request says neither `page` nor `pagesize` nor `next`.")
            .text("tags", "Only slices that have at least one of these tags, divided by commas. Staff only.", "hot_items,new")
            .text("tags-all", "Only slices that have all of these tags, divided by commas. Staff only.", "hot_items,new")
            .lists::<Slice>(&service::slice::COLUMNS),
        SLICES
            .may(Action::CreateSlice, "createSlice", (Method::POST, "/v1/slices"), "Add a slice")
            .about("Without content. It is closed for sync, unless `allow_sync` says otherwise.")
            .takes::<CreateSlice>(json!({
                "name": "Brake Pads", "slice_type": "aces-file", "allow_sync": true,
                "metadata": { "vcdb-version": "2026-10-30" },
            }))
            .creates::<Slice>()
            .refuses(&[409]),
        SLICES
            .may(
                Action::ViewSlice,
                "viewSliceByName",
                (Method::GET, "/v1/slices/name/{name}"),
                "View a slice by its name",
            )
            .about("Ignoring case. 404 also for a slice that the caller may not see.")
            .answers::<Slice>(),
        SLICES
            .may(
                Action::ViewSlice,
                "viewMetadata",
                (Method::GET, "/v1/slices/metadata/{slice_id}"),
                "View the metadata of a slice",
            )
            .about("Staff of a primary see those of the draft, everybody else those of the published version.")
            .answers_list::<MetadataPair>(Empty::Null),
        SLICES
            .may(
                Action::PublishSlice,
                "refreshSlice",
                (Method::POST, "/v1/slices/refresh/{slice_id}"),
                "Publish the draft of a slice",
            )
            .about(
                "What was added, removed and changed since the last publication becomes the next version, as a whole. Without a \
                 change nothing happens. 409 while somebody else has locked the slice.",
            )
            .refuses(&[409]),
        SLICES
            .may(
                Action::LockSlice,
                "lockSlice",
                (Method::PUT, "/v1/slices/lock/{slice_id}"),
                "Lock a slice",
            )
            .about(
                "Closes it for sync and for edits by others, for an hour. A slice that was closed before stays closed after that \
                 hour. 409 `locked` while somebody else has locked it; a super admin takes over anybody's lock.",
            )
            .refuses(&[409]),
        SLICES
            .may(
                Action::LockSlice,
                "unlockSlice",
                (Method::PUT, "/v1/slices/unlock/{slice_id}"),
                "Unlock a slice",
            )
            .about(
                "Opens it for sync, however it was closed. 409 `locked` while somebody else has locked it; a super admin opens \
                 anybody's lock.",
            )
            .refuses(&[409]),
        SLICES
            .may(Action::ViewSlice, "viewSlice", (Method::GET, "/v1/slices/{slice_id}"), "View a slice")
            .about("With its metadata and subscribers. A slice that is closed for sync can be read too.")
            .answers::<Slice>(),
        SLICES
            .may(
                Action::UpdateSlice,
                "updateSlice",
                (Method::PATCH, "/v1/slices/{slice_id}"),
                "Change a slice",
            )
            .about(
                "Metadata is replaced as a whole, in the draft: it is published by `refresh`. `allow_sync` false closes the slice \
                 until somebody opens it. 409 `locked` while somebody else has locked it.",
            )
            .takes::<UpdateSlice>(json!({ "name": "Brake Pads, Premium" }))
            .answers::<Slice>()
            .refuses(&[409]),
        SLICES
            .may(
                Action::DeleteSlice,
                "deleteSlice",
                (Method::DELETE, "/v1/slices/{slice_id}"),
                "Remove a slice with all it holds",
            )
            .about("409 while a company subscribes to it, or somebody else has locked it. On a secondary: 409 while its primary offers it, \
                 unless that primary's company is switched off here, and while a sync with it runs.")
            .refuses(&[409]),
    ]
}

/// What a publisher sees of what was and of who has it.
fn history() -> Vec<Operation> {
    vec![
        SLICES
            .may(
                Action::ViewReceivers,
                "listReceivers",
                (Method::GET, "/v1/slices/{slice_id}/receivers"),
                "List who has which version of a slice",
            )
            .about("Companies that subscribe to it, and what their machines reported.")
            .lists::<Receiver>(&service::receiver::COLUMNS),
        SLICES
            .may(
                Action::ViewVersions,
                "listVersions",
                (Method::GET, "/v1/slices/{slice_id}/versions"),
                "List the published versions of a slice",
            )
            .about("Newest first.")
            .lists::<Version>(&service::history::COLUMNS),
        SLICES
            .may(
                Action::ViewVersions,
                "compareVersions",
                (Method::GET, "/v1/slices/{slice_id}/compare"),
                "Compare two versions of a slice",
            )
            .about("By the keys of their grains. 404 for a version that was never published.")
            .number("from", "Number of the version to compare from.", 0)
            .required()
            .number("to", "Number of the version to compare to: the published one if it is not said.", 0)
            .answers::<Comparison>(),
        SLICES
            .may(
                Action::PublishSlice,
                "publishContent",
                (Method::POST, "/v1/slices/{slice_id}/publish"),
                "Publish a file or a set of changes",
            )
            .about(
                "The body is read while it arrives and becomes the next version in one step, or changes nothing. A body of any type is a \
                 file: the whole content of the slice, one grain `level-1`, called `source`. A body of type `application/x-ndjson` is a \
                 set of changes, a line each, applied in their order: `{\"put\": {\"grain_key\", \"source\", \"encoding\", \
                 \"payload\"}}`, `{\"delete\": \"grain_key\"}`, `{\"metadata\": {…}}`. What is there already, to the byte, is \
                 not changed. 409 while there are unpublished changes, or somebody else has locked the slice.",
            )
            .text("source", "A file: its name.", "catalog.xml")
            .one_of(
                "mode",
                "A set of changes: `change` (default) keeps what it does not name, `replace` removes that.",
                &["change", "replace"],
            )
            .takes_bytes("<ACES version=\"4.2\"/>")
            .answers::<Publication>()
            .refuses(&[409]),
        SLICES
            .may(
                Action::PublishSlice,
                "rollbackSlice",
                (Method::POST, "/v1/slices/{slice_id}/rollback"),
                "Publish an earlier version anew",
            )
            .about(
                "Its content becomes the next version. It goes on if the caller hangs up. 409 while there are unpublished changes, \
                 or somebody else has locked the slice.",
            )
            .takes::<Rollback>(json!({ "version": 1 }))
            .answers::<Published>()
            .refuses(&[409]),
    ]
}

const GRAINS: Resource = Resource("Grains");

fn grains() -> Vec<Operation> {
    vec![
        GRAINS
            .may(Action::ListGrains, "listGrains", (Method::GET, "/v1/grains"), "List grains of all slices")
            .flag("payload", "`yes`: with payloads.")
            .lists::<Grain>(&service::grain::COLUMNS),
        GRAINS
            .may(Action::CreateGrain, "createGrain", (Method::POST, "/v1/grains"), "Add a grain to the draft")
            .about("Receivers get it when the slice is published by `refresh`. 409 for an id or a key that is taken.")
            .flag("replace", "`yes`: in the place of the grain with the same key.")
            .takes::<CreateGrain>(json!({
                "slice_id": "2bea8308-1840-4802-ad38-72b53e31594c", "grain_key": "level-1", "encoding": "raw",
                "source": "brake-pads.xml", "payload": "<ACES version=\"4.2\"/>",
            }))
            .creates::<Grain>()
            .refuses(&[404, 409]),
        GRAINS
            .may(
                Action::ListGrains,
                "listGrainsOfSlice",
                (Method::GET, "/v1/grains/slice/{slice_id}"),
                "List grains of one slice",
            )
            .flag("payload", "`yes`: with payloads.")
            .lists::<Grain>(&service::grain::COLUMNS_OF_SLICE),
        GRAINS
            .may(
                Action::FindGrainByKey,
                "findGrain",
                (Method::GET, "/v1/grains/{slice_id}/{grain_key}"),
                "View a grain by its key",
            )
            .about("If there is none: 200 with every member zero or empty, as clients of the reference expect.")
            .flag("payload", "`yes`: with the payload.")
            .answers::<Grain>(),
        GRAINS
            .may(Action::ViewGrain, "viewGrain", (Method::GET, "/v1/grains/{grain_id}"), "View a grain")
            .about("With payload and slice. Also one that only an earlier version of the slice had.")
            .answers::<Grain>(),
        GRAINS
            .may(
                Action::DeleteGrain,
                "deleteGrain",
                (Method::DELETE, "/v1/grains/{grain_id}"),
                "Remove a grain from the draft",
            )
            .refuses(&[409]),
    ]
}

const SUBSCRIPTIONS: Resource = Resource("Subscriptions");

fn subscriptions() -> Vec<Operation> {
    let list = SUBSCRIPTIONS
        .may(Action::ListSubscriptions, "listSubscriptions", (Method::GET, "/v1/subs"), "List subscriptions")
        .lists::<Subscription>(&service::subscription::COLUMNS);
    let of_company = list.also("listSubscriptionsOfCompany", "/v1/companies/{company_id}/subs");
    vec![
        list,
        SUBSCRIPTIONS
            .may(
                Action::CreateSubscription,
                "createSubscription",
                (Method::POST, "/v1/subs"),
                "Subscribe a company to a slice",
            )
            .about("It is inactive, unless `active` says otherwise.")
            .takes::<CreateSubscription>(json!({
                "slice_id": "2bea8308-1840-4802-ad38-72b53e31594c",
                "company_id": "20000000-0000-4000-8000-000000000000", "name": "Retail Parts: Brake Pads",
                "active": true,
            }))
            .creates::<Subscription>()
            .refuses(&[404, 409]),
        SUBSCRIPTIONS
            .may(
                Action::ViewSubscription,
                "viewSubscriptionByName",
                (Method::GET, "/v1/subs/name/{name}"),
                "View a subscription by its name",
            )
            .about("Ignoring case. 404 also for one of another company.")
            .answers::<Subscription>(),
        SUBSCRIPTIONS
            .may(
                Action::ViewSubscription,
                "viewSubscription",
                (Method::GET, "/v1/subs/{subscription_id}"),
                "View a subscription",
            )
            .answers::<Subscription>(),
        SUBSCRIPTIONS
            .may(
                Action::UpdateSubscription,
                "replaceSubscription",
                (Method::PUT, "/v1/subs/{subscription_id}"),
                "Change a subscription, as clients of the reference do",
            )
            .about("As `PATCH`, but with three ids that must be what they are.")
            .takes::<PutSubscription>(json!({
                "sub_id": "19c3b5bc-4337-4ac1-b39e-9b9de682c9a7",
                "slice_id": "2bea8308-1840-4802-ad38-72b53e31594c",
                "company_id": "20000000-0000-4000-8000-000000000000", "active": false,
            }))
            .answers::<Subscription>()
            .refuses(&[409]),
        SUBSCRIPTIONS
            .may(
                Action::UpdateSubscription,
                "updateSubscription",
                (Method::PATCH, "/v1/subs/{subscription_id}"),
                "Change a subscription",
            )
            .about(
                "It keeps its slice and its company. On a secondary only `active` can change: it is the receiver's own switch.",
            )
            .takes::<UpdateSubscription>(json!({ "active": false }))
            .answers::<Subscription>()
            .refuses(&[409]),
        SUBSCRIPTIONS.may(
            Action::DeleteSubscription,
            "deleteSubscription",
            (Method::DELETE, "/v1/subs/{subscription_id}"),
            "Remove a subscription",
        ),
        of_company,
        SUBSCRIPTIONS
            .may(
                Action::ViewSubscription,
                "viewSubscriptionOfCompany",
                (Method::GET, "/v1/companies/{company_id}/subs/{slice_id}"),
                "View the subscription of a company to a slice",
            )
            .answers::<Subscription>(),
    ]
}

const ACTIVITY: Resource = Resource("Activity");

fn activity() -> Vec<Operation> {
    vec![
        ACTIVITY
            .may(Action::ListActivity, "listActivity", (Method::GET, "/v1/activity"), "List the sync log")
            .about("Newest first.")
            .lists::<Activity>(&service::activity::COLUMNS),
        ACTIVITY
            .may(
                Action::RecordActivity,
                "recordActivity",
                (Method::POST, "/v1/activity"),
                "Add a record to the sync log",
            )
            .takes::<CreateActivity>(json!({
                "company_id": "20000000-0000-4000-8000-000000000000", "success": true,
                "message": "Slice \"Brake Pads\"", "duration": 1_500_000_000,
            }))
            .creates::<Activity>(),
        ACTIVITY
            .may(
                Action::ViewActivity,
                "viewActivity",
                (Method::GET, "/v1/activity/{activity_id}"),
                "View a record of the sync log",
            )
            .answers::<Activity>(),
        ACTIVITY.may(
            Action::DeleteActivity,
            "deleteActivity",
            (Method::DELETE, "/v1/activity/{activity_id}"),
            "Remove a record from the sync log",
        ),
    ]
}

const TAGS: Resource = Resource("Tags");

fn tags() -> Vec<Operation> {
    vec![
        TAGS.may(Action::ListTags, "listTags", (Method::GET, "/v1/tags"), "List tags")
            .lists::<Tag>(&service::tag::COLUMNS),
        TAGS.may(Action::CreateTag, "createTag", (Method::POST, "/v1/tags"), "Add a tag")
            .about("Its name becomes lower case; spaces and commas become `_`. 409 when there is one of that name.")
            .takes::<CreateTag>(json!({ "name": "hot_items", "description": "What sells best" }))
            .creates::<Tag>()
            .refuses(&[409]),
        TAGS.may(Action::ViewTag, "viewTag", (Method::GET, "/v1/tags/{tag_id}"), "View a tag with its slices")
            .answers::<Tag>(),
        TAGS.may(Action::UpdateTag, "updateTag", (Method::PATCH, "/v1/tags/{tag_id}"), "Change a tag")
            .takes::<UpdateTag>(json!({ "description": "What sells best this year" }))
            .answers::<Tag>()
            .refuses(&[409]),
        TAGS.may(Action::DeleteTag, "deleteTag", (Method::DELETE, "/v1/tags/{tag_id}"), "Remove a tag"),
        TAGS.may(
            Action::AssignTag,
            "assignTag",
            (Method::POST, "/v1/tags/{tag_id}/slices/{slice_id}"),
            "Put a tag on a slice",
        ),
        TAGS.may(
            Action::AssignTag,
            "unassignTag",
            (Method::DELETE, "/v1/tags/{tag_id}/slices/{slice_id}"),
            "Take a tag off a slice",
        ),
    ]
}
