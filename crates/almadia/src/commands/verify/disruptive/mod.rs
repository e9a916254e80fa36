//! What `almadia verify --disruptive` adds: things break while clients write, and it is told in plain words what happens. The
//! promise is always the same: nothing that was acknowledged is lost, on any member.

mod hands;
mod load;
mod stories;

pub use hands::{Errand, Hands, HandsArguments};
pub use stories::tell;
