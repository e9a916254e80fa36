//! Project tasks (under construction).
fn main() {}
