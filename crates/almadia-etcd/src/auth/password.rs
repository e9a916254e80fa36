//! Passwords, hashed and checked by bcrypt beside everything else: never where commands are applied, never on a thread that
//! serves requests, and not more at a time than half of the processors.

use crate::error::Fault;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Passwords that may wait for a processor; more are refused at once.
const WAITING_MAX: usize = 256;

/// What bcrypt looks at. Longer ones are refused where they are set, as in etcd, and cut where they are checked.
const PASSWORD_BYTES_MAX: usize = 72;

/// Hashes that came from outside may have cost this much, or what our own cost: a dearer one would keep a processor busy
/// for minutes (at cost 31 for days), whoever tries to log in.
const FOREIGN_COST_MAX: u32 = 16;

/// Hashes passwords and checks them.
#[derive(Debug)]
pub(crate) struct Passwords {
    cost: u32,
    /// Checked in the place of the hash that an unknown user does not have, so that its absence takes as long.
    decoy: Bytes,
    waiting: Semaphore,
    at_work: Arc<Semaphore>,
    /// Who waits longer is told so.
    wait_max: Duration,
}

impl Passwords {
    /// `cost` is bcrypt's, from 4 to 31: each step doubles the work.
    pub(crate) fn new(cost: u32, wait_max: Duration) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        Self {
            cost,
            decoy: format!("$2b${cost:02}${}", ".".repeat(53)).into(),
            waiting: Semaphore::new(WAITING_MAX),
            at_work: Arc::new(Semaphore::new((processors / 2).max(1))),
            wait_max,
        }
    }

    /// The hash of a new password.
    pub(crate) async fn hash(&self, password: String) -> Result<Bytes, Fault> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(Fault::PasswordTooLong);
        }
        let cost = self.cost;
        let hash = self.work(move || bcrypt::hash(password, cost)).await?;
        Ok(hash
            .expect("the cost has been checked and the system has randomness")
            .into())
    }

    /// Whether the password is the one that was hashed. Without a hash it is not, which takes as long to find out.
    pub(crate) async fn verify(&self, password: String, hash: Option<Bytes>) -> Result<bool, Fault> {
        let cost_max = self.cost.max(FOREIGN_COST_MAX);
        let is_hash = |hash: &Bytes| {
            let parts = std::str::from_utf8(hash).ok().and_then(|text| text.parse().ok());
            parts.is_some_and(|parts: bcrypt::HashParts| parts.get_cost() <= cost_max)
        };
        let hash = hash.filter(is_hash);
        let decoy = hash.is_none();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let same = self.work(move || {
            let hash = std::str::from_utf8(&hash).expect("a hash is text");
            bcrypt::verify(password, hash).unwrap_or(false)
        });
        Ok(same.await? && !decoy)
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
        let _place = self.waiting.try_acquire().map_err(|_| Fault::TooManyRequests)?;
        let slot = tokio::time::timeout(self.wait_max, Arc::clone(&self.at_work).acquire_owned());
        let slot = slot
            .await
            .map_err(|_| Fault::TimedOut)?
            .expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(slot);
            done
        });
        // Only a runtime that goes down gives the work up.
        done.await.map_err(|_| Fault::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(4, Duration::from_secs(60))
    }

    /// Rows B6.2 and B6.3; hashes that etcd or others made hold too.
    #[tokio::test]
    async fn hashed_and_checked() {
        let passwords = passwords();
        for password in ["", "secret", "ünïcödé", &"x".repeat(72)] {
            let hash = passwords.hash(password.to_owned()).await.unwrap();
            assert!(hash.starts_with(b"$2b$04$"));
            let is = async |password: &str| {
                passwords
                    .verify(password.to_owned(), Some(hash.clone()))
                    .await
                    .unwrap()
            };
            assert!(is(password).await, "{password}");
            assert!(!is(&format!("a{password}")).await, "{password}");
        }
        // From the test vectors of crypt_blowfish.
        let other = Bytes::from_static(b"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
        for (password, expected) in [("U*U", true), ("U*V", false)] {
            let same = passwords
                .verify(password.to_owned(), Some(other.clone()))
                .await
                .unwrap();
            assert_eq!(same, expected);
        }
    }

    /// It would take days.
    const DEAR: &str = "$2a$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    #[tokio::test]
    async fn nothing_that_is_no_hash_lets_anybody_in() {
        for hash in [
            None,
            Some(""),
            Some("x"),
            Some("$2b$99$"),
            Some("\u{0}"),
            Some(DEAR),
        ] {
            let hash = hash.map(|hash| Bytes::from_static(hash.as_bytes()));
            for password in ["", "x"] {
                let let_in = passwords()
                    .verify(password.to_owned(), hash.clone())
                    .await
                    .unwrap();
                assert!(!let_in, "{password:?} for {hash:?}");
            }
        }
        let decoy = passwords().decoy;
        assert!(
            std::str::from_utf8(&decoy)
                .unwrap()
                .parse::<bcrypt::HashParts>()
                .is_ok()
        );
    }

    #[tokio::test]
    async fn too_long_to_be_set() {
        let refused = passwords().hash("x".repeat(73)).await;
        assert_eq!(refused, Err(Fault::PasswordTooLong));
    }

    /// Requests go on while passwords are hashed, on a runtime with one thread; more than may wait are refused at once, and
    /// who waits too long is told so.
    #[tokio::test(start_paused = true)]
    async fn hashing_stands_in_nobodys_way() {
        let passwords = Arc::new(passwords());
        let slots = passwords.at_work.available_permits();
        let all = Arc::clone(&passwords.at_work)
            .acquire_many_owned(slots as u32)
            .await
            .unwrap();
        let ask = || {
            let passwords = Arc::clone(&passwords);
            tokio::spawn(async move { passwords.hash("x".to_owned()).await })
        };
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| ask()).collect();
        while passwords.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask().await.unwrap(), Err(Fault::TooManyRequests));
        for asked in waiting {
            assert_eq!(asked.await.unwrap(), Err(Fault::TimedOut));
        }
        drop(all);
        assert!(ask().await.unwrap().is_ok());
        assert_eq!(passwords.at_work.available_permits(), slots);
    }
}
