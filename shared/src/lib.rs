//! What both servers are made of. See `docs/architecture.md` for the picture.
pub mod clock;
pub mod crypto;
pub mod payload;
pub mod store;
pub mod wire;
