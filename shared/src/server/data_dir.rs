//! The data folder: plain files, readable by their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::config::ConfigFile;
use crate::crypto::root_key::RootKey;
use crate::store::DatabaseUrl;

/// The root key, 64 hex digits.
pub const ROOT_KEY: &str = "root.key";
/// The settings.
pub const CONFIG: &str = "config.toml";
/// The default database.
pub const DATABASE: &str = "sandpiper.db";
/// Holds the root key instead of the file.
pub const ROOT_KEY_VARIABLE: &str = "SANDPIPER_ROOT_KEY";

/// Something about the installation is wrong; a sentence that names the remedy. Exit code 78.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(pub String);

/// A checked data folder.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// An initialised folder.
    ///
    /// # Errors
    /// [`Misconfigured`] when it is missing, another user's, on a network file system or not initialised.
    pub fn open(path: &Path) -> Result<Self, Misconfigured> {
        let dir = Self::check(path)?;
        if !dir.is_initialised() {
            let path = path.display();
            return Err(Misconfigured(format!(
                "{path} is not initialised: run `init --data-dir {path}` first"
            )));
        }
        Ok(dir)
    }

    /// A folder to initialise; made (mode 0700) if it is missing.
    ///
    /// # Errors
    /// [`Misconfigured`] as [`open`](Self::open).
    pub fn create(path: &Path) -> Result<Self, Misconfigured> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| Misconfigured(format!("cannot make the folder {}: {error}", path.display())))?;
        Self::check(path)
    }

    fn check(path: &Path) -> Result<Self, Misconfigured> {
        let shown = path.display();
        let path = path
            .canonicalize()
            .map_err(|error| Misconfigured(format!("cannot use the data folder {shown}: {error}")))?;
        let metadata =
            fs::metadata(&path).map_err(|error| Misconfigured(format!("cannot read {shown}: {error}")))?;
        if !metadata.is_dir() {
            return Err(Misconfigured(format!("{shown} is not a folder: name one with --data-dir")));
        }
        let own = rustix::process::geteuid().as_raw();
        if metadata.uid() != own {
            return Err(Misconfigured(format!(
                "{shown} belongs to user {}, this process runs as {own}: run it as the folder's owner",
                metadata.uid()
            )));
        }
        if let Some(kind) = network_file_system(&path) {
            return Err(Misconfigured(format!(
                "{shown} is on a network file system ({kind}), where locks cannot be trusted: use a local disk"
            )));
        }
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// `init` writes the settings last.
    pub fn is_initialised(&self) -> bool {
        self.file(CONFIG).exists()
    }

    /// The settings.
    ///
    /// # Errors
    /// [`Misconfigured`] naming file and line.
    pub fn config(&self) -> Result<ConfigFile, Misconfigured> {
        let path = self.file(CONFIG);
        require_private(&path)?;
        let text = fs::read_to_string(&path)
            .map_err(|error| Misconfigured(format!("cannot read {}: {error}", path.display())))?;
        ConfigFile::parse(&text).map_err(|error| Misconfigured(format!("{}: {error}", path.display())))
    }

    /// The root key, from the environment or the file.
    ///
    /// # Errors
    /// [`Misconfigured`] when it is missing, readable by others or no key; never shows the value.
    pub fn root_key(&self) -> Result<RootKey, Misconfigured> {
        if let Ok(text) = std::env::var(ROOT_KEY_VARIABLE) {
            return RootKey::parse(&text)
                .ok_or_else(|| Misconfigured(format!("{ROOT_KEY_VARIABLE} must be 64 random hex digits")));
        }
        let path = self.file(ROOT_KEY);
        let shown = path.display();
        if !path.exists() {
            return Err(Misconfigured(format!(
                "the root key {shown} is missing: restore it from your backup (without it no stored key can be read)"
            )));
        }
        require_private(&path)?;
        let text = fs::read_to_string(&path)
            .map(zeroize::Zeroizing::new)
            .map_err(|error| Misconfigured(format!("cannot read {shown}: {error}")))?;
        RootKey::parse(&text).ok_or_else(|| {
            Misconfigured(format!("{shown} is not 64 hex digits: restore it from your backup"))
        })
    }

    /// Where the data lives: `given` (flag or environment), then the settings, then the default file.
    ///
    /// # Errors
    /// [`Misconfigured`] for a URL of no known scheme, and for a file that other users can read: it holds hashes of
    /// passwords, and what partners must not see of each other.
    pub fn database(&self, given: Option<&str>, config: &ConfigFile) -> Result<DatabaseUrl, Misconfigured> {
        let url = match given.or(config.database.as_deref()) {
            Some(url) => {
                url.parse().map_err(|error: crate::store::UrlError| Misconfigured(error.to_string()))?
            }
            None => DatabaseUrl::Sqlite(self.file(DATABASE)),
        };
        if let DatabaseUrl::Sqlite(path) = &url {
            for beside in ["", "-wal", "-shm"] {
                let mut name = path.clone().into_os_string();
                name.push(beside);
                require_private(Path::new(&name))?;
            }
        }
        Ok(url)
    }

    /// Writes a new file, mode 0600, so that it is there whole or not at all, also after a power cut.
    ///
    /// # Errors
    /// The file system's; `AlreadyExists`.
    pub fn write_new(&self, name: &str, contents: &[u8]) -> std::io::Result<()> {
        let (target, temporary) = (self.file(name), self.file(&format!(".{name}.new")));
        if target.exists() {
            return Err(std::io::ErrorKind::AlreadyExists.into());
        }
        let written = (|| {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(contents)?;
            file.sync_all()?;
            fs::rename(&temporary, &target)?;
            File::open(&self.path)?.sync_all()
        })();
        if written.is_err() {
            // What stays of a failed write is no use to anybody; the error is what counts.
            drop(fs::remove_file(&temporary));
        }
        written
    }
}

pub(super) fn require_private(path: &Path) -> Result<(), Misconfigured> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    let for_others = metadata.mode() & 0o077;
    if for_others == 0 {
        return Ok(());
    }
    let shown = path.display();
    Err(Misconfigured(format!("{shown} can be read by other users: run `chmod 600 {shown}`")))
}

fn network_file_system(path: &Path) -> Option<&'static str> {
    let kind = rustix::fs::statfs(path).ok()?.f_type;
    // linux/magic.h
    [(0x6969_i64, "NFS"), (0x517B, "SMB"), (0xFF53_4D42, "CIFS"), (0xFE53_4D42, "SMB2"), (0x5346_414F, "AFS")]
        .into_iter()
        .find(|(magic, _name)| *magic == kind & 0xFFFF_FFFF)
        .map(|(_magic, name)| name)
}
