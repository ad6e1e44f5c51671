//! Names that come from the other side become files here: `pull` with the real program.

use serde_json::{Value, json};
use tests::TestPrimary;
use tests::node::COMPANY_ADMIN_PASSWORD;

use super::process::{Secondary, tree};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_primary_calls_its_slices_and_files_pull_writes_below_its_target_and_nowhere_else() {
    let secondary = tokio::task::spawn_blocking(Secondary::new).await.unwrap();
    let sandbox = secondary.folder.path().to_owned();
    // Deep enough that no dots lead out of the sandbox.
    let target = sandbox.join("a/b/c/d/e/f");
    std::fs::create_dir_all(&target).unwrap();
    let absolute = sandbox.join("absolute");
    let hostile: Vec<String> = [
        "../../../up",
        "../sibling",
        "..\\..\\..\\up",
        "sub/../../../up",
        "./here/../../up",
        "C:\\Windows\\up",
        "//server/share",
        "~/.ssh/authorized_keys",
        ".hidden",
        "name.part",
        "%2e%2e%2fup",
        "..%2f..%2fup",
        "\u{ff0e}\u{ff0e}\u{ff0f}up",
        "-rf",
        "...",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([absolute.to_str().unwrap().to_owned()])
    .collect();

    let primary = TestPrimary::start().await;
    let company = primary.add_company("Retail Parts", "companyadmin").await;
    for (number, name) in hostile.iter().enumerate() {
        // As the name of a slice, of a whole file, and of an item.
        let slice = primary.add_slice(name, "asset-files", &json!({}), company).await;
        for (key, source) in [("level-1", name.as_str()), (name.as_str(), "item"), ("a/../../../../up", name)]
        {
            let body = json!({
                "slice_id": slice, "grain_key": key, "source": source, "encoding": "raw",
                "payload": format!("content {number}"),
            });
            let _grain: Value = primary.admin.post("/v1/grains", &body).await.unwrap();
        }
        primary.refresh(slice).await;
    }

    let url = primary.url.clone();
    tokio::task::spawn_blocking(move || {
        let connect = ["connect", &url, "-u", "companyadmin", "--password-stdin"];
        secondary.ok(&connect, COMPANY_ADMIN_PASSWORD);
        secondary.ok(&["sync", "--all"], "");
        let data = secondary.path("data");
        let outside = tree(&sandbox, &[&target, &data]);
        // Relative and absolute, and twice: names are the same each time.
        for _ in 0..2 {
            let pulled = secondary.run(&["pull", target.to_str().unwrap()], "");
            assert_eq!(tree(&sandbox, &[&target, &data]), outside, "{pulled:?}");
            assert!(pulled.status.success(), "{pulled:?}");
        }
        let inside = tree(&target, &[]);
        let files: Vec<_> = inside.iter().filter(|(_path, content)| !content.is_empty()).collect();
        assert_eq!(files.len(), hostile.len() * 3, "no two names became one: {files:?}");
        for (path, _content) in &inside {
            let below = path.strip_prefix(&target).unwrap();
            assert!(below.components().count() <= 2, "{}", below.display());
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(!name.starts_with('.') && !name.contains('\\'), "{name}");
        }
    })
    .await
    .unwrap();
}
