//! Passwords of people: bcrypt on a small pool of its own, off the async threads (design D4, security L1, L3).

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Secret;
use crate::clock::Random;

/// Logins that may wait for a hashing thread, in each lane; the next ones are told to come back.
const QUEUE: usize = 32;
/// bcrypt reads no further; longer ones are refused rather than cut.
pub const MAX_BYTES: usize = 72;
/// A login against a hash of more cost would hold a thread for minutes.
const MAX_COST: u32 = 16;
/// What the reference asks for too.
pub const MIN_CHARS: usize = 8;

/// What a password must satisfy, and how it is hashed.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// bcrypt cost: each step doubles the time.
    pub cost: u32,
    /// Least zxcvbn score, 0 to 4.
    pub min_score: u8,
}

impl Default for Policy {
    fn default() -> Self {
        Self { cost: 12, min_score: 2 }
    }
}

/// Why a password is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Fewer than [`MIN_CHARS`].
    #[error("password must have at least {MIN_CHARS} characters")]
    TooShort,
    /// More than [`MAX_BYTES`].
    #[error("password must have at most {MAX_BYTES} bytes")]
    TooLong,
    /// Holds a NUL.
    #[error("password must not hold a NUL character")]
    Nul,
    /// Guessable.
    #[error("password is too easy to guess: {0}")]
    Weak(String),
}

/// A password that [`Policy::check`] took: only such a one is hashed.
pub struct Checked(Secret);

/// All hashing threads are taken and the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many logins at once: try again in a second")]
pub struct Overloaded;

impl Policy {
    /// Checks a new password; `own` are words that an attacker of this user would try first.
    ///
    /// # Errors
    /// [`Rejected`].
    pub fn check(&self, password: Secret, own: &[&str]) -> Result<Checked, Rejected> {
        let text = password.expose();
        if text.chars().count() < MIN_CHARS {
            return Err(Rejected::TooShort);
        }
        if text.len() > MAX_BYTES {
            return Err(Rejected::TooLong);
        }
        if text.contains('\0') {
            return Err(Rejected::Nul);
        }
        let estimate = zxcvbn::zxcvbn(text, own);
        if u8::from(estimate.score()) >= self.min_score {
            return Ok(Checked(password));
        }
        let advice = estimate.feedback().map(|feedback| {
            let mut lines: Vec<String> = feedback.warning().iter().map(ToString::to_string).collect();
            lines.extend(feedback.suggestions().iter().map(ToString::to_string));
            lines.join(" ")
        });
        Err(Rejected::Weak(advice.unwrap_or_else(|| "add another word or two".to_owned())))
    }
}

/// Who waits for a hashing thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Who has proved something before: he waits behind at most as many strangers as there are threads.
    Known,
    /// Anybody else.
    Stranger,
}

/// Hashes and verifies, a few at a time.
#[derive(Clone)]
pub struct Passwords {
    policy: Policy,
    threads: Arc<Semaphore>,
    /// Strangers pass here before they queue for a thread, so that known ones find a short queue there.
    gate: Arc<Semaphore>,
    known_places: Arc<Semaphore>,
    stranger_places: Arc<Semaphore>,
}

