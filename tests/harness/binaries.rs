//! The real binaries, for the demo and for tests of the command line: built once, by the cargo that runs this.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Both servers.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `sandpiper-primary`.
    pub primary: PathBuf,
    /// `sandpiper-secondary`.
    pub secondary: PathBuf,
}

impl Programs {
    /// Builds them in the profile of this program.
    ///
    /// # Errors
    /// A sentence; cargo has told the rest.
    pub fn build() -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        // target/PROFILE/demo, or target/PROFILE/deps/test-HASH.
        let folder = own
            .ancestors()
            .skip(1)
            .find(|folder| !folder.ends_with("deps"))
            .ok_or("this program stands in no folder")?
            .to_owned();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--package", "primary", "--package", "secondary"]);
        if folder.ends_with("release") {
            command.arg("--release");
        }
        match command.stdin(Stdio::null()).status() {
            Ok(status) if status.success() => {}
            Ok(_) => return Err("the servers did not build".to_owned()),
            Err(error) => return Err(format!("cargo cannot be run: {error}")),
        }
        Ok(Self { primary: folder.join("sandpiper-primary"), secondary: folder.join("sandpiper-secondary") })
    }
}
