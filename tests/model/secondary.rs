//! What one secondary keeps for the primary, and its turns: `secondary::service::{partner, rotate}`.
//!
//! A turn is what a process does under the run lock: `rotate`, or the start of a sync. It lives in memory and dies with
//! the process; the columns of `partners` stay.

use super::primary::{Answer, Asked, Caller, Fault, Key, Request, Stage};

/// A row of `partners`, and the turn under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Secondary {
    pub proven: Option<Key>,
    pub candidate: Option<Key>,
    /// A key that a rotation minted, beside the candidate that somebody brought.
    pub minted: Option<Key>,
    /// `rotation_key`: the Idempotency-Key of a rotation under way.
    pub intent: Option<Asked>,
    pub turn: Option<Turn>,
}

/// Where a turn is: it waits for an answer, or holds one and has not acted on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    /// `partner::login`.
    Login {
        call: Call,
        key: Key,
        /// Those to try after it.
        next: Vec<Key>,
        /// Candidate and minted key, as they were read.
        tried: [Option<Key>; 2],
        then: Then,
    },
    /// `Turn::exchange`, with a token that came from `session`.
    Mint { call: Call, session: Key, asked: Asked, begun: Begun },
}

/// A request and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Waits(Stage),
    Answered(Answer),
}

/// What comes after a good login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    Rotate,
    /// Ends a rotation that was cut off, if there is one.
    Sync,
    /// Nothing: `key` was minted in this turn.
    End {
        key: Key,
    },
}

/// Where the Idempotency-Key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Begun {
    /// From an earlier turn, so it may have been asked with already.
    Earlier,
    Now,
    /// After the one before was spent.
    Anew,
}

impl Secondary {
    /// Connected.
    pub fn with(key: Key) -> Self {
        Self { proven: Some(key), candidate: None, minted: None, intent: None, turn: None }
    }

