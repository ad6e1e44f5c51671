//! What is claimed of every state that can be reached, and what must be reached so that the claims say something.

use stateright::Property;

use super::primary::{Answer, Fault, Life, Whose};
use super::protocol::{Action, Excuse, Fate, Party, Protocol, State};
use super::secondary::{Begun, Call, Turn};

pub const TWO_KEYS: &str = "at most two keys are good, one of them active";
pub const DEAD: &str = "a dead key is never good again";
pub const GENERATION: &str = "each key has a higher generation than all before it";
pub const ELDER: &str = "no good key is older than one that has logged in";
pub const ONE_MINT: &str = "one Idempotency-Key mints one key";
pub const SHOWN_ONCE: &str = "a key that has logged in is shown no more";
pub const DEAD_CALLER: &str = "nothing is minted with a dead key";
pub const LOCKED_OUT: &str =
    "no secondary is locked out, unless by staff, another secondary, or a whole overlap without a run";
pub const COMPANY: &str =
    "a company is never locked out as a whole, unless by staff or a whole overlap without a run";
pub const HEALS: &str =
    "one undisturbed run ends whatever was cut off, with a key that nothing of its own will end";

/// Everything that must hold in this world, and be reached in it.
pub fn all(protocol: &Protocol) -> Vec<Property<Protocol>> {
    let mut claims = holding();
    claims.push(Property::sometimes("an overlap is reached", |_, state: &State| {
        state.primary.keys.iter().any(|row| matches!(row.life, Life::Overlap { is_over: false, .. }))
    }));
    claims.push(Property::sometimes(
        "a rotation that was cut off gets the key that was minted then",
        |_, state: &State| mints(state, Begun::Earlier).any(|answer| matches!(answer, Answer::Again(_))),
    ));
    claims.push(Property::sometimes("a whole overlap without a run locks out", |_, state: &State| {
        state.excuses.contains(&Some(Excuse::Time))
    }));
    if protocol.admins > 0 || protocol.secondaries > 1 {
        claims.push(Property::sometimes("a rotation that was cut off is begun anew", |_, state: &State| {
            mints(state, Begun::Anew).any(|answer| matches!(answer, Answer::Minted(_)))
        }));
        claims.push(Property::sometimes(
            "an unproven key is refused and the proven one logs in",
            |_, state: &State| {
                state.secondaries.iter().any(|secondary| {
                    let answered = Call::Answered(Answer::LoggedIn);
                    matches!(&secondary.turn, Some(Turn::Login { tried, key, call, .. })
                        if *call == answered && *tried != [None, None] && !tried.contains(&Some(*key)))
                })
            },
        ));
    }
    if protocol.secondaries > 1 {
        claims.push(Property::sometimes(
            "the rotation of one secondary locks out the other",
            |_, state: &State| state.excuses.contains(&Some(Excuse::Other)),
        ));
    }
    claims
}

/// Answers to mints that no secondary has acted on.
fn mints(state: &State, wanted: Begun) -> impl Iterator<Item = Answer> {
    state.secondaries.iter().filter_map(move |secondary| match secondary.turn {
        Some(Turn::Mint { begun, call: Call::Answered(answer), .. }) if begun == wanted => Some(answer),
        _ => None,
    })
}

