//! What must be true of a cluster, and histories to check it on. Never linked into the product.
//!
//! [`history`] is what clients saw, as plain data; [`checks`] are pure functions over it, one file for each promise.

pub mod checks;
pub mod history;
