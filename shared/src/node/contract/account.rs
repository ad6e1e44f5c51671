//! Logins, api-keys, companies and users.

use actix_web::http::Method;
use serde_json::json;

use super::operation::{Empty, Operation, Resource};
use crate::node::permission::Action;
use crate::node::service;
use crate::wire::api_key::{ApiKey, ApiKeyInfo, MintRequest};
use crate::wire::auth::{AuthToken, KeyLogin, PasswordLogin, Refresh, RefreshedToken};
use crate::wire::company::{Company, CreateCompany, UpdateCompany};
use crate::wire::connection::{Connect, Connected, Rotated};
use crate::wire::password::{ChangePassword, PasswordReset, ResetPassword};
use crate::wire::server::Server;
use crate::wire::session::Session;
use crate::wire::setting::{Setting, WriteSetting};
use crate::wire::user::{CreateUser, UpdateUser, User};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = login();
    all.extend(api_keys());
    all.extend(companies());
    all.extend(servers());
    all.extend(users());
    all.extend(settings());
    all
}

const LOGIN: Resource = Resource("Login");

fn login() -> Vec<Operation> {
    vec![
        LOGIN
            .public("check", (Method::GET, "/check"), "Check that the server runs")
            .answers_json_text("Sandpiper API OK"),
        LOGIN
            .public("openapi", (Method::GET, "/openapi.json"), "This contract, for programs")
            .about("The page `/docs/` shows it to people.")
            .answers_object(),
        LOGIN
            .public("login", (Method::POST, "/login"), "Log in with a password or an api-key")
            .about(
                "The body names a user with his password, or an api-key; a key that is not empty counts alone. `username` \
                 may be the user's e-mail address. A refused login has one answer, whatever the cause. After a few wrong \
                 passwords for one name from one address each further one has to wait (429, with Retry-After). The access token \
                 lives 15 minutes, and ends at once when its user, company or key is switched off.",
            )
            .takes_either::<PasswordLogin, KeyLogin>(json!({ "username": "companyadmin", "password": "a long pass phrase" }))
            .answers::<AuthToken>()
            .refuses(&[401, 429]),
        LOGIN
            .public("syncLogin", (Method::POST, "/synclogin"), "Log in with an api-key")
            .about("What `POST /login` does with a key, and nothing else.")
            .takes::<KeyLogin>(json!({ "sync-api-key": "1f2e3d4c" }))
            .answers::<AuthToken>()
            .refuses(&[401]),
        LOGIN
            .public("refresh", (Method::GET, "/refresh/{token}"), "Renew an access token")
            .about("`token` in the path is the `refresh_token` of a login: good as long as the login, 24 hours unless the server's \
                    settings say otherwise. It stays the same; `POST /refresh` exchanges it, which is safer.")
            .answers::<RefreshedToken>()
            .refuses(&[401]),
        LOGIN
            .public("exchangeRefreshToken", (Method::POST, "/refresh"), "Exchange a refresh token for another one")
            .about(
                "Answers a new access token and a new refresh token; the old one is spent. Shown again, a spent one ends the login, \
                 since two have it. Only if its answer was lost, it may be asked for again for 30 seconds, while the new one was \
                 not used: then the answer holds the same new one. A machine's refresh token stays the same.",
            )
            .takes::<Refresh>(json!({ "refresh_token": "64 hex digits" }))
            .answers::<AuthToken>()
            .refuses(&[401]),
        LOGIN
            .may(Action::Logout, "logout", (Method::POST, "/logout"), "End the caller's own login")
            .about("Its access and refresh tokens are refused from now on, by every server."),
        LOGIN
            .may(Action::ListSessions, "listSessions", (Method::GET, "/v1/sessions"), "List logins that are alive")
            .about("Newest first: the caller's own, for staff everybody's.")
            .lists::<Session>(&service::session::COLUMNS),
        LOGIN
            .may(
                Action::EndSession,
                "endSession",
                (Method::DELETE, "/v1/sessions/{session_id}"),
                "End a login",
            )
            .about("Its access and refresh tokens are refused from now on, by every server."),
        LOGIN.may(Action::ViewSelf, "me", (Method::GET, "/me"), "View the caller's own user").answers::<User>(),
        LOGIN
            .may(Action::ViewServer, "server", (Method::GET, "/server"), "View which server answers")
            .answers::<Server>(),
    ]
}

const KEYS: Resource = Resource("Api-keys");

