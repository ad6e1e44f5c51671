//! What the primary keeps of one company, and how it answers: `shared::node::service::{mint, api_key, login}`, rule by rule.
//!
//! A request is served in two steps, as in the code: a read that lets it in, then one transaction, which looks again.
//! Where that makes no difference it is one step.

/// A key, by the order of minting. [`BAD`] is none of them.
pub type Key = u8;

/// A key that never was good: mistyped, or of another primary.
pub const BAD: Key = 0;

/// An Idempotency-Key.
pub type Asked = u8;

/// Who mints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whose {
    /// An admin, or the operator at the primary.
    Staff,
    /// The secondary of this number, with the company's machine user.
    Secondary(u8),
}

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// The newest.
    Active,
    /// Kept until its successor logs in, or its time is over.
    Overlap {
        /// Whose mint set its end.
        by: Whose,
        is_over: bool,
    },
    /// Superseded or revoked.
    Revoked,
}

/// A row of `api_keys`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRow {
    pub generation: u8,
    pub life: Life,
    pub is_used: bool,
    pub minted_by: Whose,
    /// Under which Idempotency-Key, as long as anybody can ask with it.
    pub asked: Option<Asked>,
    /// Minted with a key that was dead at that moment.
    pub is_of_dead_caller: bool,
}

impl KeyRow {
    /// `accepts` of the code.
    pub fn is_good(&self) -> bool {
        matches!(self.life, Life::Active | Life::Overlap { is_over: false, .. })
    }
}

/// A row of `mint_replies`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplyRow {
    pub asked: Asked,
    pub key: Key,
    /// What was asked for.
    pub overlap: bool,
    /// Whether the answer is still kept: until the key's first login.
    pub is_kept: bool,
}

/// Who asks for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Caller {
    Staff,
    /// A secondary, with a token that came from `key`.
    Machine {
        key: Key,
        secondary: u8,
    },
}

impl Caller {
    fn whose(self) -> Whose {
        match self {
            Self::Staff => Whose::Staff,
            Self::Machine { secondary, .. } => Whose::Secondary(secondary),
        }
    }
}

/// What goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    Login { key: Key },
    Mint { caller: Caller, asked: Option<Asked>, overlap: bool },
}

/// How far the primary is with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// On its way.
    Sent,
    /// Let in by a read; the transaction is still to come.
    LetIn,
}

/// What comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    LoggedIn,
    Minted(Key),
    /// The answer to an earlier request with the same Idempotency-Key, once more.
    Again(Key),
    /// 409: that Idempotency-Key's key was used, superseded or revoked.
    Spent,
    /// 401.
    Refused,
}

/// A rule that is switched off, to see that the checker misses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A mint ends the key before, overlap or not.
    OverlapNotKept,
    /// A mint with an overlap ends none of the keys before.
    NothingSuperseded,
    /// A mint keeps the newest key, be it used or not.
    UnusedKeyKept,
    /// The first login of a key leaves the one before.
    ElderOutlivesFirstLogin,
    /// DELETE ends the active key alone.
    RevocationLeavesOverlap,
    /// The write of a login does not look whether the key was revoked meanwhile.
    LoginRevives,
    /// A retry mints.
    RetryMintsAnew,
    /// The answer is kept after the key's first login.
    ReplyOutlivesUse,
    /// The transaction that mints does not look at its caller again.
    CallerNotLookedAtAgain,
    /// The generation is counted from what is alive.
    GenerationFalls,
    /// Secondary: a new key takes the place of the proven one before it has logged in.
    CandidateNotProven,
    /// Secondary: the Idempotency-Key is not stored before the primary is asked.
    IntentNotStored,
    /// Secondary: any refusal of a mint ends the rotation, also one that was asked for before.
    RefusalEndsIntent,
    /// Secondary: storing the new key ends the rotation, before that key has logged in.
    StoringEndsIntent,
    /// Secondary: what a rotation minted stands where a key that somebody brings takes its place.
    CandidateOverwritten,
}

/// The primary's tables, as far as one company's keys go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Primary {
    pub keys: Vec<KeyRow>,
    pub replies: Vec<ReplyRow>,
    /// Switched off by staff: nothing logs in, nothing is minted.
    pub is_off: bool,
}

impl Primary {
    /// With one key that was minted by hand and logs in.
    pub fn with_one_used_key() -> Self {
        let first = KeyRow {
            generation: 1,
            life: Life::Active,
            is_used: true,
            minted_by: Whose::Staff,
            asked: None,
            is_of_dead_caller: false,
        };
        Self { keys: vec![first], replies: Vec::new(), is_off: false }
    }

    pub fn row(&self, key: Key) -> Option<&KeyRow> {
        usize::from(key).checked_sub(1).and_then(|at| self.keys.get(at))
    }

    fn row_mut(&mut self, key: Key) -> Option<&mut KeyRow> {
        usize::from(key).checked_sub(1).and_then(|at| self.keys.get_mut(at))
    }

    pub fn is_good(&self, key: Key) -> bool {
        self.row(key).is_some_and(KeyRow::is_good)
    }

    pub fn is_revoked(&self, key: Key) -> bool {
        self.row(key).is_none_or(|row| row.life == Life::Revoked)
    }

