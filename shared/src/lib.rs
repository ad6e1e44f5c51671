//! What both servers are made of.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`wire`] | serde types that cross the wire, one file a resource |
//! | [`client`] | the typed HTTP client of the servers, used by the secondary, commands and tests |
//! | [`crypto`] | credentials, seals, tokens and hashes: pure functions |
//! | [`payload`] | encodings of grain payloads |
//! | [`store`] | the database: the only place that names diesel |
//! | [`node`] | what both servers serve: routes → service → store |
//! | [`server`] | what any HTTP server needs: settings, logs, TLS, starting and stopping |
//! | [`cli`] | what both command lines have in common |
//! | [`clock`] | time and randomness as parameters |
//! | [`failpoint`] | where tests kill a server |

pub mod cli;
pub mod client;
pub mod clock;
pub mod crypto;
pub mod failpoint;
pub mod node;
pub mod payload;
pub mod server;
pub mod store;
pub mod wire;