fn holding() -> Vec<Property<Protocol>> {
    vec![
        Property::always(TWO_KEYS, |_, state: &State| {
            let good = state.primary.keys.iter().filter(|row| row.is_good()).count();
            let active = state.primary.keys.iter().filter(|row| row.life == Life::Active).count();
            good <= 2 && active <= 1
        }),
        Property::always(DEAD, |_, state: &State| {
            (1..).zip(&state.primary.keys).all(|(key, row)| !row.is_good() || state.dead & (1 << key) == 0)
        }),
        Property::always(GENERATION, |_, state: &State| {
            state.primary.keys.windows(2).all(|pair| pair[0].generation < pair[1].generation)
        }),
        Property::always(ELDER, |_, state: &State| {
            let keys = &state.primary.keys;
            keys.iter().enumerate().all(|(at, row)| {
                !(row.is_used && row.life != Life::Revoked) || keys[..at].iter().all(|elder| !elder.is_good())
            })
        }),
        Property::always(ONE_MINT, |_, state: &State| {
            let keys = &state.primary.keys;
            keys.iter().enumerate().all(|(at, row)| {
                row.asked.is_none() || keys[..at].iter().all(|elder| elder.asked != row.asked)
            })
        }),
        Property::always(SHOWN_ONCE, |_, state: &State| {
            let is_used = |key| state.primary.row(key).is_some_and(|row| row.is_used);
            state.primary.replies.iter().all(|reply| !(reply.is_kept && is_used(reply.key)))
        }),
        Property::always(DEAD_CALLER, |_, state: &State| {
            state.primary.keys.iter().all(|row| !row.is_of_dead_caller)
        }),
        Property::always(LOCKED_OUT, |_, state: &State| {
            (0..state.secondaries.len()).all(|at| state.has_way(at) || state.excuses[at].is_some())
        }),
        Property::always(COMPANY, |_, state: &State| {
            (0..state.secondaries.len()).any(|at| state.has_way(at)) || state.company_excuse.is_some()
        }),
        Property::always(HEALS, |protocol: &Protocol, state: &State| {
            (0..protocol.secondaries).all(|number| heals(protocol, state, number))
        }),
    ]
}

/// Whether one sync of a secondary, with nobody else about, leaves nothing unfinished, and a key that no mint of its own
/// will end.
fn heals(protocol: &Protocol, state: &State, number: u8) -> bool {
    let at = usize::from(number);
    if state.primary.is_off || !state.has_way(at) {
        return true;
    }
    let alone = Protocol { keys: Some(u8::MAX), whole: true, ..protocol.clone() };
    let mut state = state.clone();
    state.strays.clear();
    for other in state.secondaries.iter_mut().enumerate().filter(|(other, _)| *other != at) {
        other.1.cut_off();
    }
    let mut action = match state.secondaries[at].turn {
        Some(_) => Action::CutOff(number, Fate::Lost),
        None => Action::Sync(number),
    };
    for _step in 0..20 {
        let Some(next) = alone.step(&state, action) else { return false };
        state = next;
        let secondary = &state.secondaries[at];
        action = match (&secondary.turn, action) {
            (None, Action::CutOff(..)) => Action::Sync(number),
            (None, _) => {
                let own_end = |key| match state.primary.row(key).map(|row| row.life) {
                    Some(Life::Active) => false,
                    Some(Life::Overlap { by, is_over: false }) => by == Whose::Secondary(number),
                    _ => true,
                };
                return secondary.is_settled() && secondary.proven.is_some_and(|key| !own_end(key));
            }
            (Some(_), _) if secondary.has_answer() => Action::Proceed(number),
            (Some(_), _) => Action::Serve(Party::Secondary(number)),
        };
    }
    false
}

/// The claim that does not hold where a rule is switched off.
pub fn broken_by(fault: Fault) -> &'static str {
    match fault {
        Fault::OverlapNotKept
        | Fault::UnusedKeyKept
        | Fault::CandidateNotProven
        | Fault::CandidateOverwritten => LOCKED_OUT,
        Fault::NothingSuperseded => TWO_KEYS,
        Fault::ElderOutlivesFirstLogin => ELDER,
        Fault::RevocationLeavesOverlap | Fault::LoginRevives => DEAD,
        Fault::RetryMintsAnew => ONE_MINT,
        Fault::ReplyOutlivesUse => SHOWN_ONCE,
        Fault::CallerNotLookedAtAgain => DEAD_CALLER,
        Fault::GenerationFalls => GENERATION,
        Fault::IntentNotStored | Fault::RefusalEndsIntent | Fault::StoringEndsIntent => HEALS,
    }
}
