//! The rotation protocol, checked exhaustively: every order of steps of a primary, its secondaries and its admins, with a
//! wire that loses, delays and doubles, and either side dying anywhere.
//!
//! [`primary`] and [`secondary`] say what the code does, [`protocol`] what can happen, [`claims`] what must hold;
//! [`replay`] takes walks through the model with the real servers and compares. docs/decisions/0015 says what follows,
//! and what does not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, tells a story in one go, and looks at a server with a stranger's client"
)]

mod claims;
mod gate;
mod primary;
mod protocol;
mod replay;
mod secondary;

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model as _};

use claims::{DEAD, HEALS, LOCKED_OUT};
use primary::Fault;
use protocol::{Hands, Protocol};

/// One secondary that rotates by itself, one admin, any number of keys, and a request that comes late or twice.
fn small() -> Protocol {
    Protocol {
        secondaries: 1,
        admins: 1,
        retries: true,
        keys: None,
        strays: 1,
        hands: Hands::WhereSettled,
        switching: false,
        whole: false,
        fault: None,
    }
}

/// Visits every state there is, says how many, and fails where a claim does not hold.
fn check(name: &str, world: Protocol) {
    let start = Instant::now();
    let checked = world.checker().threads(2).spawn_bfs().join();
    println!(
        "model: {name}: {} states, {} steps between them, {} deep, in {:.1?}",
        checked.unique_state_count(),
        checked.state_count(),
        checked.max_depth(),
        start.elapsed()
    );
    checked.assert_properties();
}

/// Looks for a state in which `claim` does not hold, and tells the way to it.
fn break_claim(claim: &'static str, world: Protocol) -> Option<String> {
    let wanted = HasDiscoveries::AnyOf(BTreeSet::from([claim]));
    let checked = world.checker().finish_when(wanted).spawn_bfs().join();
    checked.discovery(claim).map(|path| format!("{:?}", path.into_actions()))
}

fn is_thorough() -> bool {
    tests::times(20) == 20
}

#[test]
fn one_secondary_and_an_admin() {
    check("one secondary, one admin, keys by hand, a stray request", small());
}

#[test]
fn one_secondary_and_two_admins() {
    check("one secondary, two admins", Protocol { admins: 2, strays: 0, hands: Hands::Never, ..small() });
    if is_thorough() {
        check("one secondary, two admins, keys by hand", Protocol { admins: 2, strays: 0, ..small() });
    }
}

#[test]
fn two_secondaries_of_one_company() {
    let hands = Hands::Never;
    check("two secondaries, a stray request", Protocol { secondaries: 2, admins: 0, hands, ..small() });
    if is_thorough() {
        let world = Protocol { secondaries: 2, strays: 0, hands, ..small() };
        check("two secondaries, one admin", world.clone());
        check(
            "two secondaries, two admins who do not retry",
            Protocol { admins: 2, retries: false, ..world },
        );
    }
}

/// The other worlds take dead keys for alike, as long as none comes back: here each is told apart for ever.
#[test]
fn no_key_comes_back() {
    check(
        "four keys, each told apart",
        Protocol { keys: Some(4), strays: usize::from(is_thorough()), ..small() },
    );
}

#[test]
fn each_rule_is_needed() {
    for fault in [
        Fault::OverlapNotKept,
        Fault::NothingSuperseded,
        Fault::UnusedKeyKept,
        Fault::ElderOutlivesFirstLogin,
        Fault::RevocationLeavesOverlap,
        Fault::LoginRevives,
        Fault::RetryMintsAnew,
        Fault::ReplyOutlivesUse,
        Fault::CallerNotLookedAtAgain,
        Fault::GenerationFalls,
        Fault::CandidateNotProven,
        Fault::IntentNotStored,
    ] {
        let claim = claims::broken_by(fault);
        let world = Protocol { keys: Some(4), fault: Some(fault), ..small() };
        let path = break_claim(claim, world).unwrap_or_else(|| panic!("{fault:?} breaks nothing"));
        println!("model: without the rule ({fault:?}) it does not hold that {claim}: {path}");
    }
}

/// What a company that is switched off and on during a turn, and keys that are stored by hand in the middle of a rotation, would
/// cost without these rules.
#[test]
fn nothing_that_people_do_meanwhile_costs_a_key() {
    let switched = Protocol { admins: 0, hands: Hands::Never, switching: true, ..small() };
    let by_hand = Protocol { strays: 0, hands: Hands::Always, ..small() };
    let by_hand_alone = Protocol { admins: 0, ..by_hand.clone() };
    for (fault, world) in [
        (Fault::RefusalEndsIntent, switched.clone()),
        (Fault::StoringEndsIntent, switched.clone()),
        (Fault::CandidateOverwritten, by_hand_alone.clone()),
    ] {
        let claim = claims::broken_by(fault);
        let path = break_claim(claim, Protocol { fault: Some(fault), ..world });
        let path = path.unwrap_or_else(|| panic!("{fault:?} breaks nothing"));
        println!("model: without the rule ({fault:?}) it does not hold that {claim}: {path}");
    }
    for (claim, world) in [
        (HEALS, switched.clone()),
        (DEAD, switched),
        (HEALS, by_hand.clone()),
        (DEAD, by_hand),
        (LOCKED_OUT, by_hand_alone),
    ] {
        assert_eq!(break_claim(claim, world), None, "{claim}");
    }
}
