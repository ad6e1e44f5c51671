//! The whole: one primary, one company, its secondaries and admins, and a wire that loses, delays and doubles requests.
//!
//! Not in the state, because it makes no difference: the primary's death between two steps loses what it was serving, as
//! a broken wire does; an answer that comes twice finds nobody who waits.

use stateright::{Model, Property};

use super::claims;
use super::primary::{Answer, Asked, BAD, Caller, Fault, Key, Life, Primary, Request, Stage, Whose};
use super::secondary::{Secondary, Then};

/// When a person stores a key at a secondary by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hands {
    Never,
    /// While no turn is under way, and nothing is unfinished.
    WhereSettled,
    Always,
}

/// How large the world is, and what may happen in it.
#[derive(Clone, Debug)]
pub struct Protocol {
    pub secondaries: u8,
    pub admins: u8,
    /// Whether admins use Idempotency-Keys, too.
    pub retries: bool,
    /// How many keys are ever minted, and told apart for ever. `None`: any number, and dead keys are all alike.
    pub keys: Option<u8>,
    /// Requests under way at once that nobody waits for: delayed or doubled.
    pub strays: usize,
    pub hands: Hands,
    /// Staff switches the company off and on.
    pub switching: bool,
    /// As it is seen from outside: the primary serves a request in one step, and nothing is made simpler.
    pub whole: bool,
    pub fault: Option<Fault>,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    Secondary(u8),
    Admin(u8),
}

/// What becomes of a request that is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It, or its answer, is lost.
    Lost,
    /// It comes later.
    Delayed,
}

/// One step of anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A secondary begins to rotate, or to sync.
    Rotate(u8),
    Sync(u8),
    /// The primary takes a step with somebody's request.
    Serve(Party),
    /// With one that nobody waits for.
    ServeStray(usize),
    /// A secondary acts on an answer.
    Proceed(u8),
    /// A secondary dies or gives up, wherever it is.
    CutOff(u8, Fate),
    /// A request arrives twice.
    Double(Party),
    /// The primary dies: all that it serves is lost.
    PrimaryDies,
    /// An admin mints.
    Ask {
        admin: u8,
        idempotent: bool,
        overlap: bool,
    },
    /// An admin gives up.
    Miss(u8, Fate),
    /// The primary serves an admin, and the answer is lost.
    Unheard(u8),
    /// An admin asks again with the same Idempotency-Key.
    Retry(u8),
    /// An admin stores his key at a secondary.
    Give {
        admin: u8,
        secondary: u8,
    },
    /// Somebody stores a bad key at a secondary.
    GiveBad(u8),
    /// An admin revokes.
    Revoke,
    /// Staff switches the company off, or on.
    Switch,
    /// The time of an overlap is over.
    EndOverlap(Key),
    /// The 24 hours of an Idempotency-Key are over.
    ForgetReply(Asked),
}

/// A person with the company's password.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Admin {
    Idle,
    Waits {
        stage: Stage,
        asked: Option<Asked>,
        overlap: bool,
    },
    /// Does not know what became of his request.
    Unsure {
        asked: Asked,
        overlap: bool,
    },
    Holds {
        key: Key,
    },
}

/// Why a secondary may be without a good key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Excuse {
    /// Staff revoked, or minted.
    Staff,
    /// Another secondary of the company rotated.
    Other,
    /// Its own overlap ended, and it came to no run in all that time.
    Time,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub primary: Primary,
    pub secondaries: Vec<Secondary>,
    pub admins: Vec<Admin>,
    pub strays: Vec<(Request, Stage)>,
    /// History: keys that were dead once, a bit each.
    pub dead: u32,
    /// History: why a secondary is without a good key.
    pub excuses: Vec<Option<Excuse>>,
    /// History: why all of them are.
    pub company_excuse: Option<Excuse>,
}

impl State {
    /// Whether a secondary stores a key that is good, but for a switched off company.
    pub fn has_way(&self, secondary: usize) -> bool {
        self.secondaries[secondary].keys().any(|key| self.primary.is_good(key))
    }

    fn has_any_way(&self) -> bool {
        (0..self.secondaries.len()).any(|secondary| self.has_way(secondary))
    }

