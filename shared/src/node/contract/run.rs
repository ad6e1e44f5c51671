//! Runs of a sync, and when a secondary begins them by itself.

use actix_web::http::Method;
use serde_json::json;

use super::operation::{Operation, Resource};
use crate::node::permission::Action;
use crate::store::{schedule, sync_run};
use crate::wire::run::{Run, RunBegun};
use crate::wire::schedule::{Schedule, SetSchedule};

const SYNC: Resource = Resource("Sync");

pub(super) fn operations() -> Vec<Operation> {
    let mut all = runs();
    all.extend(schedules());
    let run = SYNC
        .may(Action::RunSync, "runSync", (Method::POST, "/v1/sync/{company_id}"), "Sync with a primary")
        .about(
            "`company_id` is the company that stands for the primary here. Answers when it is done: 200 only if every active \
             slice that the primary offers is now equal to the primary's. It goes on if the caller hangs up.\n\nWith \
             `Prefer: respond-async` (RFC 7240) it answers 202 as soon as the run has begun, and `Location` says where to \
             look.\n\n409: another sync with that primary runs, this one was cancelled, or something must be set up first. \
             502: the primary refused, failed or could not be reached, or some slices failed: `message` says which and why.",
        )
        .header("Prefer", "`respond-async`: do not wait for the end.", "respond-async")
        .or_accepts::<RunBegun>()
        .refuses(&[409, 502]);
    let at_root = run.also("runSyncAtRoot", "/sync/{company_id}");
    all.extend([run, at_root]);
    all
}

fn runs() -> Vec<Operation> {
    vec![
        SYNC.may(Action::ViewRuns, "listRuns", (Method::GET, "/v1/sync/runs"), "List runs")
            .about("Newest first. Of each primary the last 1,000 are kept.")
            .lists::<Run>(&sync_run::COLUMNS),
        SYNC.may(Action::ViewRuns, "viewRun", (Method::GET, "/v1/sync/runs/{run_id}"), "View a run")
            .about("While it runs: how far it is, to about a second. Afterwards: what became of each slice.")
            .answers::<Run>(),
        SYNC.may(
            Action::ViewRuns,
            "watchRun",
            (Method::GET, "/v1/sync/runs/{run_id}/events"),
            "Watch a run",
        )
        .about(
            "Server-sent events: one at once, then one when something has changed, about one a second at most. Their data are \
             JSON. Events are named `progress`; the last one, when the run is over, is named `end`, and ends the stream. A \
             comment every few seconds keeps the connection. It does not matter which process runs it.",
        )
        .answers_events(&["progress", "end"], "event: end\ndata: {\"state\":\"success\"}\n\n"),
        SYNC.may(
            Action::CancelRun,
            "cancelRun",
            (Method::POST, "/v1/sync/runs/{run_id}/cancel"),
            "Cancel a run",
        )
        .about(
            "It stops between two batches, within a second or so: slices that are done stay done, and what has arrived of the \
             others stays for the next run. A run that is over stays as it is.",
        )
        .accepts::<Run>(),
    ]
}

fn schedules() -> Vec<Operation> {
    const PATH: &str = "/v1/sync/schedules/{company_id}";
    vec![
        SYNC.may(
            Action::ViewSchedules,
            "listSchedules",
            (Method::GET, "/v1/sync/schedules"),
            "List schedules",
        )
        .about("What is due first comes first.")
        .lists::<Schedule>(&schedule::COLUMNS),
        SYNC.may(
            Action::ViewSchedules,
            "viewSchedule",
            (Method::GET, PATH),
            "View the schedule of a primary",
        )
        .answers::<Schedule>(),
        SYNC.may(
            Action::ChangeSchedules,
            "setSchedule",
            (Method::PUT, PATH),
            "Set the schedule of a primary",
        )
        .about(
            "Either a cron expression with its zone, or a period. Takes the place of a schedule that is there. A period begins \
             at once; a cron expression with its next moment.",
        )
        .takes::<SetSchedule>(json!({ "cron": "15 2 * * *", "zone": "Europe/Berlin", "jitter_seconds": 600 }))
        .answers::<Schedule>(),
        SYNC.may(
            Action::ChangeSchedules,
            "removeSchedule",
            (Method::DELETE, PATH),
            "Remove the schedule of a primary",
        )
        .about("A run under way goes on."),
        SYNC.may(
            Action::ChangeSchedules,
            "pauseSchedule",
            (Method::POST, "/v1/sync/schedules/{company_id}/pause"),
            "Pause the schedule of a primary",
        )
        .about("A run under way goes on.")
        .answers::<Schedule>(),
        SYNC.may(
            Action::ChangeSchedules,
            "resumeSchedule",
            (Method::POST, "/v1/sync/schedules/{company_id}/resume"),
            "Resume the schedule of a primary",
        )
        .about("What was missed meanwhile is not made up for, and its failures are forgotten.")
        .answers::<Schedule>(),
    ]
}
