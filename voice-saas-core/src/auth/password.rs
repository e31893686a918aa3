//! Passwords: argon2id, off the runtime's threads and never more than a few at a time.

use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use super::PasswordHash;
use crate::clock::Ambient;

/// Memory-hard work at once: each takes 19 MiB and some 20 ms of one core.
const AT_ONCE: usize = 2;

/// Hashing failed: the machine is out of memory or shutting down.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed")]
pub struct HashingFailed;

/// Hashes and verifies passwords.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    slots: Arc<Semaphore>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    pub(crate) async fn hash(
        &self,
        password: &SecretString,
        ambient: &Ambient,
    ) -> Result<PasswordHash, HashingFailed> {
        let (password, salt) = (password.clone(), ambient.random::<16>());
        self.off_thread(move || {
            let hash: phc::PasswordHash = Argon2::default()
                .hash_password_with_salt(password.expose_secret().as_bytes(), &salt)
                .map_err(|_| HashingFailed)?;
            Ok(PasswordHash::from_phc(hash.to_string()))
        })
        .await
    }

    /// Whether the password is right. Without a hash it takes as long, and is wrong: whoever guesses cannot tell
    /// an unknown address from a wrong password.
    pub(crate) async fn verify(
        &self,
        password: &SecretString,
        hash: Option<&PasswordHash>,
    ) -> Result<bool, HashingFailed> {
        let (password, hash) = (password.clone(), hash.cloned());
        self.off_thread(move || {
            let password = password.expose_secret().as_bytes();
            let Some(hash) = hash else {
                let spent: Result<phc::PasswordHash, _> =
                    Argon2::default().hash_password_with_salt(password, &[0; 16]);
                return spent.map(|_| false).map_err(|_| HashingFailed);
            };
            let hash = phc::PasswordHash::new(hash.as_phc()).map_err(|_| HashingFailed)?;
            Ok(Argon2::default().verify_password(password, &hash).is_ok())
        })
        .await
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashingFailed> + Send + 'static,
    ) -> Result<T, HashingFailed> {
        let _slot = self.slots.acquire().await.map_err(|_| HashingFailed)?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| HashingFailed)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_verifies_and_a_wrong_or_unknown_one_does_not() {
        let passwords = Passwords::new();
        let right = SecretString::from("correct horse battery staple");
        let hash = passwords.hash(&right, &Ambient::system()).await.unwrap();
        assert!(hash.as_phc().starts_with("$argon2id$"));
        assert!(passwords.verify(&right, Some(&hash)).await.unwrap());
        assert!(
            !passwords
                .verify(&SecretString::from("wrong"), Some(&hash))
                .await
                .unwrap()
        );
        assert!(!passwords.verify(&right, None).await.unwrap());
    }
}