    /// What somebody waits for an answer to.
    pub fn waits_for(&self, party: Party) -> Option<(Request, Stage)> {
        match party {
            Party::Secondary(number) => self.secondaries[usize::from(number)].waits_for(number),
            Party::Admin(number) => match self.admins[usize::from(number)] {
                Admin::Waits { stage, asked, overlap } => {
                    Some((Request::Mint { caller: Caller::Staff, asked, overlap }, stage))
                }
                _ => None,
            },
        }
    }

    fn hear(&mut self, party: Party, served: Result<Stage, Answer>) {
        match party {
            Party::Secondary(number) => self.secondaries[usize::from(number)].hear(served),
            Party::Admin(number) => {
                let admin = &mut self.admins[usize::from(number)];
                *admin = match (served, &admin) {
                    (Ok(stage), Admin::Waits { asked, overlap, .. }) => {
                        Admin::Waits { stage, asked: *asked, overlap: *overlap }
                    }
                    (Err(Answer::Minted(key) | Answer::Again(key)), _) => Admin::Holds { key },
                    _ => Admin::Idle,
                };
            }
        }
    }

    /// Every Idempotency-Key that anybody may still ask with.
    fn asked(&self) -> Vec<Asked> {
        let secondaries = self.secondaries.iter().flat_map(Secondary::asked);
        let admins = self.admins.iter().filter_map(|admin| match admin {
            Admin::Idle | Admin::Holds { .. } => None,
            Admin::Waits { asked, .. } => *asked,
            Admin::Unsure { asked, .. } => Some(*asked),
        });
        let strays = self.strays.iter().filter_map(|(request, _stage)| match request {
            Request::Login { .. } => None,
            Request::Mint { asked, .. } => *asked,
        });
        secondaries.chain(admins).chain(strays).collect()
    }

    /// An Idempotency-Key that nobody asks with, and no answer is kept for.
    fn fresh(&self) -> Asked {
        let asked = self.asked();
        let is_taken =
            |one: &Asked| asked.contains(one) || self.primary.replies.iter().any(|reply| reply.asked == *one);
        (0..=Asked::MAX).find(|one| !is_taken(one)).unwrap_or_default()
    }

    /// Drops the turn under way of a secondary.
    fn give_up(&mut self, party: Party) {
        match party {
            Party::Secondary(number) => self.secondaries[usize::from(number)].cut_off(),
            Party::Admin(number) => {
                let admin = &mut self.admins[usize::from(number)];
                *admin = match *admin {
                    Admin::Waits { asked: Some(asked), overlap, .. } => Admin::Unsure { asked, overlap },
                    _ => Admin::Idle,
                };
            }
        }
    }
}

impl Protocol {
    pub fn start(&self) -> State {
        State {
            primary: Primary::with_one_used_key(),
            secondaries: vec![Secondary::with(1); self.secondaries.into()],
            admins: vec![Admin::Idle; self.admins.into()],
            strays: Vec::new(),
            dead: 0,
            excuses: vec![None; self.secondaries.into()],
            company_excuse: None,
        }
    }

    fn parties(&self) -> impl Iterator<Item = Party> {
        (0..self.secondaries).map(Party::Secondary).chain((0..self.admins).map(Party::Admin))
    }

    fn is_full(&self, primary: &Primary, more: usize) -> bool {
        self.keys.is_some_and(|most| primary.keys.len() >= usize::from(most) + more)
    }

    fn may_be_given(&self, secondary: &Secondary) -> bool {
        match self.hands {
            Hands::Never => false,
            Hands::WhereSettled => secondary.is_settled(),
            Hands::Always => true,
        }
    }

