//! Harness.

pub mod spec;
