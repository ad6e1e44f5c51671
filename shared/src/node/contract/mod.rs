//! The contract of both servers as data: every operation with its path, who may call it, what it takes and answers.
//!
//! Servers register their handlers by an operation's id ([`super::routes::Routes`]), `docs/openapi.json` is written
//! from it ([`document`]), and the walk over all permissions asks it what there is. A path stands nowhere else.

mod account;
mod document;
mod keyring;
mod operation;
mod run;
mod slice;
mod sync;

pub use document::document;
pub use operation::{Access, Operation};

/// Every operation of both servers, in the order in which paths are matched.
pub fn operations() -> Vec<Operation> {
    let mut all = account::operations();
    all.extend(keyring::operations());
    all.extend(slice::operations());
    all.extend(sync::operations());
    all.extend(run::operations());
    all
}