    /// Everything that can happen now.
    pub fn possible(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        let has_room = state.strays.len() < self.strays;
        for (number, secondary) in (0..).zip(&state.secondaries) {
            match &secondary.turn {
                None if secondary.keys().next().is_some() => {
                    actions.extend([Action::Rotate(number), Action::Sync(number)]);
                }
                None => {}
                Some(_turn) => actions.push(Action::CutOff(number, Fate::Lost)),
            }
            if secondary.has_answer() {
                actions.push(Action::Proceed(number));
            } else if secondary.turn.is_some() && has_room {
                actions.push(Action::CutOff(number, Fate::Delayed));
            }
            if self.may_be_given(secondary) {
                actions.push(Action::GiveBad(number));
                for (admin, _key) in held(state) {
                    actions.push(Action::Give { admin, secondary: number });
                }
            }
        }
        for party in self.parties().filter(|party| state.waits_for(*party).is_some()) {
            actions.push(Action::Serve(party));
            if has_room {
                actions.push(Action::Double(party));
            }
        }
        actions.extend((0..state.strays.len()).map(Action::ServeStray));
        for (number, admin) in (0..).zip(&state.admins) {
            if !matches!(admin, Admin::Waits { .. }) && !self.is_full(&state.primary, 0) {
                for overlap in [false, true] {
                    actions.push(Action::Ask { admin: number, idempotent: false, overlap });
                    if self.retries {
                        actions.push(Action::Ask { admin: number, idempotent: true, overlap });
                    }
                }
            }
            match admin {
                Admin::Idle | Admin::Holds { .. } => {}
                Admin::Waits { .. } => {
                    actions.extend([Action::Miss(number, Fate::Lost), Action::Unheard(number)]);
                    if has_room {
                        actions.push(Action::Miss(number, Fate::Delayed));
                    }
                }
                Admin::Unsure { .. } => actions.push(Action::Retry(number)),
            }
        }
        if self.admins > 0 {
            actions.push(Action::Revoke);
        }
        actions.push(Action::PrimaryDies);
        if self.switching {
            actions.push(Action::Switch);
        }
        for (key, row) in (1..).zip(&state.primary.keys) {
            if matches!(row.life, Life::Overlap { is_over: false, .. }) {
                actions.push(Action::EndOverlap(key));
            }
        }
        // No request is under way for a day: its token lives for a quarter of an hour.
        let is_under_way = |one: Asked| {
            state.strays.iter().any(|(request, _stage)| {
                matches!(request, Request::Mint { asked: Some(asked), .. } if *asked == one)
            })
        };
        let replies = state.primary.replies.iter().map(|reply| reply.asked);
        actions.extend(replies.filter(|asked| !is_under_way(*asked)).map(Action::ForgetReply));
        actions
    }

    fn serve(&self, primary: &mut Primary, request: Request, stage: Stage) -> Result<Stage, Answer> {
        let served = primary.serve(request, stage, self.fault);
        match served {
            Ok(stage) if self.whole => primary.serve(request, stage, self.fault),
            _ => served,
        }
    }

    /// What `action` makes of `state`; `None` where the world is too small for it.
    pub fn step(&self, state: &State, action: Action) -> Option<State> {
        let before = state;
        let mut state = before.clone();
        let mut revoked = 0;
        match action {
            Action::Rotate(number) => state.secondaries[usize::from(number)].begin(Then::Rotate),
            Action::Sync(number) => state.secondaries[usize::from(number)].begin(Then::Sync),
            Action::Serve(party) => {
                let (request, stage) = state.waits_for(party)?;
                let served = self.serve(&mut state.primary, request, stage);
                state.hear(party, served);
            }
            Action::ServeStray(at) => {
                let (request, stage) = state.strays.remove(at);
                if let Ok(stage) = self.serve(&mut state.primary, request, stage) {
                    state.strays.push((request, stage));
                }
            }
            Action::Proceed(number) => {
                let fresh = state.fresh();
                let State { primary, secondaries, .. } = &mut state;
                let is_live = |key| primary.is_good(key) && !primary.is_off;
                secondaries[usize::from(number)].proceed(fresh, is_live, self.fault);
            }
            Action::CutOff(number, fate) => {
                let party = Party::Secondary(number);
                if fate == Fate::Delayed {
                    state.strays.push(state.waits_for(party)?);
                }
                state.give_up(party);
            }
            Action::Miss(number, fate) => {
                let party = Party::Admin(number);
                if fate == Fate::Delayed {
                    state.strays.push(state.waits_for(party)?);
                }
                state.give_up(party);
            }
            Action::Unheard(number) => {
                let party = Party::Admin(number);
                let (request, stage) = state.waits_for(party)?;
                if let Ok(stage) = self.serve(&mut state.primary, request, stage) {
                    state.hear(party, Ok(stage));
                } else {
                    state.give_up(party);
                }
            }
            Action::Double(party) => {
                let (request, _stage) = state.waits_for(party)?;
                state.strays.push((request, Stage::Sent));
            }
            Action::PrimaryDies => {
                for party in self.parties() {
                    if state.waits_for(party).is_some() {
                        state.give_up(party);
                    }
                }
                state.strays.retain(|(_request, stage)| *stage == Stage::Sent);
            }
            Action::Ask { admin, idempotent, overlap } => {
                state.admins[usize::from(admin)] = Admin::Idle;
                let asked = idempotent.then(|| state.fresh());
                state.admins[usize::from(admin)] = Admin::Waits { stage: Stage::Sent, asked, overlap };
            }
            Action::Retry(number) => {
                let admin = &mut state.admins[usize::from(number)];
                if let Admin::Unsure { asked, overlap } = *admin {
                    *admin = Admin::Waits { stage: Stage::Sent, asked: Some(asked), overlap };
                }
            }
            Action::Give { admin, secondary } => {
                let (_admin, key) = held(&state).find(|(number, _key)| *number == admin)?;
                state.secondaries[usize::from(secondary)].place(key, self.fault);
            }
            Action::GiveBad(secondary) => state.secondaries[usize::from(secondary)].place(BAD, self.fault),
            Action::Revoke => {
                state.primary.revoke_all(self.fault);
                revoked = (1..).zip(&state.primary.keys).fold(0, |bits, (key, _row)| bits | (1 << key));
            }
            Action::Switch => state.primary.is_off = !state.primary.is_off,
            Action::EndOverlap(key) => state.primary.end_overlap(key),
            Action::ForgetReply(asked) => state.primary.forget_reply(asked),
        }
        if self.is_full(&state.primary, 1) {
            return None;
        }
        state.dead |= revoked;
        remember(before, action, &mut state);
        if self.fault.is_none() && !self.whole {
            self.simplify(&mut state);
        }
        Some(state)
    }

