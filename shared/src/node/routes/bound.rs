//! Handlers, bound to the operations of the contract by their ids; the contract says at which paths they stand.

use std::collections::HashMap;

use actix_web::http::{Method, header};
use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, Route, guard, web};

use crate::node::auth::authenticate;
use crate::node::contract::{Access, Operation, operations};
use crate::node::{Error, Principal};
use crate::wire::server::ServerRole;

/// The handlers of a server.
#[derive(Default)]
pub struct Routes(HashMap<&'static str, Route>);

impl Routes {
    /// Binds a handler to the operation of that id; a later one takes its place.
    #[must_use]
    pub fn on<F, Args>(mut self, id: &'static str, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.0.insert(id, web::route().to(handler));
        self
    }

    /// Ids that have no operation, and operations that this server offers without a handler.
    pub fn unmatched(&self, role: ServerRole) -> Vec<&'static str> {
        let all = operations();
        let strangers = self.0.keys().copied().filter(|id| all.iter().all(|operation| operation.id != *id));
        let missing = all
            .iter()
            .filter(|operation| offers(operation, role) && !self.0.contains_key(operation.id))
            .map(|operation| operation.id);
        strangers.chain(missing).collect()
    }

    /// Puts them at their paths. What only the other kind of server offers answers 403.
    pub fn register(mut self, config: &mut web::ServiceConfig) {
        let mut paths: Vec<(&'static str, Vec<Operation>)> = Vec::new();
        for operation in operations() {
            match paths.iter_mut().find(|(path, _operations)| *path == operation.path) {
                Some((_path, operations)) => operations.push(operation),
                None => paths.push((operation.path, vec![operation])),
            }
        }
        let mut v1 = web::scope("/v1").wrap(from_fn(authenticate));
        for (path, operations) in paths {
            if let Some(below) = path.strip_prefix("/v1") {
                v1 = v1.service(self.resource(below, operations));
            } else if operations.iter().all(|operation| operation.access == Access::Public) {
                config.service(self.resource(path, operations));
            } else {
                config.service(self.resource(path, operations).wrap(from_fn(authenticate)));
            }
        }
        config.service(v1).service(web::redirect("/docs", "/docs/")).service(super::docs());
    }

    fn resource(&mut self, path: &str, operations: Vec<Operation>) -> Resource {
        let mut resource = web::resource(path);
        let mut allowed: Vec<&str> = operations.iter().map(|operation| operation.method.as_str()).collect();
        if allowed.contains(&"GET") {
            allowed.push("HEAD");
        }
        let allowed = allowed.join(", ");
        for operation in operations {
            let route = self.0.remove(operation.id).unwrap_or_else(|| web::route().to(wrong_server_role));
            resource = resource.route(match operation.method {
                // RFC 9110 §9.3.2: the same without the body, which the server leaves out.
                Method::GET => route.guard(guard::Any(guard::Get()).or(guard::Head())),
                method => route.method(method),
            });
        }
        // RFC 9110 §15.5.6: a 405 says what is allowed.
        resource.default_service(web::to(move || {
            let response =
                HttpResponse::MethodNotAllowed().insert_header((header::ALLOW, allowed.clone())).finish();
            std::future::ready(response)
        }))
    }
}

fn offers(operation: &Operation, role: ServerRole) -> bool {
    match operation.access {
        Access::Public => true,
        Access::Login(action) => action.rule().on.offers(role),
    }
}

/// Stands where the other server role has something.
async fn wrong_server_role(_who: Principal) -> Result<HttpResponse, Error> {
    Err(Error::WrongServerRole)
}