    /// The keys that it stores.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.candidate.into_iter().chain(self.minted).chain(self.proven)
    }

    /// No rotation and no key by hand is under way.
    pub fn is_settled(&self) -> bool {
        let is_none = |key: Option<Key>| key.is_none();
        self.turn.is_none() && is_none(self.candidate) && is_none(self.minted) && self.intent.is_none()
    }

    /// What it waits for an answer to.
    pub fn waits_for(&self, number: u8) -> Option<(Request, Stage)> {
        match &self.turn {
            Some(Turn::Login { call: Call::Waits(stage), key, .. }) => {
                Some((Request::Login { key: *key }, *stage))
            }
            Some(Turn::Mint { call: Call::Waits(stage), session, asked, .. }) => {
                let caller = Caller::Machine { key: *session, secondary: number };
                Some((Request::Mint { caller, asked: Some(*asked), overlap: true }, *stage))
            }
            _ => None,
        }
    }

    /// Whether it has an answer that it has not acted on.
    pub fn has_answer(&self) -> bool {
        match &self.turn {
            Some(Turn::Login { call, .. } | Turn::Mint { call, .. }) => matches!(call, Call::Answered(_)),
            None => false,
        }
    }

    /// What became of the request that it waits for.
    pub fn hear(&mut self, served: Result<Stage, Answer>) {
        if let Some(Turn::Login { call, .. } | Turn::Mint { call, .. }) = &mut self.turn {
            *call = served.map_or_else(Call::Answered, Call::Waits);
        }
    }

    /// Begins to log in: the candidate first, then the proven key.
    pub fn begin(&mut self, then: Then) {
        let tried = [self.candidate, self.minted];
        let mut keys: Vec<Key> = self.keys().collect();
        if !keys.is_empty() {
            let key = keys.remove(0);
            self.turn = Some(Turn::Login { call: Call::Waits(Stage::Sent), key, next: keys, tried, then });
        }
    }

    /// Acts on the answer: one durable step, and the next request. `fresh` is an Idempotency-Key that nobody used.
    /// After a login it first asks who answers (`GET /server`), which takes a token that still `is_live`.
    pub fn proceed(&mut self, fresh: Asked, is_live: impl Fn(Key) -> bool, fault: Option<Fault>) {
        match self.turn.take() {
            Some(Turn::Login { call: Call::Answered(answer), key, mut next, tried, then }) => {
                if answer == Answer::LoggedIn {
                    if !is_live(key) {
                        return;
                    }
                    self.prove(key, tried);
                    self.go_on(key, then, fresh, fault);
                } else if !next.is_empty() {
                    let call = Call::Waits(Stage::Sent);
                    let key = next.remove(0);
                    self.turn = Some(Turn::Login { call, key, next, tried, then });
                }
            }
            Some(Turn::Mint { call: Call::Answered(answer), session, begun, .. }) => match answer {
                Answer::Minted(key) | Answer::Again(key) => self.store(key, fault),
                Answer::Spent if begun != Begun::Anew => self.ask(session, fresh, Begun::Anew, fault),
                _ if fault == Some(Fault::RefusalEndsIntent) => self.intent = None,
                // An earlier request may have minted: only this Idempotency-Key can ask for that key.
                _ => {}
            },
            unanswered => self.turn = unanswered,
        }
    }

    /// `partner::prove`.
    fn prove(&mut self, key: Key, tried: [Option<Key>; 2]) {
        self.proven = Some(key);
        // What was stored since stays.
        self.candidate = self.candidate.filter(|key| !tried.contains(&Some(*key)));
        self.minted = self.minted.filter(|key| !tried.contains(&Some(*key)));
    }

    fn go_on(&mut self, session: Key, then: Then, fresh: Asked, fault: Option<Fault>) {
        match (then, self.intent) {
            (Then::Rotate | Then::Sync, Some(asked)) => self.ask(session, asked, Begun::Earlier, fault),
            (Then::Rotate, None) => self.ask(session, fresh, Begun::Now, fault),
            (Then::Sync, None) => {}
            (Then::End { key }, _) => {
                if key == session {
                    self.intent = None;
                }
            }
        }
    }

    /// `intend`, then asks.
    fn ask(&mut self, session: Key, asked: Asked, begun: Begun, fault: Option<Fault>) {
        if fault != Some(Fault::IntentNotStored) {
            self.intent = Some(asked);
        }
        self.turn = Some(Turn::Mint { call: Call::Waits(Stage::Sent), session, asked, begun });
    }

    /// A minted key came: it is a candidate from now on, and tried at once.
    fn store(&mut self, key: Key, fault: Option<Fault>) {
        match fault {
            Some(Fault::CandidateNotProven) => self.proven = Some(key),
            Some(Fault::CandidateOverwritten) => self.candidate = Some(key),
            _ => self.minted = Some(key),
        }
        // The intent stays until the new key is proven.
        if fault == Some(Fault::StoringEndsIntent) {
            self.intent = None;
        }
        self.begin(Then::End { key });
    }

    /// Stores a key that has to prove itself.
    pub fn place(&mut self, key: Key, fault: Option<Fault>) {
        if fault == Some(Fault::CandidateNotProven) {
            self.proven = Some(key);
            return;
        }
        self.candidate = Some(key);
    }

    /// The process dies, or gives up because no answer comes.
    pub fn cut_off(&mut self) {
        self.turn = None;
    }

    /// Every Idempotency-Key that it may ask with.
    pub fn asked(&self) -> impl Iterator<Item = Asked> {
        let pending = match &self.turn {
            Some(Turn::Mint { asked, .. }) => Some(*asked),
            _ => None,
        };
        self.intent.into_iter().chain(pending)
    }

    /// The same, to be renumbered.
    pub fn asked_mut(&mut self) -> impl Iterator<Item = &mut Asked> {
        let pending = match &mut self.turn {
            Some(Turn::Mint { asked, .. }) => Some(asked),
            _ => None,
        };
        self.intent.iter_mut().chain(pending)
    }

    /// Every key that it knows of.
    pub fn keys_mut(&mut self) -> Vec<&mut Key> {
        let mut keys: Vec<&mut Key> =
            self.proven.iter_mut().chain(&mut self.candidate).chain(&mut self.minted).collect();
        match &mut self.turn {
            None => {}
            Some(Turn::Login { key, next, tried, then, .. }) => {
                keys.push(key);
                keys.extend(next.iter_mut().chain(tried.iter_mut().flatten()));
                if let Then::End { key } = then {
                    keys.push(key);
                }
            }
            Some(Turn::Mint { call, session, .. }) => {
                keys.push(session);
                if let Call::Answered(Answer::Minted(key) | Answer::Again(key)) = call {
                    keys.push(key);
                }
            }
        }
        keys
    }
}
