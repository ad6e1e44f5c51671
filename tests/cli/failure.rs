//! What goes wrong is one clear line and the right exit code, and loses nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Folders, PASSWORD, Server, primary, programs, run_with, secondary};

#[test]
fn a_second_init_is_refused_and_changes_nothing() {
    let folders = Folders::new();
    let p = folders.primary();
    let before: Vec<_> =
        ["root.key", "config.toml"].map(|name| fs::read(folders.path("primary").join(name)).unwrap()).into();
    primary(&["init", "--name", "Other", "--data-dir", &p]).fails_with(78, "nothing was changed");
    let after: Vec<_> =
        ["root.key", "config.toml"].map(|name| fs::read(folders.path("primary").join(name)).unwrap()).into();
    assert_eq!(before, after);
    for name in ["root.key", "config.toml", "sandpiper.db"] {
        let mode = fs::metadata(folders.path("primary").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_refused_init_leaves_nothing_behind_and_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("p");
    let data_dir = dir.to_str().unwrap();
    let init = |name: &str, user: &str, password: &str| {
        let args = [
            "init",
            "--name",
            name,
            "--admin-username",
            user,
            "--admin-password-stdin",
            "--data-dir",
            data_dir,
        ];
        run_with(&programs().primary, &args, password, &[])
    };
    init("Better Brakes", "admin", "password1").fails_with(1, "too easy to guess");
    init("Better Brakes", "admin", "").fails_with(2, "password");
    init("Better Brakes", "a b", PASSWORD).fails_with(1, "Username");
    init("B", "admin", PASSWORD).fails_with(1, "at least 3 characters");
    assert!(
        !dir.exists() || fs::read_dir(&dir).unwrap().next().is_none(),
        "{:?}",
        fs::read_dir(&dir).unwrap().collect::<Vec<_>>()
    );
    primary(&["init", "--data-dir", data_dir]).fails_with(2, "--name");
    primary(&["init", "--name", "Better Brakes"]).fails_with(2, "--data-dir");
    for secret in ["abc", "u7WJ3kpqyvAkKb7HIfYJoSok2DoqTa9YhaCUhUujqb8="] {
        let args = ["init", "--name", "Better Brakes", "--data-dir", data_dir];
        run_with(&programs().primary, &args, "", &[("APIKEY_SECRET", secret)])
            .fails_with(78, "APIKEY_SECRET");
    }
    init("Better Brakes", "admin", PASSWORD).ok();
}

#[test]
fn without_a_terminal_init_makes_a_password_and_shows_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("p");
    let made =
        primary(&["init", "--json", "--name", "Better Brakes", "--data-dir", data_dir.to_str().unwrap()])
            .json();
    assert!(made["admin_password"].as_str().unwrap().len() >= 24);
}

#[test]
fn a_taken_port_is_told_at_once() {
    let folders = Folders::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let start = Instant::now();
    for (program, dir) in
        [(&programs().primary, folders.primary()), (&programs().secondary, folders.secondary())]
    {
        run_with(program, &["serve", "--listen", &addr, "--data-dir", &dir, "--log", "error"], "", &[])
            .fails_with(1, &format!("port {} is taken", taken.local_addr().unwrap().port()));
    }
    assert!(start.elapsed() < Duration::from_secs(20), "it does not hang");
    primary(&["serve", "--listen", "0.0.0.0:0", "--data-dir", &folders.primary()])
        .fails_with(78, "--tls-cert");
}

#[test]
fn a_wrong_database_url_is_an_error_and_never_a_new_file() {
    let folders = Folders::new();
    let p = folders.primary();
    let nowhere = folders.path("typo.db");
    for (url, code, words) in [
        ("postgress://localhost/x", 78, "starts with"),
        ("data.db", 78, "starts with"),
        ("sqlite://", 78, "names no file"),
        (&*format!("sqlite://{}", nowhere.display()), 78, "there is no database file"),
        (&*format!("sqlite://{p}"), 78, "there is no database file"),
        ("postgres://me:canary-pw@db.example.invalid/x", 78, "cannot encrypt"),
        ("postgres://127.0.0.1:1/x", 75, "cannot open"),
    ] {
        let ended = primary(&["slice", "list", "--data-dir", &p, "--database", url]);
        ended.fails_with(code, words);
        assert!(!ended.err.contains("canary"), "{ended:?}");
        let ended = run_with(
            &programs().primary,
            &["slice", "list", "--data-dir", &p],
            "",
            &[("SANDPIPER_DATABASE", url)],
        );
        ended.fails_with(code, words);
    }
    assert!(!nowhere.exists());
    let junk = folders.path("junk.db");
    fs::write(&junk, "this is no database, but it is long enough to look at".repeat(100)).unwrap();
    fs::set_permissions(&junk, fs::Permissions::from_mode(0o600)).unwrap();
    primary(&["slice", "list", "--data-dir", &p, "--database", &format!("sqlite://{}", junk.display())])
        .fails_with(78, "SQLite");
}

#[test]
fn a_missing_readable_or_wrong_root_key_is_told() {
    let folders = Folders::new();
    let p = folders.primary();
    let key = folders.path("primary").join("root.key");
    let good = fs::read(&key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    primary(&["slice", "list", "--data-dir", &p]).fails_with(78, "chmod 600");
    fs::remove_file(&key).unwrap();
    primary(&["slice", "list", "--data-dir", &p]).fails_with(78, "root key");
    let write = |bytes: &[u8]| {
        fs::write(&key, bytes).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(b"too short");
    primary(&["slice", "list", "--data-dir", &p]).fails_with(78, "64 hex digits");
    write(&fs::read(folders.path("secondary").join("root.key")).unwrap());
    primary(&["slice", "list", "--data-dir", &p]).fails_with(78, "does not belong to this database");
    write(&good);
    primary(&["slice", "list", "--data-dir", &p]).ok();
    // From the environment, for several primaries on one database.
    fs::remove_file(&key).unwrap();
    let text = String::from_utf8(good).unwrap();
    run_with(
        &programs().primary,
        &["slice", "list", "--data-dir", &p],
        "",
        &[("SANDPIPER_ROOT_KEY", text.trim())],
    )
    .ok();
}

#[test]
fn settings_and_folders_that_cannot_be_are_told() {
    let folders = Folders::new();
    let p = folders.primary();
    secondary(&["primaries", "--data-dir", &p]).fails_with(78, "use sandpiper-primary");
    primary(&["slice", "list", "--data-dir", folders.path("nothing").to_str().unwrap()])
        .fails_with(78, "cannot use the data folder");
    primary(&["slice", "list", "--data-dir", folders.folder.path().to_str().unwrap()]).fails_with(78, "init");
    let config = folders.path("primary").join("config.toml");
    fs::write(&config, "\ndatabse = \"postgres://u:canary-pw@h/d\"\n").unwrap();
    let ended = primary(&["slice", "list", "--data-dir", &p]);
    ended.fails_with(78, "line 2");
    assert!(ended.err.contains("databse") && !ended.err.contains("canary"), "{ended:?}");
    fs::write(&config, "").unwrap();
    let other = [("JWT_SECRET", "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-+")];
    run_with(&programs().primary, &["slice", "list", "--data-dir", &p], "", &other)
        .fails_with(78, "JWT_SECRET");
    primary(&["slice", "list", "--data-dir", &p]).ok();
}

#[test]
fn a_missing_key_and_an_unreachable_primary_are_told_apart() {
    let folders = Folders::new();
    let s = folders.secondary();
    secondary(&["sync", "--all", "--data-dir", &s]).fails_with(78, "connect");
    secondary(&["sync", "Nobody", "--data-dir", &s]).fails_with(1, "there is no primary \"Nobody\"");
    let connect = |url: &str| {
        run_with(
            &programs().secondary,
            &["connect", url, "-u", "anna", "--password-stdin", "--data-dir", &s],
            PASSWORD,
            &[],
        )
    };
    connect("http://127.0.0.1:1").fails_with(75, "cannot be reached");
    connect("127.0.0.1:1").fails_with(1, "https://host:port");
    connect("ftp://127.0.0.1:1").fails_with(1, "neither http nor https");
    connect("http://10.255.255.1").fails_with(78, "plain HTTP");
    secondary(&["connect", "http://127.0.0.1:1", "-u", "anna", "--data-dir", &s])
        .fails_with(2, "--password-stdin");
    let own = Server::start(&programs().secondary, &s, &[], &folders.path("log"));
    run_with(
        &programs().secondary,
        &["connect", &own.url, "-u", "admin", "--password-stdin", "--data-dir", &s],
        PASSWORD,
        &[],
    )
    .fails_with(1, "is not a primary");
    // A company brought by hand, without a key.
    let client = tokio::runtime::Runtime::new().unwrap();
    client.block_on(async {
        let admin = tests::node::login(&own.url, "admin", PASSWORD).await;
        let body =
            serde_json::json!({ "name": "By Hand", "sync_addr": "http://127.0.0.1:1", "active": true });
        let _company: serde_json::Value = admin.post("/v1/companies", &body).await.unwrap();
    });
    secondary(&["sync", "By Hand", "--data-dir", &s]).fails_with(78, "no api-key is stored");
}

/// A file system of 3 MB; mounting one needs root, as CI has it.
#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let folders = Folders::new();
    let small = folders.path("small");
    fs::create_dir(&small).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs"]).arg(&small).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI can mount a file system");
        // Not by a macro: the runner would hide it.
        let told = b"left out: a_full_disk_is_told_and_loses_nothing (no file system can be mounted here)\n";
        std::io::Write::write_all(&mut std::io::stderr(), told).unwrap();
        return;
    }
    let unmount = Unmount(small.clone());
    let dir = small.join("p");
    let data_dir = dir.to_str().unwrap();
    let init = || {
        let args = ["init", "--name", "Better Brakes", "--admin-password-stdin", "--data-dir", data_dir];
        run_with(&programs().primary, &args, PASSWORD, &[])
    };
    let ballast = small.join("ballast");
    fill(&ballast);
    init().fails_with(1, "space");
    fs::remove_file(&ballast).unwrap();
    init().ok();
    primary(&["slice", "add", "brake-pads", "--data-dir", data_dir]).ok();
    let (good, large) = (folders.path("good.xml"), folders.path("large.xml"));
    fs::write(&good, "<ACES/>").unwrap();
    let random = shared::clock::Random::seeded(1);
    let noise: Vec<u8> = (0..4_000).flat_map(|_| random.bytes::<1_000>()).collect();
    fs::write(&large, noise).unwrap();
    let add = |file: &std::path::Path| {
        primary(&["add", "--slice", "brake-pads", file.to_str().unwrap(), "--data-dir", data_dir])
    };
    add(&good).ok();
    add(&large).fails_with(1, "space");
    let slices = primary(&["slice", "list", "--json", "--data-dir", data_dir]).json();
    assert_eq!(
        (slices[0]["version"]["number"].as_i64(), slices[0]["content_count"].as_i64()),
        (Some(1), Some(1))
    );
    // Freed again, it goes on.
    fs::write(&good, "<ACES version=\"2\"/>").unwrap();
    assert!(add(&good).ok().out.contains("version 2"));
    drop(unmount);
}

fn fill(file: &std::path::Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(file).unwrap();
    for size in [65_536, 1024, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}
