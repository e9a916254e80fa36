//! The almadia program as a library, so that its tests can use the same parts; main.rs only starts it.

pub mod server;
