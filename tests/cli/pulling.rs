//! `pull`: each file whole or the old one, and one bad payload does not keep the rest.

use std::fs;

use super::Served;

#[test]
fn what_cannot_be_unpacked_keeps_its_old_file_and_the_rest_is_written() {
    let served = Served::new();
    served.add("good", "raw", "1");
    served.add("bad", "b64", "AP8=");
    served.refresh();
    served.secondary(&["sync"]).ok();
    let target = served.folders.path("out");
    let shown = target.to_str().unwrap();
    served.secondary(&["pull", shown]).ok();
    assert_eq!(fs::read(target.join("items/bad")).unwrap(), b"\0\xff");
    served.add("good", "raw", "2");
    served.slip_in("bad", "z64", "this is no gzip");
    served.refresh();
    served.secondary(&["sync"]).ok();
    let ended = served.secondary(&["pull", "-s", "Items", shown]);
    ended.fails_with(1, "1 could not be written, the old files stay");
    assert_eq!(fs::read(target.join("items/bad")).unwrap(), b"\0\xff");
    assert_eq!(fs::read(target.join("items/good")).unwrap(), b"2");
    // A folder in the place of a file, and a link in the place of the temporary one.
    fs::remove_file(target.join("items/good")).unwrap();
    fs::create_dir(target.join("items/good")).unwrap();
    let ended = served.secondary(&["pull", shown, "--json"]);
    ended.fails_with(1, "2 could not be written");
    let names: Vec<_> =
        fs::read_dir(target.join("items")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing is left of what failed: {names:?}");
}

#[test]
fn a_slice_is_pulled_into_the_same_folder_alone_and_with_all_others() {
    let served = Served::new();
    for name in ["a/b", "a:b"] {
        served.primary(&["slice", "add", name]).ok();
        served.primary(&["sub", "add", "--company", "Retail Parts", "--slice", name]).ok();
        let file = served.folders.path("file.xml");
        fs::write(&file, name).unwrap();
        served.primary(&["add", "-s", name, file.to_str().unwrap()]).ok();
    }
    served.secondary(&["sync"]).ok();
    let target = served.folders.path("out");
    let shown = target.to_str().unwrap();
    let all = served.secondary(&["pull", shown, "--json"]).json();
    for name in ["a/b", "a:b"] {
        let alone = served.secondary(&["pull", "-s", name, shown, "--json"]).json();
        let row = all.as_array().unwrap().iter().find(|row| row["slice"] == name).unwrap();
        assert_eq!(row["files"], alone[0]["files"], "{name}");
        assert_eq!(fs::read_to_string(alone[0]["files"][0].as_str().unwrap()).unwrap(), name);
    }
}
