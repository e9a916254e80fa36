//! almadia-server (under construction).
