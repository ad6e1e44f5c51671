//! The contract as an `OpenAPI` 3.1 document: what `/openapi.json` answers and `docs/openapi.json` holds.

use actix_web::http::Method;
use serde_json::{Value, json};
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Ref, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Content, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, RefOr, Required, ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::operation::{Body, JSON, whole_number};
use super::{Access, Operation, operations};
use crate::node::permission::{On, Own, Reach, Rule};
use crate::wire::Id;
use crate::wire::error::ErrorBody;
use crate::wire::user::Role;

const TOKEN: &str = "token";

const ABOUT: &str = "One contract for both servers: a *primary* publishes slices of product data and mints api-keys, a \
     *secondary* keeps a key for each primary and syncs from it. What only one of them offers, the other answers with 403 \
     `wrong_server_role`. *The reference* is the Sandpiper server of 2020, written in Go: its clients work here \
     unmodified.\n\n**Words.** A *slice* is the unit of subscription and sync, for example one ACES file. A *grain* is one \
     payload in it. Edits wait in the slice's *draft* until `refresh` publishes it as the next *version*; receivers read \
     published versions only.\n\n**Who.** Super admins (role 100) and admins (110) are the server's *staff*. A company \
     admin (120) is a partner's person, a machine user (200) what his api-key logs in as, an ordinary user (300) somebody \
     who has just his own row. Each operation says who may; `x-permission` says it to programs.\n\n**Bodies.** Members of \
     request bodies match ignoring case, unknown ones are ignored, and `null` is the same as absent but in PATCH. Ids are \
     UUIDs; the time \"never\" is `0001-01-01T00:00:00Z`. Every refusal but a 401 for a missing or bad token has a body: \
     `message` for people, `code` for programs, `request_id` for the log.\n\n**Lists** have pages: `next` of the answer's \
     `paging` is the way to the page behind it. What `sort` and `filter` may name, each list says.";

/// Resources, in the order in which a reader needs them.
const TAGS: [(&str, &str); 13] = [
    ("Login", "Tokens, and who is who"),
    ("Api-keys", "What a machine logs in with; on a primary"),
    ("Companies", "Trading partners, and the company that owns the server"),
    ("Servers", "Companies with a server; on a secondary the connections to primaries"),
    ("Users", "People and machines of companies"),
    ("Key rings", "The keys that seal api-keys and sign tokens"),
    ("Settings", "What the server is"),
    ("Slices", "What is published: content, locks, versions, receivers"),
    ("Grains", "The payloads in slices"),
    ("Subscriptions", "Which company gets which slice"),
    ("Tags", "Labels by which staff groups slices; each server has its own"),
    ("Activity", "The sync log"),
    ("Sync", "What a secondary reads at a primary, and what makes it do so"),
];

/// The whole contract.
pub fn document() -> OpenApi {
    let mut paths = Paths::new();
    let mut components =
        ComponentsBuilder::new().schema(ErrorBody::name(), ErrorBody::schema()).security_scheme(
            TOKEN,
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .bearer_format("JWT")
                    .description(Some("`token` of `POST /login`"))
                    .build(),
            ),
        );
    let mut of_errors = Vec::new();
    ErrorBody::schemas(&mut of_errors);
    for (name, schema) in of_errors {
        components = components.schema(name, schema);
    }
    for operation in operations() {
        let Some(method) = http_method(&operation.method) else { continue };
        for (name, schema) in operation.schemas.clone() {
            components = components.schema(name, schema);
        }
        paths.add_path_operation(operation.path, vec![method], describe(&operation));
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Sandpiper")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .build(),
        )
        .paths(paths)
        .tags(Some(
            TAGS.into_iter()
                .map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build()),
        ))
        .components(Some(components.build()))
        .build()
}

fn http_method(method: &Method) -> Option<HttpMethod> {
    match *method {
        Method::GET => Some(HttpMethod::Get),
        Method::POST => Some(HttpMethod::Post),
        Method::PUT => Some(HttpMethod::Put),
        Method::PATCH => Some(HttpMethod::Patch),
        Method::DELETE => Some(HttpMethod::Delete),
        _ => None,
    }
}

fn describe(operation: &Operation) -> utoipa::openapi::path::Operation {
    let rule = match operation.access {
        Access::Public => None,
        Access::Login(action) => Some(action.rule()),
    };
    let mut built = OperationBuilder::new()
        .operation_id(Some(operation.id))
        .tag(operation.tag)
        .summary(Some(operation.summary))
        .description(Some(description(operation, rule)))
        .extensions(Some(ExtensionsBuilder::new().add("x-permission", permission(rule)).build()));
    if rule.is_some() {
        built = built.security(SecurityRequirement::new(TOKEN, Vec::<String>::new()));
    }
    for name in operation.path_parameters() {
        built = built.parameter(path_parameter(name));
    }
    for parameter in operation.query.clone() {
        built = built.parameter(parameter);
    }
    if let Some(body) = &operation.request {
        built = built.request_body(Some(
            RequestBodyBuilder::new()
                .content(body.kind, content(body))
                .required(Some(if operation.request_required { Required::True } else { Required::False }))
                .build(),
        ));
    }
    let mut answer =
        ResponseBuilder::new().description(if operation.status == 201 { "Made" } else { "Done" });
    if let Some(body) = &operation.answer {
        answer = answer.content(body.kind, content(body));
    }
    built = built.response(operation.status.to_string(), answer.build());
    if let Some(body) = &operation.begun {
        let begun = ResponseBuilder::new().description("Begun").content(body.kind, content(body));
        built = built.response("202", begun.build());
    }
    for status in refusals(operation, rule) {
        built = built.response(status.to_string(), refusal(status, rule.is_some()));
    }
    built.build()
}

