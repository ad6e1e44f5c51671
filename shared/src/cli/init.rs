//! `init`: makes a node, with keys of its own and one admin. Refuses what is initialised and changes nothing then.

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Failure, Global, output, prompt};
use crate::clock::{Clock, Random};
use crate::crypto::Secret;
use crate::crypto::keyring::{Purpose, fresh_jwt_secret, fresh_seal_secret, import};
use crate::crypto::root_key::RootKey;
use crate::node::found::{FoundError, Founding, RingSecret, found};
use crate::server::config::ConfigFile;
use crate::server::data_dir::{CONFIG, DATABASE, DataDir, ROOT_KEY, ROOT_KEY_VARIABLE};
use crate::store::setting;
use crate::store::{DatabaseUrl, Store, StoreError, create_file};
use crate::wire::Id;
use crate::wire::server::ServerRole;

/// Options of `init`.
#[derive(Args, Clone, Debug)]
pub struct Init {
    /// Name of the company that owns this node
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Id of that company [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub id: Option<Id>,
    /// URL under which partners reach this server
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// User name of the first admin
    #[arg(long, value_name = "NAME", default_value = "admin")]
    pub admin_username: String,
    /// Read the admin's password from standard input [default: ask; without a terminal, make one and print it once]
    #[arg(long)]
    pub admin_password_stdin: bool,
}

#[derive(Serialize)]
struct Made {
    data_dir: String,
    server_id: Id,
    server_role: ServerRole,
    name: String,
    database: String,
    admin_username: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_password: Option<String>,
}

/// Makes the node.
///
/// # Errors
/// Configuration (78) when the folder is initialised or cannot be used; what else went wrong, after taking back what
/// was made so far.
pub async fn run(global: &Global, init: Init, role: ServerRole) -> Result<(), Failure> {
    let path = global.data_dir()?;
    if path.join(CONFIG).exists() {
        return Err(Failure::config(format!(
            "{} is initialised already: nothing was changed",
            path.display()
        )));
    }
    let name = prompt::text(init.name.clone(), "name of the company that owns this server", "--name")?;
    let config = ConfigFile { database: global.database.clone(), ..ConfigFile::default() };
    let secrets = ring_secrets(role)?;
    let (password, shown) = admin_password(&init, &config)?;
    let dir = DataDir::create(path)?;
    let url = dir.database(global.database.as_deref(), &config)?;
    let mut made = Undo::default();
    let result = async {
        let root_key = root_key(&dir, &mut made)?;
        if let DatabaseUrl::Sqlite(file) = &url {
            // An init that was killed may have left one.
            if !file.exists() {
                made.database = Some(file.clone());
            }
            create_file(file)?;
        }
        let store = {
            let url = url.clone();
            tokio::task::spawn_blocking(move || Store::open(url))
                .await
                .map_err(|error| StoreError::Internal(error.to_string()))??
        };
        refuse_founded(&dir, &store, &root_key).await?;
        let founding = Founding {
            role,
            id: init.id,
            name: name.clone(),
            public_url: init.public_url.clone(),
            admin_username: init.admin_username.clone(),
            admin_password: password,
            secrets,
            policy: config.password_policy(),
        };
        let node = found(store, &root_key, founding, Clock::System, Random::System).await?;
        write_config(&dir, &config)?;
        Ok::<_, Failure>(node.server_id())
    }
    .await;
    let server_id = match result {
        Ok(server_id) => server_id,
        Err(failure) => {
            made.take_back();
            return Err(failure);
        }
    };
    let summary = Made {
        data_dir: dir.path().display().to_string(),
        server_id,
        server_role: role,
        name,
        database: url.to_string(),
        admin_username: init.admin_username,
        admin_password: shown.as_ref().map(|password| password.expose().to_owned()),
    };
    output::print(global.json, &summary, || report(&summary))
}

fn report(made: &Made) -> String {
    let mut lines = vec![
        format!("{} \"{}\" is ready in {}", made.server_role, made.name, made.data_dir),
        format!("  server id   {}", made.server_id),
        format!("  database    {}", made.database),
        format!("  admin       {}", made.admin_username),
    ];
    if let Some(password) = &made.admin_password {
        lines.push(format!("  password    {password}   (shown once: keep it now)"));
    }
    lines.push(format!(
        "  root key    {}/{ROOT_KEY}   (back it up: without it no stored key can be read)",
        made.data_dir
    ));
    lines.push(format!("next: sandpiper-{} serve --data-dir {}", made.server_role, made.data_dir));
    lines.join("\n")
}

impl From<FoundError> for Failure {
    fn from(error: FoundError) -> Self {
        match error {
            FoundError::Open(error) => error.into(),
            FoundError::Refused(error) => error.into(),
        }
    }
}

/// Writes the settings: last, since their presence says that the node is initialised.
pub(super) fn write_config(dir: &DataDir, config: &ConfigFile) -> Result<(), Failure> {
    let text = toml::to_string(config).map_err(|error| Failure::failed(error.to_string()))?;
    let text = format!(
        "# Settings of this node; see docs/operations.md. Flags and SANDPIPER_… variables win.\n{text}"
    );
    Ok(dir.write_new(CONFIG, text.as_bytes())?)
}

/// What a failed `init` made and must take back; nothing that was there before.
#[derive(Default)]
pub(super) struct Undo {
    root_key: Option<std::path::PathBuf>,
    pub(super) database: Option<std::path::PathBuf>,
}

impl Undo {
    pub(super) fn take_back(self) {
        let mut files: Vec<std::path::PathBuf> = self.root_key.into_iter().collect();
        if let Some(database) = self.database {
            for suffix in ["", "-wal", "-shm", ".migrate.lock"] {
                let mut name = database.clone().into_os_string();
                name.push(suffix);
                files.push(name.into());
            }
        }
        for file in files.iter().filter(|file| file.exists()) {
            if let Err(error) = std::fs::remove_file(file) {
                tracing::warn!(file = %file.display(), %error, "could not remove what a failed init left");
            }
        }
    }
}

/// The node of this very folder without its settings: an init that was killed at its last step, or settings that were
/// removed. Neither is ours to overwrite. (Somebody else's node is refused when ours is founded.)
async fn refuse_founded(dir: &DataDir, store: &Store, root_key: &RootKey) -> Result<(), Failure> {
    let setting = store.read(setting::find).await?;
    if setting.is_none_or(|setting| setting.root_key_check != root_key.check()) {
        return Ok(());
    }
    let (config, database) = (dir.file(CONFIG), store.url());
    let line = match database {
        DatabaseUrl::Sqlite(file) if *file == dir.file(DATABASE) => "an empty one".to_owned(),
        _ => "one with the line database = \"URL\", the URL of --database,".to_owned(),
    };
    Err(Failure::config(format!(
        "{database} holds the node of this folder, but {} is missing: an earlier init was cut off at its end, or the \
         settings were removed. To keep the node, put {line} there (mode 600), and if its admin's password is lost, make \
         another admin with `account create`; to start anew, empty the database and remove {ROOT_KEY}",
        config.display(),
    )))
}

/// The node's root key: given by the environment, there already, or made now.
pub(super) fn root_key(dir: &DataDir, made: &mut Undo) -> Result<RootKey, Failure> {
    let given = std::env::var_os(ROOT_KEY_VARIABLE).is_some() || dir.file(ROOT_KEY).exists();
    if given {
        return Ok(dir.root_key()?);
    }
    let key = RootKey::fresh(&Random::System);
    dir.write_new(ROOT_KEY, format!("{}\n", key.to_hex().as_str()).as_bytes())?;
    made.root_key = Some(dir.file(ROOT_KEY));
    Ok(key)
}

/// The rings' first entries: the reference's secrets from the environment, or fresh ones.
fn ring_secrets(role: ServerRole) -> Result<Vec<RingSecret>, Failure> {
    let secret = |variable: &str, purpose: Purpose, fresh: Zeroizing<String>| {
        let text = std::env::var(variable).map_or(fresh, Zeroizing::new);
        import(purpose, &text).map_err(|weak| Failure::config(format!("{variable}: {weak}")))
    };
    let mut secrets =
        vec![("j0", Purpose::Jwt, secret("JWT_SECRET", Purpose::Jwt, fresh_jwt_secret(&Random::System))?)];
    if role == ServerRole::Primary {
        let seal = secret("APIKEY_SECRET", Purpose::Seal, fresh_seal_secret(&Random::System))?;
        secrets.push(("r0", Purpose::Seal, seal));
    }
    Ok(secrets)
}

/// The admin's password, and whether it must be shown.
fn admin_password(init: &Init, config: &ConfigFile) -> Result<(Secret, Option<Secret>), Failure> {
    if init.admin_password_stdin || prompt::can_ask() {
        let question = format!("password for {}", init.admin_username);
        let password = prompt::new_password(init.admin_password_stdin, &question, "--admin-password-stdin")?;
        // Checked before anything is made.
        config
            .password_policy()
            .check(password.clone(), &[&init.admin_username, init.name.as_deref().unwrap_or_default()])
            .map_err(|rejected| Failure::failed(rejected.to_string()))?;
        return Ok((password, None));
    }
    let made = Secret::from(data_encoding::BASE32_NOPAD.encode(&Random::System.bytes::<15>()).to_lowercase());
    Ok((made.clone(), Some(made)))
}