    /// One step of `request`: how far it is now, or its answer.
    pub fn serve(&mut self, request: Request, stage: Stage, fault: Option<Fault>) -> Result<Stage, Answer> {
        match (request, stage) {
            (Request::Login { key }, Stage::Sent) => match self.row(key) {
                Some(row) if row.is_good() && !self.is_off => {
                    // A later login ends nothing: what it writes is when the key was used.
                    if row.is_used { Err(Answer::LoggedIn) } else { Ok(Stage::LetIn) }
                }
                _ => Err(Answer::Refused),
            },
            (Request::Login { key }, Stage::LetIn) => Err(self.first_use(key, fault)),
            (Request::Mint { caller, .. }, Stage::Sent) if !self.lets_in(caller) || self.is_off => {
                Err(Answer::Refused)
            }
            // The transaction looks at its caller again, so letting it in changes nothing.
            (Request::Mint { .. }, Stage::Sent) if fault == Some(Fault::CallerNotLookedAtAgain) => {
                Ok(Stage::LetIn)
            }
            (Request::Mint { caller, asked, overlap }, _) => Err(self.mint(caller, asked, overlap, fault)),
        }
    }

    fn lets_in(&self, caller: Caller) -> bool {
        match caller {
            Caller::Staff => true,
            Caller::Machine { key, .. } => self.is_good(key) && !self.is_off,
        }
    }

    /// `api_key::first_use`.
    fn first_use(&mut self, key: Key, fault: Option<Fault>) -> Answer {
        if self.is_revoked(key) && fault != Some(Fault::LoginRevives) {
            return Answer::Refused;
        }
        let Some(row) = self.row_mut(key) else { return Answer::Refused };
        row.is_used = true;
        if row.life == Life::Revoked {
            row.life = Life::Active;
        }
        let generation = row.generation;
        if fault != Some(Fault::ReplyOutlivesUse) {
            for reply in self.replies.iter_mut().filter(|reply| reply.key == key) {
                reply.is_kept = false;
            }
        }
        if fault != Some(Fault::ElderOutlivesFirstLogin) {
            for elder in self.keys.iter_mut().filter(|row| row.generation < generation) {
                elder.life = Life::Revoked;
            }
        }
        Answer::LoggedIn
    }

    /// `mint::attempt`.
    fn mint(&mut self, caller: Caller, asked: Option<Asked>, overlap: bool, fault: Option<Fault>) -> Answer {
        let is_of_dead_caller = !self.lets_in(caller);
        if is_of_dead_caller && fault != Some(Fault::CallerNotLookedAtAgain) {
            return Answer::Refused;
        }
        if let Some(reply) = self.replies.iter().find(|reply| Some(reply.asked) == asked)
            && fault != Some(Fault::RetryMintsAnew)
        {
            let is_same = reply.overlap == overlap && self.is_good(reply.key) && reply.is_kept;
            return if is_same { Answer::Again(reply.key) } else { Answer::Spent };
        }
        let newest = self.keys.iter().map(|row| row.generation).max().unwrap_or_default();
        let living = self.keys.iter().filter(|row| row.is_good()).count();
        let by_living = u8::try_from(living).unwrap_or(u8::MAX);
        let before = if fault == Some(Fault::GenerationFalls) { by_living } else { newest };
        self.supersede(caller.whose(), overlap, fault);
        self.keys.push(KeyRow {
            generation: before + 1,
            life: Life::Active,
            is_used: false,
            minted_by: caller.whose(),
            asked,
            is_of_dead_caller,
        });
        let key = u8::try_from(self.keys.len()).unwrap_or(u8::MAX);
        if let Some(asked) = asked {
            self.replies.retain(|reply| reply.asked != asked);
            self.replies.push(ReplyRow { asked, key, overlap, is_kept: true });
            self.replies.sort_by_key(|reply| reply.asked);
        }
        Answer::Minted(key)
    }

    /// `mint::supersede`.
    fn supersede(&mut self, by: Whose, overlap: bool, fault: Option<Fault>) {
        let overlap = overlap && fault != Some(Fault::OverlapNotKept);
        let good = || (0..self.keys.len()).rev().filter(|at| overlap && self.keys[*at].is_good());
        let used = || good().find(|at| self.keys[*at].is_used || fault == Some(Fault::UnusedKeyKept));
        let kept = used().or_else(|| good().next());
        for (at, row) in self.keys.iter_mut().enumerate().filter(|(_at, row)| row.life != Life::Revoked) {
            let is_kept = Some(at) == kept || (overlap && fault == Some(Fault::NothingSuperseded));
            row.life = if is_kept { Life::Overlap { by, is_over: false } } else { Life::Revoked };
        }
    }

    /// `DELETE /v1/apikey`.
    pub fn revoke_all(&mut self, fault: Option<Fault>) {
        for row in &mut self.keys {
            if row.life == Life::Active || fault != Some(Fault::RevocationLeavesOverlap) {
                row.life = Life::Revoked;
            }
        }
    }

    /// The time of an overlap is over.
    pub fn end_overlap(&mut self, key: Key) {
        if let Some(KeyRow { life: Life::Overlap { is_over, .. }, .. }) = self.row_mut(key) {
            *is_over = true;
        }
    }

    /// The 24 hours of an Idempotency-Key are over: from now on it is new again.
    pub fn forget_reply(&mut self, asked: Asked) {
        self.replies.retain(|reply| reply.asked != asked);
        for row in self.keys.iter_mut().filter(|row| row.asked == Some(asked)) {
            row.asked = None;
        }
    }
}
