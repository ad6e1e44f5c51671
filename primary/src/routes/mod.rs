//! Every route of a primary: the shared ones, and what only a primary has.

mod api_key;
mod sync;

use actix_web::web;
use shared::node::routes::{self as shared_routes, Routes};

/// The handlers.
pub fn all() -> Routes {
    shared_routes::shared()
        .on("mintApiKey", api_key::mint)
        .on("mintApiKeyAtRoot", api_key::mint)
        .on("listApiKeys", api_key::list)
        .on("listApiKeysAtRoot", api_key::list)
        .on("revokeApiKeys", api_key::revoke)
        .on("revokeApiKeysAtRoot", api_key::revoke)
        .on("openSyncSocket", sync::index)
        .on("listOffers", sync::subscriptions)
        .on("listGrainsToSync", sync::grains)
        .on("readFeed", sync::feed)
        .on("readGrains", sync::wanted)
        .on("readPayloadPiece", sync::piece)
}

/// Puts them at their paths.
pub fn register(config: &mut web::ServiceConfig) {
    all().register(config);
}
