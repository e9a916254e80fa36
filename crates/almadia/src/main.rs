//! The almadia program (under construction).
fn main() {}
