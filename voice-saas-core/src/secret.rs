//! Secrets: values that print as nothing, and comparisons that take as long for a wrong guess as for a right one.
//!
//! ```
//! use voice_saas_core::secret::{SecretString, same};
//!
//! let token = SecretString::from("hunter2");
//! assert!(!format!("{token:?}").contains("hunter2"));
//! assert!(same(b"hunter2", b"hunter2"));
//! ```

pub use secrecy::{ExposeSecret, SecretBox, SecretSlice, SecretString};
use subtle::ConstantTimeEq;

/// Whether two byte strings are equal, in time that depends on their lengths alone.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
