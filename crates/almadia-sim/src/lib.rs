//! What must be true of a cluster, and histories to check it on. Never linked into the product.
//!
//! [`history`] is what clients saw, as plain data.

pub mod history;
