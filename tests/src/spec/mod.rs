//! Contracts: what is really sent and answered, held against the providers' own specifications.
//!
//! The specifications are not part of this repository. `VOICE_SAAS_SPECS` names the folder that holds them; without
//! it the contract tests say that they were skipped.
//!
//! A [`Recorder`] stands where a provider would, [`Spec::operation`] finds what an exchange is by the specification,
//! and [`Operation`] says what is wrong with it. Beyond JSON Schema, a property that no branch of a schema lists is
//! wrong too, unless the schema says that there may be more: providers ignore such properties, so a misspelt one would
//! never be noticed.

mod document;
mod nested;
mod operation;
mod property;
mod recorder;
mod site;

pub use self::{
    document::{SchemaCheck, Spec},
    operation::Operation,
    recorder::{Answer, Exchange, Recorder},
    site::request_sites,
};
