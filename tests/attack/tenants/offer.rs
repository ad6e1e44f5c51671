//! What the contract says may be asked.

use serde_json::Value;
use shared::node::contract::{Access, Operation, document, operations};
use shared::node::permission::Reach;
use shared::wire::server::ServerRole;
use shared::wire::user::Role;

/// An operation, with what the document says about it.
pub struct Drawn {
    pub operation: Operation,
    /// Names of parameters in the query; of a list's columns.
    pub query: Vec<String>,
    pub sorts: Vec<String>,
    pub filters: Vec<String>,
    /// Names of the body's members.
    pub members: Vec<String>,
}

impl Drawn {
    /// Every operation of the contract.
    pub fn all() -> Vec<Self> {
        let document = serde_json::to_value(document()).unwrap();
        operations().into_iter().map(|operation| Self::of(operation, &document)).collect()
    }

    fn of(operation: Operation, document: &Value) -> Self {
        let said = &document["paths"][operation.path][operation.method.as_str().to_lowercase()];
        let parameters = said["parameters"].as_array().cloned().unwrap_or_default();
        let named = |name: &str| parameters.iter().find(|parameter| parameter["name"] == name);
        let columns = |name: &str| -> Vec<String> {
            let about =
                named(name).and_then(|parameter| parameter["description"].as_str()).unwrap_or_default();
            let names = about.rsplit_once("Columns: ").map_or("", |(_about, names)| names);
            names
                .split(", ")
                .map(|name| name.trim_end_matches('.').to_owned())
                .filter(|name| !name.is_empty())
                .collect()
        };
        let in_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let schema = &said["requestBody"]["content"]["application/json"]["schema"];
        let schemas = schema["anyOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        let members = schemas.iter().flat_map(|schema| {
            let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            let members = document["components"]["schemas"][name]["properties"].as_object();
            members.map(|members| members.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
        });
        Self {
            query: in_query.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect(),
            sorts: columns("sort"),
            filters: columns("filter"),
            members: members.collect(),
            operation,
        }
    }

    /// Whether somebody of a company may use it on such a server: with rows of his own.
    pub fn is_for(&self, role: Role, server: ServerRole) -> bool {
        match self.operation.access {
            // A secondary has no keys to log in with.
            Access::Public => self.operation.id != "syncLogin" || server == ServerRole::Primary,
            Access::Login(action) => {
                action.rule().reach(role) != Reach::No && action.rule().on.offers(server)
            }
        }
    }
}
