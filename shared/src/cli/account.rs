//! `account create|list|password|unlock|sessions|logout`: logins on this node, made and mended without one.

use clap::{Args, Subcommand, ValueEnum};

use super::{Failure, Global, output, prompt};
use crate::crypto::Secret;
use crate::node::{Node, service};
use crate::store::list::Selection;
use crate::store::user::UserRow;
use crate::store::{self, StoreError};
use crate::wire::server::ServerRole;
use crate::wire::user::{CreateUser, Role};

/// Logins of people.
#[derive(Subcommand, Clone, Debug)]
pub enum Account {
    /// Add a login
    #[command(
        after_help = "Example: account create -u anna --company 'Retail Parts' --password-stdin < password.txt"
    )]
    Create(Create),
    /// List logins
    #[command(after_help = "Example: account list --json")]
    List,
    /// Set the password of a login, without the old one: it ends everywhere and logs in anew
    #[command(after_help = "Example: account password anna --password-stdin < password.txt")]
    Password(Password),
    /// Let a person try again whose failed logins have reached the limit of a day
    #[command(after_help = "Example: account unlock anna")]
    Unlock(Unlock),
    /// List who is logged in, from where and since when
    #[command(after_help = "Example: account sessions anna")]
    Sessions(Sessions),
    /// End every login of a person
    #[command(after_help = "Example: account logout anna")]
    Logout(Logout),
}

/// Options of `account unlock`.
#[derive(Args, Clone, Debug)]
pub struct Unlock {
    /// User name or e-mail address
    #[arg(value_name = "USER")]
    pub user: String,
}

/// Options of `account sessions`.
#[derive(Args, Clone, Debug)]
pub struct Sessions {
    /// Only of this user: name or e-mail address
    #[arg(value_name = "USER")]
    pub user: Option<String>,
}

/// Options of `account logout`.
#[derive(Args, Clone, Debug)]
pub struct Logout {
    /// User name or e-mail address
    #[arg(value_name = "USER")]
    pub user: String,
}

/// Options of `account password`.
#[derive(Args, Clone, Debug)]
pub struct Password {
    /// User name or e-mail address
    #[arg(value_name = "USER")]
    pub user: String,
    /// Read the password from standard input
    #[arg(long)]
    pub password_stdin: bool,
}

/// Options of `account create`.
#[derive(Args, Clone, Debug)]
pub struct Create {
    /// User name: 1 to 30 of A-Z a-z 0-9 _ ~ . -
    #[arg(short, long, value_name = "NAME")]
    pub username: String,
    /// Password (seen by other users of this machine: prefer --password-stdin)
    #[arg(short, long, value_name = "PASS", conflicts_with = "password_stdin")]
    pub password: Option<Secret>,
    /// Read the password from standard input
    #[arg(long)]
    pub password_stdin: bool,
    /// What it may do [default: company-admin with --company, else admin]
    #[arg(long, value_enum)]
    pub role: Option<AccountRole>,
    /// Company it belongs to, by id or name [default: the owner of this node]
    #[arg(long, value_name = "ID|NAME")]
    pub company: Option<String>,
    /// E-mail address
    #[arg(long, value_name = "E-MAIL", default_value = "")]
    pub email: String,
    /// Given name [default: the user name]
    #[arg(long, value_name = "NAME")]
    pub first_name: Option<String>,
    /// Family name
    #[arg(long, value_name = "NAME", default_value = "")]
    pub last_name: String,
}

/// Roles that a person can have.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum AccountRole {
    /// Everything on this node
    SuperAdmin,
    /// Everything but other admins
    Admin,
    /// The rows of one company
    CompanyAdmin,
    /// Its own row
    User,
}

impl AccountRole {
    fn role(self) -> Role {
        match self {
            Self::SuperAdmin => Role::SuperAdmin,
            Self::Admin => Role::Admin,
            Self::CompanyAdmin => Role::CompanyAdmin,
            Self::User => Role::User,
        }
    }
}

/// Runs `account …` on a node of `server_role`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, command: Account, server_role: ServerRole) -> Result<(), Failure> {
    let node = global.open(server_role).await?.node;
    match command {
        Account::Create(options) => create(global, &node, options).await,
        Account::List => list(global, &node).await,
        Account::Password(options) => password(global, &node, options).await,
        Account::Unlock(options) => unlock(global, &node, options).await,
        Account::Sessions(options) => sessions(global, &node, options).await,
        Account::Logout(options) => logout(global, &node, options).await,
    }
}

