//! Slices, grains, subscriptions and the log.

use actix_web::http::Method;
use serde_json::json;

use super::operation::{Empty, Operation, Resource};
use crate::node::permission::Action;
use crate::node::service;
use crate::node::service::publish::Published;
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
            .text("tags", "With at least one of these tags, divided by commas; staff only.", "hot_items,new")
            .text("tags-all", "With all of these tags; staff only.", "hot_items,new")
            .lists::<Slice>(&service::slice::COLUMNS),
        SLICES
            .may(Action::CreateSlice, "createSlice", (Method::POST, "/v1/slices"), "Add a slice")
            .about("It is closed for sync, unless `allow_sync` says otherwise.")
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
                "A slice by its name",
            )
            .answers::<Slice>(),
        SLICES
            .may(
                Action::ViewSlice,
                "viewMetadata",
                (Method::GET, "/v1/slices/metadata/{slice_id}"),
                "The metadata of a slice",
            )
            .answers_list::<MetadataPair>(Empty::Null),
        SLICES
            .may(
                Action::PublishSlice,
                "refreshSlice",
                (Method::POST, "/v1/slices/refresh/{slice_id}"),
                "Publish the draft of a slice",
            )
            .refuses(&[409]),
        SLICES
            .may(
                Action::LockSlice,
                "lockSlice",
                (Method::PUT, "/v1/slices/lock/{slice_id}"),
                "Close a slice for sync",
            )
            .about("For an hour at most. 409 `locked` while somebody else has it.")
            .refuses(&[409]),
        SLICES
            .may(
                Action::LockSlice,
                "unlockSlice",
                (Method::PUT, "/v1/slices/unlock/{slice_id}"),
                "Open a slice for sync",
            )
            .refuses(&[409]),
        SLICES
            .may(Action::ViewSlice, "viewSlice", (Method::GET, "/v1/slices/{slice_id}"), "A slice")
            .about("With its metadata and subscribers.")
            .answers::<Slice>(),
        SLICES
            .may(
                Action::UpdateSlice,
                "updateSlice",
                (Method::PATCH, "/v1/slices/{slice_id}"),
                "Change a slice",
            )
            .about("Metadata is replaced as a whole, in the draft: it is published by `refresh`.")
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
            .about("409 while somebody subscribes to it.")
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
                "Who has which version of a slice",
            )
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
                "How two versions of a slice differ",
            )
            .number("from", "The one compared from.", 0)
            .required()
            .number("to", "The one compared to: the published one if it is not said.", 0)
            .answers::<Comparison>(),
        SLICES
            .may(
                Action::PublishSlice,
                "rollbackSlice",
                (Method::POST, "/v1/slices/{slice_id}/rollback"),
                "Publish an earlier version anew",
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
            .flag("payload", "With payloads.")
            .lists::<Grain>(&service::grain::COLUMNS),
        GRAINS
            .may(Action::CreateGrain, "createGrain", (Method::POST, "/v1/grains"), "Add a grain to the draft")
            .flag("replace", "In the place of the grain with the same key.")
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
            .flag("payload", "With payloads.")
            .lists::<Grain>(&service::grain::COLUMNS_OF_SLICE),
        GRAINS
            .may(
                Action::FindGrainByKey,
                "findGrain",
                (Method::GET, "/v1/grains/{slice_id}/{grain_key}"),
                "A grain by its key",
            )
            .about("If there is none: 200 with every member zero, as the reference does.")
            .flag("payload", "With the payload.")
            .answers::<Grain>(),
        GRAINS
            .may(Action::ViewGrain, "viewGrain", (Method::GET, "/v1/grains/{grain_id}"), "A grain")
            .about("With payload and slice. Also one that an earlier version had.")
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
                "A subscription by its name",
            )
            .answers::<Subscription>(),
        SUBSCRIPTIONS
            .may(
                Action::ViewSubscription,
                "viewSubscription",
                (Method::GET, "/v1/subs/{subscription_id}"),
                "A subscription",
            )
            .answers::<Subscription>(),
        SUBSCRIPTIONS
            .may(
                Action::UpdateSubscription,
                "replaceSubscription",
                (Method::PUT, "/v1/subs/{subscription_id}"),
                "Change a subscription, as the reference does",
            )
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
                "It keeps its slice and its company. On a secondary `active` is the receiver's own switch.",
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
                "The subscription of a company to a slice",
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
            .may(Action::RecordActivity, "recordActivity", (Method::POST, "/v1/activity"), "Add a record")
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
                "A record",
            )
            .answers::<Activity>(),
        ACTIVITY.may(
            Action::DeleteActivity,
            "deleteActivity",
            (Method::DELETE, "/v1/activity/{activity_id}"),
            "Remove a record",
        ),
    ]
}

const TAGS: Resource = Resource("Tags");

fn tags() -> Vec<Operation> {
    vec![
        TAGS.may(Action::ListTags, "listTags", (Method::GET, "/v1/tags"), "List tags")
            .lists::<Tag>(&service::tag::COLUMNS),
        TAGS.may(Action::CreateTag, "createTag", (Method::POST, "/v1/tags"), "Add a tag")
            .about("Its name becomes lower case; spaces and commas become `_`.")
            .takes::<CreateTag>(json!({ "name": "hot_items", "description": "What sells best" }))
            .creates::<Tag>()
            .refuses(&[409]),
        TAGS.may(Action::ViewTag, "viewTag", (Method::GET, "/v1/tags/{tag_id}"), "A tag with its slices")
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
