//! almadia-etcd (under construction).