fn content(body: &Body) -> Content {
    ContentBuilder::new().schema(Some(body.schema.clone())).example(body.example.clone()).build()
}

fn path_parameter(name: &'static str) -> Parameter {
    let (schema, example): (RefOr<Schema>, Value) = match name {
        "user_id" | "tag_id" | "activity_id" => (whole_number(Some(1), None), json!(1)),
        "name" | "grain_key" | "token" | "ring_key" => {
            let text =
                ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).min_length(Some(1)).build();
            (text.into(), example_of(name))
        }
        _ => (Id::schema(), json!("2bea8308-1840-4802-ad38-72b53e31594c")),
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(about_parameter(name)))
        .schema(Some(schema))
        .example(Some(example))
        .build()
}

fn example_of(name: &str) -> Value {
    json!(match name {
        "grain_key" => "level-1",
        "token" => "the-refresh-token-of-a-login",
        "ring_key" => "r1",
        _ => "Brake Pads",
    })
}

fn about_parameter(name: &str) -> &'static str {
    match name {
        "company_id" => "A company's id",
        "slice_id" => "A slice's id",
        "grain_id" => "A grain's id",
        "subscription_id" => "A subscription's id",
        "session_id" => "A login's id",
        "run_id" => "A run's id",
        "user_id" => "A user's number",
        "tag_id" => "A tag's number",
        "activity_id" => "The record's number",
        "grain_key" => "The grain's key, ignoring case",
        "token" => "The `refresh_token` of a login",
        "ring_key" => "The key's id, such as `r1` or `j1`",
        _ => "The name, ignoring case",
    }
}

/// Statuses of refusals: those that follow from the operation's form, and its own.
fn refusals(operation: &Operation, rule: Option<Rule>) -> Vec<u16> {
    // A NUL in the URL is 400 everywhere, a database that cannot answer 503.
    let mut statuses = vec![400, 503];
    statuses.extend(&operation.refusals);
    if let Some(rule) = rule {
        statuses.push(401);
        if rule.reach != [Reach::All; 5] && rule.own != Own::Himself || operation.path.contains('{') {
            statuses.push(403);
        }
    }
    if operation.path.contains('{') && operation.id != "refresh" {
        statuses.push(404);
    }
    if operation.request.is_some() {
        statuses.extend([413, 415]);
    }
    if operation.method != Method::GET {
        statuses.push(507);
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn refusal(status: u16, needs_token: bool) -> utoipa::openapi::Response {
    let text = match status {
        400 => "Something in the URL or the body is wrong: the message says what",
        401 if needs_token => "No token, or one that is not good: no body",
        401 => "Refused: one answer for every cause",
        403 => "Not with the caller's role, not his row, or not on this server",
        404 => "There is none",
        409 => "It exists already, is in use, locked, or was changed meanwhile",
        413 => "The body is too large",
        415 => "The body is not JSON, or has a Content-Encoding",
        422 => "The Idempotency-Key was used for another request",
        429 => "Too many wrong passwords: try again after as many seconds as Retry-After says",
        502 => "The other server refused, failed or could not be reached",
        503 => "Try again: the database or the server is busy",
        507 => "The server's disk is full: nothing was changed",
        _ => "Refused",
    };
    let response = ResponseBuilder::new().description(text);
    if status == 401 && needs_token {
        return response.build();
    }
    let schema = Ref::from_schema_name(ErrorBody::name());
    response.content(JSON, ContentBuilder::new().schema(Some(schema)).build()).build()
}

const ROLES: [Role; 5] = [Role::SuperAdmin, Role::Admin, Role::CompanyAdmin, Role::Sync, Role::User];

fn description(operation: &Operation, rule: Option<Rule>) -> String {
    let mut text = operation.about.to_owned();
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    let Some(rule) = rule else { return text + "Permission: anybody, without a token." };
    text.push_str("Permission: ");
    text.push_str(&in_words(rule));
    if rule.on != On::Both {
        text = format!("{text} Offered by a {} only.", rule.on);
    }
    text
}

/// Who may, as a sentence.
pub fn in_words(rule: Rule) -> String {
    let named = |wanted: Reach| {
        let names: Vec<&str> =
            ROLES.into_iter().filter(|role| rule.reach(*role) == wanted).map(Role::in_words).collect();
        match names.split_last() {
            Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
            _ => names.concat(),
        }
    };
    let own = match rule.own {
        Own::Nothing => "",
        Own::Company => "what belongs to their own company",
        Own::Subscribed => "slices to which their own company actively subscribes",
        Own::Himself => "themselves",
    };
    let mut parts = Vec::new();
    if rule.reach.contains(&Reach::All) {
        parts.push(named(Reach::All));
    }
    if rule.reach.contains(&Reach::Own) {
        parts.push(format!("{} only for {own}", named(Reach::Own)));
    }
    let mut text = parts.join("; ");
    text.push('.');
    if !rule.note.is_empty() {
        text = format!("{text} Note: {}.", rule.note);
    }
    text
}

fn permission(rule: Option<Rule>) -> Value {
    let Some(rule) = rule else { return json!("public") };
    let reach: serde_json::Map<String, Value> = ROLES
        .into_iter()
        .map(|role| {
            let reach = match rule.reach(role) {
                Reach::No => "no",
                Reach::Own => "own",
                Reach::All => "all",
            };
            (role.number().to_string(), reach.into())
        })
        .collect();
    let mut permission =
        json!({ "action": format!("{:?}", rule.action), "server": rule.on.to_string(), "roles": reach });
    if let (Some(members), true) = (permission.as_object_mut(), rule.reach.contains(&Reach::Own)) {
        members.insert("own".to_owned(), rule.own.as_str().into());
    }
    permission
}
