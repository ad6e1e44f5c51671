//! No core dumps: one would hold the root key (security C9).

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids them for this process, by its limits and by the kernel's own flag, which also keeps other processes of the same user
/// from reading its memory.
pub fn forbid() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    for (how, done) in [
        ("its limit", setrlimit(Resource::Core, none)),
        ("its flag", set_dumpable_behavior(DumpableBehavior::NotDumpable)),
    ] {
        if let Err(error) = done {
            tracing::warn!(how, %error, "core dumps could not be forbidden");
        }
    }
}
