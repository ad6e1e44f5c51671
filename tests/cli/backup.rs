//! `backup`: what it writes is the whole database as of one moment, or nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Folders, Served, primary};

#[test]
fn a_running_node_is_copied_whole_and_the_copy_is_a_node_again() {
    let served = Served::new();
    served.add("a", "raw", "payload");
    served.refresh();
    let file = served.folders.path("copy.db");
    let name = file.to_str().unwrap();
    let told = served.primary(&["backup", name]).ok().out;
    assert!(told.contains("as of now") && told.contains("root key"), "{told}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&file).unwrap();
    served.primary(&["backup", name]).fails_with(1, "exists already");
    assert_eq!(fs::read(&file).unwrap(), before, "never written over");
    // What comes later is not in it; what was there is.
    served.add("b", "raw", "later");
    served.refresh();
    drop(served.server);
    let folder = served.folders.path("primary");
    for beside in ["-wal", "-shm"] {
        drop(fs::remove_file(folder.join(format!("sandpiper.db{beside}"))));
    }
    fs::copy(&file, folder.join("sandpiper.db")).unwrap();
    let p = served.folders.primary();
    let grains = primary(&["list", "--slice", "items", "--json", "--data-dir", &p]).json();
    assert_eq!(grains.as_array().unwrap().len(), 1, "{grains}");
    let left: Vec<_> = fs::read_dir(served.folders.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn where_no_backup_can_be_written_none_is_begun() {
    let folders = Folders::new();
    let p = folders.primary();
    for (target, words) in [("/nowhere/at/all.db", "cannot write"), ("/", "exists already")] {
        primary(&["backup", target, "--data-dir", &p]).fails_with(1, words);
    }
    assert_eq!(primary(&["backup", "--data-dir", &p]).code, 2);
}