    /// Makes equal what makes no difference any more.
    fn simplify(&self, state: &mut State) {
        let are_dead_alike = self.keys.is_none();
        let State { primary, secondaries, admins, strays, .. } = state;
        strays.retain(|(request, _stage)| match request {
            Request::Login { key } | Request::Mint { caller: Caller::Machine { key, .. }, .. } => {
                !primary.is_revoked(*key)
            }
            Request::Mint { caller: Caller::Staff, .. } => true,
        });
        strays.sort_unstable();
        for admin in admins.iter_mut() {
            if matches!(admin, Admin::Holds { key } if self.hands == Hands::Never || primary.is_revoked(*key))
            {
                *admin = Admin::Idle;
            }
        }
        admins.sort_unstable();
        for secondary in secondaries.iter_mut() {
            // Between turns it does not matter which dead key it stores.
            if secondary.turn.is_none() || are_dead_alike {
                for key in secondary.keys_mut().into_iter().filter(|key| primary.is_revoked(**key)) {
                    *key = BAD;
                }
            }
        }
        let asked = state.asked();
        let primary = &mut state.primary;
        primary.replies.retain(|reply| asked.contains(&reply.asked));
        for row in &mut primary.keys {
            row.asked = row.asked.filter(|one| asked.contains(one));
            if row.life == Life::Revoked {
                row.is_used = false;
                row.minted_by = Whose::Staff;
            }
        }
        if are_dead_alike {
            forget_dead(state);
        }
        renumber_asked(state, &asked);
    }
}

/// Carries the history on.
fn remember(before: &State, action: Action, state: &mut State) {
    for (key, row) in (1..).zip(&state.primary.keys) {
        if !row.is_good() {
            state.dead |= 1 << key;
        }
    }
    for (number, at) in (0..).zip(0..state.secondaries.len()) {
        if state.has_way(at) {
            state.excuses[at] = None;
        } else if before.has_way(at) {
            state.excuses[at] = excuse(before, action, Some(number));
        }
    }
    if state.has_any_way() {
        state.company_excuse = None;
    } else if before.has_any_way() {
        state.company_excuse = excuse(before, action, None);
    }
}

/// Keys that admins hold.
fn held(state: &State) -> impl Iterator<Item = (u8, Key)> {
    (0..).zip(&state.admins).filter_map(|(number, admin)| match admin {
        Admin::Holds { key } => Some((number, *key)),
        _ => None,
    })
}

