//! Telling the operator's own programs that a sync changed something: a command, an address, or both. A hook that fails is noted
//! in the run, and is no failure of it.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use shared::client::{ClientError, HookUrl};
use shared::crypto::Secret;
use shared::crypto::signature::signature;
use shared::server::config::ConfigFile;
use shared::server::data_dir::Misconfigured;
use shared::store;
use shared::wire::{Id, Timestamp};

use crate::Secondary;
use crate::sync::Report;

/// What a command may take if the settings do not say.
const COMMAND_SECONDS: u32 = 60;
/// How often a report is sent before it is given up, and how long after the first failure; twice as long after each other one.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How often a command is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// What a command gets of the server's environment: none of the node's secrets.
const INHERITED: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// What is told when a sync changed something.
#[derive(Clone, Debug, Default)]
pub struct Hook {
    /// A program and its arguments; empty: none.
    pub command: Vec<String>,
    /// What it may take.
    pub limit: Duration,
    /// Where a report is posted, and what it is signed with.
    pub url: Option<(HookUrl, Secret)>,
}

impl Hook {
    /// As the settings say.
    ///
    /// # Errors
    /// [`Misconfigured`] naming the setting.
    pub fn of(config: &ConfigFile) -> Result<Self, Misconfigured> {
        let seconds = config.hook_command_seconds.unwrap_or(COMMAND_SECONDS);
        let url = match &config.hook_url {
            None => None,
            Some(text) => {
                let url = HookUrl::new(text).map_err(|error| Misconfigured(format!("hook_url {error}")))?;
                let secret = config.hook_secret()?.ok_or_else(|| {
                    Misconfigured(
                        "hook_url needs a secret to sign with: set hook_secret, hook_secret_file or \
                         SANDPIPER_HOOK_SECRET"
                            .to_owned(),
                    )
                })?;
                Some((url, secret))
            }
        };
        Ok(Self { command: config.hook_command.clone(), limit: Duration::from_secs(seconds.into()), url })
    }
}

/// What a hook is told.
#[derive(Serialize)]
struct Told<'a> {
    /// `synced`.
    event: &'static str,
    /// Of this node.
    server_id: Id,
    /// Now.
    sent_at: Timestamp,
    #[serde(flatten)]
    report: &'a Report,
}

/// Tells the hook if the run changed something. What fails is logged and noted in the run.
pub async fn after(secondary: &Secondary, report: &Report) {
    let hook = &secondary.settings.hook;
    if report.changed() == 0 || (hook.command.is_empty() && hook.url.is_none()) {
        return;
    }
    let (server_id, sent_at) = (secondary.node.server_id(), secondary.node.clock.now());
    let told = Told { event: "synced", server_id, sent_at, report };
    let mut failures = Vec::new();
    match serde_json::to_vec(&told) {
        Err(error) => failures.push(error.to_string()),
        Ok(json) => {
            let json = Bytes::from(json);
            if !hook.command.is_empty() {
                failures
                    .extend(run(hook, json.clone()).await.err().map(|why| format!("hook_command: {why}")));
            }
            if let Some((url, secret)) = &hook.url {
                let posted = post(secondary, url, secret, json).await;
                failures.extend(posted.err().map(|error| format!("hook_url: {error}")));
            }
        }
    }
    if failures.is_empty() {
        return;
    }
    let (run_id, why) = (report.run_id, failures.join("; "));
    tracing::warn!(primary = %report.primary, run = %run_id, error = %why, "the hook failed");
    let noted =
        secondary.node.store.write(move |conn| store::sync_run::set_hook_error(conn, run_id, &why)).await;
    if let Err(error) = noted {
        tracing::warn!(run = %run_id, %error, "the hook's failure could not be noted");
    }
}

/// Sends it until it is taken, a few times.
async fn post(secondary: &Secondary, url: &HookUrl, secret: &Secret, json: Bytes) -> Result<(), ClientError> {
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let signature = signature(secret, secondary.node.clock.now().unix(), &json);
        match secondary.http.post_signed(url, json.clone(), &signature).await {
            Err(error) if attempt < ATTEMPTS && is_worth_another(&error) => {
                tokio::time::sleep(pause).await;
                (attempt, pause) = (attempt + 1, pause * 2);
            }
            other => return other,
        }
    }
}

fn is_worth_another(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } => true,
        ClientError::Refused { status, .. } => {
            status.is_server_error() || [408, 429].contains(&status.as_u16())
        }
        _ => false,
    }
}

async fn run(hook: &Hook, json: Bytes) -> Result<(), String> {
    let (command, limit) = (hook.command.clone(), hook.limit);
    let ended = tokio::task::spawn_blocking(move || run_blocking(&command, limit, json)).await;
    ended.map_err(|error| error.to_string())?
}

/// No shell. What the command prints goes nowhere, what it complains of goes to the log of the server.
fn run_blocking(command: &[String], limit: Duration, json: Bytes) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("it is empty")?;
    let inherited = INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(inherited)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        // Of its own, so that what it has started ends with it.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    let input = child.stdin.take();
    // A command need not read it, and one that does not must not keep us.
    std::thread::spawn(move || input.map(|mut input| input.write_all(&json)));
    match wait(&mut child, limit) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!("{program} ended with {status}")),
        Ok(None) => Err(format!("{program} took longer than {} s, and was ended", limit.as_secs())),
        Err(error) => Err(error.to_string()),
    }
}

/// `None`: it had to be ended.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            break;
        }
        std::thread::sleep(LOOK);
    }
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let ended = group.map(|group| rustix::process::kill_process_group(group, rustix::process::Signal::KILL));
    if !matches!(ended, Some(Ok(()))) {
        child.kill()?;
    }
    child.wait()?;
    Ok(None)
}
