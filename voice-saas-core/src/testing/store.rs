//! The conformance suite of `Store`.