/// Whose doing it is that `secondary` (or the whole company) holds no good key any more.
fn excuse(before: &State, action: Action, secondary: Option<u8>) -> Option<Excuse> {
    let by = match action {
        Action::Revoke | Action::Unheard(_) => Whose::Staff,
        Action::Serve(party) => by_whose_request(before, before.waits_for(party)?.0)?,
        Action::ServeStray(at) => by_whose_request(before, before.strays[at].0)?,
        Action::EndOverlap(key) => match before.primary.row(key)?.life {
            Life::Overlap { by: Whose::Secondary(by), .. } if secondary.is_none_or(|own| own == by) => {
                return Some(Excuse::Time);
            }
            Life::Overlap { by, .. } => by,
            _ => return None,
        },
        _ => return None,
    };
    match by {
        Whose::Staff => Some(Excuse::Staff),
        Whose::Secondary(by) if secondary.is_some_and(|own| own != by) => Some(Excuse::Other),
        Whose::Secondary(_) => None,
    }
}

/// A mint is its caller's doing; a first login that of who minted the key.
fn by_whose_request(before: &State, request: Request) -> Option<Whose> {
    match request {
        Request::Mint { caller: Caller::Staff, .. } => Some(Whose::Staff),
        Request::Mint { caller: Caller::Machine { secondary, .. }, .. } => Some(Whose::Secondary(secondary)),
        Request::Login { key } => before.primary.row(key).map(|row| row.minted_by),
    }
}

/// Numbers the keys that are not revoked from one.
fn forget_dead(state: &mut State) {
    let mut numbers = vec![BAD];
    let (mut last, mut dead) = (BAD, 0);
    for (key, row) in (1..).zip(&state.primary.keys) {
        if row.life == Life::Revoked {
            numbers.push(BAD);
        } else {
            last += 1;
            numbers.push(last);
            dead |= ((state.dead >> key) & 1) << last;
        }
    }
    state.dead = dead;
    state.primary.keys.retain(|row| row.life != Life::Revoked);
    for (generation, row) in (1..).zip(&mut state.primary.keys) {
        row.generation = generation;
    }
    let replies = state.primary.replies.iter_mut().map(|reply| &mut reply.key);
    let secondaries = state.secondaries.iter_mut().flat_map(Secondary::keys_mut);
    let admins = state.admins.iter_mut().filter_map(|admin| match admin {
        Admin::Holds { key } => Some(key),
        _ => None,
    });
    let strays = state.strays.iter_mut().filter_map(|(request, _stage)| match request {
        Request::Login { key } | Request::Mint { caller: Caller::Machine { key, .. }, .. } => Some(key),
        Request::Mint { caller: Caller::Staff, .. } => None,
    });
    for key in replies.chain(secondaries).chain(admins).chain(strays) {
        *key = numbers[usize::from(*key)];
    }
}

/// Numbers the Idempotency-Keys by who asks with them.
fn renumber_asked(state: &mut State, asked: &[Asked]) {
    let mut order: Vec<Asked> = Vec::new();
    for one in asked {
        if !order.contains(one) {
            order.push(*one);
        }
    }
    let secondaries = state.secondaries.iter_mut().flat_map(Secondary::asked_mut);
    let admins = state.admins.iter_mut().filter_map(|admin| match admin {
        Admin::Idle | Admin::Holds { .. } => None,
        Admin::Waits { asked, .. } => asked.as_mut(),
        Admin::Unsure { asked, .. } => Some(asked),
    });
    let strays = state.strays.iter_mut().filter_map(|(request, _stage)| match request {
        Request::Login { .. } => None,
        Request::Mint { asked, .. } => asked.as_mut(),
    });
    let replies = state.primary.replies.iter_mut().map(|reply| &mut reply.asked);
    let keys = state.primary.keys.iter_mut().filter_map(|row| row.asked.as_mut());
    for one in secondaries.chain(admins).chain(strays).chain(replies).chain(keys) {
        let number = order.iter().position(|known| known == one).unwrap_or_default();
        *one = u8::try_from(number).unwrap_or_default();
    }
    state.primary.replies.sort_by_key(|reply| reply.asked);
    state.admins.sort_unstable();
    state.strays.sort_unstable();
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.start()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(self.possible(state));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.step(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        claims::all(self)
    }
}
