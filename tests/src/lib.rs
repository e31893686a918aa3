//! The harness of the cross-crate tests.
//!
//! [`TestApp`] is the whole system in one process; its [users](TestUser) call public routes alone.

mod api;
mod app;
mod clock;
mod database;
mod events;
pub mod spec;
mod tool;
mod user;
mod wait;

pub use api::{Answer, Api};
pub use app::{CALLER, OPERATOR_TOKEN, TestApp, TestAppBuilder, caller_says, listener};
pub use database::Database;
pub use tool::HeldTool;
pub use user::{PASSWORD, TestUser, event, kinds, text};
pub use wait::eventually;
