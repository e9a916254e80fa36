//! The on-disk side of the store (under construction).
