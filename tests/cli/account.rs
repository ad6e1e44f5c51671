//! Logins by command: what helps an operator who cannot log in.

use super::{Folders, PASSWORD, Served, primary, programs, run_with, secondary};

const NEW: &str = "walnut-comet-fjord-9";

#[test]
fn logins_are_listed_and_get_a_new_password() {
    let folders = Folders::new();
    for (program, dir) in
        [(&programs().primary, folders.primary()), (&programs().secondary, folders.secondary())]
    {
        let run = |args: &[&str], input: &str| {
            let args: Vec<&str> = args.iter().copied().chain(["--data-dir", &dir]).collect();
            run_with(program, &args, input, &[])
        };
        let create = [
            "account",
            "create",
            "-u",
            "o",
            "--role",
            "user",
            "--email",
            "o@example.com",
            "--password-stdin",
        ];
        assert!(run(&create, PASSWORD).ok().out.contains("role 300"));
        let list = run(&["account", "list"], "").ok().out;
        for words in ["NAME", "admin", "o@example.com", "300", "active", "never"] {
            assert!(list.contains(words), "{words}: {list}");
        }
        let users = run(&["account", "list", "--json"], "").json();
        assert_eq!((users[1]["username"].as_str(), users[1]["role"].as_i64()), (Some("o"), Some(300)));
        for user in ["admin", "o@example.com"] {
            let set = ["account", "password", user, "--password-stdin"];
            assert!(run(&set, NEW).ok().out.contains("has a new password"));
            run(&set, "password1").fails_with(1, "insecure password");
        }
        let changed = run(&["account", "list", "--json"], "").json();
        for user in [0, 1] {
            assert_ne!(changed[user]["password_changed"], users[user]["password_changed"]);
        }
        run(&["account", "password", "nobody", "--password-stdin"], NEW)
            .fails_with(1, "there is no user \"nobody\"");
        run(&["account", "password", "admin", "--password-stdin"], "").fails_with(2, "held nothing");
        run(&["account", "password", "admin"], "").fails_with(2, "no password");
    }
    // A machine has keys instead.
    let p = folders.primary();
    primary(&["company", "add", "Retail Parts", "--data-dir", &p]).ok();
    primary(&["apikey", "mint", "--company", "Retail Parts", "--data-dir", &p]).ok();
    let users = primary(&["account", "list", "--json", "--data-dir", &p]).json();
    let machine = users.as_array().unwrap().iter().find(|user| user["role"] == 200).unwrap();
    let set =
        ["account", "password", machine["username"].as_str().unwrap(), "--password-stdin", "--data-dir", &p];
    run_with(&programs().primary, &set, NEW, &[]).fails_with(1, "mint an api-key");
    secondary(&["account", "--help"]).ok();
}

#[test]
fn an_operator_sees_who_is_logged_in_and_ends_it() {
    let served = Served::new();
    let sessions = served.primary(&["account", "sessions", "--json"]).json();
    let names: Vec<_> =
        sessions.as_array().unwrap().iter().map(|row| row["username"].as_str().unwrap()).collect();
    assert_eq!(names, ["admin", "anna"], "newest first");
    let table = served.primary(&["account", "sessions", "anna"]).ok().out;
    assert!(table.contains("127.0.0.1") && !table.contains("admin"), "{table}");
    assert!(served.primary(&["account", "logout", "admin"]).ok().out.contains("logged in once"));
    let refused = served.runtime.block_on(served.admin.call(reqwest::Method::GET, "/v1/users"));
    assert!(refused.is_err(), "its token ended with it");
    assert!(served.primary(&["account", "logout", "admin"]).ok().out.contains("was not logged in"));
    served.primary(&["account", "logout", "nobody"]).fails_with(1, "there is no user \"nobody\"");
    assert!(served.primary(&["account", "unlock", "anna"]).ok().out.contains("anna may try again"));
    served.primary(&["account", "unlock", "nobody"]).fails_with(1, "there is no user \"nobody\"");
    // A machine is not logged in as a person is.
    served.secondary(&["sync"]).ok();
    assert_eq!(served.primary(&["account", "sessions", "--json"]).json().as_array().unwrap().len(), 1);
}
