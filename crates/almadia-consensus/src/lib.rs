//! almadia-consensus (under construction).
