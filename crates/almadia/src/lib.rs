//! The almadia program as a library, so that its tests use the same parts; main.rs only reads the command line.

pub mod bench;
pub mod cert;
pub mod commands;
pub mod demo;
pub mod server;