async fn create(global: &Global, node: &Node, create: Create) -> Result<(), Failure> {
    let company = match &create.company {
        Some(company) => service::company::find(node, company.clone())
            .await
            .map_err(|_missing| Failure::failed(format!("there is no company \"{company}\" here")))?,
        None => service::company::find(node, node.server_id().to_string()).await?,
    };
    let is_partner = company.id != node.server_id();
    let role =
        create.role.map_or(if is_partner { Role::CompanyAdmin } else { Role::Admin }, AccountRole::role);
    if is_partner && role.is_staff() {
        return Err(Failure::usage(format!(
            "\"{}\" is a partner: its logins can be company-admin or user only, staff belongs to \"{}\"",
            company.name, node.server.server_name
        )));
    }
    let password = match create.password {
        Some(password) => password,
        None => prompt::new_password(create.password_stdin, "password", "--password-stdin")?,
    };
    let body = CreateUser {
        first_name: create.first_name.unwrap_or_else(|| create.username.clone()),
        last_name: create.last_name,
        username: create.username,
        password_confirm: Secret::default(),
        password,
        email: create.email,
        phone: String::new(),
        display_name: String::new(),
        company_id: company.id,
        role: role.number(),
        active: Some(true),
    };
    let user = service::user::insert(node, body, role).await?;
    output::print(global.json, &user, || {
        format!("added {} (role {}) of \"{}\"", user.username, user.role, company.name)
    })
}

async fn list(global: &Global, node: &Node) -> Result<(), Failure> {
    let (users, companies) = node
        .store
        .read(|conn| -> Result<_, StoreError> {
            let (users, _total) = store::user::list(conn, None, &Selection::all(&store::user::COLUMNS))?;
            let (companies, _total) =
                store::company::list(conn, None, &Selection::all(&store::company::COLUMNS))?;
            Ok((users, companies))
        })
        .await?;
    let users: Vec<_> = users.into_iter().map(service::user::to_wire).collect();
    output::print(global.json, &users, || {
        let rows: Vec<Vec<String>> = users
            .iter()
            .map(|user| {
                let company = companies.iter().find(|company| company.id == user.company_id);
                let state = if user.active { "active" } else { "inactive" };
                vec![
                    user.username.clone(),
                    user.email.clone(),
                    user.role.to_string(),
                    company.map_or_else(String::new, |company| company.name.clone()),
                    state.to_owned(),
                    user.last_login.map_or_else(|| "never".to_owned(), |time| time.to_string()),
                ]
            })
            .collect();
        output::table(&["NAME", "E-MAIL", "ROLE", "COMPANY", "STATE", "LAST LOGIN"], &rows)
    })
}

async fn password(global: &Global, node: &Node, options: Password) -> Result<(), Failure> {
    let user = find(node, options.user).await?;
    let question = format!("new password for {}", user.username);
    let password = prompt::new_password(options.password_stdin, &question, "--password-stdin")?;
    let reset = service::password::set_by_operator(node, user, password).await?;
    output::print(global.json, &reset, || {
        format!("{} has a new password, and must log in with it", reset.username)
    })
}

async fn unlock(global: &Global, node: &Node, options: Unlock) -> Result<(), Failure> {
    let user = find(node, options.user).await?;
    let username = user.username.clone();
    service::throttle::unlock(node, user).await?;
    output::print(global.json, &serde_json::json!({ "username": username }), || {
        format!("{username} may try again (after a wait of up to a minute where wrong passwords came from)")
    })
}

async fn sessions(global: &Global, node: &Node, options: Sessions) -> Result<(), Failure> {
    let user = match options.user {
        Some(user) => Some(find(node, user).await?.id),
        None => None,
    };
    let sessions = service::session::all(node, user).await?;
    output::print(global.json, &sessions, || {
        let rows: Vec<Vec<String>> = sessions
            .iter()
            .map(|session| {
                vec![
                    session.username.clone(),
                    session.created_at.to_string(),
                    session.last_seen_at.to_string(),
                    session.address.clone(),
                    output::escaped(&session.agent),
                ]
            })
            .collect();
        output::table(&["NAME", "SINCE", "LAST SEEN", "FROM", "CLIENT"], &rows)
    })
}

async fn logout(global: &Global, node: &Node, options: Logout) -> Result<(), Failure> {
    let user = find(node, options.user).await?;
    let ended = service::session::end_all(node, user.id).await?;
    output::print(global.json, &serde_json::json!({ "username": user.username, "ended": ended }), || {
        match ended {
            0 => format!("{} was not logged in", user.username),
            1 => format!("{} was logged in once, and is no more", user.username),
            many => format!("{} was logged in {many} times, and is no more", user.username),
        }
    })
}

async fn find(node: &Node, user: String) -> Result<UserRow, Failure> {
    let missing = Failure::failed(format!("there is no user \"{}\" here", output::escaped(&user)));
    service::user::find_login(node, user).await?.ok_or(missing)
}