fn api_keys() -> Vec<Operation> {
    let mint = KEYS
        .may(
            Action::MintApiKey,
            "mintApiKey",
            (Method::POST, "/v1/apikey"),
            "Mint the api-key of the caller's company",
        )
        .about(
            "A company has one key: the one before dies at that moment, unless `overlap_seconds` keeps it until the new one \
             first logs in. With the header `Idempotency-Key` a retry gets the same answer for 24 hours, and nothing is \
             minted again.\n\n409: staff has switched the company's machine user off, or the key that was minted with this \
             `Idempotency-Key` has logged in or ended meanwhile. 422: the `Idempotency-Key` was used with another body.",
        )
        .header("Idempotency-Key", "Names this request, so that it can be repeated: 1 to 255 characters of ASCII, best a random UUID.", "4f0c9a52-7d1e-4a57-9d0e-0d1b7a1c5e21")
        .takes_optional::<MintRequest>(json!({ "overlap_seconds": 86_400 }))
        .answers::<ApiKey>()
        .refuses(&[409, 422]);
    let list = KEYS
        .may(
            Action::ListApiKeys,
            "listApiKeys",
            (Method::GET, "/v1/apikey"),
            "List the api-keys of the caller's company",
        )
        .about(
            "Newest first: when they were minted and used, never the keys themselves. The list has no pages.",
        )
        .answers_list::<ApiKeyInfo>(Empty::Array);
    let revoke = KEYS.may(
        Action::RevokeApiKeys,
        "revokeApiKeys",
        (Method::DELETE, "/v1/apikey"),
        "End every api-key of the caller's company",
    );
    let at_root = [
        mint.also("mintApiKeyAtRoot", "/apikey"),
        list.also("listApiKeysAtRoot", "/apikey"),
        revoke.also("revokeApiKeysAtRoot", "/apikey"),
    ];
    [mint, list, revoke].into_iter().chain(at_root).collect()
}

const COMPANIES: Resource = Resource("Companies");

fn companies() -> Vec<Operation> {
    vec![
        COMPANIES
            .may(Action::ListCompanies, "listCompanies", (Method::GET, "/v1/companies"), "List companies")
            .lists::<Company>(&service::company::COLUMNS),
        COMPANIES
            .may(Action::CreateCompany, "createCompany", (Method::POST, "/v1/companies"), "Add a company")
            .about("It is inactive, unless `active` says otherwise. 409 when another one has that id, name or address.")
            .takes::<CreateCompany>(json!({
                "name": "Retail Parts", "sync_addr": "https://sync.retail-parts.example", "active": true,
            }))
            .creates::<Company>()
            .refuses(&[409]),
        COMPANIES
            .may(
                Action::ViewCompany,
                "viewCompany",
                (Method::GET, "/v1/companies/{company_id}"),
                "View a company with its users",
            )
            .answers::<Company>(),
        COMPANIES
            .may(
                Action::UpdateCompany,
                "updateCompany",
                (Method::PATCH, "/v1/companies/{company_id}"),
                "Change a company",
            )
            .about(
                "409 when another company has that name or address, and for switching off the company that owns the server.",
            )
            .takes::<UpdateCompany>(json!({ "name": "Retail Parts Ltd." }))
            .answers::<Company>()
            .refuses(&[409]),
        COMPANIES
            .may(
                Action::DeleteCompany,
                "deleteCompany",
                (Method::DELETE, "/v1/companies/{company_id}"),
                "Remove a company",
            )
            .about("409 while it has users, subscriptions or received slices, and for the company that owns the server.")
            .refuses(&[409]),
    ]
}

const SERVERS: Resource = Resource("Servers");

fn servers() -> Vec<Operation> {
    vec![
        SERVERS
            .may(Action::ListServers, "listServers", (Method::GET, "/v1/servers"), "List companies with a server")
            .about("Active ones that have an address, without the one that owns this server. The list has no pages.")
            .text("name", "Only the one of this name, ignoring case.", "Better Brakes")
            .answers_list::<Company>(Empty::Array),
        SERVERS
            .may(
                Action::ConnectToPrimary,
                "connectToPrimary",
                (Method::POST, "/v1/servers"),
                "Connect to a primary",
            )
            .about(
                "Logs in there as a company admin, mints an api-key, proves it by logging in with it, and stores it encrypted. \
                 Again for a new key.\n\n409: the primary is known under another address (say `moved`), the address belongs \
                 to another company, or a sync with it runs. 502: the primary refused, failed or could not be reached.",
            )
            .takes::<Connect>(json!({
                "url": "https://sync.better-brakes.example", "username": "companyadmin", "password": "a long pass phrase",
            }))
            .creates::<Connected>()
            .refuses(&[409, 502]),
        SERVERS
            .may(
                Action::ViewServerOfCompany,
                "viewServer",
                (Method::GET, "/v1/servers/{company_id}"),
                "View the server of a company",
            )
            .answers::<Company>(),
        SERVERS
            .may(
                Action::RotateApiKey,
                "rotateApiKey",
                (Method::POST, "/v1/servers/{company_id}/rotate"),
                "Renew the api-key for a primary",
            )
            .about(
                "Asks the primary for a new key with the old one, stores it and proves it. Whatever breaks in between, the next \
                 call or sync goes on from there. 409 while a sync with that primary runs.",
            )
            .answers::<Rotated>()
            .refuses(&[409, 502]),
    ]
}

