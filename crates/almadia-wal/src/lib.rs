//! almadia-wal (under construction).
