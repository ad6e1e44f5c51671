//! `secrets`: fresh secrets in the reference's formats.

use serde::Serialize;

use super::{Failure, output};
use crate::clock::Random;
use crate::crypto::keyring::{fresh_jwt_secret, fresh_seal_secret};

#[derive(Serialize)]
struct Secrets<'a> {
    api_key_secret: &'a str,
    jwt_secret: &'a str,
}

/// Prints them as environment variables and as the reference's YAML.
///
/// # Errors
/// A closed or full standard output.
pub fn run(as_json: bool) -> Result<(), Failure> {
    let (seal, jwt) = (fresh_seal_secret(&Random::System), fresh_jwt_secret(&Random::System));
    let (seal, jwt) = (seal.as_str(), jwt.as_str());
    output::print(as_json, &Secrets { api_key_secret: seal, jwt_secret: jwt }, || {
        format!(
            "# `init` makes a node's secrets by itself. Set these before `init` only to share them with another server.\n\
             export APIKEY_SECRET=\"{seal}\"\nexport JWT_SECRET=\"{jwt}\"\n\n# the same in a configuration of the reference:\n\
             # api_key_secret: {seal}\n# secret: {jwt}"
        )
    })
}
