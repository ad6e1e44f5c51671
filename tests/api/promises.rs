//! `docs/security.md`: every item has its row, and every row names tests and patches that there are. The patches still fit
//! the code.

use std::fs;
use std::path::{Path, PathBuf};

/// Prefix and number of items.
const ITEMS: [(&str, usize); 11] = [
    ("C", 9),
    ("K", 12),
    ("L", 8),
    ("T", 8),
    ("R", 6),
    ("H", 3),
    ("A", 6),
    ("N", 6),
    ("D", 5),
    ("O", 5),
    ("S", 2),
];

struct Promise {
    id: String,
    text: String,
    /// `target module::name…`.
    tests: Vec<String>,
    patches: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn promises() -> Vec<Promise> {
    let text = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>())
        .filter(|cells| cells[0].ends_with(|c: char| c.is_ascii_digit()))
        .map(|cells| {
            let [id, text, tests, patches] = cells[..] else { panic!("four columns: {cells:?}") };
            let list = |cell: &str| -> Vec<String> {
                cell.split(", ").filter(|part| !part.is_empty()).map(str::to_owned).collect()
            };
            Promise { id: id.to_owned(), text: text.to_owned(), tests: list(tests), patches: list(patches) }
        })
        .collect()
}

#[test]
fn every_item_has_a_row_and_a_row_without_a_test_says_why() {
    let expected: Vec<String> =
        ITEMS.iter().flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}{n}"))).collect();
    let promises = promises();
    let ids: Vec<&str> = promises.iter().map(|promise| promise.id.as_str()).collect();
    assert_eq!(ids, expected);
    for Promise { id, text, tests, .. } in &promises {
        let is_open = text.contains("*Later*");
        assert!(!tests.is_empty() || is_open, "{id} names no test and does not say why");
    }
}

#[test]
fn every_test_and_patch_that_a_row_names_exists() {
    let patches: Vec<String> = fs::read_dir(root().join("tests/attack/protections"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for promise in promises() {
        for name in &promise.tests {
            let (target, path) = name.trim_matches('`').split_once(' ').unwrap();
            assert!(
                path.ends_with("(documentation)") || exists(target, path),
                "{}: there is no {name}",
                promise.id
            );
        }
        for number in &promise.patches {
            assert!(
                patches.iter().any(|patch| patch.starts_with(&format!("{number}-"))),
                "{}: there is no patch {number}",
                promise.id
            );
        }
    }
}

/// A patch that fits no more, or elsewhere, shows nothing, and nobody would notice before the whole script is run.
#[test]
fn every_patch_changes_lines_that_are_there_among_those_that_are_there() {
    for entry in fs::read_dir(root().join("tests/attack/protections")).unwrap() {
        let path = entry.unwrap().path();
        let (mut file, mut before, mut hunks) = (String::new(), None, 0);
        let patch = fs::read_to_string(&path).unwrap();
        for line in patch.lines().chain(["@@"]) {
            if let Some(name) = line.strip_prefix("--- a/") {
                fits(&path, &file, before.take());
                file = fs::read_to_string(root().join(name)).unwrap();
            } else if line.starts_with("@@") {
                fits(&path, &file, before.replace(String::new()));
                hunks += 1;
            } else if let Some(block) = &mut before
                && let Some(line) = line.strip_prefix(['-', ' '])
            {
                block.push_str(line);
                block.push('\n');
            }
        }
        assert!(hunks > 1, "{}: it changes nothing", path.display());
    }
}

fn fits(patch: &Path, file: &str, block: Option<String>) {
    let block = block.unwrap_or_default();
    assert!(file.contains(&block), "{}: there is no\n{block}", patch.display());
}

/// Whether a test of that name, or one that begins so, stands in the module's file.
fn exists(target: &str, path: &str) -> bool {
    let (module, name) = path.rsplit_once("::").unwrap();
    let folder =
        if target == "shared" { root().join("shared/src") } else { root().join("tests").join(target) };
    let module = folder.join(module.replace("::", "/"));
    let files = [module.with_extension("rs"), module.join("mod.rs")];
    let wanted = match name.strip_suffix('…') {
        Some(begin) => format!("fn {begin}"),
        None => format!("fn {name}("),
    };
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).any(|text| {
        let mut last = "";
        text.lines().any(|line| {
            let is_test = last.trim_start().starts_with("#[") || last.trim_start().starts_with("reason");
            let found = is_test && line.contains(&wanted);
            if !line.trim_start().starts_with("//") {
                last = line;
            }
            found
        })
    })
}
