//! A server that dies leaves nothing of its memory behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use super::{Folders, Server, primary, programs};

#[test]
fn a_server_that_is_aborted_dumps_no_core() {
    let folders = Folders::new();
    let p = folders.primary();
    // The shell would allow one, as large as it likes.
    let script = format!(
        "ulimit -c unlimited; cd {dir} && exec {program} serve --listen 127.0.0.1:0 --data-dir {p}",
        dir = folders.path("primary").display(),
        program = programs().primary.display(),
    );
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    assert!(line.contains("http"), "{line}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    Command::new("kill").args(["-ABRT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
}

#[test]
fn a_database_that_others_can_read_is_refused() {
    let folders = Folders::new();
    let p = folders.primary();
    for name in ["sandpiper.db", "sandpiper.db-wal"] {
        let file = folders.path("primary").join(name);
        if !file.exists() {
            fs::write(&file, b"").unwrap();
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        primary(&["slice", "list", "--data-dir", &p]).fails_with(78, "chmod 600");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        primary(&["slice", "list", "--data-dir", &p]).ok();
    }
    // A running server sees to it when it starts.
    drop(Server::start(&programs().primary, &p, &[], &folders.path("log")));
}
