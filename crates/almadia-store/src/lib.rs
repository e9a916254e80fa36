//! almadia-store (under construction).
