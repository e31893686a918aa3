//! The adapter against chains of our own, Apple's real certificates, and the emulator.

mod authority;
#[cfg(feature = "emulator")]
mod emulated;
mod verify;