impl Passwords {
    /// A pool of one thread less than the machine has cores, so that requests always find one.
    pub fn new(policy: Policy) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = cores.saturating_sub(1).max(1);
        Self {
            policy,
            threads: Arc::new(Semaphore::new(threads)),
            gate: Arc::new(Semaphore::new(threads)),
            known_places: Arc::new(Semaphore::new(threads + QUEUE)),
            stranger_places: Arc::new(Semaphore::new(threads + QUEUE)),
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn hash(&self, password: Checked, random: &Random) -> Result<String, Overloaded> {
        self.hash_at(password.0, self.policy.cost, random).await
    }

    /// Another hash of a password that was just verified, if the policy asks for more work than `hash` took.
    pub async fn upgrade(&self, password: Secret, hash: &str, random: &Random) -> Option<String> {
        let cost = cost_of(hash).filter(|cost| *cost < self.policy.cost)?;
        tracing::debug!(from = cost, to = self.policy.cost, "a password is hashed anew");
        // With no thread to spare it is done at another login.
        self.hash_at(password, self.policy.cost, random).await.ok()
    }

    async fn hash_at(&self, password: Secret, cost: u32, random: &Random) -> Result<String, Overloaded> {
        let salt = random.bytes();
        // At most 72 bytes, so nothing is cut. (The crate's `non_truncating_hash` counts the C string's end too and
        // refuses 72.) It fails only for a cost that the settings do not allow.
        self.run(Lane::Known, move || {
            bcrypt::hash_with_salt(password.expose(), cost, salt).map(|parts| parts.to_string())
        })
        .await?
        .map_err(|_impossible| Overloaded)
    }

    /// Whether `password` gives `hash`. The same work is done without a hash, and with one that took less.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn verify(
        &self,
        lane: Lane,
        password: Secret,
        hash: Option<String>,
    ) -> Result<bool, Overloaded> {
        let known = hash.is_some();
        let wanted = self.policy.cost;
        self.run(lane, move || {
            let hash = hash.unwrap_or_else(|| dummy_hash(wanted));
            let matches = verify(&password, &hash);
            // 2^c + (2^c + … + 2^(w-1)) = 2^w.
            for cost in cost_of(&hash).unwrap_or(wanted)..wanted {
                verify(&password, &dummy_hash(cost));
            }
            matches && known
        })
        .await
    }

    /// Whether the secret of a machine gives `hash`, with no more work than that takes.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn verify_machine(&self, secret: Secret, hash: String) -> Result<bool, Overloaded> {
        self.run(Lane::Known, move || verify(&secret, &hash)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let places = match lane {
            Lane::Known => &self.known_places,
            Lane::Stranger => &self.stranger_places,
        };
        let place = Arc::clone(places).try_acquire_owned().map_err(|_full| Overloaded)?;
        let passed = match lane {
            Lane::Known => None,
            Lane::Stranger => Some(self.gate.acquire().await.map_err(|_closed| Overloaded)?),
        };
        let thread: OwnedSemaphorePermit =
            Arc::clone(&self.threads).acquire_owned().await.map_err(|_closed| Overloaded)?;
        drop(passed);
        tokio::task::spawn_blocking(move || {
            let _held = (place, thread);
            work()
        })
        .await
        .map_err(|_panicked| Overloaded)
    }
}

fn verify(password: &Secret, hash: &str) -> bool {
    let text = password.expose();
    // Too long can never have been set; it must not be told apart by time either.
    let fits = text.len() <= MAX_BYTES && !text.contains('\0');
    let matches = bcrypt::verify(if fits { text } else { "" }, hash).unwrap_or(false);
    matches && fits
}

fn cost_of(hash: &str) -> Option<u32> {
    hash.parse::<bcrypt::HashParts>().ok().map(|parts| parts.get_cost())
}

/// Whether a login can be checked against `text`: bcrypt in any of its spellings, of a cost that is bearable.
pub fn is_usable_hash(text: &str) -> bool {
    text.len() == 60 && cost_of(text).is_some_and(|cost| cost <= MAX_COST)
}

