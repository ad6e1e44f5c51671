//! What is generated: completions, manual pages, the schema's SQL, secrets.

use std::fs;
use std::path::Path;

use super::{primary, programs, run_with, secondary};

#[test]
fn completions_are_printed_for_every_shell_and_pages_written_for_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = primary(&["completions", shell]).ok().out;
        assert!(script.contains("rollback") && script.contains("data-dir"), "{shell}");
        assert!(secondary(&["completions", shell]).ok().out.contains("primaries"), "{shell}");
    }
    assert_eq!(primary(&["completions", "tcsh"]).code, 2);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("share/man1");
    for (program, pages) in [
        (&programs().primary, ["sandpiper-primary.1", "sandpiper-primary-slice-rollback.1"]),
        (&programs().secondary, ["sandpiper-secondary.1", "sandpiper-secondary-sync.1"]),
    ] {
        let told = run_with(program, &["man", dir.to_str().unwrap(), "--json"], "", &[]).json();
        let name = pages[0].trim_end_matches(".1");
        let written = fs::read_dir(&dir)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(name))
            .count();
        assert_eq!(told["pages"], written);
        for page in pages {
            let text = fs::read_to_string(dir.join(page)).unwrap();
            assert!(text.contains("Example"), "{page}: {text}");
        }
    }
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    primary(&["man", file.to_str().unwrap()]).fails_with(1, "cannot write");
}

#[test]
fn the_schema_is_the_text_of_all_migrations_of_the_chosen_database() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    for (args, folder) in [
        (&["schema"][..], "sqlite"),
        (&["schema", "--backend", "sqlite"], "sqlite"),
        (&["schema", "--backend", "postgres"], "postgres"),
        (&["schema", "--database", "postgres://127.0.0.1:1/nobody"], "postgres"),
        (&["schema", "--database", "sqlite:///nowhere.db"], "sqlite"),
    ] {
        let shown = primary(args).ok().out;
        assert_eq!(shown, secondary(args).ok().out);
        let mut names: Vec<_> =
            fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let mut rest = shown.as_str();
        for path in names {
            let sql = fs::read_to_string(path.join("up.sql")).unwrap();
            let (_before, after) =
                rest.split_once(sql.trim_end()).unwrap_or_else(|| panic!("{}", path.display()));
            rest = after;
        }
        let steps = run_with(&programs().primary, &[args, &["--json"]].concat(), "", &[]).json();
        assert!(steps[0]["sql"].as_str().unwrap().contains("CREATE TABLE companies"));
    }
    primary(&["schema", "--database", "mysql://x/y"]).fails_with(78, "starts with");
}

#[test]
fn secrets_are_fresh_and_in_the_formats_of_the_reference() {
    let decode = |text: &str| data_encoding::BASE64.decode(text.as_bytes()).unwrap();
    let (one, two) = (primary(&["secrets", "--json"]).json(), secondary(&["secrets", "--json"]).json());
    for (member, bytes, characters) in [("api_key_secret", 32, 44), ("jwt_secret", 64, 88)] {
        let text = one[member].as_str().unwrap();
        assert_eq!((decode(text).len(), text.len()), (bytes, characters), "{member}");
        assert_ne!(one[member], two[member]);
    }
    let text = primary(&["secrets"]).ok().out;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("export {name}=\""))).unwrap();
        line.trim_end_matches('"').to_owned()
    };
    let (seal, jwt) = (value("APIKEY_SECRET"), value("JWT_SECRET"));
    // What is printed is what `init` takes, also with an id of one's own.
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("p");
    let id = "10000000-0000-0000-0000-000000000000";
    let args = ["init", "--json", "--name", "Better Brakes", "--id", id, "--data-dir", dir.to_str().unwrap()];
    let made =
        run_with(&programs().primary, &args, "", &[("APIKEY_SECRET", &seal), ("JWT_SECRET", &jwt)]).json();
    assert_eq!(made["server_id"], id);
    assert_eq!(primary(&["init", "--name", "Better Brakes", "--id", "1", "--data-dir", "/nowhere"]).code, 2);
}
