//! What tests and the demo start: databases, servers on free ports, sample data.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up should say where and stop"
)]

pub mod beside;
pub mod binaries;
pub mod chaos;
pub mod database;
pub mod detour;
pub mod fake;
pub mod ledger;
pub mod left_out;
pub mod liar;
pub mod node;
pub mod postgres;
pub mod restore;
pub mod sample;
pub mod seed;
pub mod weather;

pub use database::TestDatabase;
pub use node::{ADMIN, Pair, TestPrimary, TestSecondary};

/// How often something is tried: so often with `SANDPIPER_TEST_THOROUGH=1`, as in CI, else a twentieth of it, so that people
/// run the tests.
pub fn times(thorough: u32) -> u32 {
    let is_thorough = std::env::var_os("SANDPIPER_TEST_THOROUGH").is_some_and(|wish| wish == "1");
    if is_thorough { thorough } else { thorough.div_ceil(20) }
}

/// A stranger's client, for any length of time: it leaves a connection alone before a server gives that one up. Ours does so
/// ten seconds after it was made if nothing was asked on it, and says 408 to the request that it meets.
///
/// # Panics
/// Without a TLS provider.
pub fn stranger() -> reqwest::Client {
    let idle = std::time::Duration::from_secs(4);
    reqwest::Client::builder().no_proxy().pool_idle_timeout(idle).build().expect("a client")
}

/// Waits for what must come, a minute at most.
///
/// # Panics
/// When it does not.
pub async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while !condition().await {
        assert!(std::time::Instant::now() < deadline, "{what}: it did not come to that");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