/// Of no password in particular: whether it matches is never looked at, only that it takes as long.
fn dummy_hash(cost: u32) -> String {
    format!("$2b${cost:02}$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy { cost: 4, min_score: 2 }
    }

    /// What does not parse would be refused without any work, and told apart by time.
    #[test]
    fn the_hash_for_nobody_is_one_that_takes_work() {
        for cost in [4, 10] {
            let hash = dummy_hash(cost);
            assert!(bcrypt::verify("anything", &hash).is_ok());
            assert_eq!(hash.parse::<bcrypt::HashParts>().unwrap().get_cost(), cost);
        }
    }

    #[test]
    fn a_hash_of_the_reference_is_usable_and_a_trap_is_not() {
        let rest = "kKAmhM4hYCs3LKJdErH9EuOige8RVmZ1hhyHnoQSvFBq7pSfJYtH6";
        for prefix in ["$2a$10$", "$2b$12$", "$2y$16$"] {
            assert!(is_usable_hash(&format!("{prefix}{rest}")), "{prefix}");
        }
        for text in [format!("$2a$31${rest}"), format!("$2a$10${rest}x"), rest.to_owned(), String::new()] {
            assert!(!is_usable_hash(&text), "{text}");
        }
    }

    #[test]
    fn a_password_is_refused_for_its_length_or_its_weakness_never_cut() {
        let check = |text: &str| policy().check(text.into(), &["acme", "companyadmin"]).map(|_checked| ());
        assert_eq!(check("short"), Err(Rejected::TooShort));
        assert_eq!(check(&"ä".repeat(37)), Err(Rejected::TooLong));
        assert_eq!(check("correct horse\0battery"), Err(Rejected::Nul));
        assert!(matches!(check("password1"), Err(Rejected::Weak(_))));
        assert!(matches!(check("companyadmin"), Err(Rejected::Weak(_))));
        assert_eq!(check("violet-otter-marble-42"), Ok(()));
        // The outermost lengths.
        assert_eq!(check("kX3!vQ9"), Err(Rejected::TooShort));
        assert_eq!(check("kX3!vQ9z"), Ok(()));
        assert_eq!(check(&"violet-otter-marble-".repeat(4)[..72]), Ok(()));
        assert_eq!(check(&"violet-otter-marble-".repeat(4)[..73]), Err(Rejected::TooLong));
    }

    #[tokio::test]
    async fn what_was_hashed_verifies_and_nothing_longer_does() {
        let passwords = Passwords::new(policy());
        let long = "violet-otter-marble-".repeat(4)[..72].to_owned();
        let checked = policy().check(long.as_str().into(), &[]).unwrap();
        let hash = passwords.hash(checked, &Random::System).await.unwrap();
        assert!(hash.starts_with("$2b$04$"));
        let verify = async |password: &str, hash: Option<&String>| {
            passwords.verify(Lane::Stranger, password.into(), hash.cloned()).await.unwrap()
        };
        assert!(verify(&long, Some(&hash)).await);
        assert!(!verify(&format!("{long}WRONG"), Some(&hash)).await);
        assert!(!verify("anything", Some(&hash)).await);
        assert!(!verify("anything", None).await);
        // No password has a NUL, and to bcrypt, which goes round, this would be the same one.
        let short = bcrypt::hash("otter", 4).unwrap();
        assert!(verify("otter", Some(&short)).await);
        assert!(!verify("otter\0otter", Some(&short)).await);
    }

    #[tokio::test]
    async fn the_secret_of_a_machine_is_checked_against_the_hash_that_the_reference_made() {
        let passwords = Passwords::new(policy());
        let hash = bcrypt::hash("otter", 4).unwrap();
        for (secret, is_right) in [("otter", true), ("marten", false), ("", false)] {
            let verified = passwords.verify_machine(secret.into(), hash.clone()).await;
            assert_eq!(verified, Ok(is_right), "{secret}");
        }
    }

    #[test]
    fn the_policy_is_the_one_that_was_set() {
        let policy = *Passwords::new(policy()).policy();
        assert_eq!((policy.cost, policy.min_score), (4, 2));
    }

    #[tokio::test]
    async fn a_hash_of_less_work_is_replaced_once_its_password_is_known_and_one_of_more_work_stays() {
        let hash = |cost| bcrypt::hash("granite-lemon-tulip-7", cost).unwrap();
        let passwords = Passwords::new(Policy { cost: 5, min_score: 2 });
        let secret = Secret::from("granite-lemon-tulip-7");
        let better = passwords.upgrade(secret.clone(), &hash(4), &Random::System).await.unwrap();
        assert_eq!(cost_of(&better), Some(5));
        assert!(passwords.verify(Lane::Known, secret.clone(), Some(better.clone())).await.unwrap());
        for good_enough in [better, hash(6)] {
            assert_eq!(passwords.upgrade(secret.clone(), &good_enough, &Random::System).await, None);
        }
    }

    #[tokio::test]
    async fn a_full_queue_is_told_so_at_once_and_does_not_keep_out_who_is_known() {
        let passwords = Passwords::new(policy());
        let all = u32::try_from(passwords.stranger_places.available_permits()).unwrap();
        let _all = Arc::clone(&passwords.stranger_places).acquire_many_owned(all).await.unwrap();
        // However many strangers wait at the gate.
        let threads = u32::try_from(passwords.gate.available_permits()).unwrap();
        let _gate = passwords.gate.acquire_many(threads).await.unwrap();
        assert_eq!(passwords.verify(Lane::Stranger, "x".into(), None).await, Err(Overloaded));
        assert_eq!(passwords.verify(Lane::Known, "x".into(), None).await, Ok(false));
    }
}
