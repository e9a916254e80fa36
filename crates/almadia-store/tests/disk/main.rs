//! What the store keeps on disk: crashes, rot, faults, garbage, transfer, and the bytes of released versions.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;
mod common;
mod crash;
mod damage;
mod faults;
mod garbage;
mod golden;
mod model;
mod transfer;
