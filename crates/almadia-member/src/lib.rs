//! almadia-member (under construction).
