//! Whole clusters from one number, what must be true of them, and histories to check it on. Never linked into the product.
//!
//! [`world`] is machines, disks and a network on one thread; [`faults`] is what is done to them; [`clients`] use them;
//! [`run`] puts it together. [`history`] is what clients saw, as plain data; [`checks`] is what must hold, one file
//! for each promise.

pub mod chance;
pub mod checks;
pub mod clients;
pub mod faults;
pub mod history;
pub mod jobs;
pub mod mutants;
pub mod panics;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod theme;
pub mod trace;
pub mod world;