const USERS: Resource = Resource("Users");

fn users() -> Vec<Operation> {
    vec![
        USERS
            .may(Action::ListUsers, "listUsers", (Method::GET, "/v1/users"), "List users")
            .lists::<User>(&service::user::COLUMNS),
        USERS
            .may(Action::CreateUser, "createUser", (Method::POST, "/v1/users"), "Add a user")
            .about("409 when another user has that name or e-mail address, and for a second machine user of a company.")
            .takes::<CreateUser>(json!({
                "first_name": "Ada", "last_name": "Green", "username": "ada", "email": "ada@retail-parts.example",
                "password": "a long pass phrase", "password_confirm": "a long pass phrase", "role": 120,
                "company_id": "20000000-0000-4000-8000-000000000000",
            }))
            .creates::<User>()
            .refuses(&[404, 409]),
        USERS
            .may(Action::ViewUser, "viewUser", (Method::GET, "/v1/users/{user_id}"), "View a user")
            .answers::<User>(),
        USERS
            .may(Action::UpdateUser, "updateUser", (Method::PATCH, "/v1/users/{user_id}"), "Change a user")
            .about(
                "Switching a user off ends what was issued to him. 409 when another user has that e-mail address, and for \
                 switching off the last active super admin.",
            )
            .takes::<UpdateUser>(json!({ "phone": "+1 555 0100" }))
            .answers::<User>()
            .refuses(&[409]),
        USERS.may(Action::DeleteUser, "deleteUser", (Method::DELETE, "/v1/users/{user_id}"), "Remove a user")
            .about(
                "His logins and keys end at once. His id is never used again; his name and address are free. 409 for a company \
                 admin if staff has switched the user off.",
            )
            .refuses(&[409]),
        USERS
            .may(
                Action::ChangePassword,
                "changePassword",
                (Method::PATCH, "/v1/password/{user_id}"),
                "Change a password with the old one",
            )
            .about("Ends every other login of the user. 409 for a machine user: it has an api-key instead.")
            .takes::<ChangePassword>(json!({
                "old_password": "a long pass phrase", "new_password": "another long pass phrase",
                "new_password_confirm": "another long pass phrase",
            }))
            .refuses(&[409, 429]),
        USERS
            .may(
                Action::ResetPassword,
                "resetPassword",
                (Method::POST, "/v1/users/{user_id}/password"),
                "Set somebody's password",
            )
            .about(
                "Without the old one. Without `new_password` the server makes one and shows it this once. Ends every login of the \
                 user. 409 for oneself and for a machine user.",
            )
            .takes_optional::<ResetPassword>(json!({ "new_password": "another long pass phrase" }))
            .answers::<PasswordReset>()
            .refuses(&[409]),
    ]
}

const SETTINGS: Resource = Resource("Settings");

fn settings() -> Vec<Operation> {
    let body = || json!({ "server_role": "primary", "server_id": "10000000-0000-4000-8000-000000000000" });
    let replace = SETTINGS
        .may(
            Action::ChangeSettings,
            "replaceSettings",
            (Method::PUT, "/v1/settings"),
            "Say once more what the server is",
        )
        .about(
            "For clients of the reference. Role and company of a server are fixed when it is set up: a body that says anything \
             else is 409, and nothing changes.",
        )
        .takes::<WriteSetting>(body())
        .answers::<Setting>()
        .refuses(&[409]);
    let at_v1 = replace.also("replaceSettingsAtV1", "/v1");
    vec![
        SETTINGS
            .may(
                Action::ViewSettings,
                "viewSettings",
                (Method::GET, "/v1/settings"),
                "View what the server is",
            )
            .answers::<Setting>(),
        SETTINGS
            .may(
                Action::ChangeSettings,
                "createSettings",
                (Method::POST, "/v1/settings"),
                "Say what the server is (always refused)",
            )
            .about("For clients of the reference. Always 409, as a server that runs has its settings.")
            .takes::<WriteSetting>(body())
            .creates::<Setting>()
            .refuses(&[409]),
        replace,
        at_v1,
    ]
}
