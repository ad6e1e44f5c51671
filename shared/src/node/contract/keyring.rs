//! The key rings.

use actix_web::http::Method;
use serde_json::json;

use super::operation::{Empty, Operation, Resource};
use crate::node::permission::Action;
use crate::wire::keyring::{PrepareRingKey, RetireRingKey, RingKey};

const RINGS: Resource = Resource("Key rings");

pub(super) fn operations() -> Vec<Operation> {
    vec![
        RINGS
            .may(Action::ManageRings, "listRingKeys", (Method::GET, "/v1/keyring"), "List the keys of the rings")
            .about(
                "Newest first: the keys that seal api-keys and those that sign tokens, with the partners whose api-keys each \
                 sealed; never the keys themselves. The list has no pages.",
            )
            .answers_list::<RingKey>(Empty::Array),
        RINGS
            .may(
                Action::ManageRings,
                "prepareRingKey",
                (Method::POST, "/v1/keyring"),
                "Prepare a key for a ring",
            )
            .about("It is not in use until it is activated. 409 when the ring has eight keys: retire one first.")
            .takes::<PrepareRingKey>(json!({ "purpose": "seal" }))
            .creates::<RingKey>()
            .refuses(&[409]),
        RINGS
            .may(
                Action::ManageRings,
                "activateRingKey",
                (Method::POST, "/v1/keyring/{ring_key}/activate"),
                "Let a prepared key seal or sign",
            )
            .about(
                "From the next request on, on every server. The one before goes on opening or verifying until it is retired. \
                 409 for a key that is superseded or retired.",
            )
            .answers::<RingKey>()
            .refuses(&[409]),
        RINGS
            .may(
                Action::ManageRings,
                "retireRingKey",
                (Method::POST, "/v1/keyring/{ring_key}/retire"),
                "End a key",
            )
            .about(
                "What it sealed or signed is refused from now on, by every server, and the key is forgotten. 409 for the active \
                 key, and without `force` while living api-keys or tokens depend on it.",
            )
            .takes_optional::<RetireRingKey>(json!({ "force": false }))
            .answers::<RingKey>()
            .refuses(&[409]),
    ]
}
