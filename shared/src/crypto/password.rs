//! Passwords of people: bcrypt on a small pool of its own, off the async threads (design D4, security L1, L3).

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Secret;
use crate::clock::Random;

/// Logins that may wait for a hashing thread; the next ones are told to come back.
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

/// Hashes and verifies, a few at a time.
#[derive(Clone)]
pub struct Passwords {
    policy: Policy,
    threads: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Passwords {
    /// A pool of one thread less than the machine has cores, so that requests always find one.
    pub fn new(policy: Policy) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = cores.saturating_sub(1).max(1);
        Self {
            policy,
            threads: Arc::new(Semaphore::new(threads)),
            places: Arc::new(Semaphore::new(threads + QUEUE)),
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
        let (cost, salt) = (self.policy.cost, random.bytes());
        // At most 72 bytes, so nothing is cut. (The crate's `non_truncating_hash` counts the C string's end too and
        // refuses 72.) It fails only for a cost that the settings do not allow.
        self.run(move || {
            bcrypt::hash_with_salt(password.0.expose(), cost, salt).map(|parts| parts.to_string())
        })
        .await?
        .map_err(|_impossible| Overloaded)
    }

    /// Whether `password` gives `hash`; without a hash the same work is done for nothing.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn verify(&self, password: Secret, hash: Option<String>) -> Result<bool, Overloaded> {
        let known = hash.is_some();
        let cost = self.policy.cost;
        self.run(move || {
            let hash = hash.unwrap_or_else(|| dummy_hash(cost));
            let text = password.expose();
            // Too long can never have been set; it must not be told apart by time either.
            let fits = text.len() <= MAX_BYTES && !text.contains('\0');
            let candidate = if fits { text } else { "" };
            let matches = bcrypt::verify(candidate, &hash).unwrap_or(false);
            matches && fits && known
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_full| Overloaded)?;
        let thread: OwnedSemaphorePermit =
            Arc::clone(&self.threads).acquire_owned().await.map_err(|_closed| Overloaded)?;
        tokio::task::spawn_blocking(move || {
            let _held = (place, thread);
            work()
        })
        .await
        .map_err(|_panicked| Overloaded)
    }
}

/// Whether a login can be checked against `text`: bcrypt in any of its spellings, of a cost that is bearable.
pub fn is_usable_hash(text: &str) -> bool {
    text.len() == 60 && text.parse::<bcrypt::HashParts>().is_ok_and(|parts| parts.get_cost() <= MAX_COST)
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
    }

    #[tokio::test]
    async fn what_was_hashed_verifies_and_nothing_longer_does() {
        let passwords = Passwords::new(policy());
        let long = "violet-otter-marble-".repeat(4)[..72].to_owned();
        let checked = policy().check(long.as_str().into(), &[]).unwrap();
        let hash = passwords.hash(checked, &Random::System).await.unwrap();
        assert!(hash.starts_with("$2b$04$"));
        assert!(passwords.verify(long.as_str().into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(format!("{long}WRONG").into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("anything".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_full_queue_is_told_so_at_once() {
        let passwords = Passwords::new(policy());
        let _all = Arc::clone(&passwords.places)
            .acquire_many_owned(u32::try_from(passwords.places.available_permits()).unwrap())
            .await
            .unwrap();
        assert_eq!(passwords.verify("x".into(), None).await, Err(Overloaded));
    }
}
