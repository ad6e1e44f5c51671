//! Lists the migrations' SQL for the command `schema`: diesel embeds them, but does not give their text.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../migrations").canonicalize()?;
    println!("cargo::rerun-if-changed={}", root.display());
    let mut text = String::new();
    for (name, folder) in [("SQLITE", "sqlite"), ("POSTGRES", "postgres")] {
        writeln!(text, "const {name}: &[Migration] = &[")?;
        for (migration, file) in migrations(&root.join(folder))? {
            writeln!(text, "    Migration {{ name: {migration:?}, sql: include_str!({file:?}) }},")?;
        }
        writeln!(text, "];")?;
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("migrations.rs"), text)?;
    Ok(())
}

/// Names and files, in the order in which they run.
fn migrations(folder: &Path) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.path().join("up.sql");
        match (entry.file_name().to_str(), file.to_str()) {
            (Some(name), Some(file)) => found.push((name.to_owned(), file.to_owned())),
            _ => return Err(format!("{} is not UTF-8", file.display()).into()),
        }
    }
    found.sort();
    Ok(found)
}
