//! Users, roles, permissions, and whether they count. Small, kept whole, the same on every member.
//!
//! It never sees a password, only hashes that others made, and never checks one. What a token is, is not known here:
//! only from which revision on it holds. `docs/internals/auth.md` describes the whole.

mod change;
mod permit;
mod ranges;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use change::apply_change;
pub use permit::Need;
pub(crate) use permit::check;
pub use table::{AuthTable, Role, User};
